import TrackBitmap

/// What exists in a store, at one moment.
public struct StoreDescription: Sendable, Hashable {
    /// Volumes by id.
    public var volumes: [VolumeDescription]
    /// Relationships by target.
    public var relationships: [RelationshipDescription]
}

/// A volume.
public struct VolumeDescription: Sendable, Hashable {
    /// Four hexadecimal digits.
    public var id: String
    /// Bytes.
    public var capacity: UInt64
    /// Safeguarded capacity as a multiple of it.
    public var multiplier: UInt32
    /// Bytes of the volume's file on disk, holes not counted.
    public var allocated: UInt64
    /// Bytes of safeguarded capacity in use: saved content that a point may need.
    public var safeguardedUsed: UInt64
    /// Its points, oldest first; only those that are durable.
    public var points: [PointDescription]
    /// The targets of the relationships of which it is the source, by id, itself aside.
    public var targets: [String]
    /// The number of the last instant that changed which relationship it is the target of, by
    /// establish, refresh or reverse; 0 where that had none. Stays when the relationship ends.
    public var lastNumber: UInt64
    /// The number of the relationship into it that ended by itself, every track copied, where none has
    /// begun since; nil where it was withdrawn, too.
    public var completedNumber: UInt64?
}

/// A point of a volume.
public struct PointDescription: Sendable, Hashable {
    /// The name it was given.
    public var tag: String
    /// Its place in the order of the store's points; those of one instant share it.
    public var sequence: UInt64
    /// Milliseconds since 1970, as given.
    public var time: Int64
    /// The volume's capacity then. Bytes.
    public var capacity: UInt64
    /// A saved block that it needs and that is damaged, and where it lies; nil where all are whole, as
    /// far as is known.
    public var damage: String?
}

/// A target that presents a point.
public struct RelationshipDescription: Sendable, Hashable {
    /// The volume that has, or had, the point.
    public var source: String
    /// The safeguarded point that was recovered; empty where it presents an instant of its own.
    public var tag: String
    /// The volume that presents it.
    public var target: String
    /// Tracks of the point.
    public var tracksTotal: Int
    /// Tracks that only the source holds; 0 only once the target holds all of them durably.
    public var tracksRemaining: Int
    /// A background copy is under way.
    public var isCopying: Bool
    /// A background copy was asked for, whether or not it has ended, and has not stopped. True of a revert
    /// that goes on.
    public var wantsCopy: Bool
    /// It stays when every track has been copied.
    public var isPersistent: Bool
    /// Hosts may not write to the target.
    public var inhibitsTargetWrites: Bool
    /// A fast reverse restore: the target's source is worth nothing afterwards.
    public var isFastReverse: Bool
    /// Its last refresh is neither committed nor reverted: what the target held before is kept.
    public var isRevertible: Bool
    /// Its last refresh is being reverted: `tracksRemaining` counts what has yet to be put back.
    public var isReverting: Bool
    /// Tracks that a refresh would copy now: those that differ or have not come over. Nil where changes
    /// are not recorded.
    public var tracksOutOfSync: Int?
    /// Limit of the background copy: MiB a second, 0 = none.
    public var rateMiBps: UInt32
    /// Bytes a second that the background copy has come to lately; 0 where it does not run.
    public var bytesPerSecond: UInt64
    /// Seconds until it is done at this rate; nil where it does not run.
    public var secondsLeft: UInt64?
    /// The number that was given with it.
    public var number: UInt64
    /// When it was established: milliseconds since 1970, as given.
    public var established: Int64
    /// When it was last refreshed or reversed, or established: milliseconds since 1970, as given.
    public var refreshed: Int64
}

extension TrackStore {
    /// Everything there is. From any thread. Errors: `closed`.
    public func describe() throws(TrackStoreError) -> StoreDescription {
        try checkOpen()
        let targets = copier.targets()
        let volumes = sortedVolumes().map { describe($0, targets) }
        let relationships = copier.relationships().map(describe)
            .sorted { $0.target < $1.target }
        return StoreDescription(volumes: volumes, relationships: relationships)
    }

    /// Some volumes, each with the relationship whose target it is; those that do not exist are
    /// left out. From any thread. Errors: `closed`.
    public func describe(
        _ ids: [String]
    ) throws(TrackStoreError) -> [(volume: VolumeDescription, inbound: RelationshipDescription?)] {
        try checkOpen()
        let wanted = ids.compactMap(Volume.number)
        let targets = copier.targets()
        return volumes.withLock { volumes in wanted.compactMap { volumes[$0] } }
            .map { (describe($0, targets), $0.inbound.map(describe)) }
    }

    /// The points of a volume, oldest first; only those that are durable. From any thread.
    ///
    /// Errors: `unknownVolume`, `closed`.
    public func points(of id: String) throws(TrackStoreError) -> [PointDescription] {
        try checkOpen()
        return describePoints(try volume(id))
    }

    /// The relationship whose target a volume is; nil where it presents nothing. From any thread.
    ///
    /// Errors: `unknownVolume`, `closed`.
    public func relationship(
        into target: String
    ) throws(TrackStoreError) -> RelationshipDescription? {
        try checkOpen()
        return try volume(target).inbound.map(describe)
    }

    private func describe(
        _ volume: Volume, _ targets: [UInt16: [UInt16]]
    ) -> VolumeDescription {
        let note = volume.note.withLock { $0 }
        return VolumeDescription(
            id: volume.name, capacity: volume.capacity, multiplier: volume.multiplier,
            allocated: Files.allocated(volume.path),
            safeguardedUsed: parts.usage(of: volume) ?? 0,
            points: describePoints(volume),
            targets: targets[volume.number, default: []].sorted().map(Volume.name),
            lastNumber: note.lastNumber, completedNumber: note.completed)
    }

    private func describePoints(_ volume: Volume) -> [PointDescription] {
        volume.state.withLock { state in
            state.points.filter(\.isRecoverable).map { point in
                PointDescription(
                    tag: point.tag, sequence: point.sequence, time: point.time,
                    capacity: point.capacity,
                    damage: parts.damages.place(of: point, volume))
            }
        }
    }

    private func describe(_ relationship: Relationship) -> RelationshipDescription {
        let pace = relationship.pace.withLock { $0.tracksPerSecond }
        let rate = UInt64(pace * Double(Geometry.track))
        let left = UInt64(relationship.pending.memberCount) * UInt64(Geometry.track)
        let shown = relationship.shown
        return RelationshipDescription(
            source: shown.source.name, tag: shown.record.tag,
            target: relationship.target.name, tracksTotal: relationship.pending.count,
            tracksRemaining: relationship.tracksRemaining,
            isCopying: relationship.copying && !relationship.drained,
            wantsCopy: relationship.copying,
            isPersistent: relationship.isPersistent,
            inhibitsTargetWrites: relationship.inhibitsTargetWrites,
            isFastReverse: relationship.feeding != nil,
            isRevertible: relationship.uncommitted,
            isReverting: relationship.successor != nil,
            tracksOutOfSync: shown.tracksOutOfSync,
            rateMiBps: relationship.rateMiBps.load(ordering: .relaxed), bytesPerSecond: rate,
            secondsLeft: rate > 0 ? left / rate : nil, number: relationship.record.number,
            established: relationship.record.established,
            refreshed: relationship.record.refreshed)
    }
}
