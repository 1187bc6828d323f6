import CopyModel
import GRDB
import SessionStore

/// The statements that write, and the order in which a unit of work uses them.
///
/// Belongs to the writing thread; every call must be inside of a transaction.
struct WriteStatements {
    private let subject, addSubject, advance: PreparedStatement
    private let putPart, deletePart: PreparedStatement
    private let findOutcome, dropOutcome, addOutcome, purge: PreparedStatement
    private let putIntent, clearIntent: PreparedStatement
    private let addMessage, forget, mark: PreparedStatement

    /// What the transactions so far have made of the subjects they met; nobody else writes.
    private var known: [SubjectName: Standing] = [:]
    /// The last position given out, and the one that is written down.
    private(set) var lastPosition: Int64
    private var markedPosition: Int64
    /// The messages of this transaction.
    private var messages: [OutboxRecord] = []

    /// Where a subject stands: its number in the tables, and its last sequence number.
    private struct Standing {
        var number: Int64
        var sequence: UInt64
    }

    init(_ database: Database) throws {
        func prepare(_ sql: String, _ place: String) throws -> PreparedStatement {
            try PreparedStatement(database, sql, place: place)
        }
        subject = try prepare(
            "SELECT number, lastSequence FROM subjects WHERE name = ?", "subjects")
        addSubject = try prepare(
            "INSERT INTO subjects (name, lastSequence) VALUES (?, 0) RETURNING number", "subjects")
        advance = try prepare("UPDATE subjects SET lastSequence = ? WHERE number = ?", "subjects")
        putPart = try prepare(
            """
            INSERT INTO parts (subject, key, bytes) VALUES (?, ?, ?)
            ON CONFLICT (subject, key) DO UPDATE SET bytes = excluded.bytes
            """, "parts")
        deletePart = try prepare("DELETE FROM parts WHERE subject = ? AND key = ?", "parts")
        findOutcome = try prepare("SELECT 1 FROM inbox WHERE subject = ? AND hash = ?", "inbox")
        dropOutcome = try prepare(
            "DELETE FROM inbox WHERE subject = ? AND hash = ? AND id = ?", "inbox")
        addOutcome = try prepare(
            """
            INSERT INTO inbox (subject, hash, receivedAt, id, request, outcome)
            VALUES (?, ?, ?, ?, ?, ?)
            """, "inbox")
        purge = try prepare(
            """
            DELETE FROM inbox WHERE number IN
            (SELECT number FROM inbox WHERE receivedAt < ? LIMIT ?) RETURNING 1
            """, "inbox")
        putIntent = try prepare(
            "INSERT OR REPLACE INTO intents (subject, bytes) VALUES (?, ?)", "intents")
        clearIntent = try prepare("DELETE FROM intents WHERE subject = ?", "intents")
        addMessage = try prepare(
            """
            INSERT INTO outbox (position, exchange, routingKey, messageID, correlationID,
            contentType, traceparent, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
            """, "outbox")
        forget = try prepare("DELETE FROM outbox WHERE position BETWEEN ? AND ?", "outbox")
        mark = try prepare("UPDATE marks SET value = ? WHERE name = 'lastPosition'", "marks")
        let marked = try prepare("SELECT value FROM marks WHERE name = 'lastPosition'", "marks")
        markedPosition = try marked.rows { $0.integer(0) }.first ?? 0
        lastPosition = markedPosition
    }

    /// Writes a unit, or finds before writing anything of it that it comes too late.
    mutating func write(_ unit: UnitOfWork) throws(SQLFailure) -> Result<Void, StoreFailure> {
        let found = try standing(of: unit.subject)
        let stands = found?.sequence ?? 0
        guard stands == unit.expectedSequence else {
            return .failure(.conflict(unit, stands: stands))
        }
        let number = if let found { found.number } else { try add(unit.subject) }
        if unit.lastSequence != stands {
            advance.bind(Int64(bitPattern: unit.lastSequence), at: 1)
            advance.bind(number, at: 2)
            try advance.run()
        }
        known[unit.subject] = Standing(number: number, sequence: unit.lastSequence)
        try write(parts: unit, of: number)
        if let record = unit.inbox { try write(record, of: number) }
        try write(unit.intent, of: number)
        for message in unit.outbox { try write(message) }
        return .success(())
    }

    /// The messages written since this was last asked.
    mutating func takeMessages() -> [OutboxRecord] {
        defer { messages = [] }
        return messages
    }

