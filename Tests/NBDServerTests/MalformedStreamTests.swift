import Glibc
import Testing

@testable import NBDServer

extension LiveTests {
    @Suite("Malformed streams")
    struct MalformedStreamTests {}
}

/// One thing that no client should send, and what must come of it.
struct MalformedCase: CustomTestStringConvertible, Sendable {
    enum Place: Sendable { case start, options, transmission }
    enum Outcome: Sendable {
        /// The server closes.
        case closes
        /// The server waits for the rest; the client goes away in the middle.
        case waits
        /// The option is refused so, and the next one is understood.
        case refuses(OptionReply)
        /// The request fails so, and the next one is understood.
        case fails(WireError)
        /// The request succeeds, and the next one is understood.
        case succeeds
    }
    let name: String
    let place: Place
    let bytes: [UInt8]
    let outcome: Outcome

    init(_ name: String, _ place: Place, _ bytes: [UInt8], _ outcome: Outcome) {
        self.name = name
        self.place = place
        self.bytes = bytes
        self.outcome = outcome
    }

    var testDescription: String { name }

    static let all = start + options + contexts + transmission + payloads

    private static let long = String(repeating: "x", count: 3000)

    static let start: [MalformedCase] = [
        MalformedCase("nothing at all", .start, [], .waits),
        MalformedCase("half the flags", .start, [0, 0], .waits),
        MalformedCase("unknown client flag", .start, Message.flags(0x8000_0003), .closes),
        MalformedCase("an HTTP request", .start, Array("GET / HTTP/1.1\r\n\r\n".utf8), .closes),
        MalformedCase(
            "a TLS hello", .start, [0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3] + Array(long.utf8),
            .closes),
        MalformedCase(
            "a list without fixed newstyle", .start, Message.flags(0) + Message.option(.list),
            .closes),
        MalformedCase(
            "zeroes", .start, [UInt8](repeating: 0, count: 5000), .closes),
        MalformedCase(
            "all ones", .start, [UInt8](repeating: 0xFF, count: 5000), .closes),
    ]

    static let options: [MalformedCase] = [
        MalformedCase(
            "half an option header", .options, Array(Message.option(.list).prefix(9)), .waits),
        MalformedCase("a wrong option magic", .options, [UInt8](repeating: 9, count: 16), .closes),
        MalformedCase(
            "a transmission request among options", .options, Message.request(.read, length: 512),
            .closes),
        MalformedCase("an unknown option", .options, Message.option(4242), .refuses(.unsupported)),
        MalformedCase(
            "an unknown option with 1 MiB of data", .options,
            Message.option(4242, [UInt8](repeating: 1, count: 1 << 20)), .refuses(.unsupported)),
        MalformedCase(
            "an option of 4 GiB", .options, Message.option(7, length: 0xFFFF_FFFF), .closes),
        MalformedCase(
            "GO of 100 kB", .options, Message.option(7, [UInt8](repeating: 0, count: 100_000)),
            .refuses(.tooBig)),
        MalformedCase("GO without data", .options, Message.option(.go), .refuses(.invalid)),
        MalformedCase(
            "GO whose name is longer than the option", .options,
            Message.option(.go, Message.integer(UInt32(0xFFFF_FFFF)) + [0, 0]), .refuses(.invalid)),
        MalformedCase(
            "GO with more requests than data", .options,
            Message.option(.go, Message.name("a") + [0xFF, 0xFF]), .refuses(.invalid)),
        MalformedCase(
            "GO with data left over", .options,
            Message.option(.go, Message.information("a") + [1, 2, 3]), .refuses(.invalid)),
        MalformedCase("GO of an unknown name", .options, Message.go("nobody"), .refuses(.unknown)),
        MalformedCase("GO of no name", .options, Message.go(""), .refuses(.unknown)),
        MalformedCase(
            "GO of a name of 3000 bytes", .options, Message.go(long), .refuses(.unknown)),
        MalformedCase(
            "GO of a name of 5000 bytes", .options, Message.go(long + long.prefix(2000)),
            .refuses(.tooBig)),
        MalformedCase(
            "GO of a name with a zero byte", .options, Message.go("a\u{0}b"), .refuses(.invalid)),
        MalformedCase(
            "GO of a name that is not UTF-8", .options,
            Message.option(.go, [0, 0, 0, 2, 0xC3, 0x28, 0, 0]), .refuses(.invalid)),
        MalformedCase(
            "GO that climbs directories", .options, Message.go("../../etc/passwd"),
            .refuses(.unknown)),
        MalformedCase(
            "INFO of an unknown name", .options,
            Message.option(.inform, Message.information("nobody")), .refuses(.unknown)),
        MalformedCase(
            "EXPORT_NAME of an unknown name", .options,
            Message.option(.exportName, Array("nobody".utf8)), .closes),
        MalformedCase(
            "EXPORT_NAME of 5000 bytes", .options,
            Message.option(.exportName, [UInt8](repeating: 97, count: 5000)), .closes),
        MalformedCase(
            "EXPORT_NAME that is not text", .options, Message.option(.exportName, [0xFF, 0]),
            .closes),
        MalformedCase("LIST with data", .options, Message.option(.list, [1]), .refuses(.invalid)),
        MalformedCase("STARTTLS", .options, Message.option(.startTLS), .refuses(.policy)),
        MalformedCase(
            "STARTTLS with data", .options, Message.option(.startTLS, [1]), .refuses(.invalid)),
        MalformedCase(
            "STRUCTURED_REPLY with data", .options, Message.option(.structuredReply, [1]),
            .refuses(.invalid)),
        MalformedCase(
            "the withdrawn PEEK_EXPORT", .options, Message.option(4), .refuses(.unsupported)),
        MalformedCase("option 0", .options, Message.option(0), .refuses(.unsupported)),
        MalformedCase(
            "a thousand options", .options, (0..<1000).flatMap { _ in Message.option(77) }, .closes),
    ]

