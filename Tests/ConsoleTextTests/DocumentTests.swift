import CommandSchema
import ConsoleText
import Testing

@Suite("A session as people read it")
struct SessionTextTests {
    static let payroll = """
        {"session": "payroll", "type": "SafeguardedCopy", "description": "nightly",
         "state": "Protected", "status": "Normal", "recoverable": true, "copying": true, "error": false,
         "revision": 42,
         "options": {"minimumMinutesBetweenBackups": 0, "retentionMinutes": 1440,
                     "expireBackupOnAutoRoll": false},
         "copySets": [{"H1": "box1:0100", "R1": "box1:0200"}, {"H1": "box1:0101"}],
         "rolePairs": [{"rolePair": "H1-R1", "recoverable": true, "copying": true, "percent": 37,
            "pairs": 1, "recoverablePairs": 1, "copyingPairs": 1,
            "recoveryTime": "2026-11-21T02:00:00Z"}],
         "pairs": [{"rolePair": "H1-R1", "copySet": "box1:0100", "source": "box1:0100",
            "target": "box1:0200", "state": "TargetAvailable", "recoverable": true, "copying": true,
            "tracksRemaining": 10322, "percent": 37, "lastResult": null}],
         "backups": [{"backupId": "1795226400", "time": "2026-11-21T02:00:00Z", "copySets": 2,
            "recoverableCopySets": 2, "recoverable": true},
           {"backupId": "1795230000", "time": "2026-11-21T03:00:00Z", "copySets": 2,
            "recoverableCopySets": 1, "recoverable": false}],
         "recoveredBackup": "1795226400",
         "availableCommands": ["Backup", "ExpireBackup"]}
        """

    @Test("every part of the document is shown, under headers, aligned")
    func whole() throws {
        #expect(
            page(SessionText.lines(try node(Self.payroll), plain)) == """
                payroll  SafeguardedCopy
                  Description         nightly
                  State               Protected
                  Status              Normal
                  Recoverable         yes
                  Copying             yes
                  Error               no
                  Recovered backup    1795226400
                  Revision            42
                  Available commands  Backup, ExpireBackup

                Options
                  minimumMinutesBetweenBackups  0 (off)
                  retentionMinutes              1440 (24 h 0 min)
                  expireBackupOnAutoRoll        no

                Copy sets (2)
                  H1         R1
                  box1:0100  box1:0200
                  box1:0101  -

                Role pairs (1)
                  ROLE PAIR  RECOVERABLE  COPYING  PROGRESS  PAIRS  RECOVERABLE  COPYING  RECOVERY TIME
                  H1-R1      yes          yes          37 %      1            1        1  2026-11-21T02:00:00Z

                Pairs (1)
                  ROLE PAIR  SOURCE     TARGET     STATE            RECOVERABLE  COPYING  PROGRESS  REMAINING  LAST RESULT
                  H1-R1      box1:0100  box1:0200  TargetAvailable  yes          yes          37 %    645 MiB  -

                Backups, oldest first (2)
                  BACKUP      TIME                  COPY SETS  RECOVERABLE
                  1795226400  2026-11-21T02:00:00Z          2  yes          recovered
                  1795230000  2026-11-21T03:00:00Z          2  1 of 2
                """)
    }

    @Test("parts that were not asked for are not shown, empty ones are")
    func parts() throws {
        let document = try node(#"{"session":"a","type":"SafeguardedCopy","backups":[]}"#)
        #expect(
            page(SessionText.lines(document, plain)) == """
                a  SafeguardedCopy

                Backups, oldest first (0)
                  none
                """)
    }

    @Test("all sessions are one table, with the time of the newest backup")
    func summaries() throws {
        let list = try node(
            """
            [{"session":"payroll","type":"SafeguardedCopy","state":"Protected","status":"Normal",
              "recoverable":true,"copying":false,"error":false,"copySets":12,
              "newestRecoverableBackup":"1795226400","revision":42},
             {"session":"b","type":"SafeguardedCopy","state":"Defined","status":"Inactive",
              "recoverable":false,"copying":false,"error":false,"copySets":0,
              "newestRecoverableBackup":null,"revision":1}]
            """)
        #expect(
            page(SessionText.table(ofSummaries: list.items, plain)) == """
                SESSION  TYPE             STATE      STATUS    RECOVERABLE  COPYING  ERROR  COPY SETS  NEWEST BACKUP  TAKEN
                payroll  SafeguardedCopy  Protected  Normal    yes          no       no            12  1795226400     2026-11-21T02:00:00Z
                b        SafeguardedCopy  Defined    Inactive  no           no       no             0  -              -
                """)
    }

    @Test("a backup id far beyond any calendar is shown without a time")
    func farFuture() throws {
        let list = try node(#"[{"session":"a","newestRecoverableBackup":"18446744073709551615"}]"#)
        let lines = SessionText.table(ofSummaries: list.items, plain)
        #expect(lines[1].hasSuffix("18446744073709551615  -"))
    }
}

