// A worker to be killed: commits on eight subjects at once, forgets what it owes, and reports every
// commit that has returned as a line `<subject> <number>` on standard output. It never ends by
// itself.
//
//     StoreCrashChild <database> <pages between checkpoints>

import CopyModel
import Glibc
import SQLiteStore
import SessionStore

/// The unit number `number` (from 1) of a subject; the test knows what it must have left behind.
func unit(_ subject: SubjectName, _ number: UInt64) -> UnitOfWork {
    var unit = UnitOfWork(
        subject: subject, expectedSequence: number * 2 - 2, lastSequence: number * 2)
    let bytes = Array(repeating: "\(number) ", count: 20 + Int(number * 37 % 500)).joined().utf8
    unit.putParts = ["a", "b", "only/\(number)"].map { SessionPart(key: $0, bytes: Array(bytes)) }
    unit.deleteParts = ["only/\(number - 1)"]
    unit.inbox = CommandID("\(number)").map {
        InboxRecord(
            id: $0, request: [], outcome: Array(bytes),
            receivedAt: Timestamp(milliseconds: Int64(number)))
    }
    unit.intent = number % 2 == 1 ? .put(Array("\(number)".utf8)) : .clear
    unit.outbox = [number * 2 - 1, number * 2].map {
        OutboxMessage(
            exchange: "", routingKey: subject.text, messageID: "\($0)", correlationID: nil,
            contentType: "text/plain", traceparent: nil, body: Array(bytes))
    }
    return unit
}

/// Commits until it is killed, and now and then forgets all but the newest messages.
func work(on store: SQLiteStore, as subject: SubjectName) async throws {
    var number = try await store.load(subject).lastSequence / 2
    while true {
        number += 1
        try await store.commit(unit(subject, number))
        let line = Array("\(subject) \(number)\n".utf8)
        _ = write(1, line, line.count)
        guard number % 5 == 0 else { continue }
        let owed = try await store.outbox(after: 0, limit: 200)
        try await store.forget(owed.dropLast(100).map(\.position))
    }
}

var options = SQLiteStore.Options()
options.checkpointPages = Int(CommandLine.arguments[2]) ?? options.checkpointPages
options.forgetDelay = .milliseconds(1)
let store = try SQLiteStore(path: CommandLine.arguments[1], options: options)
try await withThrowingTaskGroup(of: Void.self) { group in
    for name in (0..<8).compactMap({ SubjectName("s\($0)") }) {
        group.addTask { try await work(on: store, as: name) }
    }
    try await group.waitForAll()
}
