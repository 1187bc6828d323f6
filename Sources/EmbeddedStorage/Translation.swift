import CopyModel
import StoragePort
import TrackStore

// The engine's words in the model's.

extension VolumeReport {
    /// What the engine says of a volume; nil where its name has not the contract's form.
    init?(_ volume: VolumeDescription, inbound: RelationshipDescription?, on system: SubjectName) {
        guard let local = LocalVolumeID(volume.id) else { return nil }
        self.init(
            volume: VolumeID(storage: system, local: local),
            capacity: Capacity(bytes: volume.capacity),
            safeguardedMultiplier: Int(volume.multiplier),
            allocated: Capacity(bytes: volume.allocated),
            safeguardedUsed: Capacity(bytes: volume.safeguardedUsed),
            points: volume.points.compactMap { point in
                PointTag(point.tag).map {
                    PointReport(
                        tag: $0, time: Timestamp(milliseconds: point.time),
                        capacity: Capacity(bytes: point.capacity), damage: point.damage)
                }
            }, inbound: inbound.flatMap { RelationshipReport($0, on: system) },
            outbound: volume.targets.compactMap { target in
                LocalVolumeID(target).map { VolumeID(storage: system, local: $0) }
            })
        completed = volume.completedNumber
    }
}

extension Presented {
    /// What the engine calls by a tag, or by the number of an instant; nil where the tag has not the
    /// contract's form.
    init?(tag: String, number: UInt64) {
        guard !tag.isEmpty else {
            self = .instant(number)
            return
        }
        guard let tag = PointTag(tag) else { return nil }
        self = .backup(tag)
    }
}

extension RelationshipReport {
    init?(_ relationship: RelationshipDescription, on system: SubjectName) {
        guard let source = LocalVolumeID(relationship.source),
            let presents = Presented(tag: relationship.tag, number: relationship.number)
        else { return nil }
        self.init(
            source: VolumeID(storage: system, local: source), presents: presents,
            tracksRemaining: UInt64(relationship.tracksRemaining),
            tracks: UInt64(relationship.tracksTotal),
            backgroundCopy: presents.tag == nil ? relationship.wantsCopy : relationship.isCopying,
            attributes: RelationshipAttributes(relationship))
    }
}

extension RelationshipAttributes {
    init(_ relationship: RelationshipDescription) {
        self.init()
        persistent = relationship.isPersistent
        incremental = relationship.tracksOutOfSync != nil
        inhibitTargetWrites = relationship.inhibitsTargetWrites
        revertible = relationship.isRevertible
        reverting = relationship.isReverting
        fastReverse = relationship.isFastReverse
        tracksOutOfSync = relationship.tracksOutOfSync.map { UInt64($0) }
        copyRateMiBps = Int(relationship.rateMiBps)
        bytesPerSecond = relationship.bytesPerSecond
        secondsLeft = relationship.secondsLeft
        number = relationship.number
        established = Timestamp(milliseconds: relationship.established)
        refreshed = Timestamp(milliseconds: relationship.refreshed)
    }
}

extension StorageFact {
    /// The fact as sessions hear it; nil for what only the engine's own health is about.
    init?(_ fact: TrackStoreFact, on system: SubjectName) {
        func volume(_ id: String) -> VolumeID? {
            LocalVolumeID(id).map { VolumeID(storage: system, local: $0) }
        }
        switch fact {
        case .pointsRolledOff(let id, let tags):
            guard let volume = volume(id) else { return nil }
            self = .pointsRolledOff(volume: volume, tags: tags.compactMap { PointTag($0) })
        case .pointsDamaged(let id, let tags, let place):
            guard let volume = volume(id) else { return nil }
            self = .pointsDamaged(
                volume: volume, tags: tags.compactMap { PointTag($0) }, place: place)
        case .capacity(let id, let percent, let level):
            guard let volume = volume(id) else { return nil }
            self = .capacityLevel(
                volume: volume, usedPercent: percent, level: CopyModel.CapacityLevel(level))
        case .copyProgress(let target, let tag, let number, let remaining, let total):
            guard let volume = volume(target), let presents = Presented(tag: tag, number: number)
            else { return nil }
            self = .copyProgress(
                target: volume, presents: presents, tracksRemaining: UInt64(remaining),
                tracks: UInt64(total))
        case .copyCompleted(let target, let tag, let number, let total):
            guard let volume = volume(target), let presents = Presented(tag: tag, number: number)
            else { return nil }
            self = .copyProgress(
                target: volume, presents: presents, tracksRemaining: 0, tracks: UInt64(total))
        case .copyFailed(let target, let tag, let number, let errno):
            guard let volume = volume(target), let presents = Presented(tag: tag, number: number)
            else { return nil }
            self = .copyFailed(
                target: volume, presents: presents, reason: "The copy stopped with errno \(errno).")
        case .storageFailed(let place, let errno):
            self = .storageTrouble(system: system, place: place, errno: errno)
        }
    }
}

extension CopyModel.CapacityLevel {
    fileprivate init(_ level: EngineCapacityLevel) {
        switch level {
        case .normal: self = .normal
        case .warning: self = .warning
        case .critical: self = .critical
        }
    }
}
