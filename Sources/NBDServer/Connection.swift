import Synchronization

/// What all connections of a server share.
final class Shared: Sendable {
    let catalogue: any ExportCatalogue
    let limits: NBDLimits
    let tls: NBDTLS?
    let counters = Counters()
    let memory: MemoryBudget
    let isClosing = Atomic(false)

    init(catalogue: any ExportCatalogue, limits: NBDLimits, tls: NBDTLS?) {
        self.catalogue = catalogue
        self.limits = limits
        self.tls = tls
        memory = MemoryBudget(bytes: limits.receiveMemory)
    }
}

/// One client's connection, from greeting to farewell, on the thread that `run` is called on.
struct Connection: ~Copyable {
    private let shared: Shared
    private var stream: SocketStream
    private var buffer: ReceiveBuffer
    private var hasEntered = false

    init(_ descriptor: Int32, shared: Shared) {
        self.shared = shared
        stream = SocketStream(descriptor, tick: shared.limits.tick)
        buffer = ReceiveBuffer(budget: shared.memory)
    }

    /// Serves the client until one side ends it, and says why it ended.
    ///
    /// The socket stays open.
    mutating func run() -> NBDClosing {
        let closing: NBDClosing
        switch negotiate() {
        case .ended(let reason): closing = reason
        case .entered(let terms, let channel):
            hasEntered = true
            closing = serve(terms, channel)
        }
        count(closing)
        return closing
    }

    private func count(_ closing: NBDClosing) {
        switch closing {
        case .clientLeft, .serverClosing, .idle: return
        case .connectionLost, .handshakeTimedOut, .requestTimedOut, .repliesNotTaken,
            .protocolViolation, .unknownExport, .exportUnavailable:
            if hasEntered {
                shared.counters.connectionsCut.add(1, ordering: .relaxed)
            } else {
                shared.counters.handshakesFailed.add(1, ordering: .relaxed)
            }
        }
    }

    // MARK: Negotiation

    private enum Negotiated {
        case entered(TransmissionTerms, any ExportChannel)
        case ended(NBDClosing)
    }

    private mutating func negotiate() -> Negotiated {
        let deadline = Monotonic.now + NBDLimits.nanoseconds(shared.limits.handshake)
        var machine = Negotiation(
            security: shared.tls.map { $0.isRequired ? .required : .offered } ?? .unavailable)
        var channel: (any ExportChannel)?
        var step = Negotiation.Step.send(Negotiation.greeting)
        while true {
            switch step {
            case .more(let count):
                if let closing = receive(count, before: deadline) { return .ended(closing) }
            case .send(let bytes):
                if let closing = send(bytes, before: deadline) { return .ended(closing) }
            case .list:
                step = machine.listed(shared.catalogue.exportNames())
                continue
            case .look(let name):
                step = machine.looked(shared.catalogue.shape(of: name))
                continue
            case .open(let name):
                step = machine.opened(open(name, &channel))
                continue
            case .secure(let bytes):
                if let closing = secure(bytes, before: deadline) { return .ended(closing) }
                step = machine.secured()
                continue
            case .enter(let bytes, let terms):
                if let closing = send(bytes, before: deadline) { return .ended(closing) }
                guard let channel else { return .ended(.exportUnavailable) }
                return .entered(terms, channel)
            case .close(let bytes, let reason):
                if send(bytes, before: deadline) == nil { stream.linger(buffer.room) }
                return .ended(reason)
            }
            if shared.isClosing.load(ordering: .relaxed) { return .ended(.serverClosing) }
            let (consumed, next) = machine.next(buffer.readable)
            buffer.consume(consumed)
            step = next
        }
    }

    /// The channel is made before the client is told that it may go on, so that a lack of memory
    /// or of descriptors is a refusal, not a broken connection.
    private func open(
        _ name: String, _ channel: inout (any ExportChannel)?
    ) -> Result<ExportShape, ExportRefusal> {
        do throws(ExportRefusal) {
            let export = try shared.catalogue.open(name)
            guard export.shape.capacity <= UInt64(Int64.max) else {
                throw .unavailable("The export is larger than clients can address.")
            }
            channel = try export.makeChannel()
            return .success(export.shape)
        } catch {
            return .failure(error)
        }
    }

