import CopyModel
import SessionStore

/// The session store in one SQLite database, for one worker on one machine.
///
/// A thread of its own writes, with group commit (`Writer`); another one reads. Callers wait in
/// continuations and block nobody. A lock file beside the database keeps every other worker out.
public final class SQLiteStore: SessionStore {
    /// What can be set.
    public struct Options: Hashable, Sendable {
        /// The most pages of 4 KiB that the database may have; nil for as many as the disk holds.
        public var pageLimit: Int?
        /// After how many pages of 4 KiB the log is carried over into the database.
        public var checkpointPages = 4000
        /// How long forgetting may wait for a commit to ride along with.
        public var forgetDelay: Duration = .milliseconds(50)

        /// The usual settings.
        public init() {}
    }

    /// The database's file.
    public let path: String
    let lock: OwnerLock
    let writes: Mailbox<WriteWork>
    let reads: Mailbox<ReadWork>
    let gauges = Gauges()
    let tail = OutboxTail()

    /// Opens a store, making it and its directory where there is none.
    ///
    /// Blocks while it opens, and so may not be called where nothing may block.
    ///
    /// Throws `.locked` at once where another worker has it, and `.schemaNewer`, leaving the
    /// database as it is, where a later version of the program wrote it.
    public init(path: String, options: Options = Options()) throws(StoreFailure) {
        self.path = path
        try StoreFiles.makeDirectory(of: path)
        lock = try OwnerLock(path: path + ".lock")
        try StoreFiles.settleLog(of: path)
        try Connections.refuseNewer(path: path)
        writes = try Mailbox(place: path)
        reads = try Mailbox(place: path)
        try startWriting(options)
        do {
            try startReading()
        } catch {
            _ = writes.post(.close(nil), isLast: true)
            throw error
        }
    }

    /// A store that nobody closed is closed when the last reference goes, a little later.
    deinit {
        _ = reads.post(.close(nil), isLast: true)
        _ = writes.post(.close(nil), isLast: true)
    }

    /// What the store has done since it was opened.
    public var counters: StoreCounters { gauges.now }

    /// How much work waits for the next transaction.
    public var queueLength: Int { writes.count }

    // MARK: Writing

    /// Makes one unit of work durable, in one transaction with others that are ready.
    ///
    /// A unit that failed with `.failed` may be found nevertheless when the store is opened anew.
    public func commit(_ unit: UnitOfWork) async throws(StoreFailure) {
        try await write { .commit(Commit(unit: unit, reply: $0)) }
    }

    /// Forgets messages with the next commit, or soon; returns at once.
    public func forget(_ positions: [Int64]) async throws(StoreFailure) {
        if let ended = gauges.now.ended { throw ended }
        tail.forget(positions)
        guard writes.post(.forget(positions)) else { throw .closed(place: path) }
    }

    /// Forgets the outcomes of commands received before a time, a thousand a transaction.
    public func purgeOutcomes(receivedBefore time: Timestamp) async throws(StoreFailure) -> Int {
        try await write { .purge(Purge(receivedBefore: time, reply: $0)) }
    }

    // MARK: Reading

    /// Every subject that has parts, in the order of names.
    public func subjects() async throws(StoreFailure) -> [SubjectName] {
        try await read { (statements) throws(StoreFailure) in try statements.readSubjects() }
    }

    /// What is kept of a subject at one instant; its parts in the order of keys.
    public func load(_ subject: SubjectName) async throws(StoreFailure) -> SubjectRecord {
        try await read { (statements) throws(StoreFailure) in try statements.load(subject) }
    }

    /// The kept outcome of a command; nil where there is none.
    public func outcome(
        of id: CommandID, subject: SubjectName
    ) async throws(StoreFailure) -> InboxRecord? {
        try await read { (statements) throws(StoreFailure) in
            try statements.readOutcome(of: id, subject: subject)
        }
    }

    /// Every intent that was committed and not yet cleared, in the order of their commits.
    public func openIntents() async throws(StoreFailure) -> [IntentRecord] {
        try await read { (statements) throws(StoreFailure) in try statements.readIntents() }
    }

    /// The messages that are owed, in the order of their commits; none where `limit` is below 1.
    public func outbox(
        after position: Int64, limit: Int
    ) async throws(StoreFailure) -> [OutboxRecord] {
        if let records = tail.records(after: position, limit: limit) { return records }
        return try await read { (statements) throws(StoreFailure) in
            try statements.readOutbox(after: position, limit: limit)
        }
    }
}
