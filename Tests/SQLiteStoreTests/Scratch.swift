import CopyModel
import Foundation
import GRDBSQLite
import SQLiteStore
import SessionStore
import Testing

/// A directory for one test, removed with everything in it when the last reference goes.
final class Scratch: Sendable {
    let directory: String

    init() throws {
        let name = "stillpoint-store-\(UInt64.random(in: 0 ... .max))"
        directory = FileManager.default.temporaryDirectory.appendingPathComponent(name).path
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: false)
    }

    deinit { try? FileManager.default.removeItem(atPath: directory) }

    var database: String { directory + "/store.sqlite" }
    var log: String { database + "-wal" }

    func open(_ change: (inout SQLiteStore.Options) -> Void = { _ in }) throws -> SQLiteStore {
        var options = SQLiteStore.Options()
        change(&options)
        return try SQLiteStore(path: database, options: options)
    }

    /// Runs SQL on the database as some other program would.
    func execute(_ sql: String) throws {
        var connection: OpaquePointer?
        try #require(sqlite3_open(database, &connection) == SQLITE_OK)
        defer { sqlite3_close(connection) }
        try #require(sqlite3_exec(connection, sql, nil, nil, nil) == SQLITE_OK)
    }
}

/// A subject out of a literal.
func subject(_ text: String) throws -> SubjectName { try #require(SubjectName(text)) }

/// A unit with a part and messages.
func unit(
    _ name: String, from expected: UInt64 = 0, part: [UInt8] = [1], messages: Int = 0
) throws -> UnitOfWork {
    var unit = UnitOfWork(
        subject: try subject(name), expectedSequence: expected, lastSequence: expected + 1)
    unit.putParts = [SessionPart(key: "summary", bytes: part)]
    unit.outbox = (0..<messages).map { number in
        OutboxMessage(
            exchange: "events", routingKey: name, messageID: "\(number)", correlationID: nil,
            contentType: "text/plain", traceparent: nil, body: part)
    }
    return unit
}

/// Waits until a condition holds; false where it does not within ten seconds.
func eventually(_ condition: () async throws -> Bool) async throws -> Bool {
    let deadline = ContinuousClock.now + .seconds(10)
    while try await !condition() {
        if ContinuousClock.now > deadline { return false }
        await Task.yield()
    }
    return true
}

/// The failure that a body throws.
func failing(_ body: () async throws -> Void) async throws -> StoreFailure {
    let error = await #expect(throws: StoreFailure.self) { try await body() }
    return try #require(error)
}
