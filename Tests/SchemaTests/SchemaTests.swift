import CommandSchema
import CopyModel
import Foundation
import Testing

@Suite("The published schemas")
struct SchemaTests {
    @Test("fit their examples, and everything that the encoders write")
    func outputs() throws {
        let scratch = try ScratchDirectory()
        try writeOutcomes(to: scratch)
        try writeEvents(to: scratch)
        for session in [
            Samples.newSession, Samples.fullSession, Samples.newFlashSession, Samples.flashSession,
        ] {
            let bytes = OutcomeWriter.sessionDocument(
                session, availableCommands: CommandName.allCases)
            try scratch.write(
                bytes, schema: "session-document",
                name: "\(session.name)-\(session.state.rawValue)")
        }
        for (name, body) in try commandExamples() {
            guard case .command(let envelope) = CommandReader.read(body: body, messageID: "m")
            else {
                continue
            }
            try scratch.write(CommandWriter.bytes(envelope), schema: "command", name: name)
        }
        let check = try CheckRun(["--outputs", scratch.url.path(percentEncoded: false)])
        #expect(check.status == 0, "\(check.output)")
    }

    private func writeOutcomes(to scratch: ScratchDirectory) throws {
        var told = Samples.results.map { Samples.outcome($0.0, $0.1) }
        told += [Samples.refused, Samples.failed, Samples.ownerless]
        for (index, outcome) in told.enumerated() {
            let bytes = OutcomeWriter.bytes(outcome, availableCommands: [.backup, .terminate])
            try scratch.write(bytes, schema: "outcome", name: "\(index)")
            try scratch.write(
                OutcomeWriter.markDuplicate(bytes), schema: "outcome", name: "\(index)-duplicate")
            guard let result = try JSONNode(document: bytes)["result"], !result.isNull,
                let command = outcome.command
            else { continue }
            try scratch.write(result.compact(), schema: "results/\(command)", name: "\(index)")
        }
    }

    private func writeEvents(to scratch: ScratchDirectory) throws {
        for (index, body) in Samples.bodies.enumerated() {
            let event = Samples.event(body, sequence: UInt64(index), traced: index % 2 == 0)
            let bytes = EventWriter.bytes(event, instance: "dev 1/é", availableCommands: [.backup])
            try scratch.write(bytes, schema: "event", name: "\(index)")
            let data = try #require(try JSONNode(document: bytes)["data"])
            let type = body.type.dropFirst("stillpoint.".count)
            try scratch.write(data.compact(), schema: "events/\(type)", name: "\(index)")
        }
    }

