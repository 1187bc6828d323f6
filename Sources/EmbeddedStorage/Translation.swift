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
            }, inbound: inbound.flatMap { RelationshipReport($0, on: system) })
    }
}

extension RelationshipReport {
    init?(_ relationship: RelationshipDescription, on system: SubjectName) {
        guard let source = LocalVolumeID(relationship.source), let tag = PointTag(relationship.tag)
        else { return nil }
        self.init(
            source: VolumeID(storage: system, local: source), tag: tag,
            tracksRemaining: UInt64(relationship.tracksRemaining),
            tracks: UInt64(relationship.tracksTotal), backgroundCopy: relationship.isCopying)
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
        case .copyProgress(let target, let tag, let remaining, let total):
            guard let volume = volume(target), let tag = PointTag(tag) else { return nil }
            self = .copyProgress(
                target: volume, tag: tag, tracksRemaining: UInt64(remaining), tracks: UInt64(total))
        case .copyCompleted(let target, let tag, let total):
            guard let volume = volume(target), let tag = PointTag(tag) else { return nil }
            self = .copyProgress(
                target: volume, tag: tag, tracksRemaining: 0, tracks: UInt64(total))
        case .copyFailed(let target, let tag, let errno):
            guard let volume = volume(target), let tag = PointTag(tag) else { return nil }
            self = .copyFailed(
                target: volume, tag: tag, reason: "The copy stopped with errno \(errno).")
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

extension StorageFailure {
    /// The engine's error with a published code and a remedy.
    init(_ error: TrackStoreError, system: SubjectName) {
        let place = error.place.isEmpty ? system.text : "\(system) \(error.place)"
        self.init(
            Self.code(error.code), "Storage system \(system): \(error.message).", subject: place,
            remedy: Self.remedy(error.code), isRetriable: error.code == .instantInProgress)
    }

    private static func code(_ code: TrackStoreError.Code) -> RefusalCode {
        switch code {
        case .unknownVolume: .unknownVolume
        case .volumeExists: .volumeExists
        case .volumeInUse, .tracksPending, .tooManyTargets, .reverseUnderWay, .uncommitted,
            .revertUnderWay:
            .volumeInUse
        case .notRevertible: .notRevertible
        case .wouldShrink: .volumeWouldShrink
        case .unknownPoint: .unknownBackup
        case .pointInUse: .backupInUse
        case .noSafeguardedCapacity: .noSafeguardedCapacity
        case .targetSmaller: .targetSmaller
        case .relationshipExists: .targetHasSource
        case .cycle: .cycle
        case .noRelationship: .noRelationship
        case .noSpace: .notEnoughSpace
        case .inUse, .closed, .invalidArgument, .pointExists, .instantInProgress, .noInstant,
            .damaged, .inputOutput:
            .storageFailed
        }
    }

    private static func remedy(_ code: TrackStoreError.Code) -> String {
        switch code {
        case .inUse: "Stop the other worker that has the directory."
        case .closed: "Wait until the worker has started again, and send the command again."
        case .unknownVolume, .noRelationship, .unknownPoint: "RefreshStates, then send it again."
        case .volumeExists, .wouldShrink, .invalidArgument: "DescribeStorage shows what is there."
        case .volumeInUse, .tooManyTargets, .pointInUse, .pointExists, .relationshipExists:
            "Terminate what uses it, or RefreshStates to find it."
        case .tracksPending: "InitiateBackgroundCopy, and wait until it is done."
        case .reverseUnderWay, .revertUnderWay: "Wait until the background copy is done."
        case .uncommitted: "Commit or Revert first."
        case .notRevertible: "QueryRelationships shows which relationships are revertible."
        case .noSafeguardedCapacity: "SetSafeguardedCapacity for the volume."
        case .targetSmaller: "ExpandVolumes for the target."
        case .cycle: "Give another target."
        case .instantInProgress, .noInstant: "Send it again."
        case .noSpace: "Free space on the host's file system, or raise the limit on open files."
        case .damaged, .inputOutput: "See the host's kernel log for the disk, then RefreshStates."
        }
    }
}
