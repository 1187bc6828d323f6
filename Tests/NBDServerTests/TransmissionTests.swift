import Testing

@testable import NBDServer

@Suite("Transmission cuts and judges requests without a socket")
struct TransmissionTests {
    static let capacity: UInt64 = 1 << 20

    private func terms(
        readOnly: Bool = false, structured: Bool = true, context: Bool = true,
        holeSize: UInt32 = 4096
    ) -> TransmissionTerms {
        TransmissionTerms(
            capacity: Self.capacity, isReadOnly: readOnly, holeSize: holeSize,
            structuredReplies: structured,
            contexts: context ? [SelectedContext(context: .allocation, identifier: 1)] : [])
    }

    private func step(
        _ bytes: [UInt8], _ terms: TransmissionTerms? = nil
    ) -> (consumed: Int, step: Transmission.Step) {
        var machine = Transmission(terms: terms ?? self.terms())
        return bytes.withUnsafeBytes { machine.next($0) }
    }

    private func refusal(_ bytes: [UInt8], _ terms: TransmissionTerms? = nil) -> Refusal? {
        guard case .answer(let reply) = step(bytes, terms).step,
            case .refusal(let refusal) = reply.content
        else { return nil }
        return refusal
    }

    private func performed(_ bytes: [UInt8]) -> BlockRequest? {
        guard case .perform(let request, _) = step(bytes).step else { return nil }
        return request
    }

    @Test("a write is taken when its last payload byte is there, and not before")
    func partialWrite() {
        let bytes = Message.write([1, 2, 3, 4, 5], at: 7)
        guard case .more(28) = step(Array(bytes.prefix(27))).step else {
            Issue.record("a part of a header was looked at")
            return
        }
        guard case .more(33) = step(Array(bytes.dropLast())).step else {
            Issue.record("a part of a payload was taken")
            return
        }
        var machine = Transmission(terms: terms())
        bytes.withUnsafeBytes { input in
            let (consumed, step) = machine.next(input)
            guard case .perform(let request, let reply) = step else {
                Issue.record("a complete write was not taken")
                return
            }
            #expect(consumed == 33 && request.kind == .write && reply.cookie == 1)
            #expect(request.offset == 7 && request.length == 5)
            let data = UnsafeRawBufferPointer(start: request.data, count: 5)
            #expect(Array(data) == [1, 2, 3, 4, 5])
        }
    }

    @Test("a wrong magic ends the connection")
    func magic() {
        var bytes = Message.request(.read, length: 1)
        bytes[3] ^= 1
        guard case .violation = step(bytes).step else {
            Issue.record("a wrong magic was let through")
            return
        }
    }

