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
    /// What relationships do at one instant: all of it or none. Done already where each pair's target
    /// was last changed by the instant of that number.
    case changeRelationships(RelationshipInstant)
    /// End the relationships of the pairs where they have that number; any of them where it is nil.
    case withdrawRelationships([PairTerms], number: UInt64?)
    /// Keep what revertible refreshes of that number have brought.
    case commitRelationships([PairTerms], number: UInt64)
    /// Take revertible refreshes of that number back.
    case revertRelationships([PairTerms], number: UInt64)
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

/// What several relationships do at one instant.
public struct RelationshipInstant: Hashable, Sendable, Codable {
    /// Names the instant, for ever: what it begins carries the number. Rises within a session.
    public var number: UInt64
    /// What it begins, a pair each.
    public var changes: [RelationshipChange]

    /// Gathers an instant.
    public init(number: UInt64, changes: [RelationshipChange]) {
        self.number = number
        self.changes = changes
    }
}

/// What one pair does at an instant.
public enum RelationshipChange: Hashable, Sendable, Codable {
    /// The target presents the source anew, and every track is to be copied; a relationship of the
    /// same pair ends with it.
    case establish(PairTerms, RelationshipTerms)
    /// The target presents the source anew, and only what has changed on either side is to be copied.
    /// The terms take the place of those before. `revertible`: what the target held before is kept
    /// until it is committed or reverted.
    case refresh(PairTerms, RelationshipTerms, revertible: Bool)
    /// Of the relationship of these terms, the source presents what the target held. `fast`: whether
    /// or not every track was copied; then it ends when the last one is back, and the old target is
    /// worth nothing.
    case reverse(PairTerms, fast: Bool)

    /// Source and target as they are before the instant.
    public var pair: PairTerms {
        switch self {
        case .establish(let pair, _), .refresh(let pair, _, _), .reverse(let pair, _): pair
        }
    }
}

/// How a relationship is to be kept.
public struct RelationshipTerms: Hashable, Sendable, Codable {
    /// Tracks are copied by themselves; otherwise only when they are written to.
    public var backgroundCopy = true
    /// The relationship stays when every track has been copied.
    public var persistent = false
    /// Changes on both sides are recorded, so that a refresh copies only these. Implies persistent.
    public var incremental = false
    /// Hosts may not write to the target while the relationship lasts.
    public var inhibitTargetWrites = false
    /// Limits the background copy: MiB a second, 0 = no limit.
    public var copyRateMiBps = 0

    /// A relationship with background copy and nothing else.
    public init() {}
}

/// What a target presents.
public enum Presented: Hashable, Sendable, Codable {
    /// A backup's point, which stands for itself.
    case backup(PointTag)
    /// Its source at the instant of that number, for this relationship alone; 0 where none was given.
    case instant(UInt64)

    /// The backup's tag, where it is one.
    public var tag: PointTag? {
        switch self {
        case .backup(let tag): tag
        case .instant: nil
        }
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
    /// The targets of the relationships of which it is the source, in order.
    public var outbound: [VolumeID]
    /// The number of the relationship that ended by itself, every track copied, where the volume has been the
    /// target of none since: 0 where it had no number; nil where there was none, or it was withdrawn.
    public var completed: UInt64?

    /// Gathers a volume's report.
    public init(
        volume: VolumeID, capacity: Capacity, safeguardedMultiplier: Int, allocated: Capacity,
        safeguardedUsed: Capacity, points: [PointReport], inbound: RelationshipReport?,
        outbound: [VolumeID] = []
    ) {
        self.volume = volume
        self.capacity = capacity
        self.safeguardedMultiplier = safeguardedMultiplier
        self.allocated = allocated
        self.safeguardedUsed = safeguardedUsed
        self.points = points
        self.inbound = inbound
        self.outbound = outbound
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

/// What the storage says of one relationship. Attributes as in the field's queries (DS8000, lsflash -l).
public struct RelationshipReport: Hashable, Sendable {
    /// Whose content is presented.
    public var source: VolumeID
    /// Which.
    public var presents: Presented
    /// Tracks that the target does not hold yet.
    public var tracksRemaining: UInt64
    /// Tracks in all.
    public var tracks: UInt64
    /// A background copy was asked for; of a backup, and is not done.
    public var backgroundCopy: Bool
    /// How it is kept.
    public var attributes: RelationshipAttributes

    /// Gathers a relationship's report.
    public init(
        source: VolumeID, presents: Presented, tracksRemaining: UInt64, tracks: UInt64,
        backgroundCopy: Bool, attributes: RelationshipAttributes = RelationshipAttributes()
    ) {
        self.source = source
        self.presents = presents
        self.tracksRemaining = tracksRemaining
        self.tracks = tracks
        self.backgroundCopy = backgroundCopy
        self.attributes = attributes
    }
}

/// How a relationship is kept, and where it stands.
public struct RelationshipAttributes: Hashable, Sendable {
    /// It stays when every track has been copied.
    public var persistent = false
    /// Changes are recorded: a refresh copies only these.
    public var incremental = false
    /// Hosts may not write to the target.
    public var inhibitTargetWrites = false
    /// Its last refresh can be committed or reverted, and must be before anything else.
    public var revertible = false
    /// Its last refresh is being reverted.
    public var reverting = false
    /// A fast reverse restore that has not got every track yet.
    public var fastReverse = false
    /// Tracks that a refresh would copy now; nil where changes are not recorded.
    public var tracksOutOfSync: UInt64?
    /// Limit of the background copy: MiB a second, 0 = none.
    public var copyRateMiBps = 0
    /// Bytes a second of the background copy lately.
    public var bytesPerSecond: UInt64 = 0
    /// Seconds until it is done at that rate; nil where it does not run.
    public var secondsLeft: UInt64?
    /// The number of the instant that it was last changed by; 0 where none was given.
    public var number: UInt64 = 0
    /// When it was established.
    public var established = Timestamp(milliseconds: 0)
    /// The instant that the target presents.
    public var refreshed = Timestamp(milliseconds: 0)

    /// A relationship that records nothing and ends when it is copied.
    public init() {}
}

/// What the storage reports unasked. May not be refused: every state answers every fact.
///
/// Facts of a relationship name what the target presented then: they can be heard when it
/// presents another.
public enum StorageFact: Hashable, Sendable {
    /// How far a relationship is. At most twice a second each, and always once at 0 remaining, which
    /// is reported only when the target's data is durable.
    case copyProgress(
        target: VolumeID, presents: Presented, tracksRemaining: UInt64, tracks: UInt64)
    /// Points have rolled off a volume whose safeguarded capacity ran out.
    case pointsRolledOff(volume: VolumeID, tags: [PointTag])
    /// What points of a volume need is damaged, and lies there.
    case pointsDamaged(volume: VolumeID, tags: [PointTag], place: String)
    /// A volume's safeguarded capacity has crossed a level.
    case capacityLevel(volume: VolumeID, usedPercent: Int, level: CapacityLevel)
    /// A background copy cannot go on.
    case copyFailed(target: VolumeID, presents: Presented, reason: String)
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
