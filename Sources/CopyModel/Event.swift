/// What is told: one committed change.
public enum EventBody: Hashable, Sendable {
    /// A command has ended.
    case command(Outcome)
    /// A session is new.
    case sessionCreated(SessionSummary)
    /// A session has changed.
    case sessionChanged(SessionSummary)
    /// A session is gone.
    case sessionDeleted(SessionSummary)
    /// A pair has changed.
    case pairChanged(PairView)
    /// A backup has been taken.
    case backupCreated(BackupView)
    /// A backup can be recovered.
    case backupRecoverable(BackupView)
    /// A backup can no longer be recovered whole.
    case backupUnrecoverable(BackupView)
    /// A backup is gone.
    case backupExpired(BackupView)
    /// A background copy is so far.
    case copyProgress(CopyProgress)
    /// A volume's safeguarded capacity has crossed a level.
    case storageCapacity(volume: VolumeID, usedPercent: Int, level: CapacityLevel)

    /// The CloudEvents type.
    public var type: String {
        switch self {
        case .command(let outcome): "stillpoint.command.\(outcome.kind.rawValue)"
        case .sessionCreated: "stillpoint.session.created"
        case .sessionChanged: "stillpoint.session.changed"
        case .sessionDeleted: "stillpoint.session.deleted"
        case .pairChanged: "stillpoint.pair.changed"
        case .backupCreated: "stillpoint.backup.created"
        case .backupRecoverable: "stillpoint.backup.recoverable"
        case .backupUnrecoverable: "stillpoint.backup.unrecoverable"
        case .backupExpired: "stillpoint.backup.expired"
        case .copyProgress: "stillpoint.copy.progress"
        case .storageCapacity: "stillpoint.storage.capacity"
        }
    }
}

/// A pair as events and documents tell of it.
public struct PairView: Hashable, Sendable {
    /// Which role pair.
    public var rolePair: RolePair
    /// The H1 that names its copy set.
    public var copySet: VolumeID
    /// The pair.
    public var pair: Pair
    /// Its target can be used.
    public var recoverable: Bool
    /// It is copying.
    public var copying: Bool
    /// What else there is to say of a pair of a FlashCopy session.
    public var flash: FlashPair?

    /// Tells of a pair of a recovery.
    public init(_ pair: Pair, backgroundCopy: Bool) {
        rolePair = .h1r1
        copySet = pair.source
        self.pair = pair
        recoverable = pair.state == .targetAvailable
        copying = backgroundCopy && pair.hasTracksToCopy
        flash = nil
    }

    /// Tells of a pair of a FlashCopy session.
    public init(_ flash: FlashPair) {
        rolePair = .h1t1
        copySet = flash.h1
        pair = flash.pair
        recoverable = flash.isRecoverable
        copying = flash.isCopying
        self.flash = flash
    }
}

/// A backup as events tell of it.
public struct BackupView: Hashable, Sendable {
    /// Its id.
    public var id: BackupID
    /// When it was taken.
    public var time: Timestamp
    /// Number of copy sets in it.
    public var copySets: Int
    /// Number of those that can be recovered.
    public var recoverableCopySets: Int
    /// Why, where there is something to say.
    public var reason: String?

    /// Tells of a backup.
    public init(_ backup: Backup, reason: String? = nil) {
        id = backup.id
        time = backup.time
        copySets = backup.sources.count
        recoverableCopySets = backup.recoverableCopySets
        self.reason = reason
    }
}

/// How far a background copy is.
public struct CopyProgress: Hashable, Sendable {
    /// Which role pair.
    public var rolePair: RolePair
    /// Whole per cent of all tracks that the targets hold.
    public var percent: Int
    /// Tracks that the targets do not hold yet.
    public var tracksRemaining: UInt64
    /// Bytes a second since the last report.
    public var bytesPerSecond: UInt64
    /// When it should be done at that rate; nil where nothing moves.
    public var estimatedCompletion: Timestamp?

    /// Gathers progress.
    public init(
        rolePair: RolePair, percent: Int, tracksRemaining: UInt64, bytesPerSecond: UInt64,
        estimatedCompletion: Timestamp?
    ) {
        self.rolePair = rolePair
        self.percent = percent
        self.tracksRemaining = tracksRemaining
        self.bytesPerSecond = bytesPerSecond
        self.estimatedCompletion = estimatedCompletion
    }
}

/// An event with its place in its subject's sequence.
public struct Event: Hashable, Sendable {
    /// The session or storage system.
    public var subject: SubjectName
    /// Its number in the subject's sequence, from 1, without gaps.
    public var sequence: UInt64
    /// When the change was committed.
    public var time: Timestamp
    /// The command that caused it, where one did.
    public var commandID: CommandID?
    /// W3C trace context, carried on from the command.
    public var traceparent: String?
    /// What changed.
    public var body: EventBody

    /// Gathers an event.
    public init(
        subject: SubjectName, sequence: UInt64, time: Timestamp, commandID: CommandID?,
        traceparent: String?, body: EventBody
    ) {
        self.subject = subject
        self.sequence = sequence
        self.time = time
        self.commandID = commandID
        self.traceparent = traceparent
        self.body = body
    }
}
