/// The names of the commands, as Copy Services Manager joins them.
public enum CommandName: String, Sendable, Hashable, Codable, CaseIterable {
    // Every session.
    case createSession = "CreateSession"
    case modifySession = "ModifySession"
    case deleteSession = "DeleteSession"
    case addCopySets = "AddCopySets"
    case removeCopySets = "RemoveCopySets"
    case describeSession = "DescribeSession"
    case refreshStates = "RefreshStates"
    case terminate = "Terminate"
    // Safeguarded Copy.
    case backup = "Backup"
    case recover = "Recover"
    case initiateBackgroundCopy = "InitiateBackgroundCopy"
    case expireBackup = "ExpireBackup"
    case terminateH1R1 = "TerminateH1R1"
    // FlashCopy.
    case flash = "Flash"
    case discover = "Discover"
    case reverseRestore = "ReverseRestore"
    case queryRelationships = "QueryRelationships"
    case commit = "Commit"
    case revert = "Revert"
    // Storage systems.
    case createVolumes = "CreateVolumes"
    case deleteVolumes = "DeleteVolumes"
    case expandVolumes = "ExpandVolumes"
    case setSafeguardedCapacity = "SetSafeguardedCapacity"
    case describeStorage = "DescribeStorage"
    case establishRelationships = "EstablishRelationships"
    case withdrawRelationships = "WithdrawRelationships"
    case listRelationships = "ListRelationships"

    /// True for the commands that name a storage system instead of a session.
    public var isForStorage: Bool {
        switch self {
        case .createVolumes, .deleteVolumes, .expandVolumes, .setSafeguardedCapacity,
            .describeStorage, .establishRelationships, .withdrawRelationships, .listRelationships:
            true
        case .createSession, .modifySession, .deleteSession, .addCopySets, .removeCopySets,
            .describeSession, .refreshStates, .terminate, .backup, .recover,
            .initiateBackgroundCopy, .expireBackup, .terminateH1R1, .flash, .discover,
            .reverseRestore, .queryRelationships, .commit, .revert:
            false
        }
    }
}

/// A command with its parameters: what was asked.
public enum Command: Hashable, Sendable {
    /// A new session of a type.
    case createSession(type: SessionType, description: String, options: OptionChanges)
    /// New description or options; what is absent stays.
    case modifySession(description: String?, options: OptionChanges)
    /// An end to a session without copy services.
    case deleteSession
    /// More copy sets, all or none.
    case addCopySets([CopySet])
    /// Fewer copy sets; `keepOnStorage` leaves their backups where they are.
    case removeCopySets([VolumeID], keepOnStorage: Bool)
    /// The session document, or parts of it.
    case describeSession(parts: Set<DocumentPart>)
    /// Ask the storage, and repair the session.
    case refreshStates
    /// Withdraw everything and go back to `Defined`; `whenCopied` waits for the background copy first.
    case terminate(whenCopied: Bool)
    /// A backup of every H1 at one instant.
    case backup
    /// Make every R1 present a backup.
    case recover(BackupID, backgroundCopy: Bool)
    /// Copy the tracks that R1 does not hold yet.
    case initiateBackgroundCopy
    /// Give up a backup and every earlier one.
    case expireBackup(BackupID)
    /// Withdraw the recovery.
    case terminateH1R1
    /// One instant for all pairs: every T1 presents its H1.
    case flash
    /// Take over the relationships that the pairs have on the storage.
    case discover
    /// Every H1 presents what its T1 holds; `fast` whether or not everything was copied.
    /// `allowCascade` lets the volumes have other relationships.
    case reverseRestore(fast: Bool, allowCascade: Bool)
    /// What the relationships are, and whether they could be reversed.
    case queryRelationships
    /// Keep what revertible refreshes have brought.
    case commit
    /// Take revertible refreshes back.
    case revert
    /// New volumes.
    case createVolumes([VolumeSpecification])
    /// Fewer volumes.
    case deleteVolumes([LocalVolumeID])
    /// Larger volumes.
    case expandVolumes([VolumeExpansion])
    /// New total multipliers of safeguarded capacity.
    case setSafeguardedCapacity([SafeguardedMultiplier])
    /// Volumes, points, relationships.
    case describeStorage
    /// New relationships, at one instant, all or none.
    case establishRelationships([RelationshipSpecification])
    /// Fewer relationships.
    case withdrawRelationships([LocalPair])
    /// Every relationship with its attributes.
    case listRelationships

