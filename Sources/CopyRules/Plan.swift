import CopyModel

/// What a decision comes to: steps to take in order, each an effect on the storage (or none) and the
/// change of the session that follows once the effect is done.
public struct Plan: Hashable, Sendable, Codable {
    /// The steps, in order.
    public var steps: [Step]
    /// What the command returns once all steps are done.
    public var result: PlannedResult

    /// Gathers a plan.
    public init(steps: [Step], result: PlannedResult) {
        self.steps = steps
        self.result = result
    }

    /// True where the storage has something to do, so that the plan must be kept before it is begun.
    public var hasEffects: Bool { steps.contains { $0.effect != nil } }

    /// The Flash that it takes, if it takes one.
    public var flash: Flash? {
        for step in steps {
            if case .flash(.flashed(let flash)) = step.change { return flash }
        }
        return nil
    }
}

/// One step of a plan.
public struct Step: Hashable, Sendable, Codable {
    /// What the storage has to do first.
    public var effect: Effect?
    /// What is so once that is done.
    public var change: Change
    /// What puts the storage back where the effect fails half-way.
    public var undo: Effect?
    /// Where the effect fails, the change does not follow, and the plan goes on: the next step is
    /// about something else.
    public var mayFail: Bool

    /// Gathers a step.
    public init(effect: Effect?, change: Change, undo: Effect? = nil, mayFail: Bool = false) {
        self.effect = effect
        self.change = change
        self.undo = undo
        self.mayFail = mayFail
    }
}

/// A change of a session: something has become so. Applied by `CopyRules.apply`, nowhere else.
public enum Change: Hashable, Sendable, Codable {
    /// Nothing changed.
    case nothing
    /// The session exists.
    case created(description: String, options: SessionOptions)
    /// Description and options are these.
    case modified(description: String, options: SessionOptions)
    /// The session is gone.
    case deleted
    /// These copy sets are in it.
    case copySetsAdded([CopySet])
    /// The copy sets of these H1 volumes are out of it.
    case copySetsRemoved([VolumeID])
    /// A backup has been taken.
    case backupTaken(BackupID, PointTag, at: Timestamp, sources: [VolumeID])
    /// A backup is durable and has been read back.
    case backupVerified(BackupID)
    /// Backups are gone.
    case backupsExpired([BackupID])
    /// Targets present a backup.
    case recovered(Recovery)
    /// The tracks are being copied.
    case backgroundCopyStarted
    /// The targets are on their own.
    case recoveryWithdrawn
    /// The session's copy services are being removed.
    case terminating
    /// Nothing of the session is on the storage any more.
    case terminated
    /// The storage was asked, and this is what it has.
    case observed(backups: [Backup], recovery: Recovery?, unseen: [VolumeID])
    /// A target holds more of its tracks.
    case progressed(target: VolumeID, tracksRemaining: UInt64, tracks: UInt64)
    /// A background copy cannot go on.
    case copyFailed(target: VolumeID, reason: String)
    /// Points have rolled off a volume.
    case rolledOff(volume: VolumeID, tags: [PointTag])
    /// Something that points of a volume need is damaged.
    case damaged(volume: VolumeID, tags: [PointTag], place: String)
    /// What only FlashCopy sessions know.
    case flash(FlashChange)
}

/// A change of a FlashCopy session's services.
public enum FlashChange: Hashable, Sendable, Codable {
    /// All pairs were flashed at one instant.
    case flashed(Flash)
    /// The storage was asked, and this is what it has of the pairs that were known and of others.
    case discovered([FlashPair], unseen: [VolumeID])
    /// Reverse restores were begun at one instant.
    case reversed(number: UInt64, [ReversedPair])
    /// The storage was asked, and this is what it has of the pairs that were known.
    case observed([FlashPair], unseen: [VolumeID])
    /// Targets hold more of their tracks.
    case progressed([PairProgress])
    /// What revertible refreshes have brought stays.
    case committed
    /// Revertible refreshes were taken back.
    case reverted
    /// The pairs of these H1 volumes have no relationship any more.
    case withdrawn([VolumeID])
    /// The session ends by itself once every track is copied.
    case endsWhenCopied
}

/// What a plan's command returns, apart from what only its end can tell.
public enum PlannedResult: Hashable, Sendable, Codable {
    /// The session document.
    case session(parts: Set<DocumentPart>)
    /// Copy sets that were added.
    case copySetsAdded([CopySet])
    /// Copy sets that were removed.
    case copySetsRemoved([VolumeID])
    /// A backup was taken.
    case backup(BackupID, copySets: Int)
    /// A recovery is in place.
    case recovered(BackupID, pairs: Int, backgroundCopy: Bool)
    /// A background copy was started.
    case backgroundCopyStarted(pairs: Int)
    /// Backups were given up.
    case expired([BackupID])
    /// Relationships were withdrawn.
    case withdrawn(pairs: Int)
    /// The storage was asked.
    case refreshed(changes: [String])
    /// Volumes were changed.
    case volumes([LocalVolumeID])
    /// A storage system is described (asked for anew at the end).
    case storage
    /// A Flash was taken: what its step says.
    case flashed
    /// Relationships were found.
    case discovered(found: Int, missing: [VolumeID], spread: Int64?)
    /// Reverse restores were begun.
    case reversed(pairs: Int, fast: Bool)
    /// The relationships of the session's pairs (asked for anew at the end).
    case queried
    /// Refreshes were committed or reverted.
    case settled(pairs: Int)
    /// Relationships will be withdrawn once their tracks are copied.
    case withdrawnWhenCopied(pairs: Int, tracksRemaining: UInt64)
    /// Relationships were established or withdrawn.
    case relationships([LocalPair])
    /// The relationships of a storage system (asked for anew at the end).
    case relationshipList
    /// Nothing to say.
    case none
}

/// What the law says of a command.
public enum Decision: Hashable, Sendable {
    /// No, for every one of these reasons, in the order of precedence.
    case refused([Refusal])
    /// Yes, by these steps.
    case plan(Plan)
}

/// What a decision may look at besides the session.
public struct Facts: Hashable, Sendable {
    /// The time.
    public var now: Timestamp
    /// What the storage says of the volumes that the command needs (`CopyRules.volumesNeeded`).
    public var storage: StorageReport
    /// Every session there is: points of one that is gone may be adopted.
    public var liveSessions: Set<SubjectName>
    /// The sessions that each volume is in, in any role.
    public var sessionsUsing: [VolumeID: Set<SubjectName>]

    /// Gathers the facts.
    public init(
        now: Timestamp, storage: StorageReport = StorageReport(),
        liveSessions: Set<SubjectName> = [], sessionsUsing: [VolumeID: Set<SubjectName>] = [:]
    ) {
        self.now = now
        self.storage = storage
        self.liveSessions = liveSessions
        self.sessionsUsing = sessionsUsing
    }
}
