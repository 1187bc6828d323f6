// Declaring the topology, on a short-lived connection of its own: the broker closes a channel on
// the first conflict, and a closed channel must not cost a worker its deliveries.

extension BrokerTopology {
    /// Makes whatever is not there yet; does nothing to what is there already.
    ///
    /// Where the user may not configure, it is enough that everything exists. Throws with the
    /// object's name as the place and a sentence that says what to do.
    public func declare(on endpoint: BrokerEndpoint) async throws(BrokerError) {
        try await BrokerThread.run("amqp topology") { () throws(BrokerError) in
            try declareBlocking(on: endpoint)
        }
    }

    /// Asks whether every exchange and queue is there, and makes nothing. Bindings cannot be asked
    /// for in this protocol.
    ///
    /// Throws with the name of the first that is missing, or that may not be looked at, as the place.
    public func verify(on endpoint: BrokerEndpoint) async throws(BrokerError) {
        try await BrokerThread.run("amqp topology") { () throws(BrokerError) in
            if let fault { throw fault }
            try make(on: endpoint, passive: true)
        }
    }

    /// `declare` on the calling thread.
    func declareBlocking(on endpoint: BrokerEndpoint) throws(BrokerError) {
        if let fault { throw fault }
        do throws(BrokerError) {
            try make(on: endpoint, passive: false)
        } catch  where error.code == .accessRefused && error.place != endpoint.place {
            do throws(BrokerError) {
                try make(on: endpoint, passive: true)
            } catch  where error.code == .notFound {
                var missing = error
                missing.message =
                    "it does not exist and this user may not make it: import "
                    + "deploy/rabbitmq/definitions.json, or grant the configure permission "
                    + "(\(error.message))"
                throw missing
            }
        }
    }

    private func make(on endpoint: BrokerEndpoint, passive: Bool) throws(BrokerError) {
        let connection = try AMQPConnection(to: endpoint, name: "\(prefix) topology")
        do throws(BrokerError) {
            for exchange in exchanges {
                try connection.declareExchange(
                    exchange.name, kind: exchange.kind, arguments: exchange.arguments.inOrder,
                    passive: passive)
            }
            for queue in queues {
                try connection.declareQueue(
                    queue.name, arguments: queue.arguments.inOrder, passive: passive)
            }
            if !passive {
                for binding in bindings {
                    try connection.bind(
                        queue: binding.queue, exchange: binding.exchange, key: binding.key)
                }
            }
        } catch {
            connection.closeAfterChannelError()
            throw Self.explained(error)
        }
        connection.close()
    }

    private static func explained(_ error: BrokerError) -> BrokerError {
        var explained = error
        // Newer brokers say 406 where 3.10 says 503.
        if error.message.contains("unknown exchange type") { explained.code = .unsupported }
        switch explained.code {
        case .conflict:
            explained.message =
                "it exists with other properties: delete it once it is empty, or choose another "
                + "prefix (\(error.message))"
        case .unsupported:
            explained.message =
                "the broker cannot make it: enable the plugin rabbitmq_sharding with "
                + "`rabbitmq-plugins enable rabbitmq_sharding` (\(error.message))"
        case .accessRefused:
            explained.message =
                "this user may not make or bind it: grant configure, write and read on it "
                + "(\(error.message))"
        case .invalidEndpoint, .invalidTopology, .unreachable, .tlsFailed, .notFound, .locked,
            .closedByBroker,
            .protocolViolation, .notTaken, .returned, .timedOut, .systemLimit:
            break
        }
        return explained
    }
}

extension [String: ArgumentValue] {
    /// In order of name: the wire should not depend on a hash seed.
    var inOrder: Arguments {
        sorted { $0.key < $1.key }.map { (name: $0.key, value: $0.value) }
    }
}
