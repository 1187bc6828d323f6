import CopyModel
import Synchronization

/// The time, as an argument: the simulator brings a virtual one.
public protocol RuntimeClock: Sendable {
    /// Now, in UTC.
    func now() -> Timestamp
    /// Returns after so many milliseconds, or at once when the task is cancelled.
    func sleep(milliseconds: Int64) async
}

/// How a worker is told apart and how it behaves.
public struct WorkerConfiguration: Sendable, Hashable {
    /// The instance's name, in every event's `source`.
    public var instance: String
    /// The exchange that events go to.
    public var eventExchange: String
    /// How long outcomes are kept, in minutes; at least the contract's seven days.
    public var outcomeRetentionMinutes: Int64

    /// Gathers a configuration.
    public init(instance: String, eventExchange: String, outcomeRetentionMinutes: Int64 = 10_080) {
        self.instance = instance
        self.eventExchange = eventExchange
        self.outcomeRetentionMinutes = outcomeRetentionMinutes
    }
}

/// Wakes one waiting task; wakes that come while nobody waits are remembered as one.
final class Wakeup: Sendable {
    private enum State {
        case idle
        case woken
        case waiting(CheckedContinuation<Void, Never>)
        case closed
    }

    private let state = Mutex(State.idle)

    /// Wakes the waiting task, or lets the next `wait` return at once.
    func wake() {
        let waiter: CheckedContinuation<Void, Never>? = state.withLock { state in
            switch state {
            case .idle, .woken:
                state = .woken
                return nil
            case .waiting(let continuation):
                state = .idle
                return continuation
            case .closed:
                return nil
            }
        }
        waiter?.resume()
    }

    /// Returns once woken, or at once after `close`.
    func wait() async {
        await withCheckedContinuation { continuation in
            let runNow: Bool = state.withLock { state in
                switch state {
                case .idle:
                    state = .waiting(continuation)
                    return false
                case .woken:
                    state = .idle
                    return true
                case .closed:
                    return true
                case .waiting:
                    preconditionFailure("two tasks wait on one Wakeup")
                }
            }
            if runNow { continuation.resume() }
        }
    }

    /// Every `wait` from now on returns at once.
    func close() {
        let waiter: CheckedContinuation<Void, Never>? = state.withLock { state in
            defer { state = .closed }
            if case .waiting(let continuation) = state { return continuation }
            return nil
        }
        waiter?.resume()
    }
}

/// Says, once, that something is ending.
final class Ending: Sendable {
    private let begun = Atomic(false)

    /// True from `begin` on.
    var hasBegun: Bool { begun.load(ordering: .acquiring) }

    /// Begins the end.
    func begin() { begun.store(true, ordering: .releasing) }
}
