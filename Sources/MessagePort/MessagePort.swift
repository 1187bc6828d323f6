// The broker port: what a worker needs of a message broker, whatever the broker is.

/// Where a delivery came from, for settling it: valid only on the channel that delivered it.
///
/// `epoch` counts the adapter's connections. A tag of an earlier epoch is dead: its message has gone
/// back to the queue with the channel, so settling it is silently dropped by the adapter.
public struct DeliveryTag: Hashable, Sendable {
    /// The connection's ordinal in this process, from 1.
    public var epoch: UInt64
    /// The broker's delivery tag on that connection's channel.
    public var number: UInt64

    /// Names one delivery of one connection.
    public init(epoch: UInt64, number: UInt64) {
        self.epoch = epoch
        self.number = number
    }
}

/// The properties and headers of a message that Stillpoint honours; everything else is left alone.
public struct MessageProperties: Hashable, Sendable {
    /// AMQP `message_id`.
    public var messageID: String?
    /// AMQP `correlation_id`.
    public var correlationID: String?
    /// AMQP `reply_to`: a queue name, reached through the default exchange.
    public var replyTo: String?
    /// AMQP `user_id`, validated by the broker.
    public var userID: String?
    /// AMQP `content_type`.
    public var contentType: String?
    /// AMQP `content_encoding`; a command has none.
    public var contentEncoding: String?
    /// AMQP `timestamp`, whole seconds since 1970.
    public var timestamp: UInt64?
    /// AMQP `expiration`, milliseconds as a decimal string.
    public var expiration: String?
    /// Header `traceparent` (W3C trace context).
    public var traceparent: String?
    /// Header `tracestate` (W3C trace context).
    public var tracestate: String?

    /// Properties that are all absent.
    public init() {}
}

/// One message from a command queue, copied out of the broker library's memory.
public struct Delivery: Sendable {
    /// The handle by which to settle it.
    public var tag: DeliveryTag
    /// The routing key it was published with: by contract, the session's or storage system's name.
    public var routingKey: String
    /// True where the broker says that it may have been delivered before.
    public var redelivered: Bool
    /// Its honoured properties.
    public var properties: MessageProperties
    /// Its body, as published, or the beginning of one that is too large to be a command.
    public var body: [UInt8]
    /// Bytes of the body as published.
    public var size: Int

    /// Gathers one delivery; `size` is that of the body where nothing else is said.
    public init(
        tag: DeliveryTag, routingKey: String, redelivered: Bool, properties: MessageProperties,
        body: [UInt8], size: Int? = nil
    ) {
        self.tag = tag
        self.routingKey = routingKey
        self.redelivered = redelivered
        self.properties = properties
        self.body = body
        self.size = size ?? body.count
    }
}

/// How a delivery ends.
public enum Settlement: Sendable, Hashable {
    /// Done: the broker may forget it.
    case acknowledge
    /// No worker could take it: to the dead letters, untouched, never requeued.
    case deadLetter
}

/// The consuming side of the broker.
///
/// The adapter reconnects by itself, for ever; deliveries of a lost connection come again with a new
/// epoch. Deliveries are handed on in the order the broker sent them.
public protocol CommandSource: Sendable {
    /// The next delivery; nil once `drain` has been asked for and nothing is left to hand on.
    func next() async -> Delivery?
    /// Settles one delivery; returns at once. A tag of an earlier epoch is dropped without effect.
    func settle(_ tag: DeliveryTag, _ settlement: Settlement)
    /// Stops the intake: no further delivery is handed on, and `next` returns nil. Deliveries already
    /// handed on can still be settled.
    func drain()
    /// Sends every settlement given so far, then closes the channel (never cancels first: cancelling a
    /// single active consumer breaks the order of the queue) and the connection.
    func close() async
}

/// A message on its way out.
public struct OutgoingMessage: Hashable, Sendable {
    /// The exchange; empty for the default exchange.
    public var exchange: String
    /// The routing key (for the default exchange: the queue's name).
    public var routingKey: String
    /// Its properties; the adapter always publishes persistently and with `mandatory`.
    public var properties: MessageProperties
    /// Its body.
    public var body: [UInt8]

    /// Gathers one message.
    public init(
        exchange: String, routingKey: String, properties: MessageProperties, body: [UInt8]
    ) {
        self.exchange = exchange
        self.routingKey = routingKey
        self.properties = properties
        self.body = body
    }
}

/// What became of one published message.
public enum PublishVerdict: Sendable, Hashable {
    /// The broker has it, on every queue it was routed to.
    case confirmed
    /// The broker has it not, since no queue is bound for it: code and text as the broker gave them.
    case returned(code: Int, text: String)
    /// The broker did not take it (basic.nack), as a full queue does that says so: it may take it later.
    case rejected
    /// Not known to be with the broker (connection lost, deadline passed, blocked): publish again.
    case unconfirmed(reason: String)
}

/// Calls of `publish` that belong together: none of them overtakes an earlier one that failed.
public struct PublishRun: Hashable, Sendable {
    /// The run's ordinal; a later run has a higher one.
    public var number: UInt64

    /// Names a run.
    public init(_ number: UInt64) { self.number = number }
}

/// The publishing side of the broker, on a connection of its own.
public protocol MessagePublisher: Sendable {
    /// Publishes in the given order and returns one verdict a message, in the same order, once every
    /// one of them is known. Never hangs: what is not confirmed by the adapter's deadline, or cannot
    /// be sent because there is no connection, is `unconfirmed`. Several calls may be under way: their
    /// messages are published in the order of the calls, taken before `publish` first suspends.
    ///
    /// Once a message of a run is unconfirmed, or one to a named exchange is rejected, nothing more of
    /// that run and of earlier ones is sent: a call that comes before its caller has heard of the
    /// failure is `unconfirmed` at once. So a caller that ends the run at a failure, and publishes its
    /// failures again in the next one, is seen by consumers in order: repeats, but never a gap. A
    /// message that is returned breaks no run, since it would be returned for ever, and everybody
    /// else's would wait for it. A call without a run stands for itself.
    func publish(_ messages: [OutgoingMessage], in run: PublishRun?) async -> [PublishVerdict]
    /// Waits for what is in flight (up to the deadline) and closes the connection.
    func close() async
}

/// What an operator needs to know of a broker connection.
public struct BrokerHealth: Sendable, Hashable {
    /// A channel is open and usable.
    public var connected: Bool
    /// The broker has said `connection.blocked` (a memory or disk alarm); its reason.
    public var blocked: String?
    /// How often a connection was opened since the start.
    public var connections: UInt64
    /// The last failure, for people.
    public var lastError: String?

    /// States a connection's health.
    public init(connected: Bool, blocked: String?, connections: UInt64, lastError: String?) {
        self.connected = connected
        self.blocked = blocked
        self.connections = connections
        self.lastError = lastError
    }
}
