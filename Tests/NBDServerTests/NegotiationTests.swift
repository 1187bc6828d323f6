import Testing

@testable import NBDServer

@Suite("Negotiation decides without a socket")
struct NegotiationTests {
    @Test("the greeting offers fixed newstyle without zeroes")
    func greeting() {
        #expect(
            Negotiation.greeting
                == Array("NBDMAGICIHAVEOPT".utf8) + [0, 3])
    }

    @Test("a client that sets a flag that was not offered is dropped")
    func unknownFlag() {
        var machine = Negotiation(security: .unavailable)
        #expect(machine.feed(Message.flags(4)) == [.close([], .protocolViolation)])
    }

    @Test("an option is asked for to its last byte before it is looked at")
    func partial() {
        var machine = Negotiation.begun()
        let bytes = Message.go("box1:0100")
        #expect(machine.feed(Array(bytes.prefix(15))) == [.more(16)])
        #expect(machine.feed(Array(bytes.dropLast())) == [.more(bytes.count)])
        #expect(machine.feed(bytes) == [.open("box1:0100")])
    }

    @Test("a wrong option magic ends the connection")
    func magic() {
        var machine = Negotiation.begun()
        var bytes = Message.go("a")
        bytes[0] ^= 1
        #expect(machine.feed(bytes) == [.close([], .protocolViolation)])
    }

    @Test("GO answers size and flags, what was asked for, and enters transmission")
    func go() {
        var machine = Negotiation.begun()
        #expect(machine.feed(Message.go("v", [1, 2, 3, 77])) == [.open("v")])
        guard case .enter(let bytes, let terms) = machine.opened(.success(someShape)) else {
            Issue.record("GO of an export that was opened did not enter transmission")
            return
        }
        let flags: TransmissionFlags = [
            .hasFlags, .sendFlush, .sendForceUnitAccess, .sendTrim, .sendWriteZeroes,
            .sendFastZero, .canMultiConnect, .sendCache,
        ]
        let export = Message.integer(UInt64(1 << 20)) + Message.integer(flags.rawValue)
        let sizes =
            Message.integer(UInt32(1)) + Message.integer(UInt32(4096))
            + Message.integer(UInt32(32 << 20))
        #expect(
            bytes == Message.reply(.go, .information, [0, 0] + export)
                + Message.reply(.go, .information, [0, 1] + Array("v".utf8))
                + Message.reply(.go, .information, [0, 2] + Array("a volume".utf8))
                + Message.reply(.go, .information, [0, 3] + sizes)
                + Message.reply(.go, .acknowledge))
        #expect(terms.capacity == 1 << 20 && !terms.structuredReplies && terms.contexts.isEmpty)
    }

    @Test("GO of an unknown export is refused and negotiation goes on")
    func unknownExport() {
        var machine = Negotiation.begun()
        _ = machine.feed(Message.go("nothing"))
        #expect([machine.opened(.failure(.unknown))].firstReply == .unknown)
        #expect(machine.feed(Message.option(.list)) == [.list])
        _ = machine.listed([])
        _ = machine.feed(Message.go("busy"))
        let step = machine.opened(.failure(.unavailable("No channel.")))
        #expect(step == .send(Message.reply(.go, .unknown, Array("No channel.".utf8))))
    }

    @Test("INFO looks at the export but does not open it")
    func inform() {
        var machine = Negotiation.begun()
        let bytes = Message.option(.inform, Message.information("v"))
        #expect(machine.feed(bytes) == [.look("v")])
        #expect([machine.looked(someShape)].firstReply == .information)
        #expect(machine.feed(bytes) == [.look("v")])
        #expect([machine.looked(nil)].firstReply == .unknown)
    }

    @Test("a read-only export offers neither trimming nor zeroing")
    func readOnly() {
        var shape = someShape
        shape.isReadOnly = true
        let flags = TransmissionFlags(shape, structuredReplies: true)
        #expect(flags.contains(.readOnly) && flags.contains(.sendDontFragment))
        #expect(flags.isDisjoint(with: [.sendTrim, .sendWriteZeroes, .sendFastZero]))
    }

    @Test("LIST answers every name, then acknowledges")
    func list() {
        var machine = Negotiation.begun()
        #expect(machine.feed(Message.option(.list)) == [.list])
        #expect(
            machine.listed(["box1:0100", "payroll/1795226400/box1:0100"])
                == .send(
                    Message.reply(.list, .server, Message.name("box1:0100"))
                        + Message.reply(
                            .list, .server, Message.name("payroll/1795226400/box1:0100"))
                        + Message.reply(.list, .acknowledge)))
    }

    @Test("LIST, STRUCTURED_REPLY and STARTTLS with data are invalid", arguments: [3, 8, 5])
    func needlessData(code: UInt32) {
        var machine = Negotiation.begun(.offered)
        #expect(machine.feed(Message.option(code, [1])).firstReply == .invalid)
    }

    @Test("EXPORT_NAME answers 124 zeroes only to clients that did not decline them")
    func exportName() {
        for (flags, zeroes) in [(UInt32(3), 0), (1, 124), (0, 124)] {
            var machine = Negotiation.begun(flags: flags)
            #expect(machine.feed(Message.option(.exportName, Array("v".utf8))) == [.open("v")])
            guard case .enter(let bytes, _) = machine.opened(.success(someShape)) else {
                Issue.record("EXPORT_NAME did not enter transmission")
                return
            }
            #expect(bytes.count == 10 + zeroes)
        }
    }

    @Test("EXPORT_NAME of an unknown export can only be answered by closing")
    func exportNameUnknown() {
        var machine = Negotiation.begun()
        _ = machine.feed(Message.option(.exportName, Array("v".utf8)))
        #expect(machine.opened(.failure(.unknown)) == .close([], .unknownExport))
    }

    @Test("a client without fixed newstyle may only send EXPORT_NAME")
    func notFixed() {
        var machine = Negotiation.begun(flags: 0)
        #expect(machine.feed(Message.option(.list)) == [.close([], .protocolViolation)])
    }

    @Test("ABORT is acknowledged and ends the connection")
    func abort() {
        var machine = Negotiation.begun()
        #expect(
            machine.feed(Message.option(.abort, [1, 2]))
                == [.close(Message.reply(.abort, .acknowledge), .clientLeft)])
    }

    @Test("an unknown option is skipped and refused, and the next one is understood")
    func unknownOption() {
        var machine = Negotiation.begun()
        let steps = machine.feed(
            Message.option(99, [UInt8](repeating: 7, count: 300)) + Message.option(.list))
        #expect(steps.firstReply == .unsupported)
        #expect(steps.last == .list)
    }

    @Test("an option longer than 64 KiB is skipped, one longer than 1 MiB ends the connection")
    func longOption() {
        var machine = Negotiation.begun()
        let long = [UInt8](repeating: 0, count: 65_537)
        let steps = machine.feed(Message.option(.inform, long) + Message.option(.list))
        #expect(steps.firstReply == .tooBig)
        #expect(steps.last == .list)
        machine = .begun()
        #expect(
            machine.feed(Message.option(6, length: 0xFFFF_FFFF))
                == [.close([], .protocolViolation)])
    }

    @Test("names of 4096 bytes are taken, longer ones refused")
    func longName() {
        let fits = String(repeating: "n", count: 4096)
        var machine = Negotiation.begun()
        #expect(machine.feed(Message.go(fits)) == [.open(fits)])
        machine = .begun()
        #expect(machine.feed(Message.go(fits + "n")).firstReply == .tooBig)
        machine = .begun()
        #expect(
            machine.feed(Message.option(.exportName, Array((fits + "n").utf8)))
                == [.close([], .protocolViolation)])
    }

    @Test("a name that is no text is invalid", arguments: [[0xFF, 0xFE], [0x61, 0x00]])
    func badText(name: [UInt8]) {
        var machine = Negotiation.begun()
        let data = Message.integer(UInt32(name.count)) + name + [0, 0]
        #expect(machine.feed(Message.option(.go, data)).firstReply == .invalid)
    }

    @Test("GO whose lengths do not add up is invalid")
    func badLengths() {
        let bad: [[UInt8]] = [
            [], [0, 0, 0], [0, 0, 0, 1], Message.name("v"), Message.name("v") + [0, 1],
            Message.name("v") + [0, 0, 0], Message.integer(UInt32.max) + [0, 0],
            Message.integer(UInt32(5)) + [0x61, 0, 0],
        ]
        for data in bad {
            var machine = Negotiation.begun()
            #expect(machine.feed(Message.option(.go, data)).firstReply == .invalid, "\(data)")
        }
    }

    @Test("more options than anybody needs end the connection")
    func optionFlood() {
        var machine = Negotiation.begun()
        let flood = (0...Negotiation.mostOptions).flatMap { _ in Message.option(99) }
        let steps = machine.feed(flood)
        #expect(steps.last == .close([], .protocolViolation))
        #expect(steps.count == Negotiation.mostOptions + 1)
    }

    @Test("random bytes never make it enter transmission, nor read out of bounds")
    func noise() {
        var random = SplitMix(seed: 7)
        for _ in 0..<20_000 {
            var machine = Negotiation.begun(Bool.random(using: &random) ? .unavailable : .required)
            var bytes = Message.option(UInt32.random(in: 0...12, using: &random), [])
            let data = (0..<Int.random(in: 0...60, using: &random)).map { _ in
                UInt8.random(in: 0...255, using: &random)
                    & UInt8.random(in: 0...255, using: &random)
            }
            bytes[15] = UInt8.random(in: 0...64, using: &random)
            for step in machine.feed(bytes + data) {
                if case .enter = step { Issue.record("entered on \(bytes + data)") }
            }
        }
    }
}

/// A small seeded generator, so that a failure can be seen again.
struct SplitMix: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
