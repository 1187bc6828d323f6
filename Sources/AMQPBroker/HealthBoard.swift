// What is known of a connection, for whoever asks from any thread.

import MessagePort
import Synchronization

/// The present `BrokerHealth` of one connection.
final class HealthBoard: Sendable {
    private let health = Mutex(
        BrokerHealth(connected: false, blocked: nil, connections: 0, lastError: nil))
    private let changed: (@Sendable (BrokerHealth) -> Void)?

    /// `changed` is called on the connection's thread after every change; it must return soon.
    init(changed: (@Sendable (BrokerHealth) -> Void)?) {
        self.changed = changed
    }

    var current: BrokerHealth { health.withLock { $0 } }

    /// Notes an opened connection and gives its ordinal, from 1.
    func opened() -> UInt64 {
        update {
            $0.connected = true
            $0.blocked = nil
            $0.connections += 1
        }.connections
    }

    func blocked(_ reason: String?) {
        update { $0.blocked = reason }
    }

    /// Notes that there is no connection, and why; nil where it was closed on purpose.
    func down(_ error: BrokerError?) {
        update {
            $0.connected = false
            $0.blocked = nil
            if let error { $0.lastError = error.description }
        }
    }

    @discardableResult
    private func update(_ change: (inout BrokerHealth) -> Void) -> BrokerHealth {
        let (before, after) = health.withLock { health in
            let before = health
            change(&health)
            return (before, health)
        }
        if before != after { changed?(after) }
        return after
    }
}

/// The end of a thread, to be awaited.
final class Ending: Sendable {
    private struct State {
        var ended = false
        var waiters: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())

    func reached() {
        let waiters = state.withLock { state in
            state.ended = true
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume() }
    }

    func wait() async {
        await withCheckedContinuation { continuation in
            let ended = state.withLock { state in
                if !state.ended { state.waiters.append(continuation) }
                return state.ended
            }
            if ended { continuation.resume() }
        }
    }
}
