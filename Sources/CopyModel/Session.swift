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
    /// What people wrote about it.
    public var description: String
    /// Where it stands.
    public var state: SessionState
    /// Rises with every commit that changes the session.
    public var revision: UInt64
    /// Its copy sets, by H1.
    public var copySets: [CopySet]
    /// Volumes that the storage did not know when it was last asked, in order. A volume of a session
    /// cannot be deleted, so their storage is not there (not mounted, not configured): what is known
    /// of them stays as it was.
    public var unseen: [VolumeID]
    /// What its type is about: options, and what it has on the storage.
    public var services: CopyServices

    /// A new session in `Defined`, of the services' type for ever.
    public init(name: SubjectName, description: String, services: CopyServices) {
        self.name = name
        self.description = description
        self.state = .defined
        self.revision = 0
        self.copySets = []
        self.unseen = []
        self.services = services
    }

    /// Its type, for ever.
    public var type: SessionType { services.type }
}

/// What sessions of each type have of their own.
public enum CopyServices: Hashable, Sendable {
    /// Backups, and a recovery of one.
    case safeguarded(SafeguardedServices)
    /// Pairs that were flashed or found.
    case flash(FlashServices)

    /// The type that they are of.
    public var type: SessionType {
        switch self {
        case .safeguarded: .safeguardedCopy
        case .flash: .flashCopy
        }
    }
}

extension Session {
    /// The services of a Safeguarded Copy session; nil of any other. Setting nil changes nothing.
    public var safeguarded: SafeguardedServices? {
        get {
            switch services {
            case .safeguarded(let services): services
            case .flash: nil
            }
        }
        set { if let newValue { services = .safeguarded(newValue) } }
    }

    /// The services of a FlashCopy session; nil of any other. Setting nil changes nothing.
    public var flash: FlashServices? {
        get {
            switch services {
            case .flash(let services): services
            case .safeguarded: nil
            }
        }
        set { if let newValue { services = .flash(newValue) } }
    }
}