@Suite("A storage system as people read it")
struct StorageTextTests {
    @Test("volumes, relationships and points are tables with units")
    func whole() throws {
        let document = try node(
            """
            {"storage":"box1","volumes":[
              {"id":"0100","capacity":"10GiB","capacityBytes":10737418240,"allocatedBytes":5368709120,
               "safeguardedMultiplier":4,"safeguardedUsedBytes":36507222016,"usedPercent":85,
               "points":[{"tag":"payroll/1795226400","session":"payroll","backupId":"1795226400",
                          "time":"2026-11-21T02:00:00Z","capacity":"10GiB"}],"relationship":null},
              {"id":"0200","capacity":"10GiB","capacityBytes":10737418240,"allocatedBytes":0,
               "safeguardedMultiplier":0,"safeguardedUsedBytes":0,"usedPercent":0,"points":[],
               "relationship":{"source":"box1:0100","tag":"payroll/1795226400",
                 "tracksRemaining":10322,"tracks":163840,"percent":93,"backgroundCopy":true}}]}
            """)
        #expect(
            page(StorageText.lines(document, plain)) == """
                box1  2 volumes

                  VOLUME  CAPACITY  ALLOCATED  SAFEGUARDED  IN USE  USED  POINTS
                  0100      10 GiB      5 GiB           x4  34 GiB  85 %       1
                  0200      10 GiB        0 B         none       -     -       0

                Relationships
                  TARGET  SOURCE     POINT               BACKGROUND COPY  PROGRESS  REMAINING
                  0200    box1:0100  payroll/1795226400  yes                  93 %    645 MiB

                Points, oldest first
                  VOLUME  SESSION  BACKUP      TIME                  CAPACITY
                  0100    payroll  1795226400  2026-11-21T02:00:00Z    10 GiB
                """)
    }
}

