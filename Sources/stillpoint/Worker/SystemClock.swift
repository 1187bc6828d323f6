import CopyModel
import Glibc
import SessionRuntime

/// The machine's clock.
struct SystemClock: RuntimeClock {
    func now() -> Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(milliseconds: Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000)
    }

    func sleep(milliseconds: Int64) async {
        // Cancelled = woken early, which is what the caller asked for.
        try? await Task.sleep(for: .milliseconds(milliseconds))
    }
}
