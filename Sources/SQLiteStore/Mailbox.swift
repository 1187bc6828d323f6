import Glibc
import SessionStore
import Synchronization

/// A queue from any number of tasks to the one thread that empties it, in order of arrival.
///
/// A task never waits here. The thread sleeps on a pipe, and only a post that finds it asleep pays
/// for the system call that wakes it.
final class Mailbox<Item: Sendable>: Sendable {
    private struct State {
        var items: [Item] = []
        var isAsleep = false
        var isClosed = false
    }

    private let state = Mutex(State())
    private let sleeper: Int32
    private let waker: Int32

    init(place: String) throws(StoreFailure) {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else {
            throw .system(errno, doing: "Making a pipe", place: place)
        }
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        (sleeper, waker) = (ends[0], ends[1])
    }

    deinit {
        close(sleeper)
        close(waker)
    }

    /// How many items wait.
    var count: Int { state.withLock { $0.items.count } }

    /// Adds an item; false, and it is not added, where the last one has been posted.
    func post(_ item: Item, isLast: Bool = false) -> Bool {
        let (isTaken, mustWake) = state.withLock { state in
            guard !state.isClosed else { return (false, false) }
            state.items.append(item)
            state.isClosed = isLast
            defer { state.isAsleep = false }
            return (true, state.isAsleep)
        }
        // A full pipe wakes as well.
        if mustWake { _ = write(waker, [1], 1) }
        return isTaken
    }

    /// Takes all that has arrived; only for the one thread.
    ///
    /// Where nothing has, it sleeps for at most so many milliseconds (-1: for ever), and then may
    /// return nothing.
    func take(waiting milliseconds: Int32) -> [Item] {
        while true {
            let taken = state.withLock { state in
                state.isAsleep = state.items.isEmpty && milliseconds != 0
                defer { state.items = [] }
                return state.items
            }
            if !taken.isEmpty || milliseconds == 0 { return taken }
            var event = pollfd(fd: sleeper, events: Int16(POLLIN), revents: 0)
            guard poll(&event, 1, milliseconds) > 0 else {
                if milliseconds < 0 { continue }
                return take(waiting: 0)
            }
            var bytes: [UInt8] = [0, 0, 0, 0]
            _ = read(sleeper, &bytes, bytes.count)
        }
    }
}
