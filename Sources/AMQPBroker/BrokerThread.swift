// Threads of our own, and what they sleep on. Nothing here knows of AMQP.

import CRabbitMQ
import Glibc
import Synchronization

/// Dedicated threads: a connection object of librabbitmq lives on one of these and nowhere else.
enum BrokerThread {
    private final class Start: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    /// Starts a detached thread.
    ///
    /// It takes no signals: those are the main thread's.
    static func start(
        _ name: String, _ body: @escaping @Sendable () -> Void
    ) throws(BrokerError) {
        let start = Unmanaged.passRetained(
            Start {
                rmq_name_thread(name)
                body()
            })
        var every = sigset_t()
        var before = sigset_t()
        sigfillset(&every)
        pthread_sigmask(SIG_SETMASK, &every, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        var thread = pthread_t()
        let status = pthread_create(
            &thread, nil,
            { context in
                let start = Unmanaged<Start>.fromOpaque(context!).takeRetainedValue()
                start.body()
                return nil
            }, start.toOpaque())
        guard status == 0 else {
            start.release()
            throw BrokerError(
                .systemLimit, "cannot start a thread: \(String(cString: strerror(status)))",
                at: name)
        }
        pthread_detach(thread)
    }

    /// Runs something that blocks on a thread of its own, and waits for it without blocking this
    /// one.
    static func run<Value: Sendable>(
        _ name: String, _ body: @escaping @Sendable () throws(BrokerError) -> Value
    ) async throws(BrokerError) -> Value {
        let result: Result<Value, BrokerError> = await withCheckedContinuation { continuation in
            do throws(BrokerError) {
                try start(name) {
                    do throws(BrokerError) {
                        continuation.resume(returning: .success(try body()))
                    } catch {
                        continuation.resume(returning: .failure(error))
                    }
                }
            } catch {
                continuation.resume(returning: .failure(error))
            }
        }
        return try result.get()
    }
}

/// A descriptor by which one thread ends another's `poll`.
final class WakeUp: Sendable {
    let descriptor: Int32

    init() throws(BrokerError) {
        descriptor = rmq_event_descriptor()
        guard descriptor >= 0 else {
            throw BrokerError(
                .systemLimit, "cannot make an eventfd: \(String(cString: strerror(errno)))",
                at: "broker thread")
        }
    }

    deinit { close(descriptor) }

    /// Ends the present `poll`, or the next one.
    ///
    /// Any thread.
    func signal() {
        var one: UInt64 = 1
        // The counter can only be full if it was signalled 2^64-2 times: then it is readable
        // anyway.
        _ = write(descriptor, &one, 8)
    }

    /// Forgets earlier signals.
    func clear() {
        var count: UInt64 = 0
        _ = read(descriptor, &count, 8)
    }
}

/// What a `poll` found.
struct Readiness: OptionSet {
    let rawValue: Int
    static let readable = Readiness(rawValue: 1)
    static let writable = Readiness(rawValue: 2)
    static let woken = Readiness(rawValue: 4)

    /// Waits for a socket and a wake-up together, at most this long (nil: without end).
    ///
    /// A wake-up is cleared by being found.
    static func wait(
        socket: Int32?, forWriting: Bool = false, wakeUp: WakeUp, atMost limit: Duration?
    ) -> Readiness {
        var polled = [
            pollfd(fd: wakeUp.descriptor, events: Int16(POLLIN), revents: 0),
            pollfd(
                fd: socket ?? -1, events: Int16(POLLIN) | (forWriting ? Int16(POLLOUT) : 0),
                revents: 0),
        ]
        guard poll(&polled, 2, limit.map(\.pollMilliseconds) ?? -1) > 0 else { return [] }
        var found: Readiness = []
        if polled[0].revents != 0 {
            wakeUp.clear()
            found.insert(.woken)
        }
        // Errors and hang-ups show on the next read.
        if polled[1].revents & ~Int16(POLLOUT) != 0 { found.insert(.readable) }
        if polled[1].revents & Int16(POLLOUT) != 0 { found.insert(.writable) }
        return found
    }
}

extension Duration {
    /// Rounded up, so that a wait never ends before its time; 0 for what is past.
    var pollMilliseconds: Int32 {
        guard self > .zero else { return 0 }
        let parts = components
        guard parts.seconds < 2_000_000 else { return Int32.max }
        let part = (parts.attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000
        return Int32(parts.seconds * 1000 + part)
    }

    /// As the C library takes it.
    var timeValue: timeval {
        let parts = components
        return timeval(
            tv_sec: Int(parts.seconds), tv_usec: Int(parts.attoseconds / 1_000_000_000_000))
    }
}
