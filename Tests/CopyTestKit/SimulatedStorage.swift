import CopyModel
import StoragePort
import Synchronization

/// A storage in memory that keeps points and relationships but no data: for tests of those above it.
/// It survives its worker, as a real one does.
public final class SimulatedStorage: StoragePort {
    fileprivate struct State {
        var systems: SimulatedSystems
        var faults = FaultPlan()
        var effects: [Effect] = []
        var facts: [StorageFact] = []
        var reader: CheckedContinuation<StorageFact?, Never>?
        var isClosed = false
    }

    private let state: Mutex<State>
    private static let died = StorageFailure(
        .storageFailed, "The worker died here.", subject: "simulated", remedy: "Start it again.")

    /// Storage systems without volumes.
    public init(systems: Set<SubjectName>) {
        state = Mutex(State(systems: SimulatedSystems(names: systems)))
    }

    /// Replaces the planned faults, and opens the storage for a new worker.
    public func plan(_ plan: FaultPlan) {
        state.withLock {
            $0.faults = plan
            $0.isClosed = false
        }
    }

    /// Every effect that was really done, in order.
    public var effects: [Effect] { state.withLock { $0.effects } }

    /// Adds a volume without asking anybody.
    public func add(_ volume: VolumeID, capacity: Capacity, multiplier: Int) {
        state.withLock {
            $0.systems.volumes[volume] = SimulatedVolume(
                capacity: capacity, multiplier: multiplier)
        }
    }

    /// Says something unasked.
    public func report(_ fact: StorageFact) {
        let reader = state.withLock { state in
            defer { state.reader = nil }
            if state.reader == nil { state.facts.append(fact) }
            return state.reader
        }
        reader?.resume(returning: fact)
    }

    /// Is without a volume from now on, as a directory that is not mounted.
    public func remove(_ volume: VolumeID) {
        state.withLock { $0.systems.volumes[volume] = nil }
    }

    /// Loses points, as roll-off does.
    public func lose(_ tag: PointTag, on volume: VolumeID) {
        state.withLock { $0.systems.volumes[volume]?.points.removeAll { $0.tag == tag } }
    }

    /// Loses the relationship into a volume, as when somebody withdraws it past the session.
    public func lose(relationshipInto target: VolumeID) {
        state.withLock { $0.systems.volumes[target]?.inbound = nil }
    }

    /// Lets hosts write to tracks of a volume: relationships that record changes hear of it.
    public func write(to volume: VolumeID, tracks: Range<UInt64>) {
        state.withLock { $0.systems.write(to: volume, tracks) }
    }

    /// Brings so many more tracks of a target over, whether a background copy does it or hosts do,
    /// and tells it. What is to end with the last one ends.
    public func copy(to target: VolumeID, tracks: UInt64 = .max) {
        if let fact = state.withLock({ $0.systems.copy(target, tracks: tracks) }) { report(fact) }
    }

    /// Lets every background copy go on until it is done, and all that is on its way back.
    public func finishBackgroundCopies() {
        let copying = state.withLock { state in
            state.systems.volumes.filter { $0.value.inbound?.isCopied ?? false }.keys.sorted()
        }
        for target in copying { copy(to: target) }
    }

    /// Finds something that points of a volume need to be damaged, or whole again where `place` is nil.
    public func damage(_ tag: PointTag, on volume: VolumeID, place: String?) {
        state.withLock { state in
            guard let points = state.systems.volumes[volume]?.points,
                let index = points.firstIndex(where: { $0.tag == tag })
            else { return }
            state.systems.volumes[volume]?.points[index].damage = place
        }
    }

    /// What is there of these volumes.
    public func report(on volumes: [VolumeID]) async throws(StorageFailure) -> StorageReport {
        state.withLock { state in
            let systems = state.systems
            let found = volumes.compactMap { id in
                systems.volumes[id].map { (id, systems.report(id, $0)) }
            }
            return StorageReport(
                systems: systems.names, volumes: Dictionary(found, uniquingKeysWith: { a, _ in a }))
        }
    }

    /// All volumes of a system.
    public func inventory(of system: SubjectName) async throws(StorageFailure) -> [VolumeReport]? {
        state.withLock { state in
            let systems = state.systems
            guard systems.names.contains(system) else { return nil }
            return systems.volumes.filter { $0.key.storage == system }.sorted { $0.key < $1.key }
                .map { systems.report($0.key, $0.value) }
        }
    }

    /// Volumes with something of a session.
    public func volumes(ofSession session: SubjectName) async throws(StorageFailure) -> [VolumeID] {
        state.withLock { state in
            state.systems.volumes.filter { _, volume in
                volume.points.contains { $0.tag.session == session }
                    || volume.inbound?.presents.tag?.session == session
            }.keys.sorted()
        }
    }

    /// Does one thing, unless the plan strikes.
    public func perform(_ effect: Effect, at time: Timestamp) async throws(StorageFailure) {
        let (fault, result) = state.withLock { state -> (Fault?, Result<Void, StorageFailure>) in
            let fault = state.faults.strike()
            guard fault != .deathBefore else { return (fault, .success(())) }
            return (fault, state.perform(effect, at: time))
        }
        if fault != nil { throw Self.died }
        try result.get()
        for fact in state.withLock({ $0.systems.copied(by: effect) }) { report(fact) }
    }

    /// The next fact.
    public func nextFact() async -> StorageFact? {
        await withCheckedContinuation { continuation in
            let answer: StorageFact?? = state.withLock { state in
                if state.isClosed { return .some(nil) }
                if state.facts.isEmpty {
                    state.reader = continuation
                    return nil
                }
                return state.facts.removeFirst()
            }
            if let answer { continuation.resume(returning: answer) }
        }
    }

    /// Ends the facts.
    public func close() async throws(StorageFailure) {
        let reader = state.withLock { state in
            state.isClosed = true
            defer { state.reader = nil }
            return state.reader
        }
        reader?.resume(returning: nil)
    }
}

extension SimulatedStorage.State {
    /// All of it, or nothing and why not.
    fileprivate mutating func perform(
        _ effect: Effect, at time: Timestamp
    ) -> Result<Void, StorageFailure> {
        var changed = systems
        do throws(StorageFailure) {
            try changed.apply(effect, at: time)
        } catch {
            return .failure(error)
        }
        systems = changed
        effects.append(effect)
        return .success(())
    }
}
