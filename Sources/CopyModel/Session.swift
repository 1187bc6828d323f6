/// Where a session stands. Recoverable, copying and error are facts of their own, never folded in here.
public enum SessionState: String, Sendable, Hashable, Codable, CaseIterable {
    /// Created; nothing of it is on the storage. To: Protected, TargetAvailable, Preparing.
    case defined = "Defined"
    /// Mirrors: initial copy or resynchronisation. To: Prepared, Suspending.
    case preparing = "Preparing"
    /// Mirrors: in step. To: Suspending.
    case prepared = "Prepared"
    /// Mirrors: a suspend is under way. To: Suspended.
    case suspending = "Suspending"
    /// Mirrors: copying has stopped. To: Recovering, Preparing.
    case suspended = "Suspended"
    /// A recovery is being made. To: TargetAvailable.
    case recovering = "Recovering"
    /// Targets are usable by hosts. To: Flashing, Terminating, Preparing.
    case targetAvailable = "TargetAvailable"
    /// Safeguarded Copy: at least one backup is known. To: Terminating, Defined.
    case protected = "Protected"
    /// FlashCopy: the instant is being taken. To: TargetAvailable.
    case flashing = "Flashing"
    /// Global Mirror: the last updates are being drained. To: Prepared, Suspended.
    case draining = "Draining"
    /// Relationships and backups are being removed. To: Defined.
    case terminating = "Terminating"
}

/// How well a session stands.
public enum SessionStatus: String, Sendable, Hashable, Codable, CaseIterable {
    /// Nothing is on the storage.
    case inactive = "Inactive"
    /// The newest copy can be recovered.
    case normal = "Normal"
    /// The newest copy cannot be recovered yet.
    case warning = "Warning"
    /// Something that should be recoverable is not.
    case severe = "Severe"
    /// The worker cannot tell.
    case unknown = "Unknown"
}

/// A session: everything that its commands decide on and its events tell of.
public struct Session: Hashable, Sendable {
    /// Its name.
    public var name: SubjectName
    /// Its type, for ever.
    public var type: SessionType
    /// What people wrote about it.
    public var description: String
    /// Where it stands.
    public var state: SessionState
    /// Rises with every commit that changes the session.
    public var revision: UInt64
    /// Its options.
    public var options: SafeguardedOptions
    /// Its copy sets, by H1.
    public var copySets: [CopySet]
    /// Its backups, oldest first.
    public var backups: [Backup]
    /// The recovery in place, if there is one.
    public var recovery: Recovery?
    /// The newest backup id ever given out: ids are never used twice, not even after expiry.
    public var lastBackupID: BackupID?
    /// Volumes that the storage did not know when it was last asked, in order. A volume of a session
    /// cannot be deleted, so their storage is not there (not mounted, not configured): what is known
    /// of them stays as it was.
    public var unseen: [VolumeID]

    /// A new session in `Defined`.
    public init(
        name: SubjectName, type: SessionType, description: String, options: SafeguardedOptions
    ) {
        self.name = name
        self.type = type
        self.description = description
        self.state = .defined
        self.revision = 0
        self.options = options
        self.copySets = []
        self.backups = []
        self.recovery = nil
        self.lastBackupID = nil
        self.unseen = []
    }
}

/// One backup: a point on every H1 that was in the session then, at one instant.
public struct Backup: Hashable, Sendable, Codable {
    /// Its id.
    public var id: BackupID
    /// What its points are called on the storage.
    public var tag: PointTag
    /// When it was taken.
    public var time: Timestamp
    /// The H1 volumes that it holds, in order.
    public var sources: [VolumeID]
    /// Those of them whose point the storage no longer has (rolled off), in order.
    public var lost: [VolumeID]
    /// Those of them whose point needs something that is damaged, in order. The point is there, and all
    /// the rest of it can be read.
    public var damages: [Damage]
    /// Every point was made durable and read back.
    public var verified: Bool

    /// A backup that was just taken and not yet read back.
    public init(id: BackupID, tag: PointTag, time: Timestamp, sources: [VolumeID]) {
        self.id = id
        self.tag = tag
        self.time = time
        self.sources = sources
        self.lost = []
        self.damages = []
        self.verified = false
    }