    /// The command's name.
    public var name: CommandName {
        switch self {
        case .createSession: .createSession
        case .modifySession: .modifySession
        case .deleteSession: .deleteSession
        case .addCopySets: .addCopySets
        case .removeCopySets: .removeCopySets
        case .describeSession: .describeSession
        case .refreshStates: .refreshStates
        case .terminate: .terminate
        case .backup: .backup
        case .recover: .recover
        case .initiateBackgroundCopy: .initiateBackgroundCopy
        case .expireBackup: .expireBackup
        case .terminateH1R1: .terminateH1R1
        case .flash: .flash
        case .discover: .discover
        case .reverseRestore: .reverseRestore
        case .queryRelationships: .queryRelationships
        case .commit: .commit
        case .revert: .revert
        case .createVolumes: .createVolumes
        case .deleteVolumes: .deleteVolumes
        case .expandVolumes: .expandVolumes
        case .setSafeguardedCapacity: .setSafeguardedCapacity
        case .describeStorage: .describeStorage
        case .establishRelationships: .establishRelationships
        case .withdrawRelationships: .withdrawRelationships
        case .listRelationships: .listRelationships
        }
    }
}

/// The kinds of session.
public enum SessionType: String, Sendable, Hashable, Codable, CaseIterable {
    /// Immutable backups of H1 in capacity B1, recovered to R1.
    case safeguardedCopy = "SafeguardedCopy"
    /// Targets T1 that present H1 at an instant.
    case flashCopy = "FlashCopy"
}

/// One volume a role; H1 names the set. A type of session has roles of its own.
public struct CopySet: Hashable, Sendable, Codable {
    /// The host volume.
    public var h1: VolumeID
    /// Safeguarded Copy: the recovery volume, where there is one.
    public var r1: VolumeID?
    /// FlashCopy: the target.
    public var t1: VolumeID?

    /// Gathers the roles of one copy set.
    public init(h1: VolumeID, r1: VolumeID? = nil, t1: VolumeID? = nil) {
        self.h1 = h1
        self.r1 = r1
        self.t1 = t1
    }

    /// The volumes of all its roles.
    public var volumes: [VolumeID] { [h1, r1, t1].compactMap { $0 } }
}

/// The parts in which a session can be described.
public enum DocumentPart: String, Sendable, Hashable, Codable, CaseIterable {
    case summary, copySets, rolePairs, pairs, backups
}

/// A volume to create.
public struct VolumeSpecification: Hashable, Sendable, Codable {
    /// Its number.
    public var id: LocalVolumeID
    /// Its size: a multiple of 512 bytes, at least one block.
    public var capacity: Capacity
    /// Safeguarded capacity as a multiple of its size; 0 for none.
    public var safeguardedMultiplier: Int

    /// Describes a volume to create.
    public init(id: LocalVolumeID, capacity: Capacity, safeguardedMultiplier: Int) {
        self.id = id
        self.capacity = capacity
        self.safeguardedMultiplier = safeguardedMultiplier
    }
}

/// A volume to enlarge.
public struct VolumeExpansion: Hashable, Sendable, Codable {
    /// Its number.
    public var id: LocalVolumeID
    /// Its new size.
    public var capacity: Capacity

    /// Describes a larger volume.
    public init(id: LocalVolumeID, capacity: Capacity) {
        self.id = id
        self.capacity = capacity
    }
}

/// A volume's new total of safeguarded capacity.
public struct SafeguardedMultiplier: Hashable, Sendable, Codable {
    /// Its number.
    public var id: LocalVolumeID
    /// The new total, as a multiple of the volume's size.
    public var multiplier: Int

    /// Describes a new total.
    public init(id: LocalVolumeID, multiplier: Int) {
        self.id = id
        self.multiplier = multiplier
    }
}

/// Source and target on one storage system.
public struct LocalPair: Hashable, Sendable, Codable {
    /// Whose content is presented.
    public var source: LocalVolumeID
    /// Who presents it.
    public var target: LocalVolumeID

    /// Gathers a pair.
    public init(source: LocalVolumeID, target: LocalVolumeID) {
        self.source = source
        self.target = target
    }
}

/// A relationship to establish on one storage system.
public struct RelationshipSpecification: Hashable, Sendable, Codable {
    /// Its source and target.
    public var pair: LocalPair
    /// How it is to be kept.
    public var terms: RelationshipTerms

    /// Describes a relationship to establish.
    public init(pair: LocalPair, terms: RelationshipTerms) {
        self.pair = pair
        self.terms = terms
    }
}