    static let contexts: [MalformedCase] = [
        MalformedCase(
            "contexts without structured replies", .options,
            Message.option(.setMetaContext, Message.contexts(LiveServer.disk, [])),
            .refuses(.invalid)),
        MalformedCase(
            "contexts with four thousand million queries", .options,
            Message.option(.structuredReply)
                + Message.option(
                    .setMetaContext,
                    Message.name(LiveServer.disk) + Message.integer(UInt32(0xFFFF_FFFF))),
            .refuses(.invalid)),
        MalformedCase(
            "a query that is longer than the option", .options,
            Message.option(.structuredReply)
                + Message.option(
                    .listMetaContext,
                    Message.name(LiveServer.disk) + Message.integer(UInt32(1))
                        + Message.integer(UInt32(0x7FFF_FFFF))), .refuses(.invalid)),
        MalformedCase(
            "contexts of an unknown export", .options,
            Message.option(.structuredReply)
                + Message.option(.setMetaContext, Message.contexts("nobody", ["base:allocation"])),
            .refuses(.unknown)),
    ]

    static let transmission: [MalformedCase] = [
        MalformedCase(
            "half a header", .transmission, Array(Message.request(.read).prefix(20)), .waits),
        MalformedCase(
            "a wrong request magic", .transmission, [UInt8](repeating: 1, count: 28), .closes),
        MalformedCase(
            "an option after GO", .transmission, Message.option(.list) + Message.option(.abort),
            .closes),
        MalformedCase(
            "the old request magic", .transmission,
            [0x12, 0x56, 0x09, 0x53] + [UInt8](repeating: 0, count: 24), .closes),
        MalformedCase(
            "an unknown command", .transmission, Message.request(UInt16(200), length: 4096),
            .fails(.invalid)),
        MalformedCase(
            "unknown flags", .transmission,
            Message.request(CommandCode.read.rawValue, flags: 0xFF00, length: 512),
            .fails(.invalid)),
        MalformedCase(
            "a read beyond the end", .transmission,
            Message.request(.read, offset: 1 << 20, length: 1), .fails(.invalid)),
        MalformedCase(
            "a read whose end overflows", .transmission,
            Message.request(.read, offset: .max, length: 0xFFFF), .fails(.invalid)),
        MalformedCase(
            "a read of 4 GiB", .transmission, Message.request(.read, length: .max),
            .fails(.overflow)),
        MalformedCase("a read of nothing", .transmission, Message.request(.read), .succeeds),
        MalformedCase("a write of nothing", .transmission, Message.request(.write), .succeeds),
        MalformedCase("a trim of nothing", .transmission, Message.request(.trim), .succeeds),
        MalformedCase(
            "a status of nothing", .transmission, Message.request(.blockStatus), .fails(.invalid)),
        MalformedCase(
            "a status beyond the end", .transmission,
            Message.request(.blockStatus, offset: 1 << 20, length: 1), .fails(.invalid)),
        MalformedCase(
            "a trim whose end overflows", .transmission,
            Message.request(.trim, offset: .max - 4096, length: .max), .fails(.invalid)),
        MalformedCase(
            "zeroes of 4 GiB", .transmission, Message.request(.writeZeroes, length: .max),
            .fails(.noSpace)),
        MalformedCase(
            "a flush of a range", .transmission, Message.request(.flush, length: 9),
            .fails(.invalid)),
        MalformedCase(
            "a disconnect with data behind it", .transmission,
            Message.request(.disconnect) + [UInt8](repeating: 7, count: 10_000), .closes),
    ]

