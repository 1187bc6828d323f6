import CommandSchema
import ConsoleText
import CopyModel
import Testing

/// A CloudEvent of payroll; `sequence` is spelled with 20 digits.
func event(
    _ type: String, _ sequence: Int, subject: String = "payroll",
    time: String = "2026-11-21T02:00:00.114Z", data: String = "{}"
) -> [UInt8] {
    let digits = String(sequence)
    let padded = String(repeating: "0", count: 20 - digits.count) + digits
    return Array(
        """
        {"specversion":"1.0","id":"\(subject)/\(padded)","source":"/stillpoint/dev",\
        "type":"stillpoint.\(type)","subject":"\(subject)","time":"\(time)",\
        "sequence":"\(padded)","data":\(data)}
        """.utf8)
}

@Suite("An event in words")
struct EventWordsTests {
    @Test(
        "each type says its essentials",
        arguments: [
            (
                "command.completed",
                #"{"id":"n-1","command":"Backup","outcome":"completed","result":{"backupId":"7","copySets":12}}"#,
                "Backup completed, backup 7, 12 copy sets [n-1]"
            ),
            (
                "command.refused",
                #"{"id":"n-1","command":"Backup","outcome":"refused","refusals":[{"code":"minimum-interval","message":"Too soon."},{"code":"x","message":"y"}]}"#,
                "Backup refused: minimum-interval: Too soon. (and 1 more reason) [n-1]"
            ),
            (
                "command.failed",
                #"{"id":null,"command":"Recover","outcome":"failed","error":{"code":"storage-failed","message":"No."}}"#,
                "Recover failed: storage-failed: No."
            ),
            (
                "session.changed",
                #"{"state":"Protected","status":"Normal","recoverable":true,"copying":true,"error":false,"copySets":1,"newestRecoverableBackup":"7"}"#,
                "Protected, Normal, recoverable, copying, 1 copy set, newest backup 7"
            ),
            ("session.deleted", "{}", "session deleted"),
            (
                "pair.changed",
                #"{"rolePair":"H1-R1","source":"box1:0100","target":"box1:0200","state":"TargetAvailable","copying":true,"progress":37,"lastResult":null}"#,
                "H1-R1 box1:0100 to box1:0200 TargetAvailable, copying, 37 %"
            ),
            (
                "backup.recoverable",
                #"{"backupId":"1795226400","copySets":12,"recoverableCopySets":12,"reason":null}"#,
                "backup 1795226400 recoverable, 12 copy sets"
            ),
            (
                "backup.created",
                #"{"backupId":"7","copySets":1,"recoverableCopySets":0,"reason":null}"#,
                "backup 7 taken, 1 copy set"
            ),
            (
                "backup.unrecoverable",
                #"{"backupId":"7","copySets":12,"recoverableCopySets":11,"reason":"No longer on box1:0100."}"#,
                "backup 7 no longer recoverable, 11 of 12 copy sets: No longer on box1:0100."
            ),
            (
                "copy.progress",
                #"{"rolePair":"H1-R1","percent":37,"tracksRemaining":10322,"bytesPerSecond":220200960,"estimatedCompletion":"2026-11-21T02:03:00Z"}"#,
                "H1-R1 37 %, 10322 tracks (645 MiB) left, 210 MiB/s, done about 2026-11-21T02:03:00Z"
            ),
            (
                "storage.capacity", #"{"volume":"box1:0100","usedPercent":83,"level":"warning"}"#,
                "volume box1:0100: safeguarded capacity 83 % used, level warning"
            ),
            ("mirror.frozen", #"{"a":[1,2]}"#, #"{"a":[1,2]}"#),
        ])
    func words(_ type: String, _ data: String, _ words: String) throws {
        let line = try #require(EventLine(try JSONNode(document: event(type, 42, data: data))))
        #expect(line.words == words)
        #expect(line.type == type)
        #expect(line.sequence == 42)
    }

    @Test("control characters in an event's texts are spelled out")
    func control() throws {
        let data =
            #"{"id":"x","command":"\u001b]0;owned\u0007","outcome":"completed","result":null}"#
        let line = try #require(
            EventLine(try JSONNode(document: event("command.completed", 1, data: data))))
        #expect(line.words == "\\u{1b}]0;owned\\u{7} completed [x]")
    }
}

@Suite("Gaps and repeats")
struct SequenceLedgerTests {
    private func time(_ second: Int64) -> Timestamp { Timestamp(milliseconds: second * 1000) }

    @Test("numbers that follow are no gap, a missing one is named")
    func gaps() {
        var ledger = SequenceLedger()
        #expect(ledger.enter(subject: "a", sequence: 41, time: time(1)) == .first)
        #expect(ledger.enter(subject: "a", sequence: 42, time: time(1)) == .next)
        #expect(ledger.enter(subject: "a", sequence: 44, time: time(2)) == .gap(43...43))
        #expect(ledger.enter(subject: "a", sequence: 50, time: time(2)) == .gap(45...49))
        #expect(ledger.enter(subject: "a", sequence: 51, time: time(3)) == .next)
    }

    @Test("each subject counts for itself")
    func subjects() {
        var ledger = SequenceLedger()
        #expect(ledger.enter(subject: "a", sequence: 1, time: nil) == .first)
        #expect(ledger.enter(subject: "b", sequence: 7, time: nil) == .first)
        #expect(ledger.enter(subject: "a", sequence: 2, time: nil) == .next)
        #expect(ledger.enter(subject: "b", sequence: 8, time: nil) == .next)
    }

