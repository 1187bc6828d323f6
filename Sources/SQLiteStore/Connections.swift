import GRDB
import SessionStore

/// The two connections to the database: one that writes and checkpoints, one that only reads.
///
/// Never a third that writes: SQLite before 3.51.3 can lose a log when one connection checkpoints
/// while another commits. A read-only connection can do neither, not even as the last to close.
enum Connections {
    /// Refuses a database of a later program, before anything has been written.
    static func refuseNewer(path: String) throws(StoreFailure) {
        guard StoreFiles.hasContent(path) else { return }
        let isNewer = try inWords("Reading the schema's version", place: path) {
            let queue = try openReader(path: path)
            defer { try? queue.close() }
            return try queue.inDatabase { try Schema.migrator().hasBeenSuperseded($0) }
        }
        guard !isNewer else {
            throw StoreFailure(
                .schemaNewer, "The database was written by a later version of this program.",
                place: path)
        }
    }

    /// Opens the connection that writes, and brings the tables up to date.
    static func openWriter(
        path: String, options: SQLiteStore.Options
    ) throws(StoreFailure) -> DatabaseQueue {
        try inWords("Opening the database", place: path) {
            var configuration = Configuration()
            configuration.label = "stillpoint-store-writer"
            configuration.foreignKeysEnabled = false
            // Transactions are begun and ended by prepared statements that GRDB does not watch.
            configuration.allowsUnsafeTransactions = true
            configuration.prepareDatabase { try $0.execute(sql: settings(options)) }
            let queue = try DatabaseQueue(path: path, configuration: configuration)
            let mode = try queue.inDatabase { try String.fetchOne($0, sql: "PRAGMA journal_mode") }
            guard mode == "wal" else {
                throw StoreFailure(
                    .failed, "The file system does not support write-ahead logging.", place: path)
            }
            try Schema.migrator().migrate(queue)
            try queue.inDatabase { _ = try $0.checkpoint(.truncate) }
            return queue
        }
    }

    /// Opens a connection that only reads.
    static func openReader(path: String) throws(StoreFailure) -> DatabaseQueue {
        try inWords("Opening the database for reading", place: path) {
            var configuration = Configuration()
            configuration.label = "stillpoint-store-reader"
            configuration.readonly = true
            configuration.allowsUnsafeTransactions = true
            return try DatabaseQueue(path: path, configuration: configuration)
        }
    }

    /// What the writing connection is set to.
    ///
    /// `secure_delete` is on in some distributions, which makes forgetting as dear as writing.
    /// Checkpoints are the writer's to decide; the log is cut back where it once grew beyond 64
    /// MiB.
    private static func settings(_ options: SQLiteStore.Options) -> String {
        let limit = options.pageLimit.map { "PRAGMA max_page_count = \($0);" } ?? ""
        return """
            PRAGMA page_size = 4096;
            PRAGMA journal_mode = WAL;
            PRAGMA synchronous = FULL;
            PRAGMA wal_autocheckpoint = 0;
            PRAGMA journal_size_limit = 67108864;
            PRAGMA secure_delete = OFF;
            PRAGMA cache_size = -65536;
            PRAGMA temp_store = MEMORY;
            \(limit)
            """
    }
}