@Suite("FlashCopy as people read it")
struct FlashTextTests {
    @Test(
        "a session says when it was flashed; pairs what is incremental, since when and what is left"
    )
    func session() throws {
        let document = try node(
            """
            {"session":"nightly","type":"FlashCopy","description":"","state":"TargetAvailable",
             "status":"Normal","recoverable":true,"copying":true,"error":false,"revision":7,
             "flashTime":null,"discovered":true,"consistencyVerified":false,"flashTimeSpread":61,
             "pairs":[{"rolePair":"H1-T1","copySet":"box1:0100","source":"box1:0300",
               "target":"box1:0100","state":"TargetAvailable","recoverable":true,"copying":true,
               "tracksRemaining":160,"percent":99,"lastResult":null,"incremental":true,
               "reversed":true,"revertible":false,"relationshipEnded":false,
               "flashTime":"2026-11-21T02:00:00Z"}]}
            """)
        #expect(
            page(SessionText.lines(document, plain)) == """
                nightly  FlashCopy
                  State        TargetAvailable
                  Status       Normal
                  Recoverable  yes
                  Copying      yes
                  Error        no
                  Flash time   -
                  Pairs        found on the storage, whether they fit each other was not verified; their times differ by 61 seconds
                  Revision     7

                Pairs (1)
                  ROLE PAIR  SOURCE     TARGET     STATE            RECOVERABLE  COPYING  PROGRESS  REMAINING  INCREMENTAL  SINCE                 NOTE      LAST RESULT
                  H1-T1      box1:0300  box1:0100  TargetAvailable  yes          yes          99 %     10 MiB  yes          2026-11-21T02:00:00Z  reversed  -
                """)
    }

    @Test("relationships are a table, with what speaks against reversing them where that was asked")
    func relationships() throws {
        let relationship =
            """
            {"source":"box1:0100","tag":null,"tracksRemaining":160,"tracks":163840,"percent":99,
             "backgroundCopy":true,"persistent":true,"incremental":true,"tracksOutOfSync":320,
             "flashTime":"2026-11-21T02:00:00Z"}
            """
        let query = try node(
            """
            {"relationships":[{"copySet":"box1:0100","target":"box1:0300",
              "relationship":\(relationship),
              "reverseRestore":{"allowed":false,"refusals":[{"code":"copy-incomplete"}]},
              "fastReverseRestore":{"allowed":true,"refusals":[]}},
             {"copySet":"box1:0101","target":"box1:0301","relationship":null,
              "reverseRestore":{"allowed":false,"refusals":[{"code":"no-relationship"}]},
              "fastReverseRestore":{"allowed":false,"refusals":[{"code":"no-relationship"}]}}]}
            """)
        #expect(
            page(RelationshipText.lines(query, plain)) == """
                  SOURCE     TARGET     PRESENTS              PROGRESS  REMAINING  OUT OF SYNC  COPY        ATTRIBUTES               REVERSE RESTORE  FAST
                  box1:0100  box1:0300  2026-11-21T02:00:00Z      99 %     10 MiB       20 MiB  background  incremental, persistent  copy-incomplete  allowed
                  box1:0101  box1:0301  no relationship              -          -            -  -           -                        no-relationship  no-relationship
                """)
        let none = try node(#"{"storage":"box1","relationships":[]}"#)
        #expect(RelationshipText.lines(none, plain) == ["  no relationships"])
    }
}

@Suite("An outcome as people read it")
struct OutcomeTextTests {
    private func outcome(_ members: String) throws -> JSONNode {
        try node(
            """
            {"id":"x","command":"Backup","session":"payroll",\(members),"revision":42,
             "receivedAt":"2026-11-21T02:00:00.114Z","startedAt":"2026-11-21T02:00:00.115Z",
             "finishedAt":"2026-11-21T02:00:00.131Z"}
            """)
    }

