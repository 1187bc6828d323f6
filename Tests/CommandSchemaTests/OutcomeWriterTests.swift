import CommandSchema
import CopyModel
import Testing

@Suite("Outcomes as bytes")
struct OutcomeWriterTests {
    private static let time = Timestamp(milliseconds: 1_795_226_400_114)

    private func outcome(
        id: String = "payroll-2026-11-21T02:00Z", command: String = "Backup",
        result: CommandResult? = nil
    ) -> Outcome {
        Outcome(
            id: commandID(id), command: command, subject: subject("payroll"), isForStorage: false,
            kind: .completed,
            result: result ?? .backup(BackupID(seconds: 1_795_226_400), copySets: 12),
            revision: 42, receivedAt: Self.time, startedAt: Self.time.adding(milliseconds: 1),
            finishedAt: Self.time.adding(milliseconds: 17))
    }

    private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    @Test("are the contract's example, member by member")
    func example() {
        #expect(
            text(OutcomeWriter.bytes(outcome()))
                == #"{"id":"payroll-2026-11-21T02:00Z","command":"Backup","#
                + #""session":"payroll","outcome":"completed","duplicate":false,"#
                + #""result":{"backupId":"1795226400","copySets":12},"refusals":[],"error":null,"#
                + #""revision":42,"receivedAt":"2026-11-21T02:00:00.114Z","#
                + #""startedAt":"2026-11-21T02:00:00.115Z","#
                + #""finishedAt":"2026-11-21T02:00:00.131Z"}"#
        )
    }

    @Test("of nobody's message have a null session, id and command")
    func unattributable() throws {
        let refusal = Refusal(
            .malformedCommand, "It is \"so\".\n", subject: "/id", remedy: "Mend\\it.")
        for subject in [nil, SubjectName.unattributed] {
            let told = Outcome(
                id: nil, command: nil, subject: subject, isForStorage: false, kind: .refused,
                refusals: [refusal], revision: 0, receivedAt: Self.time, startedAt: Self.time,
                finishedAt: Self.time)
            let node = try JSONNode(document: OutcomeWriter.bytes(told))
            #expect(node["session"]?.isNull == true && node["storage"] == nil)
            #expect(node["id"]?.isNull == true && node["command"]?.isNull == true)
            #expect(node["result"]?.isNull == true && node["error"]?.isNull == true)
            #expect(node["refusals"]?[0]?["message"]?.text == refusal.message)
            #expect(node["refusals"]?[0]?["remedy"]?.text == refusal.remedy)
            #expect(node["refusals"]?[0]?["code"]?.text == "malformed-command")
        }
    }

    @Test("name a storage system as storage, and an error as error")
    func storage() throws {
        var failed = outcome(command: "CreateVolumes")
        failed.isForStorage = true
        failed.kind = .failed
        failed.result = nil
        failed.error = Refusal(
            .storageFailed, "It could not.", subject: "box1:0100", remedy: "Again.")
        let node = try JSONNode(document: OutcomeWriter.bytes(failed))
        #expect(node["storage"]?.text == "payroll" && node["session"] == nil)
        #expect(node["error"]?["code"]?.text == "storage-failed")
        #expect(
            node.members.map(\.key) == [
                "id", "command", "storage", "outcome", "duplicate", "result", "refusals", "error",
                "revision", "receivedAt", "startedAt", "finishedAt",
            ])
    }

    @Test(
        "are marked as duplicates in one place only",
        arguments: [
            "plain", #"","duplicate":false,"x":"#, #"\","duplicate":false"#, "duplicate",
        ])
    func duplicate(_ id: String) throws {
        let tricky = Refusal(.unknownBackup, #""duplicate":false"#, remedy: #"{"duplicate":false}"#)
        var told = outcome(id: id, command: #"x","duplicate":false,"y":""#)
        told.kind = .refused
        told.result = nil
        told.refusals = [tricky]
        let stored = OutcomeWriter.bytes(told)
        told.duplicate = true
        let marked = OutcomeWriter.markDuplicate(stored)
        #expect(text(marked) == text(OutcomeWriter.bytes(told)))
        #expect(OutcomeWriter.markDuplicate(marked) == marked, "marked once is marked")
    }

    @Test("of other bytes come back unmarked", arguments: ["", "{}", #"{"duplicate":nul"#])
    func foreign(_ text: String) {
        #expect(OutcomeWriter.markDuplicate(Array(text.utf8)) == Array(text.utf8))
    }

    @Test(
        "carry any text there and back",
        arguments: [
            "", "plain", "\"\\/", "\u{0}\u{1}\u{8}\u{9}\u{A}\u{B}\u{C}\u{D}\u{1F}", "\u{7F}\u{80}",
            "é€😀",
            "\u{2028}\u{2029}\u{FEFF}\u{FFFF}", "e\u{301}", String(repeating: "long ", count: 5000),
        ])
    func anyText(_ message: String) throws {
        var told = outcome(result: .refreshed(changes: [message, message]))
        told.refusals = [Refusal(.cycle, message, subject: message, remedy: message)]
        let node = try JSONNode(document: OutcomeWriter.bytes(told))
        #expect(
            node["refusals"]?[0]?["message"]?.text.map { Array($0.utf8) } == Array(message.utf8))
        #expect(node["result"]?["changes"]?.items.count == 2)
    }

    @Test(
        "write times as the model does, whatever the order of minutes",
        arguments: [
            [0, 1, 59_999, 60_000], [1_795_226_400_114, 1_795_226_459_999, 1_795_226_400_000],
            [-1, -60_000, -59_999, 0], [253_402_300_799_999, 0, 253_402_300_799_998],
        ])
    func times(_ milliseconds: [Int64]) throws {
        var writer = JSONWriter()
        writer.openArray()
        for value in milliseconds { writer.time(Timestamp(milliseconds: value)) }
        writer.closeArray()
        let node = try JSONNode(document: writer.bytes)
        #expect(
            node.items.map(\.text) == milliseconds.map { Timestamp(milliseconds: $0).description })
    }

    @Test("write numbers in full", arguments: [UInt64.min, 1, 9, 10, 1_234_567_890, .max])
    func numbers(_ value: UInt64) {
        var writer = JSONWriter()
        writer.openArray()
        writer.integer(value)
        writer.integer(Int64.min)
        writer.integer(-7)
        writer.closeArray()
        #expect(text(writer.bytes) == "[\(value),\(Int64.min),-7]")
    }
}

@Suite("The session document")
struct SessionDocumentTests {
    private func payroll() -> Session {
        var session = Session(
            name: subject("payroll"), description: "",
            services: .safeguarded(SafeguardedServices(options: SafeguardedOptions())))
        let h1 = volume("box1:0100")
        session.state = .protected
        session.revision = 42
        session.copySets = [CopySet(h1: h1, r1: volume("box1:0200"))]
        let id = BackupID(seconds: 1_795_226_400)
        var backup = Backup(
            id: id, tag: PointTag(session: session.name, backup: id),
            time: Timestamp(milliseconds: 1_795_226_400_000), sources: [h1])
        backup.verified = true
        session.safeguarded?.backups = [backup]
        let pair = Pair(
            source: h1, target: volume("box1:0200"), state: .targetAvailable,
            tracksRemaining: 10_322,
            tracks: 16_384)
        session.safeguarded?.recovery = Recovery(
            backup: backup.id, backgroundCopy: true, pairs: [pair])
        return session
    }

    private let available: [CommandName] = [
        .backup, .expireBackup, .initiateBackgroundCopy, .modifySession, .describeSession,
        .refreshStates, .terminateH1R1, .terminate,
    ]

    @Test("is the contract's example, member by member")
    func example() {
        let bytes = OutcomeWriter.sessionDocument(payroll(), availableCommands: available)
        let expected =
            #"{"session":"payroll","type":"SafeguardedCopy","description":"","state":"Protected","#
            + #""status":"Normal","recoverable":true,"copying":true,"error":false,"revision":42,"#
            + #""options":{"minimumMinutesBetweenBackups":0,"retentionMinutes":0,"#
            + #""expireBackupOnAutoRoll":false},"copySets":[{"H1":"box1:0100","R1":"box1:0200"}],"#
            + #""rolePairs":[{"rolePair":"H1-R1","recoverable":true,"copying":true,"percent":36,"#
            + #""pairs":1,"recoverablePairs":1,"copyingPairs":1,"#
            + #""recoveryTime":"2026-11-21T02:00:00Z"}],"#
            + #""pairs":[{"rolePair":"H1-R1","copySet":"box1:0100","source":"box1:0100","#
            + #""target":"box1:0200","state":"TargetAvailable","recoverable":true,"copying":true,"#
            + #""tracksRemaining":10322,"percent":36,"lastResult":null}],"#
            + #""backups":[{"backupId":"1795226400","time":"2026-11-21T02:00:00Z","copySets":1,"#
            + #""recoverableCopySets":1,"recoverable":true}],"recoveredBackup":"1795226400","#
            + #""availableCommands":["Backup","ExpireBackup","#
            + #""InitiateBackgroundCopy","ModifySession","#
            + #""DescribeSession","RefreshStates","TerminateH1R1","Terminate"]}"#
        #expect(String(decoding: bytes, as: UTF8.self) == expected)
    }

    @Test(
        "has the parts that were asked for, and always its name and type",
        arguments: [
            ([DocumentPart.copySets], ["session", "type", "copySets"]),
            ([.backups, .pairs], ["session", "type", "pairs", "backups"]),
            ([.rolePairs], ["session", "type", "rolePairs"]),
            (
                [.summary],
                [
                    "session", "type", "description", "state", "status", "recoverable", "copying",
                    "error",
                    "revision", "options", "recoveredBackup", "availableCommands",
                ]
            ),
        ])
    func parts(_ parts: [DocumentPart], _ keys: [String]) throws {
        let bytes = OutcomeWriter.sessionDocument(
            payroll(), parts: Set(parts), availableCommands: available)
        #expect(try JSONNode(document: bytes).members.map(\.key) == keys)
    }
}
