import Glibc
import Synchronization

/// The hosts' door: serves a catalogue's exports over NBD, fixed newstyle.
///
/// One thread accepts, and each connection has a thread of its own. All methods may be called from
/// any thread.
public final class NBDServer: Sendable {
    private enum Phase { case idle, running, closing, closed }

    private struct Open {
        var descriptor: Int32
        var thread: ServerThread
    }

    private struct State {
        var phase = Phase.idle
        var listeners: [Listener] = []
        var acceptor: ServerThread?
        var open: [Int: Open] = [:]
        /// Threads that have ended, or are about to, and are still to be joined.
        var ended: [ServerThread] = []
        var nextIdentity = 0
        /// Wakes the accepting thread.
        var wake: WakePipe?
        /// Given up for a moment when descriptors run out, so that a client can be turned away.
        var spare: Int32 = -1
    }

    private let addresses: [NBDAddress]
    private let shared: Shared
    private let observe: @Sendable (NBDServerEvent) -> Void
    private let state = Mutex(State())

    /// Makes a server that does not listen yet.
    ///
    /// With `tls`, clients may or must start TLS. `observe` is told of what happens to connections, on
    /// their threads; it must not block.
    public init(
        catalogue: any ExportCatalogue, listen addresses: [NBDAddress] = [.loopback],
        limits: NBDLimits = NBDLimits(), tls: NBDTLS? = nil,
        observe: @escaping @Sendable (NBDServerEvent) -> Void = { _ in }
    ) {
        self.addresses = addresses
        self.observe = observe
        shared = Shared(catalogue: catalogue, limits: limits, tls: tls)
    }

    /// Where the server listens, with the ports that the system chose; empty before `start`.
    public var boundAddresses: [NBDAddress] {
        state.withLock { $0.listeners.map(\.address) }
    }

    /// Counts so far.
    public var report: NBDServerReport { shared.counters.report }

    /// Listens on all addresses, or on none and throws.
    public func start() throws(NBDServerError) {
        let listeners = try openListeners()
        let failure = state.withLock { state -> NBDServerError? in
            guard state.phase == .idle else {
                return NBDServerError(.alreadyStarted, "The NBD server was started before.")
            }
            guard let wake = WakePipe() else { return NBDServerError(errno, call: "pipe") }
            state.wake = wake
            state.acceptor = ServerThread("nbd-accept") { [self] in accept(listeners, wake) }
            guard state.acceptor != nil else {
                wake.close()
                return NBDServerError(.outOfResources, "The system has no thread to give.")
            }
            state.spare = Self.openSpare()
            state.listeners = listeners
            state.phase = .running
            return nil
        }
        guard let failure else { return }
        for listener in listeners { listener.close() }
        throw failure
    }

    private func openListeners() throws(NBDServerError) -> [Listener] {
        var listeners: [Listener] = []
        for address in addresses {
            do throws(NBDServerError) {
                listeners.append(try Listener.open(address))
            } catch {
                for listener in listeners { listener.close() }
                throw error
            }
        }
        return listeners
    }

    // MARK: Closing

    /// Stops accepting, lets every connection finish the batch it is at, and ends its threads.
    ///
    /// Takes at most `limits.closing` and 2 seconds. Answers how many connections' threads had not
    /// ended by then, because the storage had not answered them: 0 in an orderly close.
    @discardableResult
    public func close() -> Int {
        let wasRunning = state.withLock { state in
            guard state.phase == .running else { return false }
            state.phase = .closing
            return true
        }
        guard wasRunning else { return 0 }
        shared.isClosing.store(true, ordering: .releasing)
        let started = Monotonic.now
        let patience = started + NBDLimits.nanoseconds(shared.limits.closing)
        let last = patience + 1_500_000_000
        stopAccepting()
        // What was received is finished; nothing more is received.
        shutdownConnections(Int32(SHUT_RD))
        if !joinConnections(before: patience) {
            // These are stuck in sending to a client that does not take it, or in the storage.
            shutdownConnections(Int32(SHUT_RDWR))
            _ = joinConnections(before: last)
        }
        return state.withLock { state in
            let abandoned = state.open.count
            for open in state.open.values { open.thread.abandon() }
            state.open = [:]
            state.wake?.close()
            if state.spare >= 0 { Glibc.close(state.spare) }
            state.phase = .closed
            return abandoned
        }
    }

    private func stopAccepting() {
        let (acceptor, listeners, wake) = state.withLock { ($0.acceptor, $0.listeners, $0.wake) }
        wake?.wake()
        acceptor?.join()
        for listener in listeners { listener.close() }
        state.withLock { $0.listeners = [] }
    }

    private func shutdownConnections(_ how: Int32) {
        // Under the lock no connection's descriptor is closed, and so none is another's by now.
        state.withLock { state in
            for open in state.open.values { shutdown(open.descriptor, how) }
        }
    }

    /// Whether all have ended by the deadline.
    private func joinConnections(before deadline: UInt64) -> Bool {
        while true {
            joinEnded()
            if state.withLock({ $0.open.isEmpty && $0.ended.isEmpty }) { return true }
            guard Monotonic.now < deadline else { return false }
            waitForWake(before: deadline)
        }
    }

