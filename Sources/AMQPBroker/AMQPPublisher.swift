// The publishing side of the broker port.

import MessagePort

/// Publishes persistently, with `mandatory` and confirms, over one connection and two threads of
/// its own.
///
/// Calls may overlap; their messages go out in the order of the calls. Each call is answered by its
/// deadline at the latest. A failure also fails what was given later and has not been sent, and what
/// is yet to come of the same run, so that a caller that publishes its failures again, in order, does
/// not overtake itself.
public final class AMQPPublisher: MessagePublisher {
    private let loop: PublisherLoop

    /// Starts the threads, which connect by themselves; `started()` tells how the first attempt
    /// went.
    ///
    /// `window` is how many messages may be on the way without a confirm (at least one), and
    /// `deadline` how long a call may take. `name` is what the broker's operator sees. `random`
    /// gives numbers from 0 up to 1 for the jitter. `healthChanged` is called on the connection's
    /// thread and must return soon. Throws only where the system has no more threads or
    /// descriptors.
    public init(
        endpoint: BrokerEndpoint, window: Int = 512, deadline: Duration = .seconds(10),
        name: String = "stillpoint events", random: @escaping @Sendable () -> Double,
        healthChanged: (@Sendable (BrokerHealth) -> Void)? = nil
    ) throws(BrokerError) {
        loop = try PublisherLoop(
            endpoint: endpoint, name: name, window: max(window, 1), deadline: deadline,
            random: random,
            healthChanged: healthChanged)
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

    /// Publishes in order and returns one verdict a message, in the same order, by the deadline at
    /// the latest.
    ///
    /// A message that the protocol cannot carry is `returned` with code 502; one to an exchange
    /// that is missing or forbidden, with the broker's 404 or 403.
    public func publish(
        _ messages: [OutgoingMessage], in run: PublishRun? = nil
    ) async -> [PublishVerdict] {
        await withCheckedContinuation { loop.accept(messages, run, $0) }
    }

    /// Waits for the open calls, which takes no longer than their deadlines, and closes the
    /// connection.
    public func close() async {
        loop.requestClose()
        await loop.ended()
    }
}
