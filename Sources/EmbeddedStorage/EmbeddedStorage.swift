import CopyModel
import StoragePort
import TrackStore

/// The storage port over embedded storage systems: directories of plain files, each a `TrackStore`.
///
/// What blocks runs on threads of its own; the engines serialise what must be. Points of volumes on
/// several systems are one instant, because they share one `InstantGroup`.
public final class EmbeddedStorage: StoragePort {
    /// The systems by name, for the hosts' door.
    public let stores: [SubjectName: TrackStore]
    private let threads = ControlThreads(count: 4)
    private let facts = FactQueue()

    /// Opens every system, or none. One that has no journal any more is brought to its files first.
    ///
    /// Throws `storage-failed` where a directory is in use, damaged or cannot be made.
    public init(
        systems: [(name: SubjectName, path: String, hasJournal: Bool)]
    ) throws(StorageFailure) {
        var opened: [SubjectName: TrackStore] = [:]
        for (name, path, hasJournal) in systems {
            let facts = facts
            var configuration = TrackStore.Configuration(directory: path)
            if !hasJournal { configuration.journalCapacity = 0 }
            do {
                opened[name] = try TrackStore(configuration) { fact in
                    if let told = StorageFact(fact, on: name) { facts.add(told) }
                }
            } catch {
                for store in opened.values { try? store.close() }
                throw StorageFailure(error, system: name)
            }
        }
        stores = opened
    }

    /// What there is of these volumes.
    public func report(on volumes: [VolumeID]) async throws(StorageFailure) -> StorageReport {
        let stores = stores
        return try await blocking { () throws(StorageFailure) in
            var report = StorageReport(systems: Set(stores.keys))
            for (name, wanted) in Dictionary(grouping: volumes, by: \.storage) {
                guard let store = stores[name] else { continue }
                for volume in try describe(store, wanted.map(\.local.text), on: name) {
                    report.volumes[volume.volume] = volume
                }
            }
            return report
        }
    }

    /// Every volume of a system. What hosts have written before the call counts, unless they write more than
    /// the storage takes out of its journal within two seconds.
    public func inventory(of system: SubjectName) async throws(StorageFailure) -> [VolumeReport]? {
        guard let store = stores[system] else { return nil }
        return try await blocking { () throws(StorageFailure) in
            store.settleJournal(milliseconds: 2_000)
            return try describe(store, nil, on: system)
        }
    }

    /// Every volume with a point of a session, or presenting one.
    public func volumes(ofSession session: SubjectName) async throws(StorageFailure) -> [VolumeID] {
        var found: [VolumeID] = []
        for (name, store) in stores.sorted(by: { $0.key < $1.key }) {
            let all = try await blocking { () throws(StorageFailure) in
                try describe(store, nil, on: name)
            }
            for volume in all
            where volume.points.contains(where: { $0.tag.session == session })
                || volume.inbound?.presents.tag?.session == session
            {
                found.append(volume.volume)
            }
        }
        return found
    }

    /// Does one thing, durably; what is so already is done already.
    public func perform(_ effect: Effect, at time: Timestamp) async throws(StorageFailure) {
        let effects = Effects(stores: stores)
        try await blocking { () throws(StorageFailure) in try effects.perform(effect, at: time) }
    }

    /// The next fact.
    public func nextFact() async -> StorageFact? { await facts.next() }

    /// Makes everything durable and lets go of the directories.
    ///
    /// What cannot be made durable now is found again at the next start, from the segments. Throws the
    /// first failure, with everything closed all the same.
    public func close() async throws(StorageFailure) {
        let stores = stores
        let result: Result<Void, StorageFailure> = await threads.perform {
            var failure: StorageFailure?
            for (system, store) in stores.sorted(by: { $0.key < $1.key }) {
                do throws(TrackStoreError) {
                    try store.close()
                } catch {
                    failure = failure ?? StorageFailure(error, system: system)
                }
            }
            return failure.map { .failure($0) } ?? .success(())
        }
        threads.close()
        facts.close()
        try result.get()
    }

    private func blocking<Value: Sendable>(
        _ body: @escaping @Sendable () throws(StorageFailure) -> Value
    ) async throws(StorageFailure) -> Value {
        let result: Result<Value, StorageFailure> = await threads.perform {
            do throws(StorageFailure) {
                return .success(try body())
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }
}

/// What an engine says of its volumes, or of some of them.
func describe(
    _ store: TrackStore, _ ids: [String]?, on system: SubjectName
) throws(StorageFailure) -> [VolumeReport] {
    do throws(TrackStoreError) {
        if let ids {
            return try store.describe(ids).compactMap {
                VolumeReport($0.volume, inbound: $0.inbound, on: system)
            }
        }
        let all = try store.describe()
        let inbound = Dictionary(
            all.relationships.map { ($0.target, $0) }, uniquingKeysWith: { first, _ in first })
        return all.volumes.compactMap { VolumeReport($0, inbound: inbound[$0.id], on: system) }
    } catch {
        throw StorageFailure(error, system: system)
    }
}