    /// Joins the threads that have nothing left to do but to end.
    private func joinEnded() {
        let ended = state.withLock { state in
            defer { state.ended = [] }
            return state.ended
        }
        for thread in ended { thread.join() }
    }

    private func waitForWake(before deadline: UInt64) {
        let now = Monotonic.now
        guard now < deadline, let wake = state.withLock({ $0.wake }) else { return }
        var poll = pollfd(fd: wake.output, events: Int16(POLLIN), revents: 0)
        _ = Glibc.poll(&poll, 1, Int32((deadline - now) / 1_000_000) + 1)
        wake.drain()
    }

    // MARK: Accepting, on its thread

    private func accept(_ listeners: [Listener], _ wake: WakePipe) {
        var polls = listeners.map {
            pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0)
        }
        polls.append(pollfd(fd: wake.output, events: Int16(POLLIN), revents: 0))
        while !shared.isClosing.load(ordering: .acquiring) {
            guard poll(&polls, nfds_t(polls.count), -1) > 0 else { continue }
            if polls[listeners.count].revents != 0 {
                // Left for `close` to see, if that is who woke this thread.
                guard !shared.isClosing.load(ordering: .acquiring) else { return }
                wake.drain()
                joinEnded()
            }
            for (index, listener) in listeners.enumerated() where polls[index].revents != 0 {
                takeIn(from: listener)
            }
        }
    }

    private func takeIn(from listener: Listener) {
        let descriptor = Descriptor.accept(listener.descriptor)
        guard descriptor >= 0 else {
            if errno == EMFILE || errno == ENFILE { turnAway(from: listener) }
            return
        }
        Self.prepare(descriptor, listener.address)
        let refusal = state.withLock { state -> NBDServerEvent? in
            guard state.phase == .running, state.open.count < shared.limits.connections else {
                return .refused(listener.address, "There are too many connections.")
            }
            let identity = state.nextIdentity
            let thread = ServerThread("nbd-\(identity % 100_000)") { [self] in
                serve(descriptor, identity, listener.address)
            }
            guard let thread else {
                return .refused(listener.address, "The system has no thread to give.")
            }
            state.nextIdentity += 1
            state.open[identity] = Open(descriptor: descriptor, thread: thread)
            shared.counters.connections.add(1, ordering: .relaxed)
            shared.counters.connectionsOpen.add(1, ordering: .relaxed)
            return nil
        }
        guard let refusal else { return }
        shared.counters.connectionsRefused.add(1, ordering: .relaxed)
        Glibc.close(descriptor)
        observe(refusal)
    }

    private static func prepare(_ descriptor: Int32, _ address: NBDAddress) {
        guard case .tcp = address else { return }
        Descriptor.set(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
        Descriptor.set(descriptor, SOL_SOCKET, SO_KEEPALIVE, 1)
        Descriptor.set(descriptor, Int32(IPPROTO_TCP), TCP_KEEPIDLE, 60)
        Descriptor.set(descriptor, Int32(IPPROTO_TCP), TCP_KEEPINTVL, 15)
        Descriptor.set(descriptor, Int32(IPPROTO_TCP), TCP_KEEPCNT, 4)
    }

    private static func openSpare() -> Int32 { open("/dev/null", O_RDONLY | O_CLOEXEC) }

    /// Out of descriptors: without this the client would wait, and this thread would spin.
    private func turnAway(from listener: Listener) {
        let turnedAway = state.withLock { state -> Bool in
            guard state.spare >= 0 else { return false }
            Glibc.close(state.spare)
            let descriptor = Descriptor.accept(listener.descriptor)
            if descriptor >= 0 { Glibc.close(descriptor) }
            state.spare = Self.openSpare()
            return descriptor >= 0
        }
        guard turnedAway else {
            // Nothing to give up: wait for somebody else to close something.
            var none = pollfd(fd: -1, events: 0, revents: 0)
            _ = poll(&none, 1, 50)
            return
        }
        shared.counters.connectionsRefused.add(1, ordering: .relaxed)
        observe(.refused(listener.address, "The process has no descriptor left."))
    }

    // MARK: A connection, on its thread

    private func serve(_ descriptor: Int32, _ identity: Int, _ address: NBDAddress) {
        observe(.opened(address, connection: identity))
        let closing = Self.converse(descriptor, shared)
        shared.counters.connectionsOpen.subtract(1, ordering: .relaxed)
        observe(.closed(address, connection: identity, closing))
        state.withLock { state in
            // Closed under the lock, so that nobody shuts down a descriptor that is another's.
            Glibc.close(descriptor)
            // Not there any more: the server was closed, and has given this thread up.
            guard let open = state.open.removeValue(forKey: identity) else { return }
            state.ended.append(open.thread)
            state.wake?.wake()
        }
    }

    /// The connection's buffers and its channel are gone when this returns.
    private static func converse(_ descriptor: Int32, _ shared: Shared) -> NBDClosing {
        var connection = Connection(descriptor, shared: shared)
        return connection.run()
    }
}