    /// Reads one back; those kept by earlier versions know of no damage.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        id = try values.decode(BackupID.self, forKey: .id)
        tag = try values.decode(PointTag.self, forKey: .tag)
        time = try values.decode(Timestamp.self, forKey: .time)
        sources = try values.decode([VolumeID].self, forKey: .sources)
        lost = try values.decode([VolumeID].self, forKey: .lost)
        damages = try values.decodeIfPresent([Damage].self, forKey: .damages) ?? []
        verified = try values.decode(Bool.self, forKey: .verified)
    }

    /// The volumes that cannot be recovered whole, in order.
    public var spoiled: [VolumeID] { Set(lost + damages.map(\.volume)).sorted() }

    /// How many of its copy sets can be recovered.
    public var recoverableCopySets: Int { verified ? sources.count - spoiled.count : 0 }

    /// True where all of it can be recovered.
    public var isRecoverable: Bool {
        verified && lost.isEmpty && damages.isEmpty && !sources.isEmpty
    }
}

/// That a backup cannot be recovered whole on a volume, since something saved for it is damaged.
public struct Damage: Hashable, Sendable, Codable {
    /// The H1 volume.
    public var volume: VolumeID
    /// What is damaged, and where it lies.
    public var place: String

    /// States a damage.
    public init(volume: VolumeID, place: String) {
        self.volume = volume
        self.place = place
    }
}

/// A recovery in place: R1 volumes that present a backup.
public struct Recovery: Hashable, Sendable, Codable {
    /// The backup that they present.
    public var backup: BackupID
    /// True where the tracks are being copied, or were.
    public var backgroundCopy: Bool
    /// One pair a copy set, by H1.
    public var pairs: [Pair]

    /// Gathers a recovery.
    public init(backup: BackupID, backgroundCopy: Bool, pairs: [Pair]) {
        self.backup = backup
        self.backgroundCopy = backgroundCopy
        self.pairs = pairs
    }
}

/// Where a pair stands.
public enum PairState: String, Sendable, Hashable, Codable, CaseIterable {
    /// The target can be used by hosts.
    case targetAvailable = "TargetAvailable"
    /// The storage no longer has the relationship that the session made.
    case lost = "Lost"
    /// The relationship was withdrawn; the pair is told of for the last time.
    case withdrawn = "Withdrawn"
}

/// One pair of one role pair of one copy set.
public struct Pair: Hashable, Sendable, Codable {
    /// The host volume (H1).
    public var source: VolumeID
    /// The recovery volume (R1).
    public var target: VolumeID
    /// Where it stands.
    public var state: PairState
    /// Tracks that the target does not hold yet, as last reported.
    public var tracksRemaining: UInt64
    /// Tracks in all.
    public var tracks: UInt64
    /// What went wrong last, if anything.
    public var lastResult: String?

    /// Gathers a pair.
    public init(
        source: VolumeID, target: VolumeID, state: PairState, tracksRemaining: UInt64,
        tracks: UInt64
    ) {
        self.source = source
        self.target = target
        self.state = state
        self.tracksRemaining = tracksRemaining
        self.tracks = tracks
        self.lastResult = nil
    }

    /// The copy cannot go on by itself: it failed, and tracks are left.
    public var isStopped: Bool {
        state == .targetAvailable && tracksRemaining > 0 && lastResult != nil
    }

    /// A background copy, where there is one, has something to do and can.
    public var hasTracksToCopy: Bool {
        state == .targetAvailable && tracksRemaining > 0 && !isStopped
    }

    /// Whole per cent of the tracks that the target holds; 100 only when all are there.
    public var percent: Int { Percent.of(done: tracks - min(tracks, tracksRemaining), all: tracks) }
}

/// Per cent of progress.
public enum Percent {
    /// Whole per cent, rounded down, so that 100 means all.
    public static func of(done: UInt64, all: UInt64) -> Int {
        guard all > 0 else { return 100 }
        return Int(all.dividingFullWidth(done.multipliedFullWidth(by: 100)).quotient)
    }
}
