// Ending a write that would not end by itself.

import Glibc
import Synchronization

/// The library's writes have no deadline: when the broker stops reading and the socket's buffer is
/// full, they wait for ever.
///
/// Another thread ends that by shutting the socket down, upon which the write fails.
final class KillSwitch: Sendable {
    private struct State {
        var descriptor: Int32?
        var writingSince: Moment?
    }

    private let state = Mutex(State())

    /// The connection's thread: there is a socket.
    func arm(_ descriptor: Int32) {
        state.withLock { $0 = State(descriptor: descriptor, writingSince: nil) }
    }

    /// The connection's thread, before the socket is closed: its number may soon be another file's.
    func disarm() {
        state.withLock { $0 = State() }
    }

    /// The connection's thread: a write that may block begins or has ended.
    func writing(_ begins: Bool) {
        let now = Moment.now
        state.withLock { $0.writingSince = begins ? now : nil }
    }

    /// When the present write, if there is one, will count as stuck.
    func stuck(after patience: Duration) -> Moment? {
        state.withLock { state in state.writingSince.map { $0 + patience } }
    }

    /// Shuts the socket down if a write has lasted longer than this.
    func shutDown(after patience: Duration, now: Moment) {
        state.withLock { state in
            guard let descriptor = state.descriptor, let since = state.writingSince,
                since + patience <= now
            else { return }
            shutdown(descriptor, Int32(SHUT_RDWR))
        }
    }
}
