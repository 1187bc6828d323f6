import Glibc

/// A thread of the engine's own, for work that goes on behind the hosts' backs.
final class EngineThread: Sendable {
    private let thread: pthread_t

    private final class Body {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    /// Starts `body` on a thread of its own; `name` is for the error where there can be none.
    init(_ name: String, _ body: @escaping @Sendable () -> Void) throws(TrackStoreError) {
        var thread = pthread_t()
        let argument = Unmanaged.passRetained(Body(body))
        let failure = pthread_create(
            &thread, nil,
            { argument in
                if let argument {
                    Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run()
                }
                return nil
            }, argument.toOpaque())
        guard failure == 0 else {
            argument.release()
            throw .system(failure, "start a thread", name)
        }
        self.thread = thread
    }

    /// Waits for the thread to end; to be called once.
    func join() { pthread_join(thread, nil) }
}
