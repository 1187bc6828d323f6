/// What a Safeguarded Copy session has of its own.
public struct SafeguardedServices: Hashable, Sendable {
    /// Its options.
    public var options: SafeguardedOptions
    /// Its backups, oldest first.
    public var backups: [Backup]
    /// The recovery in place, if there is one.
    public var recovery: Recovery?
    /// The newest backup id ever given out: ids are never used twice, not even after expiry.
    public var lastBackupID: BackupID?

    /// Nothing on the storage yet.
    public init(options: SafeguardedOptions) {
        self.options = options
        backups = []
        recovery = nil
        lastBackupID = nil
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
