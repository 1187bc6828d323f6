import Glibc

/// A value that one thread touches at a time, and a condition to wait for a change of it.
///
/// `Synchronization.Mutex` has no condition; the engine's waits (a busy track, another thread's
/// sync, an operation begun before an instant) need one.
// Sendable: `value` is reached in `withLock` only, by the thread that holds `mutex`; the two
// pthread objects are made in `init` and destroyed in `deinit`, when no other reference is left.
final class Monitor<Value>: @unchecked Sendable {
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let changed: UnsafeMutablePointer<pthread_cond_t>
    private var value: Value

    init(_ value: sending Value) {
        self.value = value
        mutex = .allocate(capacity: 1)
        changed = .allocate(capacity: 1)
        mutex.initialize(to: pthread_mutex_t())
        changed.initialize(to: pthread_cond_t())
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(changed, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(changed)
        pthread_mutex_destroy(mutex)
        changed.deallocate()
        mutex.deallocate()
    }

    /// Runs `body` with the value to itself.
    @inline(__always)
    func withLock<Result, Failure: Error>(
        _ body: (inout Value) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body(&value)
    }

    /// Waits while `isBusy`, then runs `body`, without another thread in between.
    @inline(__always)
    func withLock<Result, Failure: Error>(
        waitingWhile isBusy: (inout Value) -> Bool,
        _ body: (inout Value) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while isBusy(&value) { pthread_cond_wait(changed, mutex) }
        return try body(&value)
    }

    /// As above, but gives up after so many milliseconds: nil then.
    func withLock<Result, Failure: Error>(
        waitingWhile isBusy: (inout Value) -> Bool, milliseconds: Int,
        _ body: (inout Value) throws(Failure) -> Result
    ) throws(Failure) -> Result? {
        var deadline = timespec()
        clock_gettime(CLOCK_MONOTONIC, &deadline)
        let nanoseconds = deadline.tv_nsec + (milliseconds % 1000) * 1_000_000
        deadline.tv_sec += milliseconds / 1000 + nanoseconds / 1_000_000_000
        deadline.tv_nsec = nanoseconds % 1_000_000_000
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while isBusy(&value) {
            if pthread_cond_timedwait(changed, mutex, &deadline) == ETIMEDOUT {
                if isBusy(&value) { return nil }
                break
            }
        }
        return try body(&value)
    }

    /// Wakes every thread that waits on this monitor, to look at the value again.
    @inline(__always)
    func notifyAll() { pthread_cond_broadcast(changed) }
}

/// Milliseconds of the clock that never jumps, from an arbitrary start.
func monotonicMilliseconds() -> Int64 {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return Int64(now.tv_sec) * 1000 + Int64(now.tv_nsec) / 1_000_000
}
