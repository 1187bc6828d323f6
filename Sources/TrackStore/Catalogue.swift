import CLMDB
import Glibc
import Synchronization

/// The store's LMDB environment: what exists, and where saved content lies. The only file that
/// talks to LMDB.
///
/// Each write transaction is durable when `write` returns; LMDB lets one thread write at a time.
/// Read transactions see one state and are short: an old one would keep LMDB from reusing space.
// Sendable: LMDB's environment may be used by any thread; `environment` and `tables` are set once,
// and the environment is closed when the store has ended all transactions and begins no more.
final class Catalogue: @unchecked Sendable {
    /// The tables, with how their keys are made (big-endian numbers, so that keys sort as numbers
    /// do).
    enum Table: Int, CaseIterable {
        /// A name → a number.
        case meta
        /// volume 2 → capacity, multiplier.
        case volumes
        /// volume 2 · sequence 8 → tag, time, capacity.
        case points
        /// target 2 → source, point, terms.
        case relationships
        /// target 2 · page 4 → 4 KiB of pending bits; absent = as the relationship began.
        case pending
        /// volume 2 · track 4 · sequence 8 · segment 4 · block 4 → masks and checksums.
        case saved
        /// volume 2 · segment 4 → how far it is filled, dead and newer.
        case segments
        /// volume 2 → up to where `saved` reflects the segments.
        case tails
        /// target 2 · side 1 · page 4 → 4 KiB of bits of changed tracks; absent = none changed.
        case changes
        /// volume 2 · region 4 → nothing: tracks of the region may have changed without a row in
        /// `changes` that says so.
        case intents
        /// As in `saved` → which of the entry's blocks are damaged, and the error number.
        case damages
        /// volume 2 · segment 4 → a bit a block: what has been punched out between needed blocks.
        case punched
        /// volume 2 → a number: points have gone, and what only they needed has not been looked for.
        case sweeps
        /// volume 2 → what stays of relationships into it when they have ended.
        case targetNotes
    }

    private let environment: OpaquePointer
    private let tables: [MDB_dbi]
    private let path: String
    private let isClosed = Atomic<Bool>(false)

    /// Opens the environment in directory `path`, or makes it. `mapSize` bytes of address space
    /// bound its growth.
    convenience init(path: String, mapSize: Int) throws(TrackStoreError) {
        try self.init(opening: path, mapSize: mapSize)
    }

    /// Opens the environment in directory `path` to be read beside another process that writes to it.
    /// Tables that it does not have yet are empty. LMDB does not bear a second one in the same process.
    convenience init(reading path: String) throws(TrackStoreError) {
        try self.init(opening: path, mapSize: nil)
    }

    /// Without a `mapSize`, only to be read: as large as its writer has made it.
    private init(opening path: String, mapSize: Int?) throws(TrackStoreError) {
        var created: OpaquePointer?
        try Self.check(mdb_env_create(&created), "open the index", path)
        guard let environment = created else {
            throw TrackStoreError(.inputOutput, "the index could not be opened", place: path)
        }
        self.path = path
        do throws(TrackStoreError) {
            var flags = MDB_NOTLS
            try Self.check(mdb_env_set_maxdbs(environment, 16), "open the index", path)
            if let mapSize {
                try Self.check(mdb_env_set_maxreaders(environment, 4096), "open the index", path)
                try Self.check(mdb_env_set_mapsize(environment, mapSize), "open the index", path)
            } else {
                flags |= MDB_RDONLY
            }
            try Self.check(
                mdb_env_open(environment, path, UInt32(flags), 0o600), "open the index", path)
            if mapSize != nil { mdb_reader_check(environment, nil) }
            tables = try Self.openTables(environment, path, isReading: mapSize == nil)
        } catch {
            mdb_env_close(environment)
            throw error
        }
        self.environment = environment
    }

    deinit { close() }

    /// Ends all use of the environment. No transaction may be under way; none begins afterwards.
    func close() {
        if !isClosed.exchange(true, ordering: .sequentiallyConsistent) {
            mdb_env_close(environment)
        }
    }

