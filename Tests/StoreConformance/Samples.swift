import CopyModel
import SessionStore

extension SubjectName {
    /// A name out of a literal, for tests.
    static func named(_ text: String) throws -> SubjectName {
        guard let name = SubjectName(text) else {
            throw Violation(sentence: "“\(text)” is not a subject's name", place: "the suite")
        }
        return name
    }
}

extension CommandID {
    /// A key out of a literal, for tests.
    static func named(_ text: String) throws -> CommandID {
        guard let id = CommandID(text) else {
            throw Violation(sentence: "“\(text)” is not a command's key", place: "the suite")
        }
        return id
    }
}

extension UnitOfWork {
    /// A unit that carries a subject from one sequence number to another.
    init(_ subject: String, from expected: UInt64, to last: UInt64) throws {
        self.init(subject: try .named(subject), expectedSequence: expected, lastSequence: last)
    }

    /// The same unit with a message of this text for each one given.
    func sending(_ texts: String...) -> UnitOfWork {
        var unit = self
        unit.outbox += texts.map { .text($0) }
        return unit
    }

    /// The same unit with these parts, each written as its key.
    func putting(_ keys: String...) -> UnitOfWork {
        var unit = self
        unit.putParts += keys.map { SessionPart(key: $0, bytes: Array($0.utf8)) }
        return unit
    }

    /// The same unit with the outcome of a command.
    func keeping(
        _ id: String, outcome: String = "done", receivedAt milliseconds: Int64 = 0
    ) throws -> UnitOfWork {
        var unit = self
        unit.inbox = InboxRecord(
            id: try .named(id), request: Array("request \(id)".utf8), outcome: Array(outcome.utf8),
            receivedAt: Timestamp(milliseconds: milliseconds))
        return unit
    }

    /// The same unit with a change of the intent.
    func intending(_ change: IntentChange) -> UnitOfWork {
        var unit = self
        unit.intent = change
        return unit
    }
}

extension OutboxMessage {
    /// A message with a text for its body.
    static func text(_ text: String) -> OutboxMessage {
        OutboxMessage(
            exchange: "events", routingKey: "payroll.changed", messageID: nil, correlationID: nil,
            contentType: "application/json", traceparent: nil, body: Array(text.utf8))
    }

    /// The body as text.
    var text: String { String(decoding: body, as: UTF8.self) }
}

extension SessionStore {
    /// Everything that is owed.
    func allOwed() async throws -> [OutboxRecord] { try await outbox(after: 0, limit: 1_000_000) }

    /// The texts of everything that is owed.
    func owedTexts() async throws -> [String] { try await allOwed().map(\.message.text) }

    /// Forgets messages, and waits until they are forgotten.
    func forgetAndWait(_ positions: [Int64]) async throws {
        try await forget(positions)
        let gone = Set(positions)
        try await eventually("forgetting") {
            try await allOwed().allSatisfy { !gone.contains($0.position) }
        }
    }
}

/// Bytes that differ from place to place, so that a torn or shifted blob shows.
///
/// They repeat after 4,099 bytes, which is prime, so that no two pages are alike.
func pattern(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
    var state = seed &* 0x9e37_79b9_7f4a_7c15 | 1
    let block: [UInt8] = (0..<4099).map { _ in
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return UInt8(truncatingIfNeeded: state)
    }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count + block.count)
    while bytes.count < count { bytes += block }
    bytes.removeLast(bytes.count - count)
    return bytes
}
