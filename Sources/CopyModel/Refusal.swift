/// Why a command was refused or failed: stable, to branch on. More may come.
public enum RefusalCode: String, Sendable, Hashable, Codable, CaseIterable {
    // The message.
    case malformedCommand = "malformed-command"
    case unknownCommand = "unknown-command"
    case commandIDMissing = "command-id-missing"
    case commandIDReused = "command-id-reused"
    case commandExpired = "command-expired"
    case messageTooLarge = "message-too-large"
    // The session.
    case unknownSession = "unknown-session"
    case sessionExists = "session-exists"
    case sessionTypeMismatch = "session-type-mismatch"
    case notInThisState = "not-in-this-state"
    case noCopySets = "no-copy-sets"
    case unknownCopySet = "unknown-copy-set"
    case copySetExists = "copy-set-exists"
    case unknownOption = "unknown-option"
    case optionOutOfRange = "option-out-of-range"
    // Safeguarded Copy.
    case noSafeguardedCapacity = "no-safeguarded-capacity"
    case minimumInterval = "minimum-interval"
    case unknownBackup = "unknown-backup"
    case backupNotRecoverable = "backup-not-recoverable"
    case backupInUse = "backup-in-use"
    case noRecoveryVolume = "no-recovery-volume"
    case recoveryInPlace = "recovery-in-place"
    case noRecovery = "no-recovery"
    case alreadyCopying = "already-copying"
    // Relationships.
    case notIncremental = "not-incremental"
    case copyIncomplete = "copy-incomplete"
    case noCopyMode = "no-copy-mode"
    case severalRelationships = "several-relationships"
    case sourceLarger = "source-larger"
    case targetSmaller = "target-smaller"
    case tooManyTargets = "too-many-targets"
    case targetHasSource = "target-has-source"
    case cycle = "cycle"
    case targetInhibited = "target-inhibited"
    case notRevertible = "not-revertible"
    case notCommitted = "not-committed"
    case noRelationship = "no-relationship"
    case relationshipExists = "relationship-exists"
    case storageMismatch = "storage-mismatch"
    // Storage.
    case unknownStorage = "unknown-storage"
    case unknownVolume = "unknown-volume"
    case volumeExists = "volume-exists"
    case volumeInUse = "volume-in-use"
    case volumeWouldShrink = "volume-would-shrink"
    case notEnoughSpace = "not-enough-space"
    case storageFailed = "storage-failed"
}

/// One reason against a command, or the error that ended it.
public struct Refusal: Hashable, Sendable, Codable, Error {
    /// What to branch on.
    public var code: RefusalCode
    /// One sentence for people.
    public var message: String
    /// The thing it is about, e.g. `H1 box1:0100`, a backup, or a JSON pointer; may be empty.
    public var subject: String
    /// What clears it, as a command where one exists.
    public var remedy: String

    /// States one reason with its remedy.
    public init(_ code: RefusalCode, _ message: String, subject: String = "", remedy: String) {
        self.code = code
        self.message = message
        self.subject = subject
        self.remedy = remedy
    }
}