    /// Writes the last position down where the transaction gave one out: its last write.
    mutating func keepMark() throws(SQLFailure) {
        guard lastPosition != markedPosition else { return }
        mark.bind(lastPosition, at: 1)
        try mark.run()
        markedPosition = lastPosition
    }

    /// Forgets what memory says of the tables, after a transaction that came to nothing.
    ///
    /// Positions that were given out in it are not given out again; so the mark has to be written.
    mutating func forgetCached() {
        known = [:]
        messages = []
        markedPosition = -1
    }

    /// Forgets messages; neighbouring positions go in one stroke.
    func forget(_ positions: [Int64]) throws(SQLFailure) {
        var rest = positions.sorted()[...]
        while let first = rest.popFirst() {
            var last = first
            while let next = rest.first, next <= last &+ 1 {
                last = next
                rest.removeFirst()
            }
            forget.bind(first, at: 1)
            forget.bind(last, at: 2)
            try forget.run()
        }
    }

    /// Forgets at most `limit` outcomes received before a time; returns how many.
    func purge(receivedBefore time: Timestamp, limit: Int) throws(SQLFailure) -> Int {
        purge.bind(time.milliseconds, at: 1)
        purge.bind(Int64(limit), at: 2)
        return try purge.rows { _ in () }.count
    }

    private mutating func standing(of name: SubjectName) throws(SQLFailure) -> Standing? {
        if let standing = known[name] { return standing }
        if known.count > 100_000 { known = [:] }
        subject.bind(name.text, at: 1)
        return try subject.rows {
            Standing(number: $0.integer(0), sequence: UInt64(bitPattern: $0.integer(1)))
        }.first
    }

    private func add(_ name: SubjectName) throws(SQLFailure) -> Int64 {
        addSubject.bind(name.text, at: 1)
        return try addSubject.rows { $0.integer(0) }[0]
    }

    private func write(parts unit: UnitOfWork, of subject: Int64) throws(SQLFailure) {
        for part in unit.putParts {
            putPart.bind(subject, at: 1)
            putPart.bind(part.key, at: 2)
            try putPart.run(blob: part.bytes, at: 3)
        }
        for key in unit.deleteParts {
            deletePart.bind(subject, at: 1)
            deletePart.bind(key, at: 2)
            try deletePart.run()
        }
    }

    private func write(_ record: InboxRecord, of subject: Int64) throws(SQLFailure) {
        let hash = Int64(bitPattern: InboxRecord.hash(record.id))
        findOutcome.bind(subject, at: 1)
        findOutcome.bind(hash, at: 2)
        if try !findOutcome.rows({ _ in () }).isEmpty {
            dropOutcome.bind(subject, at: 1)
            dropOutcome.bind(hash, at: 2)
            dropOutcome.bind(record.id.text, at: 3)
            try dropOutcome.run()
        }
        addOutcome.bind(subject, at: 1)
        addOutcome.bind(hash, at: 2)
        addOutcome.bind(record.receivedAt.milliseconds, at: 3)
        addOutcome.bind(record.id.text, at: 4)
        try addOutcome.run(blob: record.request, at: 5, blob: record.outcome, at: 6)
    }

    private func write(_ change: UnitOfWork.IntentChange, of subject: Int64) throws(SQLFailure) {
        switch change {
        case .keep: break
        case .put(let bytes):
            putIntent.bind(subject, at: 1)
            try putIntent.run(blob: bytes, at: 2)
        case .clear:
            clearIntent.bind(subject, at: 1)
            try clearIntent.run()
        }
    }

    private mutating func write(_ message: OutboxMessage) throws(SQLFailure) {
        lastPosition += 1
        addMessage.bind(lastPosition, at: 1)
        addMessage.bind(message.exchange, at: 2)
        addMessage.bind(message.routingKey, at: 3)
        addMessage.bind(message.messageID, at: 4)
        addMessage.bind(message.correlationID, at: 5)
        addMessage.bind(message.contentType, at: 6)
        addMessage.bind(message.traceparent, at: 7)
        try addMessage.run(blob: message.body, at: 8)
        messages.append(OutboxRecord(position: lastPosition, message: message))
    }
}

extension StoreFailure {
    fileprivate static func conflict(_ unit: UnitOfWork, stands: UInt64) -> StoreFailure {
        StoreFailure(
            .conflict, "\(unit.subject) stands at \(stands), not at \(unit.expectedSequence).",
            place: "subjects")
    }
}
