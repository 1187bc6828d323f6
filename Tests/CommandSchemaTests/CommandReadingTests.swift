import CommandSchema
import CopyModel
import Testing

@Suite("Commands")
struct CommandReadingTests {
    private func envelope(_ text: String, messageID: String? = nil) throws -> CommandEnvelope {
        let result = CommandReader.read(body: Array(text.utf8), messageID: messageID)
        guard case .command(let envelope) = result else {
            Issue.record("\(result)")
            throw JSONFault(pointer: "", sentence: "\(result)", offset: 0)
        }
        return envelope
    }

    @Test("are read with every parameter, present or absent", arguments: commandSamples)
    func reads(_ sample: CommandSample) throws {
        let envelope = try envelope(sample.body)
        #expect(envelope.command == sample.command)
        #expect(envelope.id.text == "a" && envelope.subject.text == "payroll")
        #expect(envelope.notAfter == nil && !envelope.dryRun)
        #expect(envelope.isForStorage == sample.command.name.isForStorage)
    }

    @Test("of every name are among the samples")
    func samplesAreWhole() {
        #expect(Set(commandSamples.map(\.command.name)) == Set(CommandName.allCases))
    }

    @Test("are written so that the same is read", arguments: commandSamples)
    func roundTrip(_ sample: CommandSample) throws {
        let read = try envelope(sample.body)
        let written = CommandWriter.bytes(read)
        #expect(try envelope(String(decoding: written, as: UTF8.self)) == read)
    }

    @Test("take their id from the body or the property, or from both where they agree")
    func ids() throws {
        let with = #"{"id":"a b~!","command":"Backup","session":"p"}"#
        let without = #"{"command":"Backup","session":"p"}"#
        let fromBody = try envelope(with)
        #expect(try envelope(without, messageID: "a b~!") == fromBody)
        #expect(try envelope(with, messageID: "a b~!") == fromBody)
    }

    @Test("carry a time limit and a dry run")
    func limits() throws {
        let command = try envelope(
            #"""
            {"session":"p","dryRun":true,"command":"Backup",
            "notAfter":"2026-11-21T03:00:00.5+01:00","id":"x"}
            """#
        )
        #expect(command.dryRun)
        #expect(command.notAfter?.description == "2026-11-21T02:00:00.500Z")
    }

    @Test("may be as long as the contract says, and no longer")
    func bounds() throws {
        let id = String(repeating: "~", count: 128)
        let session = String(repeating: "s", count: 64)
        let read = try envelope(#"{"id":"\#(id)","command":"Backup","session":"\#(session)"}"#)
        #expect(read.id.text == id && read.subject.text == session)
        let many = (0..<20_001).map { "\"\($0 / 65536)b:\(fourDigits($0))\"" }
        for (count, isTaken) in [(20_000, true), (20_001, false)] {
            let list = many.prefix(count).joined(separator: ",")
            let body =
                #"""
                {"id":"a","command":"RemoveCopySets","session":"p",
                "parameters":{"copySets":[\#(list)]}}
                """#
            switch CommandReader.read(body: Array(body.utf8), messageID: nil) {
            case .command: #expect(isTaken)
            case .refused(let refused):
                #expect(!isTaken)
                #expect(refused.refusals.first?.subject == "/parameters/copySets/20000")
            case .unattributable(let refused): Issue.record("\(refused)")
            }
        }
    }

    private func fourDigits(_ number: Int) -> String {
        String(String(0x1_0000 + number % 65_536, radix: 16).dropFirst())
    }
}
