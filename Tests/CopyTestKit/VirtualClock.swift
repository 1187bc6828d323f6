import CopyModel
import SessionRuntime
import Synchronization

/// A clock that stands still until it is told otherwise, but rises by a millisecond at each look, so
/// that no two commits share an instant. Sleeping takes no time and moves it on.
public final class VirtualClock: RuntimeClock {
    private let time: Mutex<Int64>

    /// Starts at an instant.
    public init(_ start: Timestamp) { time = Mutex(start.milliseconds) }

    /// Now; a millisecond later than the last time anybody asked.
    public func now() -> Timestamp {
        time.withLock { time in
            time += 1
            return Timestamp(milliseconds: time)
        }
    }

    /// Moves on.
    public func advance(milliseconds: Int64) { time.withLock { $0 += milliseconds } }

    /// Lets others run; a sleep of more than five seconds lasts until it is cancelled.
    public func sleep(milliseconds: Int64) async {
        if milliseconds <= 5000 {
            await Task.yield()
            return
        }
        let ended = AsyncStream<Void>.makeStream()
        await withTaskCancellationHandler {
            for await _ in ended.stream {}
        } onCancel: {
            ended.continuation.finish()
        }
    }
}
