import CopyModel
import StoragePort

/// The volumes of simulated storage systems. A value: an effect is tried on a copy, so one that is
/// refused changes nothing.
struct SimulatedSystems {
    var names: Set<SubjectName>
    var volumes: [VolumeID: SimulatedVolume] = [:]
}

/// A volume without content.
struct SimulatedVolume {
    var capacity: Capacity
    var multiplier: Int
    var points: [PointReport] = []
    var inbound: SimulatedRelationship?
    /// The number of the last instant that changed the relationship into it.
    var lastNumber: UInt64 = 0
    /// The number of the relationship that ended by itself, where none has begun since.
    var completed: UInt64?

    /// Makes it the target of a relationship.
    mutating func present(_ relationship: SimulatedRelationship) {
        inbound = relationship
        completed = nil
    }
}

extension SimulatedSystems {
    func report(_ id: VolumeID, _ volume: SimulatedVolume) -> VolumeReport {
        var report = VolumeReport(
            volume: id, capacity: volume.capacity, safeguardedMultiplier: volume.multiplier,
            allocated: volume.capacity, safeguardedUsed: Capacity(bytes: 0), points: volume.points,
            inbound: volume.inbound?.report, outbound: targets(of: id))
        report.completed = volume.completed
        return report
    }

    /// Does what the effect asks, or throws with everything as it was or half done: on a copy.
    mutating func apply(_ effect: Effect, at time: Timestamp) throws(StorageFailure) {
        switch effect {
        case .takePoints(let tag, let sources): try take(tag, on: sources)
        case .verifyPoints(let tag, let sources): try verify(tag, on: sources)
        case .dropPoints(let tags, let sources): try drop(Set(tags), on: sources)
        case .establish(let terms, let tag, let copy):
            for pair in terms { try recover(pair, tag, backgroundCopy: copy) }
        case .startBackgroundCopy(let targets):
            for target in targets {
                guard try volume(target).inbound != nil else { throw Self.noRelationship(target) }
                volumes[target]?.inbound?.terms.backgroundCopy = true
            }
        case .withdraw(let terms, let tag):
            try withdraw(terms) { $0.presents == .backup(tag) }
        case .changeRelationships(let instant): try change(instant, at: time)
        case .withdrawRelationships(let terms, let number):
            try withdraw(terms) { number ?? $0.number == $0.number }
        case .commitRelationships(let terms, let number): try commit(terms, number)
        case .revertRelationships(let terms, let number): try revert(terms, number)
        case .createVolumes(let system, let wanted): try create(wanted, on: system)
        case .deleteVolumes(let system, let ids): try delete(ids, on: system)
        case .expandVolumes(let system, let expansions): try expand(expansions, on: system)
        case .setSafeguardedCapacity(let system, let totals):
            try check(system)
            for total in totals {
                let id = VolumeID(storage: system, local: total.id)
                _ = try volume(id)
                volumes[id]?.multiplier = total.multiplier
            }
        }
    }

    func volume(_ id: VolumeID) throws(StorageFailure) -> SimulatedVolume {
        try check(id.storage)
        guard let volume = volumes[id] else {
            throw Self.failure(.unknownVolume, "There is no volume \(id)", id)
        }
        return volume
    }

    private func check(_ system: SubjectName) throws(StorageFailure) {
        guard names.contains(system) else {
            throw StorageFailure(
                .unknownStorage, "There is no storage system \(system).", subject: system.text,
                remedy: "Simulate it.")
        }
    }

    static func failure(
        _ code: RefusalCode, _ message: String, _ volume: VolumeID
    ) -> StorageFailure {
        StorageFailure(
            code, message + ".", subject: "\(volume)", remedy: "RefreshStates shows what there is.")
    }

    // MARK: Points

    private mutating func take(
        _ tag: PointTag, on sources: [VolumeID]
    ) throws(StorageFailure) {
        var missing = false
        for source in sources {
            let volume = try volume(source)
            guard volume.multiplier > 0 else {
                throw Self.failure(
                    .noSafeguardedCapacity, "\(source) has none to keep it in", source)
            }
            if !volume.points.contains(where: { $0.tag == tag }) { missing = true }
        }
        guard missing else { return }
        // What an interrupted attempt left is of another instant.
        for source in sources {
            volumes[source]?.points.removeAll { $0.tag == tag }
            let capacity = try volume(source).capacity
            volumes[source]?.points.append(
                PointReport(tag: tag, time: tag.backup.time, capacity: capacity))
        }
    }

    private func verify(_ tag: PointTag, on sources: [VolumeID]) throws(StorageFailure) {
        for source in sources {
            guard let point = try volume(source).points.first(where: { $0.tag == tag }) else {
                throw Self.failure(.unknownBackup, "\(source) has no point \(tag)", source)
            }
            if let damage = point.damage {
                throw Self.failure(.storageFailed, "\(tag) is damaged: \(damage)", source)
            }
        }
    }

    private mutating func drop(
        _ tags: Set<PointTag>, on sources: [VolumeID]
    ) throws(StorageFailure) {
        for source in sources {
            _ = try volume(source)
            let isRead = relationships(from: source).contains { _, relationship in
                relationship.remaining > 0
                    && relationship.presents.tag.map(tags.contains) ?? false
            }
            if isRead {
                throw Self.failure(.backupInUse, "A relationship still reads it", source)
            }
            volumes[source]?.points.removeAll { tags.contains($0.tag) }
        }
    }

    // MARK: Volumes

    private mutating func create(
        _ wanted: [VolumeSpecification], on system: SubjectName
    ) throws(StorageFailure) {
        try check(system)
        for new in wanted {
            let id = VolumeID(storage: system, local: new.id)
            if let known = volumes[id] {
                guard known.capacity == new.capacity,
                    known.multiplier == new.safeguardedMultiplier
                else { throw Self.failure(.volumeExists, "There is a volume \(id) already", id) }
                continue
            }
            volumes[id] = SimulatedVolume(
                capacity: new.capacity, multiplier: new.safeguardedMultiplier)
        }
    }

    private mutating func delete(
        _ ids: [LocalVolumeID], on system: SubjectName
    ) throws(StorageFailure) {
        try check(system)
        for local in ids {
            let id = VolumeID(storage: system, local: local)
            guard let known = volumes[id] else { continue }
            guard known.points.isEmpty, known.inbound == nil, targets(of: id).isEmpty else {
                throw Self.failure(.volumeInUse, "\(id) has points or a relationship", id)
            }
            volumes[id] = nil
        }
    }

    private mutating func expand(
        _ expansions: [VolumeExpansion], on system: SubjectName
    ) throws(StorageFailure) {
        try check(system)
        for expansion in expansions {
            let id = VolumeID(storage: system, local: expansion.id)
            guard try volume(id).capacity <= expansion.capacity else {
                throw Self.failure(.volumeWouldShrink, "\(id) never shrinks", id)
            }
            volumes[id]?.capacity = expansion.capacity
        }
    }
}