    /// `isReading`: tables that are not there are not made.
    private static func openTables(
        _ environment: OpaquePointer, _ path: String, isReading: Bool
    ) throws(TrackStoreError) -> [MDB_dbi] {
        var begun: OpaquePointer?
        let kind = UInt32(isReading ? MDB_RDONLY : 0)
        try check(mdb_txn_begin(environment, nil, kind, &begun), "open the index", path)
        var tables: [MDB_dbi] = []
        for table in Table.allCases {
            var handle: MDB_dbi = 0
            let flags = UInt32(isReading ? 0 : MDB_CREATE)
            let result = mdb_dbi_open(begun, "\(table)", flags, &handle)
            if isReading, result == MDB_NOTFOUND { handle = absent }
            if result != 0, handle != absent {
                mdb_txn_abort(begun)
                throw failure(result, "open the index", path)
            }
            tables.append(handle)
        }
        try check(mdb_txn_commit(begun), "open the index", path)
        return tables
    }

    /// Stands for a table that an environment which is only read does not have.
    fileprivate static let absent = MDB_dbi.max

    /// Runs `body` and makes what it did durable, all or nothing; nothing where it throws.
    func write<Result>(
        _ body: (borrowing Transaction) throws(TrackStoreError) -> Result
    ) throws(TrackStoreError) -> Result {
        let transaction = try begin(readOnly: false)
        let result = try body(transaction)
        try transaction.commit()
        return result
    }

    /// Runs `body` on the newest committed state.
    func read<Result>(
        _ body: (borrowing Transaction) throws(TrackStoreError) -> Result
    ) throws(TrackStoreError) -> Result {
        try body(try begin(readOnly: true))
    }

    /// A read transaction on the newest committed state, for a caller that keeps it for a while.
    func beginReading() throws(TrackStoreError) -> Transaction { try begin(readOnly: true) }

    private func begin(readOnly: Bool) throws(TrackStoreError) -> Transaction {
        guard !isClosed.load(ordering: .sequentiallyConsistent) else {
            throw TrackStoreError(.closed, "the store is closed", place: path)
        }
        var begun: OpaquePointer?
        let flags = UInt32(readOnly ? MDB_RDONLY : 0)
        try Self.check(mdb_txn_begin(environment, nil, flags, &begun), "read the index", path)
        guard let begun else {
            throw TrackStoreError(.inputOutput, "the index gave no transaction", place: path)
        }
        return Transaction(begun, tables, path)
    }

    fileprivate static func failure(
        _ result: Int32, _ what: String, _ path: String
    ) -> TrackStoreError {
        switch result {
        case MDB_MAP_FULL, MDB_TXN_FULL, MDB_READERS_FULL:
            return TrackStoreError(.noSpace, "the index is full", place: path, errno: ENOSPC)
        case MDB_CORRUPTED, MDB_PAGE_NOTFOUND, MDB_INVALID, MDB_VERSION_MISMATCH:
            return TrackStoreError(.damaged, "the index is damaged", place: path)
        case let number where number > 0:
            return .system(number, what, path)
        case let number:  // LMDB's other codes, all of them negative
            let text = String(cString: mdb_strerror(number))
            return TrackStoreError(.inputOutput, "could not \(what): \(text)", place: path)
        }
    }

    fileprivate static func check(
        _ result: Int32, _ what: String, _ path: String
    ) throws(TrackStoreError) {
        guard result == 0 else { throw failure(result, what, path) }
    }
}

extension Catalogue {
    /// One consistent view of the tables; in a write transaction also the way to change them. It
    /// ends with the value: uncommitted changes are undone then. Bound to the thread that began it.
    struct Transaction: ~Copyable {
        private var transaction: OpaquePointer?
        private let tables: [MDB_dbi]
        private let path: String

        fileprivate init(_ transaction: OpaquePointer, _ tables: [MDB_dbi], _ path: String) {
            self.transaction = transaction
            self.tables = tables
            self.path = path
        }

