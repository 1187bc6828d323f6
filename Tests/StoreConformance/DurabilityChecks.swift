import CopyModel
import SessionStore

/// Many at once, closing and opening.
let durabilityChecks: [StoreCheck] = [
    StoreCheck("everything is there after closing and opening") { fixture in
        var store = try await fixture.open()
        try await store.commit(
            try UnitOfWork("payroll", from: 0, to: 1).putting("summary").sending("m")
                .keeping("c").intending(.put([9])))
        let before = try await store.load(.named("payroll"))
        for _ in 0..<3 {
            store = try await fixture.reopen(store)
            try require(try await store.load(.named("payroll")), is: before)
            try require(try await store.owedTexts(), is: ["m"])
            try require(try await store.openIntents().map(\.bytes), is: [[9]])
            let found = try await store.outcome(of: .named("c"), subject: .named("payroll"))
            try require(found?.outcome, is: Array("done".utf8))
        }
        try await store.close()
    },
    StoreCheck("a closed store does nothing more, and closing again is no harm") { fixture in
        let store = try await fixture.open()
        try await store.close()
        try await require(.failed) { try await store.commit(UnitOfWork("a", from: 0, to: 1)) }
        try await require(.failed) { _ = try await store.load(.named("a")) }
        try await require(.failed) { _ = try await store.subjects() }
        try await require(.failed) { _ = try await store.openIntents() }
        try await require(.failed) { _ = try await store.outbox(after: 0, limit: 1) }
        try await require(.failed) { try await store.forget([1]) }
        try await require(.failed) {
            _ = try await store.outcome(of: .named("c"), subject: .named("a"))
        }
        try await require(.failed) {
            _ = try await store.purgeOutcomes(receivedBefore: Timestamp(milliseconds: 0))
        }
        try await store.close()
        let reopened = try await fixture.open()
        try require(try await reopened.load(.named("a")).lastSequence, is: 0)
        try await reopened.close()
    },
    StoreCheck("a commit that has returned is seen by every read after it") { fixture in
        let store = try await fixture.open()
        for number in 1...200 {
            let last = UInt64(number)
            try await store.commit(
                try UnitOfWork("a", from: last - 1, to: last).keeping("\(number)")
                    .sending("\(number)"))
            try require(try await store.load(.named("a")).lastSequence, is: last)
            let found = try await store.outcome(of: .named("\(number)"), subject: .named("a"))
            try require(found != nil, "outcome \(number) is not seen")
            try require(try await store.allOwed().count, is: number)
        }
        try await store.close()
    },
    StoreCheck("of many units on the same sequence number one is kept") { fixture in
        let store = try await fixture.open()
        for round in 0..<10 {
            let from = UInt64(round)
            let winners = try await withThrowingTaskGroup(of: String?.self) { group in
                for rival in 0..<50 {
                    group.addTask {
                        let name = "round \(round) rival \(rival)"
                        let unit = try UnitOfWork("a", from: from, to: from + 1).sending(name)
                            .putting(name).keeping(name)
                        do throws(StoreFailure) {
                            try await store.commit(unit)
                            return name
                        } catch {
                            try require(error.code == .conflict, "failed otherwise: \(error)")
                            return nil
                        }
                    }
                }
                return try await group.reduce(into: [String]()) { names, name in
                    if let name { names.append(name) }
                }
            }
            try require(winners.count, is: 1)
            let record = try await store.load(.named("a"))
            try require(record.parts.count, is: round + 1)
            try require(record.parts.contains { $0.key == winners[0] }, "\(winners) is not kept")
            try require(record.knownCommands.count, is: round + 1)
            try require(try await store.owedTexts().last, is: winners[0])
        }
        try await store.close()
    },
    StoreCheck("1,000 concurrent commits on 100 subjects are all kept, in order") { fixture in
        var store = try await fixture.open()
        let shared = store
        try await withThrowingTaskGroup(of: Void.self) { group in
            for subject in 0..<100 {
                group.addTask { try await commitTen("s\(subject)", to: shared) }
            }
            try await group.waitForAll()
        }
        store = try await fixture.reopen(store)
        try require(try await store.subjects().count, is: 100)
        let owed = try await store.owedTexts()
        try require(owed.count, is: 2000)
        for subject in 0..<100 {
            let record = try await store.load(.named("s\(subject)"))
            try require(record.lastSequence, is: 20)
            try require(record.parts.count, is: 11)
            let newest = record.parts.first { $0.key == "newest" }
            try require(newest?.bytes, is: Array("9".utf8))
            try require(record.knownCommands.count, is: 10)
            let mine = owed.filter { $0.hasPrefix("s\(subject):") }
            try require(mine, is: (1...20).map { "s\(subject):\($0)" })
        }
        try await store.close()
    },
    StoreCheck("units that are ready together fail alone where they conflict") { fixture in
        let store = try await fixture.open()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<200 {
                group.addTask {
                    let isStale = number % 3 == 0
                    let unit = try UnitOfWork("s\(number)", from: isStale ? 7 : 0, to: 8)
                        .putting("summary").sending("\(number)")
                    if isStale {
                        try await require(.conflict) { try await store.commit(unit) }
                    } else {
                        try await store.commit(unit)
                    }
                }
            }
            try await group.waitForAll()
        }
        let expected = (0..<200).filter { $0 % 3 != 0 }
        try require(try await store.subjects().count, is: expected.count)
        try require(try await store.owedTexts().compactMap(Int.init).sorted(), is: expected)
        try await store.close()
    },
]

/// Commits ten units, one after another, with two messages each.
private func commitTen(_ subject: String, to store: any SessionStore) async throws {
    for number in 0..<10 {
        let from = UInt64(number * 2)
        var unit = try UnitOfWork(subject, from: from, to: from + 2).putting("part \(number)")
            .sending("\(subject):\(from + 1)", "\(subject):\(from + 2)").keeping("\(number)")
        unit.putParts.append(SessionPart(key: "newest", bytes: Array("\(number)".utf8)))
        try await store.commit(unit)
    }
}