    static let payloads: [MalformedCase] = [
        MalformedCase(
            "half a payload", .transmission,
            Message.request(.write, length: 1000, payload: [UInt8](repeating: 1, count: 500)),
            .waits),
        MalformedCase(
            "a write of 32 MiB of which nothing comes", .transmission,
            Message.request(.write, length: 1 << 20), .waits),
        MalformedCase(
            "a write of 4 GiB", .transmission, Message.request(.write, length: .max), .closes),
        MalformedCase(
            "a write beyond the end", .transmission,
            Message.write([UInt8](repeating: 1, count: 100), at: 1 << 20), .fails(.noSpace)),
        MalformedCase(
            "a write of 33 MiB", .transmission,
            Message.write([UInt8](repeating: 1, count: 33 << 20), at: 0), .fails(.noSpace)),
        MalformedCase(
            "a write with unknown flags", .transmission,
            Message.request(
                CommandCode.write.rawValue, flags: 0x80, length: 4,
                payload: [1, 2, 3, 4]), .fails(.invalid)),
    ]
}

extension LiveTests.MalformedStreamTests {
    @Test("there are at least forty ways to be malformed")
    func corpus() {
        #expect(MalformedCase.all.count >= 40)
        #expect(Set(MalformedCase.all.map(\.name)).count == MalformedCase.all.count)
    }

    @Test(
        "each is answered or closed, and harms neither the server nor another client",
        arguments: [false, true])
    func outcomes(tcp: Bool) throws {
        let live = try LiveServer(tcp: tcp)
        let bystander = try live.connect()
        try bystander.enter()
        for malformed in MalformedCase.all {
            do {
                try check(malformed, live)
            } catch {
                Issue.record("\(malformed.name): \(error)")
            }
            #expect(bystander.isInStep(), "another client suffered from: \(malformed.name)")
        }
        #expect(eventually { live.server.report.connectionsOpen == 1 })
        #expect(eventually { live.export.channels.load(ordering: .relaxed) == 1 })
        if !tcp { #expect(eventually { live.descriptors() == 2 }) }
    }

    private func check(_ malformed: MalformedCase, _ live: LiveServer) throws {
        let client = try live.connect()
        switch malformed.place {
        case .start: _ = try client.receive(18)
        case .options: try client.greet()
        case .transmission: try client.enter()
        }
        client.send(malformed.bytes)
        switch malformed.outcome {
        case .closes:
            #expect(client.isClosed(), "\(malformed.name) was not cut")
        case .waits:
            break
        case .refuses(let type):
            var reply = try client.optionReply()
            if reply.code == OptionCode.structuredReply.rawValue, reply.type == .acknowledge {
                reply = try client.optionReply()
            }
            #expect(reply.type == type, "\(malformed.name)")
            #expect(try client.option(Message.option(.abort)) == .acknowledge)
        case .fails(let error):
            #expect(try client.reply().error == error.rawValue, "\(malformed.name)")
            #expect(client.isInStep(), "\(malformed.name) left the stream out of step")
        case .succeeds:
            #expect(try client.reply().error == 0, "\(malformed.name)")
            #expect(client.isInStep(), "\(malformed.name) left the stream out of step")
        }
    }

    @Test("after ten thousand broken sessions no descriptor and no channel is left")
    func fuzz() throws {
        let live = try LiveServer()
        let bystander = try live.connect()
        try bystander.enter()
        var random = SplitMix(seed: 3)
        for round in 0..<10_000 {
            let client = try live.connect()
            client.send(session(&random))
            if round % 500 == 0 {
                #expect(bystander.isInStep())
            }
        }
        #expect(eventually { live.server.report.connectionsOpen == 1 })
        #expect(eventually { live.export.channels.load(ordering: .relaxed) == 1 })
        #expect(eventually { live.descriptors() == 2 })
        #expect(bystander.isInStep())
    }

    /// A whole session as one stream, with a few bytes changed, cut off somewhere.
    private func session(_ random: inout SplitMix) -> [UInt8] {
        var bytes =
            Message.flags() + Message.option(.structuredReply)
            + Message.option(
                .setMetaContext, Message.contexts(LiveServer.disk, ["base:allocation"]))
            + Message.go(LiveServer.disk, [1, 3])
        for cookie in 0..<UInt64.random(in: 0...6, using: &random) {
            let length = UInt32.random(in: 0...9000, using: &random)
            let code = UInt16.random(in: 0...8, using: &random)
            let payload = code == 1 ? [UInt8](repeating: 5, count: Int(length)) : []
            bytes += Message.request(
                code, cookie: cookie, offset: UInt64.random(in: 0...1 << 20, using: &random),
                length: length, payload: payload)
        }
        for _ in 0..<Int.random(in: 0...3, using: &random) {
            let index = Int.random(in: bytes.indices, using: &random)
            bytes[index] = UInt8.random(in: 0...255, using: &random)
        }
        return Array(bytes.prefix(Int.random(in: 0...bytes.count * 3 / 2, using: &random)))
    }
}
