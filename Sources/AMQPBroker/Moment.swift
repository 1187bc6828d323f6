// Time as a thread that waits on a socket needs it: for deadlines only, never for what is told.

import Glibc

/// An instant of the system's monotonic clock.
///
/// The threads of this adapter sleep in the kernel, on real descriptors, so their deadlines are the
/// kernel's too; what decides by them (`PublishBook`, `Backoff`) takes instants and durations as
/// arguments.
struct Moment: Hashable, Comparable, Sendable {
    private var nanoseconds: Int64

    /// The present instant.
    static var now: Moment {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Moment(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
    }

    static func < (left: Moment, right: Moment) -> Bool { left.nanoseconds < right.nanoseconds }

    static func - (left: Moment, right: Moment) -> Duration {
        .nanoseconds(left.nanoseconds - right.nanoseconds)
    }

    static func + (moment: Moment, span: Duration) -> Moment {
        // Thirty years count as for ever, and the sum cannot overflow.
        let parts = min(max(span, .seconds(-1_000_000_000)), .seconds(1_000_000_000)).components
        return Moment(
            nanoseconds: moment.nanoseconds + parts.seconds * 1_000_000_000
                + parts.attoseconds / 1_000_000_000)
    }
}
