import CopyModel
import GRDB
import GRDBSQLite
import SessionStore

/// Transactions of many units, and the carrying over of the log into the database.
///
/// The log is carried over (a checkpoint) between two transactions, once the log has grown by
/// `checkpointPages`: after the last ones have been answered, so that it only delays who comes
/// next. It must be this connection that does it (see `Connections`).
struct GroupTransactions {
    /// What one transaction takes.
    struct Work {
        var commits: [Commit]
        var forgotten: [Int64]
        var purgeBefore: Timestamp?
    }

    /// What became of it: a result for each unit, and how many outcomes were purged.
    struct Done {
        var results: [Result<Void, StoreFailure>] = []
        var purged = 0
    }

    /// The most outcomes that one transaction purges: some 5 ms of work.
    static let purgeSlice = 1000

    private var statements: WriteStatements
    private let begin, end, rollback: PreparedStatement
    private let connection: SQLiteConnection?
    private let path: String
    private let checkpointPages: Int
    private let gauges: Gauges
    private let tail: OutboxTail
    private var pagesSinceCheckpoint = 0
    /// Why nothing may be written any more until the store is opened anew.
    private var ended: StoreFailure?

    init(
        _ database: Database, path: String, checkpointPages: Int, gauges: Gauges, tail: OutboxTail
    ) throws {
        statements = try WriteStatements(database)
        begin = try PreparedStatement(database, "BEGIN IMMEDIATE", place: path)
        end = try PreparedStatement(database, "COMMIT", place: path)
        rollback = try PreparedStatement(database, "ROLLBACK", place: path)
        connection = database.sqliteConnection
        self.path = path
        self.checkpointPages = checkpointPages
        self.gauges = gauges
        self.tail = tail
        tail.begin(after: statements.lastPosition)
    }

    /// Runs one transaction: all of its work is durable when this returns, or none.
    mutating func run(_ work: Work) -> Result<Done, StoreFailure> {
        if let ended { return .failure(ended) }
        do throws(SQLFailure) {
            let done = try perform(work)
            count(done)
            return .success(done)
        } catch {
            // SQLite may have rolled back by itself; then there is nothing left to do.
            if sqlite3_get_autocommit(connection) == 0 { try? rollback.run() }
            statements.forgetCached()
            let failure = StoreFailure(error, doing: "Committing")
            end(writing: error.code.endsWriting, after: failure)
            return .failure(failure)
        }
    }

    private mutating func perform(_ work: Work) throws(SQLFailure) -> Done {
        var done = Done()
        done.results.reserveCapacity(work.commits.count)
        try begin.run()
        try statements.forget(work.forgotten)
        if let time = work.purgeBefore {
            done.purged = try statements.purge(receivedBefore: time, limit: Self.purgeSlice)
        }
        for commit in work.commits { done.results.append(try statements.write(commit.unit)) }
        try statements.keepMark()
        try end.run()
        tail.append(statements.takeMessages())
        return done
    }

    /// Carries the log over into the database where it has grown enough.
    mutating func checkpointIfDue() {
        guard ended == nil, pagesSinceCheckpoint >= checkpointPages else { return }
        // A reader may hold the end of the log back; the next checkpoint then takes the rest.
        pagesSinceCheckpoint = 0
        let code = sqlite3_wal_checkpoint_v2(connection, nil, SQLITE_CHECKPOINT_PASSIVE, nil, nil)
        guard code != SQLITE_OK else {
            gauges.update {
                $0.checkpoints += 1
                $0.lastFailure = nil
            }
            return
        }
        let failure = SQLFailure(code, on: connection, place: path)
        end(
            writing: failure.code.endsWriting,
            after: StoreFailure(failure, doing: "Carrying the log over into the database"))
    }

    private mutating func end(writing isOver: Bool, after failure: StoreFailure) {
        if isOver {
            ended = StoreFailure(
                .failed,
                "Nothing is written until the store is opened anew, since: \(failure.message)",
                place: path)
        }
        let ended = ended
        gauges.update {
            $0.lastFailure = failure
            $0.ended = ended
        }
    }

    private mutating func count(_ done: Done) {
        var pages: Int32 = 0
        var highest: Int32 = 0
        sqlite3_db_status(connection, SQLITE_DBSTATUS_CACHE_WRITE, &pages, &highest, 1)
        pagesSinceCheckpoint += Int(pages)
        let units = done.results.count { if case .success = $0 { true } else { false } }
        gauges.update {
            $0.transactions += 1
            $0.units += units
            $0.conflicts += done.results.count - units
            $0.largestBatch = max($0.largestBatch, units)
            $0.pages += Int(pages)
        }
    }
}
