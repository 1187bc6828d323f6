import GRDB
import GRDBSQLite

/// A statement that was compiled once, its parameters bound straight from Swift memory.
///
/// GRDB compiles and frees it; values go to and from SQLite without boxes in between. Belongs to
/// the thread of its connection. Parameters are counted from 1, columns from 0.
struct PreparedStatement {
    private let owner: Statement
    private let handle: SQLiteStatement
    /// The table it is about, for failures.
    let place: String

    init(_ database: Database, _ sql: String, place: String) throws {
        owner = try database.makeStatement(sql: sql)
        handle = owner.sqliteStatement
        self.place = place
    }

    func bind(_ value: Int64, at index: Int32) { sqlite3_bind_int64(handle, index, value) }

    // Texts are short and copied. Their length is given, so that a NUL within is a character as
    // any.
    func bind(_ value: String, at index: Int32) {
        var value = value
        value.withUTF8 { text in
            guard let start = text.baseAddress, !text.isEmpty else {
                sqlite3_bind_text(handle, index, "", 0, nil)
                return
            }
            start.withMemoryRebound(to: CChar.self, capacity: text.count) {
                // SQLite copies where it is told -1 for who frees: its header's SQLITE_TRANSIENT.
                let copying = unsafeBitCast(-1, to: sqlite3_destructor_type.self)
                sqlite3_bind_text64(
                    handle, index, $0, UInt64(text.count), copying, UInt8(SQLITE_UTF8))
            }
        }
    }

    func bind(_ value: String?, at index: Int32) {
        if let value { bind(value, at: index) } else { sqlite3_bind_null(handle, index) }
    }

    /// Runs to the end, expecting no row.
    func run() throws(SQLFailure) { try finish(sqlite3_step(handle)) }

    /// Runs with a blob that is bound where it lies, for the time of the run.
    func run(blob: [UInt8], at index: Int32) throws(SQLFailure) {
        try finish(
            blob.withUnsafeBytes {
                lend($0, at: index)
                return sqlite3_step(handle)
            })
    }

    /// Runs with two blobs that are bound where they lie.
    func run(
        blob first: [UInt8], at firstIndex: Int32, blob second: [UInt8], at secondIndex: Int32
    ) throws(SQLFailure) {
        try finish(
            first.withUnsafeBytes { first in
                lend(first, at: firstIndex)
                return second.withUnsafeBytes {
                    lend($0, at: secondIndex)
                    return sqlite3_step(handle)
                }
            })
    }

    /// Reads a value out of every row.
    func rows<Value>(_ read: (Self) -> Value) throws(SQLFailure) -> [Value] {
        var values: [Value] = []
        while true {
            let code = sqlite3_step(handle)
            guard code == SQLITE_ROW else {
                try finish(code)
                return values
            }
            values.append(read(self))
        }
    }

    func integer(_ column: Int32) -> Int64 { sqlite3_column_int64(handle, column) }

    func text(_ column: Int32) -> String { optionalText(column) ?? "" }

    func optionalText(_ column: Int32) -> String? {
        guard let start = sqlite3_column_text(handle, column) else { return nil }
        let count = Int(sqlite3_column_bytes(handle, column))
        return String(decoding: UnsafeBufferPointer(start: start, count: count), as: UTF8.self)
    }

    func blob(_ column: Int32) -> [UInt8] {
        guard let start = sqlite3_column_blob(handle, column) else { return [] }
        let count = Int(sqlite3_column_bytes(handle, column))
        return [UInt8](UnsafeRawBufferPointer(start: start, count: count))
    }

    /// The bytes must stay where they are until the step is over; nothing reads them after it.
    private func lend(_ bytes: UnsafeRawBufferPointer, at index: Int32) {
        if bytes.isEmpty {
            sqlite3_bind_zeroblob(handle, index, 0)
        } else {
            sqlite3_bind_blob64(handle, index, bytes.baseAddress, UInt64(bytes.count), nil)
        }
    }

    private func finish(_ code: Int32) throws(SQLFailure) {
        if code == SQLITE_DONE {
            sqlite3_reset(handle)
            return
        }
        let failure = SQLFailure(code, on: sqlite3_db_handle(handle), place: place)
        sqlite3_reset(handle)
        throw failure
    }
}
