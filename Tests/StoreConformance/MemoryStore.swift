import CopyModel
import SessionStore
import Synchronization

/// A session store in memory: for tests of what is above the port, and for the simulator.
///
/// Its contents outlive it: a worker that is killed leaves them behind, and the next one opens a
/// `MemoryStore` on them. Nothing in here waits, so it adds no chance to a simulation.
public final class MemoryStore: SessionStore {
    /// What is kept, as a disk keeps it.
    public final class Contents: Sendable {
        fileprivate let tables = Mutex(Tables())

        /// Contents of an empty store.
        public init() {}
    }

    private let contents: Contents
    private let isClosed = Mutex(false)

    /// Opens a store on what an earlier one has left.
    public init(_ contents: Contents = Contents()) { self.contents = contents }

    /// Every subject that has parts, in order.
    public func subjects() async throws(StoreFailure) -> [SubjectName] {
        try read { tables in tables.subjects.filter { !$0.value.parts.isEmpty }.keys.sorted() }
    }

    /// What is kept of a subject; its parts in the order of keys.
    public func load(_ subject: SubjectName) async throws(StoreFailure) -> SubjectRecord {
        try read { tables in
            let kept = tables.subjects[subject] ?? Tables.Subject()
            return SubjectRecord(
                parts: kept.parts.sorted { $0.key < $1.key }
                    .map { SessionPart(key: $0.key, bytes: $0.value) },
                lastSequence: kept.lastSequence,
                knownCommands: Set(kept.inbox.keys.map { InboxRecord.hash($0) }))
        }
    }

    /// The kept outcome of a command; nil where there is none.
    public func outcome(
        of id: CommandID, subject: SubjectName
    ) async throws(StoreFailure) -> InboxRecord? {
        try read { $0.subjects[subject]?.inbox[id] }
    }

    /// Every intent that was committed and not yet cleared, oldest first.
    public func openIntents() async throws(StoreFailure) -> [IntentRecord] {
        try read { $0.intents }
    }

    /// Keeps all of a unit, or nothing where it is in conflict.
    public func commit(_ unit: UnitOfWork) async throws(StoreFailure) {
        try read { $0.commit(unit) }.get()
    }

    /// The messages that are owed, in the order of their commits.
    public func outbox(
        after position: Int64, limit: Int
    ) async throws(StoreFailure) -> [OutboxRecord] {
        try read { tables in
            Array(tables.outbox.lazy.filter { $0.position > position }.prefix(max(0, limit)))
        }
    }

    /// Forgets messages, at once.
    public func forget(_ positions: [Int64]) async throws(StoreFailure) {
        let gone = Set(positions)
        try read { $0.outbox.removeAll { gone.contains($0.position) } }
    }

    /// Forgets the outcomes of commands received before a time; returns how many.
    public func purgeOutcomes(receivedBefore time: Timestamp) async throws(StoreFailure) -> Int {
        try read { $0.purge(receivedBefore: time) }
    }

    /// Ends this store; its contents stay.
    public func close() async throws(StoreFailure) { isClosed.withLock { $0 = true } }

    private func read<Value: Sendable>(
        _ body: (inout Tables) -> Value
    ) throws(StoreFailure) -> Value {
        guard !isClosed.withLock({ $0 }) else {
            throw StoreFailure(.failed, "The store is closed.", place: "memory")
        }
        return contents.tables.withLock { tables in body(&tables) }
    }
}

/// The tables of a store in memory.
private struct Tables {
    struct Subject {
        var lastSequence: UInt64 = 0
        var parts: [String: [UInt8]] = [:]
        var inbox: [CommandID: InboxRecord] = [:]
    }

    var subjects: [SubjectName: Subject] = [:]
    var intents: [IntentRecord] = []
    var outbox: [OutboxRecord] = []
    var lastPosition: Int64 = 0

    mutating func commit(_ unit: UnitOfWork) -> Result<Void, StoreFailure> {
        var kept = subjects[unit.subject] ?? Subject()
        guard kept.lastSequence == unit.expectedSequence else {
            let sentence = "\(unit.subject) stands at \(kept.lastSequence), not at "
            return .failure(
                StoreFailure(.conflict, sentence + "\(unit.expectedSequence).", place: "memory"))
        }
        kept.lastSequence = unit.lastSequence
        for part in unit.putParts { kept.parts[part.key] = part.bytes }
        for key in unit.deleteParts { kept.parts[key] = nil }
        if let record = unit.inbox { kept.inbox[record.id] = record }
        subjects[unit.subject] = kept
        if unit.intent != .keep { intents.removeAll { $0.subject == unit.subject } }
        if case .put(let bytes) = unit.intent {
            intents.append(IntentRecord(subject: unit.subject, bytes: bytes))
        }
        for message in unit.outbox {
            lastPosition += 1
            outbox.append(OutboxRecord(position: lastPosition, message: message))
        }
        return .success(())
    }

    mutating func purge(receivedBefore time: Timestamp) -> Int {
        var count = 0
        for name in Array(subjects.keys) {
            let old = subjects[name]?.inbox.values.filter { $0.receivedAt < time }.map(\.id) ?? []
            for id in old { subjects[name]?.inbox[id] = nil }
            count += old.count
        }
        return count
    }
}
