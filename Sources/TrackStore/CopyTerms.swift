/// How a copy is to be kept.
public struct CopyTerms: Sendable, Hashable {
    /// Tracks are copied by themselves; otherwise only when they are written to.
    public var backgroundCopy = true
    /// The relationship stays when every track has been copied.
    public var isPersistent = false
    /// Changes on both sides are recorded, so that a refresh copies only these. Implies persistent.
    public var recordsChanges = false
    /// Hosts may not write to the target while the relationship lasts.
    public var inhibitsTargetWrites = false
    /// Limits the background copy: MiB a second, 0 = no limit.
    public var rateMiBps: UInt32 = 0

    /// Background copy and nothing else.
    public init() {}

    var flags: RelationshipRecord.Flags {
        var flags: RelationshipRecord.Flags = []
        if backgroundCopy { flags.insert(.copying) }
        if isPersistent || recordsChanges { flags.insert(.persistent) }
        if recordsChanges { flags.insert(.recordsChanges) }
        if inhibitsTargetWrites { flags.insert(.inhibitsTargetWrites) }
        return flags
    }
}

/// A copy to be established: a target that shall present its source as it is at an instant.
public struct NewCopy: Sendable, Hashable {
    /// The volume to be copied.
    public var source: String
    /// The volume that shall present it.
    public var target: String
    /// How it is to be kept.
    public var terms = CopyTerms()
    /// A number that is kept with the relationship, and noted of the target beyond it.
    public var number: UInt64 = 0
    /// A relationship of the same source and target ends as this one begins; without that, it stands
    /// in the way. Every track is to be copied again.
    public var replaces = false

    /// Describes a copy to be established, with background copy and nothing else.
    public init(source: String, target: String) {
        self.source = source
        self.target = target
    }
}

/// A refresh of a relationship: its target is to present the source as it is at an instant.
public struct CopyRefresh: Sendable, Hashable {
    /// The target of the relationship.
    public var target: String
    /// What the target held before is kept until `commit` lets go of it or `revert` brings it back.
    public var isRevertible = false
    /// Becomes the relationship's, where one is given. One that was made revertible with this number
    /// is refreshed once more, and goes on keeping what it keeps.
    public var number: UInt64?
    /// Take the place of those before, where they are given.
    public var terms: CopyTerms?

    /// Describes a refresh that changes no terms.
    public init(target: String, revertible: Bool = false, number: UInt64? = nil) {
        self.target = target
        isRevertible = revertible
        self.number = number
    }

    /// It is asked once more, and the first time has come to be.
    func repeats(_ relationship: Relationship) -> Bool {
        guard let number, number != 0 else { return false }
        return isRevertible && relationship.uncommitted && number == relationship.record.number
    }
}