    @Test("a repeat is dropped and opens no gap behind it")
    func repeats() {
        var ledger = SequenceLedger()
        _ = ledger.enter(subject: "a", sequence: 5, time: time(5))
        _ = ledger.enter(subject: "a", sequence: 6, time: time(6))
        #expect(ledger.enter(subject: "a", sequence: 5, time: time(5)) == .repeated)
        #expect(ledger.enter(subject: "a", sequence: 6, time: time(6)) == .repeated)
        #expect(ledger.enter(subject: "a", sequence: 7, time: time(7)) == .next)
    }

    @Test("counting that begins anew later is not taken for repeats")
    func restart() {
        var ledger = SequenceLedger()
        _ = ledger.enter(subject: "a", sequence: 500, time: time(5))
        #expect(ledger.enter(subject: "a", sequence: 1, time: time(6)) == .restarted(after: 500))
        #expect(ledger.enter(subject: "a", sequence: 2, time: time(6)) == .next)
    }
}

@Suite("watch")
struct WatchTextTests {
    private func watch(_ subject: String? = nil, json: Bool = false, terminal: Bool = false)
        -> WatchText
    {
        WatchText(subject: subject, asJSON: json, escapesJSON: terminal, painter: plain)
    }

    @Test("an event is one line: time, subject, number, type, words")
    func line() {
        var watch = watch()
        let backup =
            #"{"backupId":"1795226400","copySets":12,"recoverableCopySets":12,"reason":null}"#
        #expect(
            watch.take(event("backup.recoverable", 42, data: backup)).line
                == "2026-11-21T02:00:00.114Z  payroll       42  backup.recoverable    "
                + "backup 1795226400 recoverable, 12 copy sets")
    }

    @Test("a gap is reported loudly, and the event is shown all the same")
    func gap() throws {
        var watch = watch()
        #expect(watch.take(event("session.deleted", 41)).warning == nil)
        let output = watch.take(event("session.deleted", 44))
        #expect(output.line != nil)
        let warning = try #require(output.warning)
        #expect(warning.hasPrefix("GAP: payroll: events 42 to 43 are missing"))
    }

    @Test("another subject's events, and repeats, are not shown")
    func filtered() {
        var watch = watch("payroll")
        var outputs: [WatchText.Output] = []
        for bytes in [event("x", 1, subject: "other"), event("x", 5), event("x", 5)] {
            outputs.append(watch.take(bytes))
        }
        #expect(outputs.map { $0.line != nil } == [false, true, false])
        #expect(outputs.allSatisfy { $0.warning == nil })
    }

    @Test("JSON is one CloudEvent a line, as it came")
    func json() throws {
        var watch = watch(json: true)
        let bytes = event("session.deleted", 1)
        #expect(watch.take(bytes).line == String(decoding: bytes, as: UTF8.self))
        let spread = Array(try JSONNode(document: event("session.deleted", 2)).pretty().utf8)
        let line = try #require(watch.take(spread).line)
        #expect(!line.contains("\n"))
        #expect(try node(line) == JSONNode(document: spread))
    }

    @Test("JSON for a terminal carries no control characters")
    func jsonOnTerminal() throws {
        var watch = watch(json: true, terminal: true)
        let line = try #require(watch.take(event("x", 1, data: "{\"a\":\"\u{9B}2J\"}")).line)
        #expect(line.contains("\\u009b2J"))
    }

    @Test("what is not an event is reported, not shown")
    func garbage() {
        var watch = watch()
        #expect(watch.take(Array("{".utf8)).warning != nil)
        #expect(watch.take(Array("{}".utf8)).warning != nil)
        #expect(watch.take(Array("{}".utf8)).line == nil)
    }

    @Test(
        "--from is a word, an offset or a time",
        arguments: [
            ("first", .first), ("last", .last), ("next", .next), ("0", .offset(0)),
            ("18446744073709551615", .offset(.max)),
            ("1970-01-01T00:00:02Z", .time(Timestamp(milliseconds: 2000))),
            ("-1", nil), ("+1", nil), ("First", nil), ("", nil), ("1969-12-31T00:00:00Z", nil),
        ] as [(String, ReplayStart?)])
    func from(_ text: String, _ start: ReplayStart?) {
        #expect(ReplayStart(text) == start)
    }
}

@Suite("Sessions from the event log")
struct SessionFoldTests {
    private func summary(_ state: String) -> String { #"{"session":"x","state":"\#(state)"}"# }

    private func fold(_ events: [[UInt8]]) throws -> [String?] {
        var fold = SessionFold()
        for bytes in events { fold.take(try JSONNode(document: bytes)) }
        return fold.sessions.map { $0["state"]?.text }
    }

    @Test("the last summary of each session counts, in order of name")
    func last() throws {
        let states = try fold([
            event("session.created", 1, subject: "b", data: summary("Defined")),
            event("session.created", 1, subject: "a", data: summary("Defined")),
            event("session.changed", 2, subject: "b", data: summary("Protected")),
            event("backup.created", 3, subject: "b", data: summary("no summary")),
        ])
        #expect(states == ["Defined", "Protected"])
    }

    @Test("a repeat does not turn time back, and does not bring a deleted session back")
    func repeats() throws {
        let created = event("session.created", 1, data: summary("Defined"))
        let changed = event("session.changed", 2, data: summary("Protected"))
        #expect(try fold([created, changed, created]) == ["Protected"])
        #expect(try fold([created, changed, event("session.deleted", 3), changed]) == [])
    }

    @Test("a session that was made again is there again")
    func again() throws {
        let events = [
            event("session.created", 1, data: summary("Defined")), event("session.deleted", 2),
            event("session.created", 3, data: summary("Defined")),
        ]
        #expect(try fold(events) == ["Defined"])
    }
}
