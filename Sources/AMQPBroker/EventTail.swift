// Following events, for people and tools; a worker has no need of it.

import MessagePort

/// Events as they come, or replayed from the event log.
///
/// Live, a private queue is bound for as long as the connection lives: what is published while the
/// connection is lost is missed. From the log nothing is missed: after a loss it goes on behind the
/// last event that was handed on.
public final class EventTail: Sendable {
    private let loop: ConsumerLoop
    private let pattern: TopicPattern?

    /// Starts to follow the events whose routing key matches the pattern (`*` one word, `#` any
    /// number).
    ///
    /// `start` is nil for live events. `random` gives numbers from 0 up to 1 for the jitter. Throws
    /// only where the system has no more threads or descriptors.
    public init(
        endpoint: BrokerEndpoint, topology: BrokerTopology, from start: EventLogStart?,
        pattern: String = "#", random: @escaping @Sendable () -> Double,
        healthChanged: (@Sendable (BrokerHealth) -> Void)? = nil
    ) throws(BrokerError) {
        let subscription: Subscription =
            if let start {
                .log(queue: topology.eventLog, start)
            } else {
                .live(exchange: topology.eventExchange, pattern: pattern)
            }
        self.pattern = start == nil ? nil : TopicPattern(pattern)
        loop = try ConsumerLoop(
            endpoint: endpoint, name: "stillpoint watch", subscription: subscription, prefetch: 200,
            random: random, healthChanged: healthChanged)
    }

    deinit { loop.requestClose() }

    /// The present state of the connection.
    ///
    /// Any thread.
    public var health: BrokerHealth { loop.health.current }

    /// Waits for the first attempt to connect and subscribe and throws what went wrong with it.
    public func started() async throws(BrokerError) {
        if let failure = await loop.firstFailure() { throw failure }
    }

    /// The next event; nil after `close`, and nil when the waiting task is cancelled.
    public func next() async -> Delivery? {
        while let delivery = await loop.buffer.next() {
            loop.settle(delivery.tag, .acknowledge)
            if pattern?.matches(delivery.routingKey) ?? true { return delivery }
        }
        return nil
    }

    /// Closes the connection and ends the thread.
    public func close() async {
        loop.requestClose()
        await loop.ended()
    }
}
