// What the storage is asked (`Effect`), what it reports (`Fact`), and what it says when it is asked to
// describe itself. The port to it and the law both speak in these.

/// One thing for the storage to do. Idempotent: asked twice, the storage answers "already so".
public enum Effect: Hashable, Sendable, Codable {
    /// A point of that name on all the volumes at one instant: on all of them or on none.
    case takePoints(PointTag, sources: [VolumeID])
    /// Make the points durable and read them back.
    case verifyPoints(PointTag, sources: [VolumeID])
    /// Give up points: those of the tags, on those volumes.
    case dropPoints([PointTag], sources: [VolumeID])
    /// Make targets present their source's point.
    case establish([PairTerms], PointTag, backgroundCopy: Bool)
    /// Copy what the targets do not hold yet.
    case startBackgroundCopy(targets: [VolumeID])
    /// End the relationships of the targets.
    case withdraw([PairTerms], PointTag)
    /// New volumes, all or none.
    case createVolumes(SubjectName, [VolumeSpecification])
    /// Fewer volumes, all or none.
    case deleteVolumes(SubjectName, [LocalVolumeID])
    /// Larger volumes.
    case expandVolumes(SubjectName, [VolumeExpansion])
    /// New totals of safeguarded capacity.
    case setSafeguardedCapacity(SubjectName, [SafeguardedMultiplier])
}

/// Source and target of a relationship.
public struct PairTerms: Hashable, Sendable, Codable {
    /// Whose point is presented.
    public var source: VolumeID
    /// Who presents it.
    public var target: VolumeID

    /// Gathers a pair.
    public init(source: VolumeID, target: VolumeID) {
        self.source = source
        self.target = target
    }
}

/// What the storage says on being asked about volumes.
public struct StorageReport: Hashable, Sendable {
    /// The storage systems that there are.
    public var systems: Set<SubjectName>
    /// The volumes asked about that exist, by name.
    public var volumes: [VolumeID: VolumeReport]

    /// Gathers a report.
    public init(systems: Set<SubjectName> = [], volumes: [VolumeID: VolumeReport] = [:]) {
        self.systems = systems
        self.volumes = volumes
    }
}

/// What the storage says of one volume.
public struct VolumeReport: Hashable, Sendable {
    /// Its name.
    public var volume: VolumeID
    /// Its size.
    public var capacity: Capacity
    /// Safeguarded capacity as a multiple of its size; 0 for none.
    public var safeguardedMultiplier: Int
    /// Bytes of its file that are allocated.
    public var allocated: Capacity
    /// Bytes of safeguarded capacity in use.
    public var safeguardedUsed: Capacity
    /// Its points, oldest first.
    public var points: [PointReport]
    /// The relationship of which it is the target.
    public var inbound: RelationshipReport?

    /// Gathers a volume's report.
    public init(
        volume: VolumeID, capacity: Capacity, safeguardedMultiplier: Int, allocated: Capacity,
        safeguardedUsed: Capacity, points: [PointReport], inbound: RelationshipReport?
    ) {
        self.volume = volume
        self.capacity = capacity
        self.safeguardedMultiplier = safeguardedMultiplier
        self.allocated = allocated
        self.safeguardedUsed = safeguardedUsed
        self.points = points
        self.inbound = inbound
    }

    /// Whole per cent of the safeguarded capacity in use; may pass 100 while a recovery pins a backup.
    public var usedPercent: Int {
        let all = capacity.bytes * UInt64(safeguardedMultiplier)
        return all == 0 ? 0 : Percent.of(done: safeguardedUsed.bytes, all: all)
    }
}

/// What the storage says of one point.
public struct PointReport: Hashable, Sendable {
    /// Its name.
    public var tag: PointTag
    /// When it was taken.
    public var time: Timestamp
    /// The volume's size then.
    public var capacity: Capacity
    /// What it needs and is damaged, and where that lies; nil where it is whole, as far as is known.
    public var damage: String?

    /// Gathers a point's report.
    public init(tag: PointTag, time: Timestamp, capacity: Capacity, damage: String? = nil) {
        self.tag = tag
        self.time = time
        self.capacity = capacity
        self.damage = damage
    }
}

/// What the storage says of one relationship.
public struct RelationshipReport: Hashable, Sendable {
    /// Whose point is presented.
    public var source: VolumeID
    /// Which.
    public var tag: PointTag
    /// Tracks that the target does not hold yet.
    public var tracksRemaining: UInt64
    /// Tracks in all.
    public var tracks: UInt64
    /// A background copy was asked for.
    public var backgroundCopy: Bool

    /// Gathers a relationship's report.
    public init(
        source: VolumeID, tag: PointTag, tracksRemaining: UInt64, tracks: UInt64,
        backgroundCopy: Bool
    ) {
        self.source = source
        self.tag = tag
        self.tracksRemaining = tracksRemaining
        self.tracks = tracks
        self.backgroundCopy = backgroundCopy
    }
}

/// What the storage reports unasked. May not be refused: every state answers every fact.
///
/// Facts of a relationship name the point that the target presented then: they can be heard when it
/// presents another.
public enum StorageFact: Hashable, Sendable {
    /// How far a relationship is. At most twice a second each, and always once at 0 remaining, which
    /// is reported only when the target's data is durable.
    case copyProgress(target: VolumeID, tag: PointTag, tracksRemaining: UInt64, tracks: UInt64)
    /// Points have rolled off a volume whose safeguarded capacity ran out.
    case pointsRolledOff(volume: VolumeID, tags: [PointTag])
    /// What points of a volume need is damaged, and lies there.
    case pointsDamaged(volume: VolumeID, tags: [PointTag], place: String)
    /// A volume's safeguarded capacity has crossed a level.
    case capacityLevel(volume: VolumeID, usedPercent: Int, level: CapacityLevel)
    /// A background copy cannot go on.
    case copyFailed(target: VolumeID, tag: PointTag, reason: String)
    /// The system could not make something durable and goes on trying.
    case storageTrouble(system: SubjectName, place: String, errno: Int32)
}

/// How full safeguarded capacity is.
public enum CapacityLevel: String, Sendable, Hashable, Codable, CaseIterable {
    /// Below 80 per cent.
    case normal
    /// 80 per cent or more.
    case warning
    /// 95 per cent or more: the oldest backups are about to roll off.
    case critical
}
