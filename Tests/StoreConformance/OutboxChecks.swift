import CopyModel
import SessionStore

/// Messages that are owed.
let outboxChecks: [StoreCheck] = [
    StoreCheck("a message is kept with all that it has, and with what it lacks") { fixture in
        var store = try await fixture.open()
        var unit = try UnitOfWork("payroll", from: 0, to: 2)
        let event = OutboxMessage(
            exchange: "stillpoint.events", routingKey: "payroll.backup.recoverable",
            messageID: "payroll/1", correlationID: nil,
            contentType: "application/cloudevents+json",
            traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            body: Array("{}".utf8))
        let reply = OutboxMessage(
            exchange: "", routingKey: "reply-queue \u{0} é", messageID: nil, correlationID: "",
            contentType: "", traceparent: nil, body: [])
        unit.outbox = [event, reply]
        try await store.commit(unit)
        store = try await fixture.reopen(store)
        try require(try await store.allOwed().map(\.message), is: [event, reply])
        try await store.close()
    },
    StoreCheck("messages come in the order of their commits, over all subjects") { fixture in
        let store = try await fixture.open()
        try await store.commit(try UnitOfWork("b", from: 0, to: 2).sending("b1", "b2"))
        try await store.commit(try UnitOfWork("a", from: 0, to: 1).sending("a1"))
        try await store.commit(try UnitOfWork("b", from: 2, to: 3).sending("b3"))
        try await store.commit(try UnitOfWork("c", from: 0, to: 1))
        let owed = try await store.allOwed()
        try require(owed.map(\.message.text), is: ["b1", "b2", "a1", "b3"])
        try require(owed[0].position > 0, "position \(owed[0].position) is not after 0")
        let rises = zip(owed, owed.dropFirst()).allSatisfy { $0.position < $1.position }
        try require(rises, "positions do not rise: \(owed.map(\.position))")
        try await store.close()
    },
    StoreCheck("the outbox is read in pieces") { fixture in
        let store = try await fixture.open()
        for number in 0..<10 {
            let from = UInt64(number)
            try await store.commit(
                try UnitOfWork("a", from: from, to: from + 1).sending("\(number)"))
        }
        var position: Int64 = 0
        var texts: [String] = []
        for expected in [4, 4, 2, 0] {
            let piece = try await store.outbox(after: position, limit: 4)
            try require(piece.count, is: expected)
            texts += piece.map(\.message.text)
            position = piece.last?.position ?? position
        }
        try require(texts, is: (0..<10).map(String.init))
        try require(try await store.outbox(after: 0, limit: 0), is: [])
        try require(try await store.outbox(after: .max, limit: 5), is: [])
        try await store.close()
    },
    StoreCheck("what is forgotten is gone for good, the rest stays") { fixture in
        var store = try await fixture.open()
        let texts = (0..<10).map(String.init)
        var unit = try UnitOfWork("a", from: 0, to: 10)
        unit.outbox = texts.map { .text($0) }
        try await store.commit(unit)
        let positions = try await store.allOwed().map(\.position)
        try await store.forgetAndWait([9, 0, 1, 2, 5, 5, 7].map { positions[$0] } + [.max, -1])
        try require(try await store.owedTexts(), is: ["3", "4", "6", "8"])
        try await store.forget([])
        store = try await fixture.reopen(store)
        try require(try await store.owedTexts(), is: ["3", "4", "6", "8"])
        try await store.close()
    },
    StoreCheck("what was forgotten just before closing is forgotten") { fixture in
        var store = try await fixture.open()
        try await store.commit(try UnitOfWork("a", from: 0, to: 2).sending("1", "2"))
        try await store.forget([try await store.allOwed()[0].position])
        store = try await fixture.reopen(store)
        try require(try await store.owedTexts(), is: ["2"])
        try await store.close()
    },
    StoreCheck("a position is never given out again, forgotten or reopened") { fixture in
        var store = try await fixture.open()
        var highest: Int64 = 0
        var last: UInt64 = 0
        for _ in 0..<4 {
            try await store.commit(try UnitOfWork("a", from: last, to: last + 1).sending("x", "y"))
            last += 1
            let positions = try await store.allOwed().map(\.position)
            try require(positions.count, is: 2)
            try require(positions[0] > highest, "\(positions) are not all beyond \(highest)")
            highest = positions[1]
            try await store.forgetAndWait(positions)
            if last > 1 { store = try await fixture.reopen(store) }
        }
        let stale = last + 5
        try await require(.conflict) {
            try await store.commit(try UnitOfWork("a", from: stale, to: stale + 1).sending("never"))
        }
        store = try await fixture.reopen(store)
        try await store.commit(try UnitOfWork("a", from: last, to: last + 1).sending("z"))
        let position = try await store.allOwed()[0].position
        try require(position > highest, "\(position) is not beyond \(highest)")
        try await store.close()
    },
]
