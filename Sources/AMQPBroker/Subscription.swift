// What a consuming connection consumes, and how it sets that up on every connection anew.

/// Where replay of the event log begins.
public enum EventLogStart: Hashable, Sendable {
    /// The oldest event that is still kept.
    case first
    /// The last stored chunk of events: a few recent ones, then what comes.
    case last
    /// Only what comes from now on.
    case next
    /// A position in the log.
    case offset(UInt64)
    /// The first chunk stored at or after this time: whole seconds since 1970.
    case time(UInt64)

    var argument: ArgumentValue {
        switch self {
        case .first: .text("first")
        case .last: .text("last")
        case .next: .text("next")
        case .offset(let offset): .integer(Int64(clamping: offset))
        case .time(let seconds): .time(seconds)
        }
    }
}

/// What a connection consumes.
enum Subscription: Sendable {
    /// The command queues, all on one channel; declared again where one of them is gone.
    case commands(BrokerTopology, declares: Bool)
    /// A private queue bound to an exchange, which goes with the connection.
    case live(exchange: String, pattern: String)
    /// A stream from some place on.
    case log(queue: String, EventLogStart)

    /// So many bytes of a body are wanted: a command has 1 MiB at the most, and one byte more tells
    /// that it has not.
    var bodyLimit: Int {
        switch self {
        case .commands: (1 << 20) + 1
        case .live, .log: .max
        }
    }

    /// Starts the consumers.
    func begin(
        on connection: borrowing AMQPConnection, prefetch: UInt16, resumeOffset: UInt64?
    ) throws(BrokerError) {
        try connection.limitPrefetch(prefetch)
        switch self {
        case .commands(let topology, _):
            for queue in topology.commandQueues { try connection.consume(queue) }
        case .live(let exchange, let pattern):
            let queue = try connection.declarePrivateQueue()
            try connection.bind(queue: queue, exchange: exchange, key: pattern)
            try connection.consume(queue)
        case .log(let queue, let start):
            let offset = resumeOffset.map { ArgumentValue.integer(Int64(clamping: $0)) }
            try connection.consume(
                queue, arguments: [("x-stream-offset", offset ?? start.argument)])
        }
    }
}
