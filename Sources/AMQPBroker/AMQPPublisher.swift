// The publishing side of the broker port.

import MessagePort
import Synchronization

/// Publishes persistently, with `mandatory` and confirms, over two connections with two threads each:
/// one for messages to exchanges that have a name, one for replies, which go through the default
/// exchange.
///
/// They are kept apart for the sake of streams. RabbitMQ 3.10 numbers what a channel writes to a stream
/// by itself, but when it writes again after the stream has got a new leader (as after a restart of
/// the broker) it numbers by the channel's publishes, and takes what then seems to come twice for a
/// repeat: it confirms it and drops it. The two numbers agree on a channel whose every message goes to
/// the stream, as every event does. For the time before a new leader is there, see `PublishBook`.
///
/// Calls may overlap; their messages go out in the order of the calls, those to exchanges and the
/// replies each among themselves. Each call is answered by its deadline at the latest. A failure also
/// fails what was given later and has not been sent, and what is yet to come of the same run, so that
/// a caller that publishes its failures again, in order, does not overtake itself.
public final class AMQPPublisher: MessagePublisher {
    private let events: PublisherLoop
    private let replies: PublisherLoop

    /// Starts the threads, which connect by themselves; `started()` tells how the first attempt
    /// went.
    ///
    /// `window` is how many messages may be on the way without a confirm on each connection (at least
    /// one), and `deadline` how long a call may take. `name` is what the broker's operator sees.
    /// `random` gives numbers from 0 up to 1 for the jitter. `healthChanged` is called on a
    /// connection's thread, with that connection's health, and must return soon. Throws only where the
    /// system has no more threads or descriptors.
    public init(
        endpoint: BrokerEndpoint, window: Int = 512, deadline: Duration = .seconds(10),
        name: String = "stillpoint events", random: @escaping @Sendable () -> Double,
        healthChanged: (@Sendable (BrokerHealth) -> Void)? = nil
    ) throws(BrokerError) {
        func loop(_ name: String) throws(BrokerError) -> PublisherLoop {
            try PublisherLoop(
                endpoint: endpoint, name: name, window: max(window, 1), deadline: deadline,
                random: random, healthChanged: healthChanged)
        }
        events = try loop(name)
        do throws(BrokerError) {
            replies = try loop("\(name), replies")
        } catch {
            events.requestClose()
            throw error
        }
    }

    deinit {
        events.requestClose()
        replies.requestClose()
    }

    /// The present state of both connections: connected where both are; `connections` counts those
    /// for messages to exchanges.
    ///
    /// Any thread.
    public var health: BrokerHealth {
        let (first, second) = (events.health.current, replies.health.current)
        return BrokerHealth(
            connected: first.connected && second.connected,
            blocked: first.blocked ?? second.blocked, connections: first.connections,
            lastError: first.lastError ?? second.lastError)
    }

    /// Waits for the first attempts to connect and throws what went wrong with them; the attempts go
    /// on all the same.
    public func started() async throws(BrokerError) {
        if let failure = await events.firstFailure() { throw failure }
        if let failure = await replies.firstFailure() { throw failure }
    }

    /// Publishes in order and returns one verdict a message, in the same order, by the deadline at
    /// the latest.
    ///
    /// A message that the protocol cannot carry is `returned` with code 502; one to an exchange
    /// that is missing or forbidden, with the broker's 404 or 403.
    public func publish(
        _ messages: [OutgoingMessage], in run: PublishRun? = nil
    ) async -> [PublishVerdict] {
        await withCheckedContinuation { waiting in
            let join = Join { waiting.resume(returning: $0.merged(over: messages)) }
            // Both are accepted before anything is waited for, so that calls keep their order.
            events.accept(messages.filter { !$0.exchange.isEmpty }, run) {
                join.arrived(events: $0)
            }
            replies.accept(messages.filter(\.exchange.isEmpty), run) { join.arrived(replies: $0) }
        }
    }

    /// Waits for the open calls, which takes no longer than their deadlines, and closes the
    /// connections.
    public func close() async {
        events.requestClose()
        replies.requestClose()
        await events.ended()
        await replies.ended()
    }
}

/// Brings the verdicts of the two halves of a call together.
private final class Join: Sendable {
    struct Halves: Sendable {
        var events: [PublishVerdict]?
        var replies: [PublishVerdict]?

        /// One verdict a message, in the messages' order.
        func merged(over messages: [OutgoingMessage]) -> [PublishVerdict] {
            var (events, replies) = ((events ?? [])[...], (replies ?? [])[...])
            return messages.map { message in
                message.exchange.isEmpty ? replies.removeFirst() : events.removeFirst()
            }
        }
    }

    private let halves = Mutex(Halves())
    private let complete: @Sendable (Halves) -> Void

    init(_ complete: @escaping @Sendable (Halves) -> Void) { self.complete = complete }

    func arrived(events: [PublishVerdict]) { note { $0.events = events } }

    func arrived(replies: [PublishVerdict]) { note { $0.replies = replies } }

    private func note(_ half: (inout Halves) -> Void) {
        let whole: Halves? = halves.withLock { halves in
            half(&halves)
            return halves.events == nil || halves.replies == nil ? nil : halves
        }
        if let whole { complete(whole) }
    }
}
