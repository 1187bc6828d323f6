import GRDB
import GRDBSQLite
import Glibc
import SessionStore

/// A result code of SQLite, as the store's rules need it read.
struct ResultCode: Equatable {
    /// The extended code.
    let value: Int32
    /// What the operating system said to the last system call, 0 where that is not known.
    let systemError: Int32

    private var primary: Int32 { value & 0xFF }

    /// Whether the disk has no room, by whichever way it was said.
    ///
    /// The shared-memory file beside the database reports a full disk as an I/O error. After a
    /// failed sync nothing may be taken for harmless, whatever its reason was.
    private var isFull: Bool {
        primary == SQLITE_FULL
            || primary == SQLITE_IOERR && !isFailedSync
                && (systemError == ENOSPC || systemError == EDQUOT)
    }

    private var isFailedSync: Bool {
        // SQLITE_IOERR_FSYNC and SQLITE_IOERR_DIR_FSYNC, which C spells as macros with shifts.
        value == SQLITE_IOERR | (4 << 8) || value == SQLITE_IOERR | (5 << 8)
    }

    /// Whether nothing may be written any more until the store is opened anew.
    ///
    /// The kernel marks pages clean whose write failed, so that the next sync succeeds without
    /// them: after an I/O error only what is read back from the disk can be believed.
    var endsWriting: Bool {
        primary == SQLITE_IOERR && !isFull || primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB
    }

    /// What callers branch on.
    var code: StoreFailure.Code {
        if isFull { return .full }
        return primary == SQLITE_BUSY || primary == SQLITE_LOCKED ? .locked : .failed
    }
}

/// A call of SQLite that failed.
struct SQLFailure: Error {
    let code: ResultCode
    let message: String
    /// The table.
    let place: String

    init(_ code: Int32, on connection: SQLiteConnection?, place: String) {
        self.code = ResultCode(value: code, systemError: sqlite3_system_errno(connection))
        self.message = String(cString: sqlite3_errmsg(connection))
        self.place = place
    }
}

extension StoreFailure {
    /// Puts whatever was thrown by SQLite, GRDB or this store into words.
    init(_ error: any Error, doing action: String, place: String) {
        switch error {
        case let error as StoreFailure: self = error
        case let error as SQLFailure: self.init(error, doing: action)
        case let error as DatabaseError:
            let code = ResultCode(value: error.extendedResultCode.rawValue, systemError: 0)
            let reason = error.message ?? "no reason given"
            self.init(
                code.code, "\(action) failed: \(reason) (SQLite code \(code.value)).", place: place)
        default: self.init(.failed, "\(action) failed: \(error).", place: place)
        }
    }

    /// Puts what SQLite says into words.
    init(_ failure: SQLFailure, doing action: String) {
        self.init(
            failure.code.code,
            "\(action) failed: \(failure.message) (SQLite code \(failure.code.value)).",
            place: failure.place)
    }

    /// Puts what the operating system says into words.
    static func system(_ code: Int32, doing action: String, place: String) -> StoreFailure {
        let reason = String(cString: strerror(code))
        return StoreFailure(
            code == ENOSPC || code == EDQUOT ? .full : .failed, "\(action) failed: \(reason).",
            place: place)
    }

    /// The store has been closed.
    static func closed(place: String) -> StoreFailure {
        StoreFailure(.failed, "The store is closed.", place: place)
    }
}

/// Runs a body, and puts whatever it throws into words.
func inWords<Value>(
    _ action: String, place: String, _ body: () throws -> Value
) throws(StoreFailure) -> Value {
    do {
        return try body()
    } catch {
        throw StoreFailure(error, doing: action, place: place)
    }
}
