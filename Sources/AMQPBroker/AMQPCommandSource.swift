// The consuming side of the broker port.

import MessagePort

/// Commands from the partition queues, over one connection and one thread of its own.
///
/// All queues are consumed on one channel, so that one order of delivery numbers covers them. The
/// connection is opened anew for ever when it is lost, with growing, jittered pauses; what was not
/// settled then comes again, in order, under the next epoch. A queue that was deleted is declared
/// again.
public final class AMQPCommandSource: CommandSource {
    private let loop: ConsumerLoop

    /// Starts the thread, which connects by itself; `started()` tells how the first attempt went.
    ///
    /// `prefetch` limits the unsettled deliveries of each queue. `name` is what the broker's
    /// operator sees. `random` gives numbers from 0 up to 1 for the jitter. `healthChanged` is
    /// called on the connection's thread and must return soon. Throws only where the system has no
    /// more threads or descriptors.
    public init(
        endpoint: BrokerEndpoint, topology: BrokerTopology, prefetch: UInt16 = 100,
        name: String = "stillpoint commands", redeclares: Bool = true,
        random: @escaping @Sendable () -> Double,
        healthChanged: (@Sendable (BrokerHealth) -> Void)? = nil
    ) throws(BrokerError) {
        loop = try ConsumerLoop(
            endpoint: endpoint, name: name,
            subscription: .commands(topology, declares: redeclares), prefetch: prefetch,
            random: random, healthChanged: healthChanged)
    }

    deinit { loop.requestClose() }

    /// The present state of the connection.
    ///
    /// Any thread.
    public var health: BrokerHealth { loop.health.current }

    /// Waits for the first attempt to connect and throws what went wrong with it; the attempts go
    /// on all the same.
    public func started() async throws(BrokerError) {
        if let failure = await loop.firstFailure() { throw failure }
    }

    /// The next delivery; nil after `drain`, and nil when the waiting task is cancelled.
    public func next() async -> Delivery? { await loop.buffer.next() }

    /// Settles one delivery; returns at once.
    ///
    /// Settled twice, or with an earlier connection's tag, it has no effect.
    public func settle(_ tag: DeliveryTag, _ settlement: Settlement) {
        loop.settle(tag, settlement)
    }

    /// Stops the intake at once; what has been handed on can still be settled.
    public func drain() { loop.drain() }

    /// Sends every settlement given so far, closes channel and connection, and ends the thread.
    public func close() async {
        loop.requestClose()
        await loop.ended()
    }
}