    @Test("would tell if an encoder wrote something else")
    func plantedFaults() throws {
        let good = OutcomeWriter.bytes(
            Samples.outcome(.backup, .backup(Samples.backupID, copySets: 1)))
        let text = String(decoding: good, as: UTF8.self)
        for (planted, replacement) in [
            ("\"copySets\":1", "\"copySets\":\"1\""), ("\"completed\"", "\"done\""),
            ("\"refusals\":[],", ""), ("\"Backup\"", "\"Recover\""), (".114Z", ".114"),
        ] {
            let bad = text.replacing(planted, with: replacement)
            #expect(bad != text)
            let scratch = try ScratchDirectory()
            try scratch.write(Array(bad.utf8), schema: "outcome", name: "bad")
            let check = try CheckRun(["--outputs", scratch.url.path(percentEncoded: false)])
            #expect(
                check.status != 0 && check.output.contains("outcome/bad.json"), "\(check.output)")
        }
    }

    // MARK: The reader and the schema agree

    /// Every example of a command or of parameters, as a command's body.
    private func commandExamples(_ kind: String = "examples") throws -> [(String, [UInt8])] {
        var bodies = try SchemaFiles.files(in: "\(kind)/command").map {
            ($0.deletingPathExtension().lastPathComponent, try SchemaFiles.bytes($0))
        }
        for name in CommandName.allCases {
            let subject = name.isForStorage ? "storage" : "session"
            for file in try SchemaFiles.files(in: "\(kind)/parameters/\(name.rawValue)") {
                var writer = JSONWriter()
                writer.openObject()
                writer.member("id", "m")
                writer.member("command", name.rawValue)
                writer.key(text: subject)
                writer.string("subject")
                writer.key("parameters")
                writer.json(try SchemaFiles.bytes(file))
                writer.closeObject()
                let example = file.deletingPathExtension().lastPathComponent
                bodies.append(("\(name.rawValue)-\(example)", writer.bytes))
            }
        }
        return bodies
    }

    private func read(_ body: [UInt8]) -> ReadResult {
        let id = (try? JSONNode(document: body))?["id"]
        return CommandReader.read(body: body, messageID: id == nil ? "m" : nil)
    }

    @Test("accept no example that the reader refuses, and refuse none that it takes")
    func examplesAgree() throws {
        let examples = try commandExamples()
        let counterExamples = try commandExamples("counter-examples")
        #expect(examples.count >= 40 && counterExamples.count >= 100)
        for (name, body) in examples {
            guard case .command = read(body) else {
                Issue.record("example \(name): \(read(body))")
                continue
            }
        }
        for (name, body) in counterExamples {
            guard case .command = read(body) else { continue }
            Issue.record("counter-example \(name) is read as a command")
        }
    }

    @Test("agree with the reader on 1,500 changed commands")
    func mutationsAgree() throws {
        var mutation = TreeMutation(random: SeededGenerator(seed: 20_261_121))
        let examples = try commandExamples().map { try JSONNode(document: $0.1) }
        var writer = JSONWriter()
        var accepted = 0
        writer.openArray()
        for round in 0..<1500 {
            let mutant = mutation.mutate(examples[round % examples.count])
            writer.openObject()
            writer.key("body")
            writer.node(mutant)
            var isCommand = false
            if case .command = read(mutant.compact()) { isCommand = true }
            if isCommand { accepted += 1 }
            writer.member("accepted", isCommand)
            writer.closeObject()
        }
        writer.closeArray()
        #expect((150...1350).contains(accepted), "\(accepted)")
        let scratch = try ScratchDirectory()
        let file = scratch.url.appending(path: "verdicts.json")
        try Data(writer.bytes).write(to: file)
        let check = try CheckRun(["--verdicts", file.path(percentEncoded: false)])
        #expect(check.status == 0, "\(check.output)")
    }

    // MARK: The words of the code and of the schemas

    @Test("list every command, code, state and status of the code")
    func words() throws {
        let commands = try SchemaFiles.node("command.json")["properties"]?["command"]?["enum"]
        #expect(commands?.items.map(\.text) == CommandName.allCases.map(\.rawValue))
        let codes = try SchemaFiles.node("refusal.json")["properties"]?["code"]?["anyOf"]?[0]?[
            "enum"]
        #expect(codes?.items.map(\.text) == RefusalCode.allCases.map(\.rawValue))
        let shared = try #require(try SchemaFiles.node("definitions.json")["$defs"])
        let states = shared["sessionState"]?["enum"]?.items.map(\.text)
        #expect(states == SessionState.allCases.map(\.rawValue))
        let statuses = shared["sessionStatus"]?["enum"]?.items.map(\.text)
        #expect(statuses == SessionStatus.allCases.map(\.rawValue))
        let types = shared["sessionType"]?["enum"]?.items.compactMap(\.text) ?? []
        #expect(Set(types).isSuperset(of: SessionType.allCases.map(\.rawValue)))
        let parts = try SchemaFiles.node("parameters/DescribeSession.json")["properties"]?["parts"]
        #expect(
            parts?["items"]?["enum"]?.items.map(\.text) == DocumentPart.allCases.map(\.rawValue))
    }

    @Test("have the addresses that events name")
    func addresses() throws {
        let types = Set(Samples.bodies.flatMap(Samples.types))
        #expect(types.count == Samples.typeCount)
        #expect(Set(Samples.bodies.map(\.type)) == types, "every type is among the samples")
        for type in types {
            let address = SchemaPlace.data(ofType: type)
            let path = String(address.dropFirst(SchemaPlace.base.count))
            #expect(try SchemaFiles.node(path)["$id"]?.text == address)
        }
        #expect(try SchemaFiles.files(in: "events").count == types.count)
    }

    @Test("are checked with every result that a command can have")
    func resultsAreWhole() {
        #expect(Set(Samples.results.map { Samples.caseName($0.1) }).count == Samples.resultCases)
        #expect(Set(Samples.results.map(\.0)) == Set(CommandName.allCases))
    }
}
