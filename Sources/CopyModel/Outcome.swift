/// How a command ended.
public enum OutcomeKind: String, Sendable, Hashable, Codable, CaseIterable {
    /// Done.
    case completed
    /// A rule said no, and nothing changed.
    case refused
    /// The storage was asked and could not.
    case failed
}

/// A command's end, as it is answered, kept and told.
public struct Outcome: Hashable, Sendable {
    /// The command's key; nil where it could not be read.
    public var id: CommandID?
    /// The command as it was written; nil where it could not be read.
    public var command: String?
    /// The session or storage system; nil where it could not be read.
    public var subject: SubjectName?
    /// True where the subject is a storage system.
    public var isForStorage: Bool
    /// How it ended.
    public var kind: OutcomeKind
    /// This answer repeats an earlier one.
    public var duplicate: Bool
    /// What came of it.
    public var result: CommandResult?
    /// Every reason against it, in the order of precedence.
    public var refusals: [Refusal]
    /// What the storage said.
    public var error: Refusal?
    /// The session's revision afterwards.
    public var revision: UInt64
    /// When it was taken from the queue.
    public var receivedAt: Timestamp
    /// When it was decided.
    public var startedAt: Timestamp
    /// When it ended.
    public var finishedAt: Timestamp

    /// Gathers an outcome.
    public init(
        id: CommandID?, command: String?, subject: SubjectName?, isForStorage: Bool,
        kind: OutcomeKind, result: CommandResult? = nil, refusals: [Refusal] = [],
        error: Refusal? = nil, revision: UInt64, receivedAt: Timestamp, startedAt: Timestamp,
        finishedAt: Timestamp
    ) {
        self.id = id
        self.command = command
        self.subject = subject
        self.isForStorage = isForStorage
        self.kind = kind
        self.duplicate = false
        self.result = result
        self.refusals = refusals
        self.error = error
        self.revision = revision
        self.receivedAt = receivedAt
        self.startedAt = startedAt
        self.finishedAt = finishedAt
    }
}

/// What a completed command returns.
public enum CommandResult: Hashable, Sendable {
    /// Nothing to say.
    case none
    /// The session document, in parts.
    case session(Session, parts: Set<DocumentPart>)
    /// Copy sets that were added.
    case copySetsAdded([CopySet])
    /// Copy sets that were removed.
    case copySetsRemoved([VolumeID])
    /// A backup was taken.
    case backup(BackupID, copySets: Int)
    /// A recovery is in place.
    case recovered(BackupID, pairs: Int, backgroundCopy: Bool)
    /// A background copy was started on so many pairs.
    case backgroundCopyStarted(pairs: Int)
    /// Backups were given up.
    case expired([BackupID])
    /// So many relationships were withdrawn.
    case withdrawn(pairs: Int)
    /// The storage was asked; what changed, one sentence each.
    case refreshed(changes: [String])
    /// Volumes that were created, deleted, enlarged or given capacity.
    case volumes([LocalVolumeID])
    /// A storage system described.
    case storage(SubjectName, [VolumeReport])
    /// A Flash was taken.
    case flashed(Flash)
    /// So many relationships were found for the copy sets; those of these H1 volumes have none.
    case discovered(found: Int, missing: [VolumeID], spread: Int64?)
    /// Reverse restores were begun.
    case reversed(pairs: Int, fast: Bool)
    /// What the relationships are, and whether they could be reversed.
    case queried([RelationshipQuery])
    /// Refreshes were committed or reverted.
    case settled(pairs: Int)
    /// So many relationships will be withdrawn once their tracks are copied.
    case withdrawnWhenCopied(pairs: Int, tracksRemaining: UInt64)
    /// Relationships that were established or withdrawn.
    case relationships([LocalPair])
    /// The relationships of a storage system, by the volumes that are their targets.
    case relationshipList(SubjectName, [VolumeReport])
    /// A dry run: what would be done, one sentence each.
    case wouldDo([String])
}