    @Test("ranges are judged to the byte, without overflow")
    func bounds() {
        let end = Self.capacity
        #expect(performed(Message.request(.read, offset: end - 1, length: 1)) != nil)
        #expect(refusal(Message.request(.read, offset: end, length: 1)) == .beyondEnd)
        #expect(refusal(Message.request(.read, offset: end - 1, length: 2)) == .beyondEnd)
        for offset in [UInt64.max, UInt64.max - 10, 1 << 63, end + 1] {
            #expect(refusal(Message.request(.read, offset: offset, length: 11)) == .beyondEnd)
            #expect(
                refusal(Message.request(.writeZeroes, offset: offset, length: 11))
                    == .noSpaceBeyondEnd)
            #expect(refusal(Message.request(.trim, offset: offset, length: 11)) == .beyondEnd)
            #expect(refusal(Message.request(.cache, offset: offset, length: 11)) == .beyondEnd)
            #expect(
                refusal(Message.request(.blockStatus, offset: offset, length: 11)) == .beyondEnd)
            #expect(
                refusal(
                    Message.request(
                        .write, offset: offset, length: 11,
                        payload: [UInt8](repeating: 0, count: 11))) == .noSpaceBeyondEnd)
        }
    }

    @Test("a refused write's payload is skipped, and the next request is understood")
    func skip() {
        var machine = Transmission(terms: terms())
        let bytes =
            Message.request(.write, offset: Self.capacity, length: 5, payload: [1, 2, 3, 4, 5])
            + Message.request(.flush, cookie: 9)
        var rest = bytes[...]
        var kinds: [String] = []
        while !rest.isEmpty {
            let (consumed, step) = Array(rest.prefix(30)).withUnsafeBytes { machine.next($0) }
            rest = rest.dropFirst(consumed)
            switch step {
            case .answer: kinds.append("answer")
            case .skipped: kinds.append("skipped")
            case .perform: kinds.append("perform")
            case .more, .leave, .violation: kinds.append("?")
            }
            if kinds.count > 9 { break }
        }
        #expect(kinds == ["answer", "skipped", "perform"])
    }

    @Test("what does not fit 32 MiB is refused; a write too long to skip ends the connection")
    func long() {
        let long = UInt32(32 << 20) + 1
        var large = terms()
        large.capacity = 1 << 40
        #expect(refusal(Message.request(.read, length: long), large) == .longRead)
        large.structuredReplies = false
        #expect(refusal(Message.request(.read, length: long), large) == .longPayload)
        #expect(refusal(Message.request(.write, length: long), large) == .longPayload)
        guard case .violation = step(Message.request(.write, length: .max), large).step else {
            Issue.record("a write of 4 GiB was neither refused nor cut")
            return
        }
        guard
            case .perform(let request, _) = step(
                Message.request(.writeZeroes, length: .max), large
            ).step
        else {
            Issue.record("zeroing has no payload, and may be longer")
            return
        }
        #expect(request.length == Int(UInt32.max))
    }

    @Test("a read-only export permits no change")
    func readOnly() {
        let readOnly = terms(readOnly: true)
        for code: CommandCode in [.trim, .writeZeroes] {
            #expect(refusal(Message.request(code, length: 1), readOnly) == .readOnly)
        }
        #expect(refusal(Message.write([1], at: 0), readOnly) == .readOnly)
        #expect(Refusal.readOnly.error == .notPermitted)
        guard case .perform = step(Message.request(.flush), readOnly).step else {
            Issue.record("a flush of a read-only export was refused")
            return
        }
    }

    @Test("flags that a command does not know are invalid")
    func flags() {
        let allowed: [CommandCode: CommandFlags] = [
            .read: [.forceUnitAccess, .dontFragment], .write: .forceUnitAccess,
            .flush: .forceUnitAccess, .trim: .forceUnitAccess, .cache: .forceUnitAccess,
            .writeZeroes: [.forceUnitAccess, .noHole, .fastZero],
            .blockStatus: [.forceUnitAccess, .requestOne],
        ]
        for (code, known) in allowed {
            for bit in 0..<16 {
                let flag = CommandFlags(rawValue: 1 << bit)
                let length: UInt32 = code == .flush ? 0 : 4096
                let bytes = Message.request(code, flags: flag, length: length)
                let isRefused = refusal(bytes) == .unknownFlags
                #expect(isRefused == !known.contains(flag), "\(code) bit \(bit)")
            }
        }
        let simple = terms(structured: false)
        let fragment = Message.request(.read, flags: .dontFragment, length: 1)
        #expect(refusal(fragment, simple) == .unknownFlags)
    }

    @Test("an unknown command is invalid and takes no payload", arguments: [8, 9, 0xFFFF])
    func unknownCommand(code: UInt16) {
        let bytes = Message.request(code, length: 100)
        #expect(refusal(bytes) == .unknownCommand)
        #expect(step(bytes).consumed == 28)
    }

    @Test("DISC is a leave whatever stands in its fields")
    func disconnect() {
        guard case .leave = step(Message.request(.disconnect, offset: 5, length: 9)).step else {
            Issue.record("DISC is not a leave")
            return
        }
    }

    @Test("FUA is handed on with everything that changes data")
    func forceUnitAccess() {
        let write = Message.request(
            .write, flags: .forceUnitAccess, length: 1, payload: [1])
        #expect(performed(write)?.forceUnitAccess == true)
        for code: CommandCode in [.writeZeroes, .trim] {
            let bytes = Message.request(code, flags: .forceUnitAccess, length: 4096)
            #expect(performed(bytes)?.forceUnitAccess == true)
        }
        #expect(performed(Message.write([1], at: 0))?.forceUnitAccess == false)
    }

    @Test("a flush of a range is invalid")
    func flushOfRange() {
        #expect(refusal(Message.request(.flush, offset: 1)) == .flushOfRange)
        #expect(refusal(Message.request(.flush, length: 1)) == .flushOfRange)
    }

    @Test("a trim punches the whole blocks in its range only")
    func trim() {
        let cases: [(offset: UInt64, length: UInt32, first: UInt64, count: Int)] = [
            (0, 8192, 0, 8192), (1, 8192, 4096, 4096), (4095, 4098, 4096, 4096),
            (Self.capacity - 5000, 5000, Self.capacity - 4096, 4096),
        ]
        for (offset, length, first, count) in cases {
            let request = performed(Message.request(.trim, offset: offset, length: length))
            #expect(request?.offset == first && request?.length == count)
            #expect(request?.kind == .zero && request?.mayPunch == true)
        }
        let within = Message.request(.trim, offset: 1, length: 8000)
        for (bytes, terms) in [
            (within, terms()), (Message.request(.trim, length: 65536), terms(holeSize: 0)),
        ] {
            guard case .answer(let reply) = step(bytes, terms).step, case .plain = reply.content
            else {
                Issue.record("a trim that cannot punch anything is no plain success")
                return
            }
        }
    }

    @Test("a hole is made of zeroes unless the client forbids it")
    func holes() {
        let free = Message.request(.writeZeroes, offset: 1, length: 10)
        #expect(performed(free)?.mayPunch == true && performed(free)?.offset == 1)
        let held = Message.request(.writeZeroes, flags: .noHole, length: 10)
        #expect(performed(held)?.mayPunch == false)
    }

    @Test("a fast zero that would be slow is not supported, and changes nothing")
    func fastZero() {
        let fast = Message.request(.writeZeroes, flags: .fastZero, offset: 4096, length: 8192)
        #expect(performed(fast)?.kind == .zero)
        #expect(refusal(fast, terms(holeSize: 0)) == .slowZero)
        #expect(refusal(fast, terms(holeSize: 65536)) == .slowZero)
        let slow: [(CommandFlags, UInt64, UInt32)] = [
            ([.fastZero, .noHole], 0, 4096), (.fastZero, 1, 4096), (.fastZero, 0, 4095),
        ]
        for (flags, offset, length) in slow {
            let bytes = Message.request(
                .writeZeroes, flags: flags, offset: offset, length: length)
            #expect(refusal(bytes) == .slowZero)
        }
        #expect(Refusal.slowZero.error == .notSupported)
    }

    @Test("requests of no length succeed without being performed; a status needs a range")
    func empty() {
        for code: CommandCode in [.read, .write, .trim, .writeZeroes, .cache] {
            guard case .answer(let reply) = step(Message.request(code)).step else {
                Issue.record("\(code) of no length was performed")
                continue
            }
            if case .refusal = reply.content { Issue.record("\(code) of no length was refused") }
        }
        #expect(refusal(Message.request(.blockStatus)) == .emptyRange)
        let none = terms(context: false)
        #expect(refusal(Message.request(.blockStatus, length: 1), none) == .noContext)
    }

    @Test("random headers are answered, performed or cut, and always consumed in step")
    func noise() {
        var random = SplitMix(seed: 11)
        for _ in 0..<50_000 {
            let length = UInt32.random(in: 0...64, using: &random)
            let bytes =
                Message.request(
                    UInt16.random(in: 0...9, using: &random),
                    flags: UInt16.random(in: 0...63, using: &random),
                    offset: UInt64.random(in: 0...Self.capacity + 100, using: &random),
                    length: length) + [UInt8](repeating: 0, count: Int(length))
            let (consumed, step) = step(bytes)
            switch step {
            case .perform(let request, _):
                #expect(request.offset + UInt64(request.length) <= Self.capacity)
                #expect(consumed == (request.kind == .write ? bytes.count : 28))
            case .answer: #expect(consumed == 28 || consumed == bytes.count)
            case .leave: #expect(consumed == 28)
            case .more, .skipped, .violation: Issue.record("a whole request was not taken")
            }
        }
    }
}

@Suite("Allocation is clipped to what a reply may say")
struct StatusExtentsTests {
    private func clip(
        _ extents: [(UInt64, Bool)], to length: UInt32, limit: Int = 100
    ) -> [[UInt32]] {
        let extents = extents.map { (length: $0.0, status: $0.1 ? UInt32(3) : 0) }
        return StatusExtents.clip(extents, to: length, limit: limit, otherwise: 0)
            .map { [$0.length, $0.status] }
    }

    @Test("extents are cut at the end of the range, empty ones dropped, equal neighbours joined")
    func clipped() {
        #expect(clip([(10, true), (100, false)], to: 50) == [[10, 3], [40, 0]])
        #expect(clip([(0, true), (5, false), (5, false), (0, true)], to: 50) == [[10, 0]])
        #expect(clip([(.max, true)], to: .max) == [[.max, 3]])
        #expect(clip([(.max, true), (.max, false)], to: .max) == [[.max, 3]])
    }

    @Test("one extent means one, and no answer means data")
    func limits() {
        #expect(clip([(10, true), (10, false)], to: 20, limit: 1) == [[10, 3]])
        #expect(clip([], to: 20) == [[20, 0]])
    }
}
