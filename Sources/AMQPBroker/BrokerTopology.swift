// What must exist on the broker: the wire contract's section 1, as data.

/// The exchanges, queues and bindings of one installation.
///
/// The constructor only names them; `declare(on:)` makes them. `definitions(virtualHost:)` writes
/// the same for `rabbitmqctl import_definitions`, for sites where workers may not configure.
public struct BrokerTopology: Hashable, Sendable {
    /// The prefix of every name.
    public let prefix: String
    /// How many queues the commands are dealt over; never changed while commands wait.
    public let partitions: Int
    /// How long events can be replayed.
    public let eventLogMaxAge: Duration

    /// Names the objects of one installation; `declare(on:)` refuses what no broker could hold.
    ///
    /// The prefix has 1 to 200 bytes and is not in the broker's own space (`amq.`), `partitions` is
    /// 1 to 256, and the age is positive and rounded up to whole seconds.
    public init(
        prefix: String = "stillpoint", partitions: Int = 8,
        eventLogMaxAge: Duration = .seconds(30 * 86_400)
    ) {
        self.prefix = prefix
        self.partitions = partitions
        self.eventLogMaxAge = eventLogMaxAge
    }

    /// Where commands are published, with the session's name as the routing key.
    public var commandExchange: String { "\(prefix).commands" }
    /// The queue of each partition, in order.
    public var commandQueues: [String] {
        (0..<max(partitions, 0)).map { "\(prefix).commands.\($0)" }
    }
    /// Where events are published.
    public var eventExchange: String { "\(prefix).events" }
    /// The stream that keeps every event.
    public var eventLog: String { "\(prefix).events.log" }
    /// Where dead letters go.
    public var deadExchange: String { "\(prefix).dead" }
    /// The queue that keeps them.
    public var deadLetters: String { "\(prefix).dead.letters" }
}

extension BrokerTopology {
    struct Exchange: Hashable, Sendable {
        var name: String
        var kind: String
        var arguments: [String: ArgumentValue] = [:]
    }

    struct Queue: Hashable, Sendable {
        var name: String
        var arguments: [String: ArgumentValue]
    }

    struct Binding: Hashable, Sendable {
        var exchange: String
        var queue: String
        var key: String
    }

    /// Every exchange, those first that others name.
    var exchanges: [Exchange] {
        [
            Exchange(name: deadExchange, kind: "fanout"),
            Exchange(
                name: commandExchange, kind: "x-modulus-hash",
                arguments: ["alternate-exchange": .text(deadExchange)]),
            Exchange(name: eventExchange, kind: "topic"),
        ]
    }

    /// Every queue.
    var queues: [Queue] {
        let partition: [String: ArgumentValue] = [
            "x-queue-type": .text("quorum"),
            "x-single-active-consumer": .flag,
            "x-dead-letter-exchange": .text(deadExchange),
            "x-dead-letter-strategy": .text("at-least-once"),
            "x-overflow": .text("reject-publish"),
            "x-delivery-limit": .integer(20),
        ]
        let log: [String: ArgumentValue] = [
            "x-queue-type": .text("stream"), "x-max-age": .text(maxAgeText),
        ]
        return [Queue(name: deadLetters, arguments: ["x-queue-type": .text("quorum")])]
            + commandQueues.map { Queue(name: $0, arguments: partition) }
            + [Queue(name: eventLog, arguments: log)]
    }

    /// Every binding.
    ///
    /// The hash exchange ignores binding keys when it routes, but orders its queues by them: the
    /// partition's number keeps that order the same on every broker.
    var bindings: [Binding] {
        [Binding(exchange: deadExchange, queue: deadLetters, key: "")]
            + commandQueues.enumerated().map {
                Binding(exchange: commandExchange, queue: $1, key: String($0))
            }
            + [Binding(exchange: eventExchange, queue: eventLog, key: "#")]
    }

    /// Why no broker could hold this; nil where one could.
    var fault: BrokerError? {
        func refused(_ sentence: String, _ place: String) -> BrokerError {
            BrokerError(.invalidTopology, sentence, at: place)
        }
        guard (1...200).contains(prefix.utf8.count), !prefix.hasPrefix("amq.") else {
            return refused("a prefix has 1 to 200 bytes and does not begin with amq.", "prefix")
        }
        guard (1...256).contains(partitions) else {
            return refused("there can be 1 to 256 partitions", "partitions")
        }
        return eventLogMaxAge > .zero
            ? nil : refused("the age of the event log must be positive", "event log")
    }

    // RabbitMQ compares the text, so one duration must always be written one way.
    private var maxAgeText: String {
        let parts = eventLogMaxAge.components
        let seconds = max(1, parts.seconds + (parts.attoseconds > 0 ? 1 : 0))
        return seconds % 86_400 == 0 ? "\(seconds / 86_400)D" : "\(seconds)s"
    }
}
