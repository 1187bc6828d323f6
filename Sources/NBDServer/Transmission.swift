/// What was agreed for the transmission phase.
struct TransmissionTerms: Equatable, Sendable {
    /// Bytes, as the client was told; a volume that grows later shows its growth to new connections.
    var capacity: UInt64
    var isReadOnly: Bool
    var holeSize: UInt32
    var structuredReplies: Bool
    /// What BLOCK_STATUS tells; it is refused where that is nothing.
    var contexts: [SelectedContext]
}

/// Cuts the stream of requests into requests, as a value: it is given what was received and says
/// what stands first in it.
///
/// It decides everything that can be decided without the data.
struct Transmission {
    /// What stands first in the input.
    enum Step {
        /// Receive until this many bytes are there, then ask again.
        case more(Int)
        /// Payload of a refused write went by.
        case skipped
        /// A request to perform; a write's payload is the last `length` of the consumed bytes.
        case perform(BlockRequest, Reply)
        /// To be answered at once.
        case answer(Reply)
        /// The client takes its leave; what follows is not looked at.
        case leave
        /// The stream cannot be followed any further.
        case violation
    }

    /// How a request is to be answered.
    struct Reply {
        enum Content {
            /// Without data.
            case plain
            /// With the data read.
            case data(offset: UInt64, length: Int)
            /// With what the selected contexts tell of a range.
            case status(offset: UInt64, length: UInt32, one: Bool)
            case refusal(Refusal)
        }
        var cookie: UInt64
        var content: Content
    }

    private struct Header {
        let flags: CommandFlags
        let code: CommandCode?
        let cookie: UInt64
        let offset: UInt64
        let length: UInt32

        @inline(__always)
        init(_ input: UnsafeRawBufferPointer) {
            flags = CommandFlags(rawValue: input.bigEndian(at: 4))
            code = CommandCode(rawValue: input.bigEndian(at: 6))
            cookie = input.bigEndian(at: 8)
            offset = input.bigEndian(at: 16)
            length = input.bigEndian(at: 24)
        }
    }

    let terms: TransmissionTerms
    private var toSkip = 0

    init(terms: TransmissionTerms) { self.terms = terms }

    /// Looks at everything received and not yet consumed.
    ///
    /// `consumed` bytes are done with.
    mutating func next(_ input: UnsafeRawBufferPointer) -> (consumed: Int, step: Step) {
        if toSkip > 0 { return skip(input) }
        guard input.count >= Size.requestHeader else { return (0, .more(Size.requestHeader)) }
        guard input.bigEndian(at: 0) == Magic.request else { return (0, .violation) }
        let header = Header(input)
        guard let code = header.code else { return refuse(header, .unknownCommand, payload: 0) }
        if code == .disconnect { return (Size.requestHeader, .leave) }
        let payload = code == .write ? Int(header.length) : 0
        guard payload <= Size.largestSkippedPayload else { return (0, .violation) }
        if let refusal = refusal(header, code) { return refuse(header, refusal, payload: payload) }
        let whole = Size.requestHeader + payload
        guard input.count >= whole else { return (0, .more(whole)) }
        return (whole, take(header, code, input))
    }

    /// Refuses the write that stands first in the input, whose payload there is no memory for.
    mutating func refuseForMemory(
        _ input: UnsafeRawBufferPointer
    ) -> (consumed: Int, reply: Reply) {
        let header = Header(input)
        toSkip = Int(header.length)
        let reply = Reply(cookie: header.cookie, content: .refusal(.noMemory))
        return (Size.requestHeader, reply)
    }

    /// Whether payload of a refused write is still to come.
    var isSkipping: Bool { toSkip > 0 }

    private mutating func skip(_ input: UnsafeRawBufferPointer) -> (consumed: Int, step: Step) {
        let now = min(toSkip, input.count)
        toSkip -= now
        return now == 0 ? (0, .more(1)) : (now, .skipped)
    }

    /// The payload of a refused write is never held: it is skipped as it arrives.
    private mutating func refuse(
        _ header: Header, _ refusal: Refusal, payload: Int
    ) -> (consumed: Int, step: Step) {
        toSkip = payload
        let reply = Reply(cookie: header.cookie, content: .refusal(refusal))
        return (Size.requestHeader, .answer(reply))
    }

    // MARK: Refusals, in order of precedence

