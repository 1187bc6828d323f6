import CopyModel
import SessionStore

/// Commands and their outcomes.
let commandChecks: [StoreCheck] = [
    StoreCheck("an outcome is kept as it was, and found by subject and key only") { fixture in
        var store = try await fixture.open()
        var unit = try UnitOfWork("payroll", from: 0, to: 1)
        let record = InboxRecord(
            id: try .named("payroll-2026-11-21T02:00Z ~!"), request: pattern(300),
            outcome: pattern(700, seed: 2),
            receivedAt: Timestamp(milliseconds: -62_135_596_800_000))
        unit.inbox = record
        try await store.commit(unit)
        store = try await fixture.reopen(store)
        try require(try await store.outcome(of: record.id, subject: .named("payroll")), is: record)
        try require(try await store.outcome(of: record.id, subject: .named("books")), is: nil)
        let other = try CommandID.named("PAYROLL-2026-11-21T02:00Z ~!")
        try require(try await store.outcome(of: other, subject: .named("payroll")), is: nil)
        try await store.close()
    },
    StoreCheck("the same key of two subjects is two commands") { fixture in
        let store = try await fixture.open()
        try await store.commit(try UnitOfWork("a", from: 0, to: 1).keeping("1", outcome: "of a"))
        try await store.commit(try UnitOfWork("b", from: 0, to: 1).keeping("1", outcome: "of b"))
        let id = try CommandID.named("1")
        let ofA = try await store.outcome(of: id, subject: .named("a"))
        let ofB = try await store.outcome(of: id, subject: .named("b"))
        try require(ofA?.outcome, is: Array("of a".utf8))
        try require(ofB?.outcome, is: Array("of b".utf8))
        try await store.close()
    },
    StoreCheck("the hash of every kept command is known, of no other") { fixture in
        let store = try await fixture.open()
        var hashes: Set<UInt64> = []
        for number in 0..<50 {
            let from = UInt64(number)
            try await store.commit(
                try UnitOfWork("payroll", from: from, to: from + 1).keeping("command \(number)"))
            hashes.insert(InboxRecord.hash(try .named("command \(number)")))
        }
        try await store.commit(try UnitOfWork("books", from: 0, to: 1).keeping("other"))
        try require(try await store.load(.named("payroll")).knownCommands, is: hashes)
        try await store.close()
    },
    StoreCheck("a command kept again has the later outcome, once") { fixture in
        let store = try await fixture.open()
        try await store.commit(try UnitOfWork("a", from: 0, to: 1).keeping("1", outcome: "old"))
        try await store.commit(
            try UnitOfWork("a", from: 1, to: 2).keeping("1", outcome: "new", receivedAt: 5))
        let found = try await store.outcome(of: .named("1"), subject: .named("a"))
        try require(found?.outcome, is: Array("new".utf8))
        try require(
            try await store.purgeOutcomes(receivedBefore: Timestamp(milliseconds: 5)), is: 0)
        try require(
            try await store.purgeOutcomes(receivedBefore: Timestamp(milliseconds: 6)), is: 1)
        try await store.close()
    },
    StoreCheck("outcomes received before a time are purged and counted, others stay") { fixture in
        var store = try await fixture.open()
        for number in 0..<20 {
            let from = UInt64(number / 2)
            try await store.commit(
                try UnitOfWork(number % 2 == 0 ? "a" : "b", from: from, to: from + 1)
                    .keeping("\(number)", receivedAt: Int64((number * 7) % 20)).putting("summary"))
        }
        try require(
            try await store.purgeOutcomes(receivedBefore: Timestamp(milliseconds: 12)), is: 12)
        store = try await fixture.reopen(store)
        for number in 0..<20 {
            let subject = number % 2 == 0 ? "a" : "b"
            let found = try await store.outcome(of: .named("\(number)"), subject: .named(subject))
            let isKept = (number * 7) % 20 >= 12
            try require((found != nil) == isKept, "\(number) should be there: \(isKept)")
        }
        let known = try await store.load(.named("a")).knownCommands.count
        let alsoKnown = try await store.load(.named("b")).knownCommands.count
        try require(known + alsoKnown, is: 8)
        try require(try await store.load(.named("a")).parts.count, is: 1)
        try await store.close()
    },
    StoreCheck("thousands of outcomes are purged at once, while commits go on") { fixture in
        let store = try await fixture.open()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for subject in 0..<50 {
                group.addTask {
                    for number in 0..<60 {
                        let from = UInt64(number)
                        try await store.commit(
                            try UnitOfWork("s\(subject)", from: from, to: from + 1)
                                .keeping("\(number)", receivedAt: Int64(number)))
                    }
                }
            }
            try await group.waitForAll()
        }
        async let purged = store.purgeOutcomes(receivedBefore: Timestamp(milliseconds: 55))
        for number in 0..<20 {
            try await store.commit(
                try UnitOfWork("new", from: UInt64(number), to: UInt64(number) + 1)
                    .keeping("\(number)", receivedAt: 1000))
        }
        try require(try await purged, is: 2750)
        try require(try await store.load(.named("new")).knownCommands.count, is: 20)
        try require(try await store.load(.named("s7")).knownCommands.count, is: 5)
        try await store.close()
    },
    StoreCheck("a request of 1 MiB and an outcome of 8 MiB are kept") { fixture in
        var store = try await fixture.open()
        var unit = try UnitOfWork("payroll", from: 0, to: 1)
        let record = InboxRecord(
            id: try .named(String(repeating: "~", count: 128)), request: pattern(1 << 20),
            outcome: pattern(8 << 20, seed: 3), receivedAt: Timestamp(milliseconds: 1))
        unit.inbox = record
        unit.putParts = [
            SessionPart(key: "copySets", bytes: pattern(3 << 20, seed: 4)),
            SessionPart(key: "empty", bytes: []),
        ]
        unit.intent = .put(pattern(2 << 20, seed: 5))
        unit.outbox = [OutboxMessage.text("")]
        unit.outbox[0].body = pattern(4 << 20, seed: 6)
        let big = unit
        try await store.commit(big)
        store = try await fixture.reopen(store)
        try require(
            try await store.outcome(of: record.id, subject: big.subject) == record,
            "outcome differs")
        let parts = try await store.load(big.subject).parts.sorted { $0.key < $1.key }
        try require(parts == big.putParts, "parts differ")
        let intents = try await store.openIntents()
        try require(intents.map { .put($0.bytes) } == [big.intent], "intent differs")
        try require(try await store.allOwed().map(\.message) == big.outbox, "message differs")
        try await store.close()
    },
]
