import CopyModel
import GRDB
import GRDBSQLite
import SessionStore

/// The statements that read; they belong to the reading thread.
struct ReadStatements {
    private let begin, end: PreparedStatement
    private let subjects, sequence, parts, commands: PreparedStatement
    private let outcome, intents, outbox: PreparedStatement

    init(_ database: Database) throws {
        func prepare(_ sql: String, _ place: String) throws -> PreparedStatement {
            try PreparedStatement(database, sql, place: place)
        }
        begin = try prepare("BEGIN", "database")
        end = try prepare("COMMIT", "database")
        subjects = try prepare(
            """
            SELECT name FROM subjects
            WHERE EXISTS (SELECT 1 FROM parts WHERE subject = subjects.number) ORDER BY name
            """, "subjects")
        sequence = try prepare(
            "SELECT number, lastSequence FROM subjects WHERE name = ?", "subjects")
        parts = try prepare("SELECT key, bytes FROM parts WHERE subject = ? ORDER BY key", "parts")
        commands = try prepare("SELECT hash FROM inbox WHERE subject = ?", "inbox")
        outcome = try prepare(
            """
            SELECT request, outcome, receivedAt FROM inbox
            WHERE subject = (SELECT number FROM subjects WHERE name = ?) AND hash = ? AND id = ?
            """, "inbox")
        intents = try prepare(
            """
            SELECT name, bytes FROM intents JOIN subjects ON subjects.number = intents.subject
            ORDER BY intents.number
            """, "intents")
        outbox = try prepare(
            """
            SELECT position, exchange, routingKey, messageID, correlationID, contentType,
            traceparent, body FROM outbox WHERE position > ? ORDER BY position LIMIT ?
            """, "outbox")
    }

    func readSubjects() throws(StoreFailure) -> [SubjectName] {
        let names = try told { () throws(SQLFailure) in try subjects.rows { $0.text(0) } }
        return try names.map { (name) throws(StoreFailure) in try named(name, in: "subjects") }
    }

    /// Reads a subject as it is at one instant, whatever is committed meanwhile.
    func load(_ subject: SubjectName) throws(StoreFailure) -> SubjectRecord {
        try told { () throws(SQLFailure) in
            try begin.run()
            do throws(SQLFailure) {
                let record = try loadParts(subject)
                try end.run()
                return record
            } catch {
                try end.run()
                throw error
            }
        }
    }

    func readOutcome(
        of id: CommandID, subject: SubjectName
    ) throws(StoreFailure) -> InboxRecord? {
        outcome.bind(subject.text, at: 1)
        outcome.bind(Int64(bitPattern: InboxRecord.hash(id)), at: 2)
        outcome.bind(id.text, at: 3)
        return try told { () throws(SQLFailure) in
            try outcome.rows {
                InboxRecord(
                    id: id, request: $0.blob(0), outcome: $0.blob(1),
                    receivedAt: Timestamp(milliseconds: $0.integer(2)))
            }.first
        }
    }

    func readIntents() throws(StoreFailure) -> [IntentRecord] {
        let found = try told { () throws(SQLFailure) in
            try intents.rows { (name: $0.text(0), bytes: $0.blob(1)) }
        }
        return try found.map { (row) throws(StoreFailure) in
            IntentRecord(subject: try named(row.name, in: "intents"), bytes: row.bytes)
        }
    }

    func readOutbox(after position: Int64, limit: Int) throws(StoreFailure) -> [OutboxRecord] {
        outbox.bind(position, at: 1)
        outbox.bind(Int64(max(0, limit)), at: 2)
        return try told { () throws(SQLFailure) in
            try outbox.rows { row in
                let message = OutboxMessage(
                    exchange: row.text(1), routingKey: row.text(2), messageID: row.optionalText(3),
                    correlationID: row.optionalText(4), contentType: row.text(5),
                    traceparent: row.optionalText(6), body: row.blob(7))
                return OutboxRecord(position: row.integer(0), message: message)
            }
        }
    }

    private func loadParts(_ subject: SubjectName) throws(SQLFailure) -> SubjectRecord {
        sequence.bind(subject.text, at: 1)
        let found = try sequence.rows {
            (number: $0.integer(0), last: UInt64(bitPattern: $0.integer(1)))
        }
        guard let found = found.first else {
            return SubjectRecord(parts: [], lastSequence: 0, knownCommands: [])
        }
        parts.bind(found.number, at: 1)
        commands.bind(found.number, at: 1)
        return SubjectRecord(
            parts: try parts.rows { SessionPart(key: $0.text(0), bytes: $0.blob(1)) },
            lastSequence: found.last,
            knownCommands: Set(try commands.rows { UInt64(bitPattern: $0.integer(0)) }))
    }

    private func named(_ text: String, in place: String) throws(StoreFailure) -> SubjectName {
        guard let name = SubjectName(stored: text) else {
            throw StoreFailure(.failed, "“\(text)” is not a subject's name.", place: place)
        }
        return name
    }

    private func told<Value>(
        _ body: () throws(SQLFailure) -> Value
    ) throws(StoreFailure) -> Value {
        do throws(SQLFailure) {
            return try body()
        } catch {
            throw StoreFailure(error, doing: "Reading")
        }
    }
}