    /// Starts TLS; nil when it has begun. What a client sent in the clear before it knew of the answer
    /// is dropped unread: nobody can tell who sent it.
    private mutating func secure(_ bytes: [UInt8], before deadline: UInt64) -> NBDClosing? {
        guard let tls = shared.tls else { return .protocolViolation }
        if let closing = send(bytes, before: deadline) { return closing }
        buffer.consume(buffer.readable.count)
        let shared = shared
        let isSecure = stream.secure(tls, before: deadline) {
            shared.isClosing.load(ordering: .relaxed)
        }
        if isSecure { return nil }
        if shared.isClosing.load(ordering: .relaxed) { return .serverClosing }
        return Monotonic.now < deadline ? .protocolViolation : .handshakeTimedOut
    }

    /// Receives something; nil when there is more to look at.
    ///
    /// A client that trickles its bytes is held to the same deadline as one that sends none.
    private mutating func receive(_ count: Int, before deadline: UInt64) -> NBDClosing? {
        guard buffer.prepare(for: count) else { return .protocolViolation }
        while Monotonic.now < deadline {
            switch stream.receive(into: buffer.room) {
            case .bytes(let count):
                buffer.received(count)
                return nil
            case .end:
                if shared.isClosing.load(ordering: .relaxed) { return .serverClosing }
                return buffer.isEmpty ? .clientLeft : .connectionLost
            case .broken: return .connectionLost
            case .nothingYet: continue
            }
        }
        return .handshakeTimedOut
    }

    private func send(_ bytes: [UInt8], before deadline: UInt64) -> NBDClosing? {
        let now = Monotonic.now
        guard now < deadline else { return .handshakeTimedOut }
        switch stream.send(bytes, limit: deadline - now) {
        case .all: return nil
        case .timedOut: return .handshakeTimedOut
        case .broken: return .connectionLost
        }
    }

    // MARK: Transmission

    private mutating func serve(
        _ terms: TransmissionTerms, _ channel: any ExportChannel
    ) -> NBDClosing {
        var machine = Transmission(terms: terms)
        var batch = Batch(terms)
        var patience = Patience(shared.limits)
        let repliesLimit = NBDLimits.nanoseconds(shared.limits.replies)
        while true {
            let rest = batch.gather(&machine, &buffer)
            if !batch.isEmpty {
                patience.reset()
                switch batch.answer(channel, stream, repliesLimit, shared.counters) {
                case .all: break
                case .timedOut: return .repliesNotTaken
                case .broken: return .connectionLost
                }
            }
            switch rest {
            case .leave: return .clientLeft
            case .violation: return .protocolViolation
            case .full: break
            case .more(let count):
                if let closing = receive(count, &machine, &batch, &patience) { return closing }
            }
            if shared.isClosing.load(ordering: .relaxed) { return .serverClosing }
        }
    }

    /// Receives something; nil when there is more to look at.
    private mutating func receive(
        _ count: Int, _ machine: inout Transmission, _ batch: inout Batch,
        _ patience: inout Patience
    ) -> NBDClosing? {
        guard buffer.prepare(for: count) else {
            batch.refuseForMemory(&machine, &buffer)
            return nil
        }
        while true {
            let isPartial = !buffer.isEmpty || machine.isSkipping
            if isPartial, let closing = patience.closingWhilePartial() { return closing }
            switch stream.receive(into: buffer.room) {
            case .bytes(let count):
                buffer.received(count)
                return nil
            case .end:
                if shared.isClosing.load(ordering: .relaxed) { return .serverClosing }
                return isPartial ? .connectionLost : .clientLeft
            case .broken: return .connectionLost
            case .nothingYet:
                if isPartial { continue }
                buffer.shrink()
                if let closing = patience.closingWhileIdle() { return closing }
            }
        }
    }
}

/// How long a connection has been waited for.
struct Patience {
    private let request: UInt64
    private let idle: UInt64?
    private var since: UInt64?

    init(_ limits: NBDLimits) {
        request = NBDLimits.nanoseconds(limits.request)
        idle = limits.idle.map(NBDLimits.nanoseconds)
    }

    /// A request was completed.
    mutating func reset() { since = nil }

    mutating func closingWhilePartial() -> NBDClosing? {
        waited() > request ? .requestTimedOut : nil
    }

    mutating func closingWhileIdle() -> NBDClosing? {
        guard let idle else { return nil }
        return waited() > idle ? .idle : nil
    }

    private mutating func waited() -> UInt64 {
        let now = Monotonic.now
        let start = since ?? now
        since = start
        return now - start
    }
}
