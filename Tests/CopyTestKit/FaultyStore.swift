import CopyModel
import SessionStore
import Synchronization

/// A store whose commits may be the worker's last.
public final class FaultyStore: SessionStore {
    private let store: any SessionStore
    private let faults: FaultPlan
    /// Positions that the worker has let go of and that are still there, as a grouping store has them
    /// until its next transaction.
    private let leaving = Mutex<[Int64]>([])

    /// Wraps a store.
    public init(_ store: any SessionStore, faults: FaultPlan) {
        self.store = store
        self.faults = faults
    }

    private static let died = StoreFailure(.failed, "The worker died here.", place: "simulated")

    /// Passed on.
    public func subjects() async throws(StoreFailure) -> [SubjectName] {
        try await store.subjects()
    }

    /// Passed on.
    public func load(_ subject: SubjectName) async throws(StoreFailure) -> SubjectRecord {
        try await store.load(subject)
    }

    /// Passed on.
    public func outcome(of id: CommandID, subject: SubjectName) async throws(StoreFailure)
        -> InboxRecord?
    { try await store.outcome(of: id, subject: subject) }

    /// Passed on.
    public func openIntents() async throws(StoreFailure) -> [IntentRecord] {
        try await store.openIntents()
    }

    /// Commits, unless the plan strikes.
    public func commit(_ unit: UnitOfWork) async throws(StoreFailure) {
        let fault = faults.strike()
        if fault != .deathBefore {
            let positions = leaving.withLock { leaving in
                defer { leaving = [] }
                return leaving
            }
            try await store.forget(positions)
            try await store.commit(unit)
        }
        if fault != nil { throw Self.died }
    }

    /// Passed on.
    public func outbox(after position: Int64, limit: Int) async throws(StoreFailure)
        -> [OutboxRecord]
    {
        try await store.outbox(after: position, limit: limit)
    }

    /// Forgets with the next commit, unless the plan strikes.
    public func forget(_ positions: [Int64]) async throws(StoreFailure) {
        let fault = faults.strike()
        if fault != .deathBefore { leaving.withLock { $0 += positions } }
        if fault != nil { throw Self.died }
    }

    /// Passed on.
    public func purgeOutcomes(receivedBefore time: Timestamp) async throws(StoreFailure) -> Int {
        try await store.purgeOutcomes(receivedBefore: time)
    }

    /// The store outlives the worker.
    public func close() async throws(StoreFailure) {}
}