        deinit { if let transaction { mdb_txn_abort(transaction) } }

        fileprivate consuming func commit() throws(TrackStoreError) {
            let ending = transaction
            transaction = nil
            try check(mdb_txn_commit(ending), "commit to the index", path)
        }

        func put(_ table: Table, _ key: [UInt8], _ value: [UInt8]) throws(TrackStoreError) {
            let result = key.withUnsafeBytes { key in
                value.withUnsafeBytes { value in
                    var keyValue = MDB_val(key)
                    var dataValue = MDB_val(value)
                    return mdb_put(transaction, tables[table.rawValue], &keyValue, &dataValue, 0)
                }
            }
            try check(result, "write to the index", path)
        }

        func get(_ table: Table, _ key: [UInt8]) throws(TrackStoreError) -> [UInt8]? {
            var dataValue = MDB_val()
            let result = key.withUnsafeBytes { key in
                var keyValue = MDB_val(key)
                return mdb_get(transaction, tables[table.rawValue], &keyValue, &dataValue)
            }
            if result == MDB_NOTFOUND { return nil }
            try check(result, "read the index", path)
            return [UInt8](dataValue.bytes)
        }

        /// Removes a row; one that is not there is removed already.
        func delete(_ table: Table, _ key: [UInt8]) throws(TrackStoreError) {
            let result = key.withUnsafeBytes { key in
                var keyValue = MDB_val(key)
                return mdb_del(transaction, tables[table.rawValue], &keyValue, nil)
            }
            if result != MDB_NOTFOUND { try check(result, "write to the index", path) }
        }

        /// Visits rows in order of key, from the first at or after `start`, until `visit` says
        /// false. The bytes are valid inside `visit` only.
        func scan(
            _ table: Table, from start: UnsafeRawBufferPointer,
            _ visit: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws(TrackStoreError) ->
                Bool
        ) throws(TrackStoreError) {
            guard tables[table.rawValue] != Catalogue.absent else { return }
            var opened: OpaquePointer?
            try check(
                mdb_cursor_open(transaction, tables[table.rawValue], &opened), "read the index",
                path)
            defer { mdb_cursor_close(opened) }
            var key = MDB_val(start)
            var value = MDB_val()
            var move = start.isEmpty ? MDB_FIRST : MDB_SET_RANGE
            while true {
                let result = mdb_cursor_get(opened, &key, &value, move)
                if result == MDB_NOTFOUND { return }
                try check(result, "read the index", path)
                guard try visit(key.bytes, value.bytes) else { return }
                move = MDB_NEXT
            }
        }

        /// Removes the rows whose keys begin with `prefix`, at most `limit`; true where none are
        /// left.
        func deleteAll(
            _ table: Table, prefix: [UInt8], limit: Int = .max
        ) throws(TrackStoreError) -> Bool {
            var keys: [[UInt8]] = []
            var isComplete = true
            try scan(table, prefix: prefix) { (key, _) throws(TrackStoreError) in
                guard keys.count < limit else {
                    isComplete = false
                    return false
                }
                keys.append([UInt8](key))
                return true
            }
            for key in keys { try delete(table, key) }
            return isComplete
        }

        /// Visits the rows whose keys begin with `prefix`.
        func scan(
            _ table: Table, prefix: [UInt8],
            _ visit: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws(TrackStoreError) ->
                Bool
        ) throws(TrackStoreError) {
            var failure: TrackStoreError?
            prefix.withUnsafeBytes { start in
                do throws(TrackStoreError) {
                    try scan(table, from: start) { (key, value) throws(TrackStoreError) in
                        guard key.starts(with: start) else { return false }
                        return try visit(key, value)
                    }
                } catch { failure = error }
            }
            if let failure { throw failure }
        }
    }
}

extension MDB_val {
    fileprivate init(_ bytes: UnsafeRawBufferPointer) {
        self.init(
            mv_size: bytes.count, mv_data: UnsafeMutableRawPointer(mutating: bytes.baseAddress))
    }

    fileprivate var bytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: mv_data, count: mv_size)
    }
}
