// Sending one command and waiting for its outcome, as the command line does.

import MessagePort

/// Sends commands, each over a connection of its own.
public struct AMQPCommandClient: Sendable {
    private let endpoint: BrokerEndpoint
    private let confirmTimeout: Duration

    /// `confirmTimeout` is how long the broker may take to answer for a message.
    public init(endpoint: BrokerEndpoint, confirmTimeout: Duration = .seconds(10)) {
        self.endpoint = endpoint
        self.confirmTimeout = confirmTimeout
    }

    /// Publishes one message with `mandatory` and a confirm, and with `replyWithin` waits for the
    /// reply.
    ///
    /// The reply queue is private to the connection, and the message's `replyTo` is set to it. A
    /// reply is the one whose `correlation_id` is the message's, or its `message_id` where it has
    /// none. Returns nil where no reply was asked for. Throws `unreachable` where there is no
    /// broker, `accessRefused`, `returned` where no queue is bound for the message, `notFound`
    /// where the exchange is missing, `notTaken` after a basic.nack, `timedOut` where the confirm
    /// or the reply did not come in time.
    public func send(
        _ message: OutgoingMessage, replyWithin limit: Duration?
    ) async throws(BrokerError) -> Delivery? {
        try await BrokerThread.run("amqp send") { () throws(BrokerError) in
            var connection = try AMQPConnection(to: endpoint, name: "stillpoint send")
            let reply = try exchange(message, limit, &connection)
            connection.close()
            return reply
        }
    }

    private func exchange(
        _ original: OutgoingMessage, _ limit: Duration?, _ connection: inout AMQPConnection
    ) throws(BrokerError) -> Delivery? {
        var message = original
        if limit != nil {
            let queue = try connection.declarePrivateQueue()
            try connection.consume(queue, settles: false)
            message.properties.replyTo = queue
        }
        try connection.selectConfirms()
        if let fault = PublishBook<Void>.fault(of: message) {
            throw BrokerError(.protocolViolation, fault, at: "message", replyCode: 502)
        }
        try connection.publish(message)
        let wakeUp = try WakeUp()
        var wait = Wait(
            correlation: message.properties.correlationID ?? message.properties.messageID,
            place: message.exchange.isEmpty
                ? "queue \(message.routingKey)" : "exchange \(message.exchange)")
        let sent = Moment.now
        while !(wait.confirmed && (limit == nil || wait.reply != nil)) {
            while let event = try connection.nextEvent() { try wait.note(event) }
            if wait.confirmed, limit == nil || wait.reply != nil { break }
            let end = sent + (wait.confirmed ? (limit ?? .zero) : confirmTimeout)
            let left = end - Moment.now
            guard left > .zero else { throw wait.overdue(confirmTimeout, limit) }
            _ = Readiness.wait(
                socket: connection.descriptor, wakeUp: wakeUp,
                atMost: min(left, connection.tick))
        }
        return wait.reply
    }
}

/// What has been heard so far of a message on its way.
private struct Wait {
    var correlation: String?
    var place: String
    var confirmed = false
    var blocked: String?
    var reply: Delivery?

    mutating func note(_ event: AMQPEvent) throws(BrokerError) {
        switch event {
        case .delivery(let number, let redelivered, let message):
            guard reply == nil, message.properties.correlationID == correlation else { return }
            reply = Delivery(
                tag: DeliveryTag(epoch: 1, number: number), routingKey: message.routingKey,
                redelivered: redelivered, properties: message.properties, body: message.body)
        case .returned(let code, let text, _):
            throw BrokerError(
                .returned, "no queue takes this message (\(text)): is a worker installed here?",
                at: place, replyCode: code)
        case .confirmed(_, _, accepted: true):
            confirmed = true
        case .confirmed(_, _, accepted: false):
            throw BrokerError(.notTaken, "the broker did not take the message", at: place)
        case .blocked(let reason):
            blocked = reason
        case .unblocked:
            blocked = nil
        case .consumerCancelled(let queue):
            throw BrokerError(.notFound, "the reply queue was deleted", at: "queue \(queue)")
        }
    }

    func overdue(_ confirmTimeout: Duration, _ limit: Duration?) -> BrokerError {
        guard !confirmed else {
            return BrokerError(
                .timedOut,
                "no reply within \(limit ?? .zero): is a worker running? The command waits in its queue",
                at: place)
        }
        let why = blocked.map { " (the broker takes no messages: \($0))" } ?? ""
        return BrokerError(.timedOut, "no confirm within \(confirmTimeout)\(why)", at: place)
    }
}
