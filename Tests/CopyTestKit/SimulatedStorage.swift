import CopyModel
import StoragePort
import Synchronization

/// A storage in memory that keeps points and relationships but no data: for tests of those above it.
/// It survives its worker, as a real one does.
public final class SimulatedStorage: StoragePort {
    fileprivate struct Volume {
        var capacity: Capacity
        var multiplier: Int
        var points: [PointReport] = []
        var inbound: RelationshipReport?
    }

    fileprivate struct State {
        var systems: Set<SubjectName>
        var volumes: [VolumeID: Volume] = [:]
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
    public init(systems: Set<SubjectName>) { state = Mutex(State(systems: systems)) }

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
        state.withLock { $0.volumes[volume] = Volume(capacity: capacity, multiplier: multiplier) }
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
        state.withLock { $0.volumes[volume] = nil }
    }

    /// Loses points, as roll-off does.
    public func lose(_ tag: PointTag, on volume: VolumeID) {
        state.withLock { $0.volumes[volume]?.points.removeAll { $0.tag == tag } }
    }

    /// Finds something that points of a volume need to be damaged, or whole again where `place` is nil.
    public func damage(_ tag: PointTag, on volume: VolumeID, place: String?) {
        state.withLock { state in
            guard let points = state.volumes[volume]?.points,
                let index = points.firstIndex(where: { $0.tag == tag })
            else { return }
            state.volumes[volume]?.points[index].damage = place
        }
    }

    /// What is there of these volumes.
    public func report(on volumes: [VolumeID]) async throws(StorageFailure) -> StorageReport {
        state.withLock { state in
            let found = volumes.compactMap { id in
                state.volumes[id].map { (id, state.report(id, $0)) }
            }
            return StorageReport(
                systems: state.systems, volumes: Dictionary(found, uniquingKeysWith: { a, _ in a }))
        }
    }

    /// All volumes of a system.
    public func inventory(of system: SubjectName) async throws(StorageFailure) -> [VolumeReport]? {
        state.withLock { state in
            guard state.systems.contains(system) else { return nil }
            return state.volumes.filter { $0.key.storage == system }.sorted { $0.key < $1.key }
                .map { state.report($0.key, $0.value) }
        }
    }

    /// Volumes with something of a session.
    public func volumes(ofSession session: SubjectName) async throws(StorageFailure) -> [VolumeID] {
        state.withLock { state in
            state.volumes.filter { _, volume in
                volume.points.contains { $0.tag.session == session }
                    || volume.inbound?.tag.session == session
            }.keys.sorted()
        }
    }

    /// Does one thing, unless the plan strikes.
    public func perform(_ effect: Effect, at time: Timestamp) async throws(StorageFailure) {
        let fault = state.withLock { state in
            let fault = state.faults.strike()
            if fault != .deathBefore {
                state.effects.append(effect)
                state.apply(effect)
            }
            return fault
        }
        if fault != nil { throw Self.died }
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
    fileprivate func report(_ id: VolumeID, _ volume: SimulatedStorage.Volume) -> VolumeReport {
        VolumeReport(
            volume: id, capacity: volume.capacity, safeguardedMultiplier: volume.multiplier,
            allocated: volume.capacity, safeguardedUsed: Capacity(bytes: 0), points: volume.points,
            inbound: volume.inbound)
    }

    fileprivate mutating func apply(_ effect: Effect) {
        switch effect {
        case .takePoints(let tag, let sources):
            for source in sources { take(tag, on: source) }
        case .verifyPoints: break
        case .dropPoints(let tags, let sources):
            for source in sources { volumes[source]?.points.removeAll { tags.contains($0.tag) } }
        case .establish(let terms, let tag, let copy):
            for pair in terms {
                let tracks = volumes[pair.source]?.capacity.tracks ?? 0
                volumes[pair.target]?.inbound = RelationshipReport(
                    source: pair.source, tag: tag, tracksRemaining: tracks, tracks: tracks,
                    backgroundCopy: copy)
            }
        case .startBackgroundCopy(let targets):
            for target in targets { volumes[target]?.inbound?.backgroundCopy = true }
        case .withdraw(let terms, let tag):
            for pair in terms {
                guard let inbound = volumes[pair.target]?.inbound, inbound.tag == tag,
                    inbound.source == pair.source
                else { continue }
                volumes[pair.target]?.inbound = nil
            }
        case .createVolumes(let system, let specifications):
            for volume in specifications {
                let id = VolumeID(storage: system, local: volume.id)
                guard volumes[id] == nil else { continue }
                volumes[id] = SimulatedStorage.Volume(
                    capacity: volume.capacity, multiplier: volume.safeguardedMultiplier)
            }
        case .deleteVolumes(let system, let ids):
            for id in ids { volumes[VolumeID(storage: system, local: id)] = nil }
        case .expandVolumes(let system, let expansions):
            for expansion in expansions {
                volumes[VolumeID(storage: system, local: expansion.id)]?.capacity =
                    expansion.capacity
            }
        case .setSafeguardedCapacity(let system, let totals):
            for total in totals {
                volumes[VolumeID(storage: system, local: total.id)]?.multiplier = total.multiplier
            }
        }
    }

    private mutating func take(_ tag: PointTag, on source: VolumeID) {
        guard var volume = volumes[source], !volume.points.contains(where: { $0.tag == tag })
        else { return }
        volume.points.append(
            PointReport(tag: tag, time: tag.backup.time, capacity: volume.capacity))
        volumes[source] = volume
    }
}
