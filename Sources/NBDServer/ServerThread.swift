import Glibc

/// A thread of the server's own, outside the concurrency pool, since it blocks.
struct ServerThread: Sendable {
    private let thread: pthread_t

    private final class Body {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    /// Starts the thread; nil where the system has none to give.
    ///
    /// Its name has at most 15 bytes.
    init?(_ name: String, _ run: @escaping @Sendable () -> Void) {
        let body = Unmanaged.passRetained(
            Body {
                Self.setName(name)
                run()
            })
        var thread = pthread_t()
        let code = pthread_create(
            &thread, nil,
            { argument in
                // Signals are the main thread's business.
                var all = sigset_t()
                sigfillset(&all)
                pthread_sigmask(SIG_BLOCK, &all, nil)
                guard let argument else { return nil }
                Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run()
                return nil
            }, body.toOpaque())
        guard code == 0 else {
            body.release()
            return nil
        }
        self.thread = thread
    }

    /// Waits until the thread has ended.
    func join() { pthread_join(thread, nil) }

    /// Nobody will wait for this thread.
    func abandon() { pthread_detach(thread) }

    /// Shows a name of at most 15 bytes for the calling thread, where threads are listed.
    private static func setName(_ name: String) {
        let file = open("/proc/thread-self/comm", O_WRONLY | O_CLOEXEC)
        guard file >= 0 else { return }
        _ = name.withCString { write(file, $0, strlen($0)) }
        close(file)
    }
}