    @Test("a completed command says what came of it and how long it took")
    func completed() throws {
        let outcome = try outcome(
            #"""
            "outcome":"completed","duplicate":false,
            "result":{"backupId":"1795226400","copySets":12},"refusals":[],"error":null
            """#)
        #expect(
            page(OutcomeText.lines(outcome, plain)) == """
                Backup payroll: completed in 17 ms
                  Backup id  1795226400
                  Copy sets  12
                """)
        #expect(ExitStatus(outcome: outcome) == .completed)
    }

    @Test("a refusal shows every reason with its code, subject, sentence and remedy")
    func refused() throws {
        let outcome = try outcome(
            #"""
            "outcome":"refused","duplicate":false,"result":null,"error":null,"refusals":[
              {"code":"minimum-interval","message":"Too soon.","subject":"payroll","remedy":"Wait."},
              {"code":"no-safeguarded-capacity","message":"H1 has none.","subject":"H1 box1:0100",
               "remedy":"SetSafeguardedCapacity"},
              {"code":"from-the-future\u001b[2J","message":"New.","subject":"","remedy":""}]
            """#)
        #expect(
            page(OutcomeText.lines(outcome, plain))
                == """
                Backup payroll: refused for 3 reasons
                  minimum-interval  payroll
                    Too soon.
                    Remedy: Wait.
                  no-safeguarded-capacity  H1 box1:0100
                    H1 has none.
                    Remedy: SetSafeguardedCapacity
                  from-the-future\\u{1b}[2J
                    New.
                """.replacing(" in 17 ms", with: "")
                .replacing("3 reasons", with: "3 reasons in 17 ms"))
        #expect(ExitStatus(outcome: outcome) == .refused)
    }

    @Test("a failure shows the error")
    func failed() throws {
        let outcome = try outcome(
            #"""
            "outcome":"failed","duplicate":false,"result":null,"refusals":[],
            "error":{"code":"storage-failed","message":"No space.","subject":"box1","remedy":"Free it."}
            """#)
        #expect(
            page(OutcomeText.lines(outcome, plain)) == """
                Backup payroll: failed in 17 ms
                  storage-failed  box1
                    No space.
                    Remedy: Free it.
                """)
        #expect(ExitStatus(outcome: outcome) == .failed)
    }

    @Test("a repeat says so, and does not pretend to have taken that time")
    func duplicate() throws {
        let outcome = try outcome(
            #""outcome":"completed","duplicate":true,"result":{},"refusals":[],"error":null"#)
        #expect(
            OutcomeText.lines(outcome, plain)
                == ["Backup payroll: completed (a repeat: this is the outcome of the first time)"])
    }

    @Test("lists in a result are tables, sentences are lines, names are one line")
    func lists() throws {
        let outcome = try outcome(
            #"""
            "outcome":"completed","duplicate":false,"refusals":[],"error":null,"result":{
              "copySets":[{"H1":"box1:0100","R1":"box1:0200"}],"expired":["1","2"],
              "wouldDo":["Take a point on box1:0100.","Tell it."],"backgroundCopy":true}
            """#)
        #expect(
            page(OutcomeText.lines(outcome, plain)) == """
                Backup payroll: completed in 17 ms
                  Expired          1, 2
                  Background copy  yes
                  Copy sets
                    H1         R1
                    box1:0100  box1:0200
                  Would do
                    Take a point on box1:0100.
                    Tell it.
                """)
    }

    @Test("an outcome of an unknown kind is shown and counts as failed")
    func unknown() throws {
        let outcome = try node(#"{"command":"Backup","session":"p","outcome":"postponed"}"#)
        #expect(OutcomeText.lines(outcome, plain) == ["Backup p: postponed"])
        #expect(ExitStatus(outcome: outcome) == .failed)
    }
}

@Suite("Exit statuses")
struct ExitStatusTests {
    @Test("the numbers are the contract's")
    func numbers() {
        #expect(ExitStatus.allCases.map(\.rawValue) == [0, 2, 3, 4, 5, 69])
    }

    @Test("check ends with the gravest finding: 69, then 4, then 0")
    func check() {
        let ok = Finding(.ok, "a", "fine")
        let warning = Finding(.warning, "b", "look")
        let failed = Finding(.failed, "c", "broken", remedy: "mend it")
        let broker = Finding(.brokerUnreachable, "broker", "gone")
        #expect(CheckText.status([ok, warning]) == .completed)
        #expect(CheckText.status([ok, failed]) == .failed)
        #expect(CheckText.status([failed, broker, ok]) == .brokerUnreachable)
    }

    @Test("findings are aligned, each remedy on its own line, and the same for programs")
    func lines() throws {
        let findings = [
            Finding(.ok, "broker", "answers"),
            Finding(.failed, "storage box1", "gone", remedy: "Mend."),
        ]
        #expect(
            page(CheckText.lines(findings, plain)) == """
                ok       broker        answers
                failed   storage box1  gone
                         Remedy: Mend.
                """)
        let document = try JSONNode(document: CheckText.json(findings))
        #expect(document["findings"]?[1]?["level"]?.text == "failed")
        #expect(document["findings"]?[1]?["remedy"]?.text == "Mend.")
    }
}
