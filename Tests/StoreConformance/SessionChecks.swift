import CopyModel
import SessionStore

/// Parts, sequence numbers, and all or nothing.
let sessionChecks: [StoreCheck] = [
    StoreCheck("an empty store has no subjects, intents or messages") { fixture in
        let store = try await fixture.open()
        try require(try await store.subjects(), is: [])
        try require(try await store.openIntents(), is: [])
        try require(try await store.allOwed(), is: [])
        let record = try await store.load(.named("payroll"))
        try require(record, is: SubjectRecord(parts: [], lastSequence: 0, knownCommands: []))
        try await store.close()
    },
    StoreCheck("parts are written, overwritten and deleted by key") { fixture in
        let store = try await fixture.open()
        var unit = try UnitOfWork("payroll", from: 0, to: 1)
            .putting("summary", "backup/2", "backup/1")
        try await store.commit(unit)
        unit = try UnitOfWork("payroll", from: 1, to: 2)
        unit.putParts = [SessionPart(key: "summary", bytes: [7])]
        unit.deleteParts = ["backup/2", "never there"]
        try await store.commit(unit)
        let record = try await store.load(.named("payroll"))
        let expected = [
            SessionPart(key: "backup/1", bytes: Array("backup/1".utf8)),
            SessionPart(key: "summary", bytes: [7]),
        ]
        try require(record.parts.sorted { $0.key < $1.key }, is: expected)
        try require(record.lastSequence, is: 2)
        try await store.close()
    },
    StoreCheck("keys are told apart by case, by length and by subject") { fixture in
        let store = try await fixture.open()
        try await store.commit(try UnitOfWork("a", from: 0, to: 1).putting("k", "K", "k/", "é"))
        try await store.commit(try UnitOfWork("A", from: 0, to: 1).putting("k"))
        try require(try await store.load(.named("a")).parts.count, is: 4)
        try require(try await store.load(.named("A")).parts.map(\.key), is: ["k"])
        try await store.close()
    },
    StoreCheck("subjects are those that have parts, in order") { fixture in
        let store = try await fixture.open()
        for name in ["payroll", "Books", "10", "a-b", "a_b"] {
            try await store.commit(try UnitOfWork(name, from: 0, to: 1).putting("summary"))
        }
        try await store.commit(try UnitOfWork("refused", from: 0, to: 1).keeping("c"))
        var unit = try UnitOfWork("Books", from: 1, to: 2)
        unit.deleteParts = ["summary"]
        try await store.commit(unit)
        let names = try await store.subjects().map(\.text)
        try require(names, is: ["10", "a-b", "a_b", "payroll"])
        try require(try await store.load(.named("Books")).lastSequence, is: 2)
        try await store.close()
    },
    StoreCheck("the subject of messages that name no session can be kept") { fixture in
        let store = try await fixture.open()
        var unit = UnitOfWork(subject: .unattributed, expectedSequence: 0, lastSequence: 1)
        unit.intent = .put([1])
        try await store.commit(unit.putting("summary"))
        try require(try await store.subjects(), is: [.unattributed])
        try require(try await store.openIntents().map(\.subject), is: [.unattributed])
        try await store.close()
    },
    StoreCheck("a unit that builds on another sequence number is a conflict") { fixture in
        let store = try await fixture.open()
        try await require(.conflict) {
            try await store.commit(UnitOfWork("payroll", from: 1, to: 2))
        }
        try await store.commit(try UnitOfWork("payroll", from: 0, to: 3))
        for stale in [0, 2, 4, UInt64.max] {
            try await require(.conflict) {
                try await store.commit(UnitOfWork("payroll", from: stale, to: stale &+ 1))
            }
        }
        try await store.commit(try UnitOfWork("payroll", from: 3, to: 3).sending("same number"))
        try await store.commit(try UnitOfWork("payroll", from: 3, to: .max))
        try require(try await store.load(.named("payroll")).lastSequence, is: .max)
        try await store.close()
    },
    StoreCheck("nothing of a unit in conflict is kept") { fixture in
        let store = try await fixture.open()
        try await store.commit(
            try UnitOfWork("payroll", from: 0, to: 1).putting("summary").intending(.put([1])))
        var unit = try UnitOfWork("payroll", from: 0, to: 9).putting("torn").sending("torn")
            .keeping("torn").intending(.clear)
        unit.deleteParts = ["summary"]
        let torn = unit
        try await require(.conflict) { try await store.commit(torn) }
        let record = try await store.load(.named("payroll"))
        try require(record.parts.map(\.key), is: ["summary"])
        try require(record.lastSequence, is: 1)
        try require(record.knownCommands, is: [])
        try require(try await store.openIntents().count, is: 1)
        try require(try await store.allOwed(), is: [])
        try await store.close()
    },
    StoreCheck("intents are listed oldest first, until they are cleared") { fixture in
        var store = try await fixture.open()
        for name in ["c", "a", "b"] {
            try await store.commit(
                try UnitOfWork(name, from: 0, to: 0).intending(.put(Array(name.utf8))))
        }
        store = try await fixture.reopen(store)
        try require(try await store.openIntents().map(\.subject.text), is: ["c", "a", "b"])
        try await store.commit(try UnitOfWork("c", from: 0, to: 1).intending(.keep))
        try await store.commit(try UnitOfWork("a", from: 0, to: 1).intending(.clear))
        try await store.commit(try UnitOfWork("never", from: 0, to: 1).intending(.clear))
        let intents = try await store.openIntents()
        let expected = try ["c", "b"].map {
            IntentRecord(subject: try .named($0), bytes: Array($0.utf8))
        }
        try require(intents, is: expected)
        try await store.close()
    },
    StoreCheck("an intent put again replaces the former and is the newest") { fixture in
        let store = try await fixture.open()
        try await store.commit(try UnitOfWork("a", from: 0, to: 0).intending(.put([1])))
        try await store.commit(try UnitOfWork("b", from: 0, to: 0).intending(.put([2])))
        try await store.commit(try UnitOfWork("a", from: 0, to: 1).intending(.put([3])))
        try require(try await store.openIntents().map(\.bytes), is: [[2], [3]])
        try await store.close()
    },
]