    @inline(__always)
    private func refusal(_ header: Header, _ code: CommandCode) -> Refusal? {
        if !header.flags.isSubset(of: allowedFlags(code)) { return .unknownFlags }
        switch code {
        case .read:
            if header.length > Size.largestPayload {
                return terms.structuredReplies ? .longRead : .longPayload
            }
            return reachesBeyondEnd(header) ? .beyondEnd : nil
        case .write:
            if terms.isReadOnly { return .readOnly }
            if reachesBeyondEnd(header) { return .noSpaceBeyondEnd }
            return header.length > Size.largestPayload ? .longPayload : nil
        case .writeZeroes:
            if terms.isReadOnly { return .readOnly }
            if reachesBeyondEnd(header) { return .noSpaceBeyondEnd }
            return header.flags.contains(.fastZero) && !isFastZero(header) ? .slowZero : nil
        case .trim:
            if terms.isReadOnly { return .readOnly }
            return reachesBeyondEnd(header) ? .beyondEnd : nil
        case .cache:
            return reachesBeyondEnd(header) ? .beyondEnd : nil
        case .flush:
            return header.offset != 0 || header.length != 0 ? .flushOfRange : nil
        case .blockStatus:
            if terms.contexts.isEmpty { return .noContext }
            if header.length == 0 { return .emptyRange }
            return reachesBeyondEnd(header) ? .beyondEnd : nil
        case .disconnect:
            return nil
        }
    }

    @inline(__always)
    private func allowedFlags(_ code: CommandCode) -> CommandFlags {
        switch code {
        case .read: terms.structuredReplies ? [.forceUnitAccess, .dontFragment] : .forceUnitAccess
        case .writeZeroes: [.forceUnitAccess, .noHole, .fastZero]
        case .blockStatus: [.forceUnitAccess, .requestOne]
        case .write, .disconnect, .flush, .trim, .cache: .forceUnitAccess
        }
    }

    @inline(__always)
    private func reachesBeyondEnd(_ header: Header) -> Bool {
        header.offset > terms.capacity || terms.capacity - header.offset < UInt64(header.length)
    }

    /// Punching whole units costs less than writing them; all other zeroing is writing.
    private func isFastZero(_ header: Header) -> Bool {
        guard !header.flags.contains(.noHole) else { return false }
        let holes = holes(in: header)
        return holes.first == header.offset && holes.length == Int(header.length)
    }

    /// The part of a range that can become holes.
    ///
    /// The range lies within the export.
    private func holes(in header: Header) -> (first: UInt64, length: Int) {
        let unit = UInt64(terms.holeSize)
        guard unit > 0 else { return (header.offset, 0) }
        let end = header.offset + UInt64(header.length)
        let first = (header.offset + unit - 1) / unit * unit
        let last = end == terms.capacity ? end : end / unit * unit
        return first < last ? (first, Int(last - first)) : (header.offset, 0)
    }

    // MARK: What is to be done

    @inline(__always)
    private func take(
        _ header: Header, _ code: CommandCode, _ input: UnsafeRawBufferPointer
    ) -> Step {
        let plain = Reply(cookie: header.cookie, content: .plain)
        switch code {
        case .read: return takeRead(header)
        case .write:
            guard header.length > 0 else { return .answer(plain) }
            // The payload is only read from; the request has one pointer for both directions.
            let data = UnsafeMutableRawPointer(
                mutating: input.baseAddress! + Size.requestHeader)
            let request = BlockRequest(
                kind: .write, offset: header.offset, length: Int(header.length),
                forceUnitAccess: header.flags.contains(.forceUnitAccess), data: data)
            return .perform(request, plain)
        case .flush:
            return .perform(BlockRequest(kind: .flush, offset: 0, length: 0), plain)
        case .writeZeroes:
            guard header.length > 0 else { return .answer(plain) }
            return .perform(zero(header, mayPunch: !header.flags.contains(.noHole)), plain)
        case .trim: return takeTrim(header)
        case .cache: return .answer(plain)
        case .blockStatus:
            let content = Reply.Content.status(
                offset: header.offset, length: header.length,
                one: header.flags.contains(.requestOne))
            return .answer(Reply(cookie: header.cookie, content: content))
        case .disconnect: return .leave
        }
    }

    @inline(__always)
    private func takeRead(_ header: Header) -> Step {
        guard header.length > 0 else {
            return .answer(Reply(cookie: header.cookie, content: .data(offset: 0, length: 0)))
        }
        let request = BlockRequest(
            kind: .read, offset: header.offset, length: Int(header.length))
        let content = Reply.Content.data(offset: header.offset, length: Int(header.length))
        return .perform(request, Reply(cookie: header.cookie, content: content))
    }

    private func zero(_ header: Header, mayPunch: Bool) -> BlockRequest {
        BlockRequest(
            kind: .zero, offset: header.offset, length: Int(header.length),
            forceUnitAccess: header.flags.contains(.forceUnitAccess), mayPunch: mayPunch)
    }

    /// A trim is a hint: only whole units in its range are punched, and those read as zeroes.
    private func takeTrim(_ header: Header) -> Step {
        let plain = Reply(cookie: header.cookie, content: .plain)
        let holes = holes(in: header)
        guard holes.length > 0 else { return .answer(plain) }
        var request = zero(header, mayPunch: true)
        request.offset = holes.first
        request.length = holes.length
        return .perform(request, plain)
    }
}
