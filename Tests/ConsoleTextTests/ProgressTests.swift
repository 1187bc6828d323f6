import CommandSchema
import ConsoleText
import CopyModel
import Testing

@Suite("Progress of a background copy")
struct ProgressTests {
    private func reading(_ percent: Int, left: Int = 10322) throws -> CopyReading {
        try #require(
            CopyReading(
                try node(
                    """
                    {"rolePair":"H1-R1","percent":\(percent),"tracksRemaining":\(left),
                     "bytesPerSecond":220200960,"estimatedCompletion":"2026-11-21T02:03:00Z"}
                    """)))
    }

    @Test("the bar shows per cent, what is left, the rate and the end")
    func bar() throws {
        let text = ProgressText(painter: plain)
        #expect(
            text.bar(try reading(37), columns: 140)
                == "H1-R1 [###########-------------------]  37 %  10322 tracks (645 MiB) left  "
                + "210 MiB/s  done about 2026-11-21T02:03:00Z")
        #expect(
            text.bar(try reading(100, left: 0), columns: 140)
                == "H1-R1 [##############################] 100 %  0 tracks left")
    }

    @Test(
        "the bar is never as wide as the terminal, and leaves out details before it breaks",
        arguments: 1...150)
    func narrow(_ columns: Int) throws {
        let bar = ProgressText(painter: plain).bar(try reading(37), columns: columns)
        #expect(bar.count < columns || bar.isEmpty)
        #expect(columns < 8 || bar.contains("37 %"))
    }

    @Test("the bar is full at 100 per cent only")
    func full() throws {
        let text = ProgressText(painter: plain)
        #expect(text.bar(try reading(99), columns: 80).contains("#-]"))
        #expect(!text.bar(try reading(100), columns: 80).contains("-]"))
    }

    @Test("lines come at every five per cent, every ten seconds of progress, and at the end")
    func lines() throws {
        var text = ProgressText(painter: plain)
        func line(_ percent: Int, _ second: Int64) throws -> String? {
            text.line(try reading(percent), at: Timestamp(milliseconds: second * 1000))
        }
        #expect(try line(10, 0) != nil)
        #expect(try line(12, 1) == nil)
        #expect(try line(15, 2) != nil)
        #expect(try line(15, 30) == nil)
        #expect(try line(16, 31) != nil)
        #expect(try line(99, 32) != nil)
        #expect(
            try line(100, 33) == "H1-R1 100 %, 10322 tracks (645 MiB) left")
        #expect(try line(100, 60) == nil)
    }
}

@Suite("Waiting for a background copy")
struct CopyWaitTests {
    private let wait = CopyWait(session: "payroll")

    private func step(_ type: String, _ data: String, subject: String = "payroll") throws
        -> CopyWait.Step
    {
        wait.event(try JSONNode(document: event(type, 1, subject: subject, data: data)))
    }

    private func described(_ result: String) throws -> [CopyWait.Step] {
        wait.described(try node(#"{"outcome":"completed","result":\#(result)}"#))
    }

    @Test("progress is shown; at 100 per cent the session is asked, not believed")
    func progress() throws {
        let shown = try step(
            "copy.progress", #"{"rolePair":"H1-R1","percent":37,"tracksRemaining":9}"#)
        guard case .show(let reading, let time) = shown else {
            Issue.record("not shown: \(shown)")
            return
        }
        #expect(reading.percent == 37)
        #expect(time == Timestamp(rfc3339: "2026-11-21T02:00:00.114Z"))
        let end = try step(
            "copy.progress", #"{"rolePair":"H1-R1","percent":100,"tracksRemaining":0}"#)
        #expect(end == .look)
    }

    @Test("a session that no longer copies is asked; one that copies, or another, is not")
    func changes() throws {
        #expect(try step("session.changed", #"{"copying":false}"#) == .look)
        #expect(try step("session.changed", #"{"copying":true}"#) == .wait)
        #expect(try step("session.deleted", #"{"copying":false}"#) == .look)
        #expect(try step("session.changed", #"{"copying":false}"#, subject: "other") == .wait)
        #expect(try step("backup.created", "{}") == .wait)
    }

    @Test("the copy is complete when the session does not copy and every role pair is at 100")
    func complete() throws {
        let steps = try described(
            #"{"session":"payroll","copying":false,"rolePairs":[{"rolePair":"H1-R1","percent":100}]}"#
        )
        #expect(steps.last == .complete)
    }

    @Test("it goes on while the session copies, whatever the per cent")
    func goesOn() throws {
        let steps = try described(
            #"{"session":"payroll","copying":true,"rolePairs":[{"rolePair":"H1-R1","percent":100}]}"#
        )
        #expect(steps.last == .wait)
    }

    @Test("a copy that stopped, was withdrawn, or whose session is gone is not complete")
    func ended() throws {
        let stopped = try described(
            #"{"session":"payroll","copying":false,"rolePairs":[{"rolePair":"H1-R1","percent":37}]}"#
        )
        #expect(stopped.last == .ended("H1-R1 stands at 37 % and is not copying"))
        let withdrawn = try described(#"{"session":"payroll","copying":false,"rolePairs":[]}"#)
        #expect(withdrawn == [.ended("the recovery was withdrawn before the copy was complete")])
        let gone = wait.described(
            try node(
                #"{"outcome":"refused","refusals":[{"code":"unknown-session","message":"None."}]}"#)
        )
        #expect(gone == [.ended("the session can no longer be followed: None.")])
    }

    @Test("only commands that start a copy are waited for")
    func starts() throws {
        func starts(_ text: String) throws -> Bool { CopyWait.startsCopy(try node(text)) }
        #expect(try starts(#"{"command":"InitiateBackgroundCopy"}"#))
        #expect(try starts(#"{"command":"Recover","parameters":{"backgroundCopy":true}}"#))
        #expect(try !starts(#"{"command":"Recover","parameters":{"backupId":"1"}}"#))
        #expect(try !starts(#"{"command":"Backup"}"#))
    }
}
