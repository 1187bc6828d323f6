import CommandSchema
import CopyModel
import Testing

@Suite("Commands from a command line")
struct CommandWriterTests {
    private func command(
        _ name: String, _ subject: String, _ parameters: [(key: String, value: String)]
    ) throws -> Command? {
        let bytes = try CommandWriter.bytes(
            name: name, subject: subject, id: "a", parameters: parameters)
        guard case .command(let envelope) = CommandReader.read(body: bytes, messageID: nil) else {
            return nil
        }
        return envelope.command
    }

    @Test("take plain text for text, and JSON for the rest")
    func values() throws {
        #expect(
            try command("Recover", "p", [("backupId", "1795226400"), ("backgroundCopy", "true")])
                == .recover(BackupID(seconds: 1_795_226_400), backgroundCopy: true))
        #expect(
            try command("ExpireBackup", "p", [("backupId", "\"17\"")])
                == .expireBackup(BackupID(seconds: 17)))
        #expect(
            try command("ModifySession", "p", [("description", "null")])
                == .modifySession(description: "null", options: OptionChanges()))
    }

    @Test("make members of members from dotted keys")
    func dotted() throws {
        var changes = OptionChanges()
        changes.retentionMinutes = 60
        changes.expireBackupOnAutoRoll = true
        let parameters = [
            (key: "type", value: "SafeguardedCopy"), ("options.retentionMinutes", "60"),
            ("description", "Pay roll"), ("options.expireBackupOnAutoRoll", "true"),
        ]
        #expect(
            try command("CreateSession", "p", parameters)
                == .createSession(type: .safeguardedCopy, description: "Pay roll", options: changes)
        )
    }

    @Test("take lists as JSON or separated by commas")
    func lists() throws {
        #expect(
            try command("DescribeSession", "p", [("parts", "summary,backups")])
                == .describeSession(parts: [.summary, .backups]))
        #expect(
            try command("DeleteVolumes", "b", [("volumes", "0100")])
                == .deleteVolumes([local("0100")]))
        #expect(
            try command("AddCopySets", "p", [("copySets", #"[{"H1":"b:0100"}]"#)])
                == .addCopySets([CopySet(h1: volume("b:0100"), r1: nil)]))
    }

    @Test("send what they do not know, for the worker to judge")
    func unknown() throws {
        let bytes = try CommandWriter.bytes(
            name: "Flash", subject: "p", id: "a", parameters: [("x", "1.5")],
            notAfter: Timestamp(milliseconds: 0), dryRun: true)
        #expect(
            String(decoding: bytes, as: UTF8.self)
                == #"{"id":"a","command":"Flash","session":"p","parameters":{"x":1.5},"#
                + #""notAfter":"1970-01-01T00:00:00.000Z","dryRun":true}"#)
    }

    @Test(
        "refuse keys that cannot be used",
        arguments: [
            ["", "1"], ["a..b", "1"], [".a", "1"], ["a", "1", "a", "2"], ["a", "1", "a.b", "2"],
            ["a.b", "1", "a", "2"], ["a.b", "1", "a.b", "2"],
            [String(repeating: "a.", count: 5000) + "a", "1"],
        ])
    func badKeys(_ texts: [String]) {
        let parameters = stride(from: 0, to: texts.count, by: 2).map {
            (key: texts[$0], value: texts[$0 + 1])
        }
        let refusal = #expect(throws: Refusal.self) {
            _ = try CommandWriter.bytes(
                name: "Backup", subject: "p", id: "a", parameters: parameters)
        }
        #expect(refusal?.code == .malformedCommand)
    }
}
