import Glibc
import Synchronization

/// A few threads that do what blocks, so that the concurrency pool never does.
///
/// A caller hands over a closure and is resumed with its result. Order between callers is not kept;
/// the storage engine serialises what must be.
final class ControlThreads: Sendable {
    private typealias Work = @Sendable () -> Void

    private struct State {
        var work: [Work] = []
        var isClosed = false
        var running: Int
    }

    private let state: Mutex<State>
    private let signal: Signal

    /// A semaphore of the C library: its operations are thread-safe by POSIX, and the memory lives as
    /// long as this object does.
    private final class Signal: @unchecked Sendable {
        private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

        init() { sem_init(semaphore, 0, 0) }

        deinit {
            sem_destroy(semaphore)
            semaphore.deallocate()
        }

        func post() { sem_post(semaphore) }

        func wait() {
            while sem_wait(semaphore) != 0 {}
        }
    }

    /// Starts `count` threads.
    init(count: Int) {
        state = Mutex(State(running: count))
        signal = Signal()
        for _ in 0..<count { start() }
    }

    private func start() {
        var thread = pthread_t()
        let own = Unmanaged.passRetained(self).toOpaque()
        let started = pthread_create(
            &thread, nil,
            { argument in
                guard let argument else { return nil }
                Unmanaged<ControlThreads>.fromOpaque(argument).takeRetainedValue().run()
                return nil
            }, own)
        precondition(started == 0, "the system has no thread left for the storage")
        pthread_detach(thread)
    }

    private func run() {
        while true {
            signal.wait()
            let (work, isClosed) = state.withLock { state in
                (state.work.isEmpty ? nil : state.work.removeFirst(), state.isClosed)
            }
            if let work { work() } else if isClosed { return }
        }
    }

    /// Does `body` on one of the threads.
    func perform<Value: Sendable, Failure: Error>(
        _ body: @escaping @Sendable () -> Result<Value, Failure>
    ) async -> Result<Value, Failure> {
        await withCheckedContinuation { continuation in
            state.withLock { $0.work.append { continuation.resume(returning: body()) } }
            signal.post()
        }
    }

    /// Ends the threads after what was handed over.
    func close() {
        let count = state.withLock { state in
            state.isClosed = true
            return state.running
        }
        for _ in 0..<count { signal.post() }
    }
}
