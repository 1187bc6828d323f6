/// The options of a Safeguarded Copy session.
public struct SafeguardedOptions: Hashable, Sendable, Codable {
    /// A `Backup` sooner than this after the last one is refused; 0 = never. Minutes, 0 to 525,600.
    public var minimumMinutesBetweenBackups: Int = 0
    /// Backups older than this are expired, counted back from the newest recoverable one, which
    /// therefore never expires by age; 0 = kept. Minutes, 0 to 52,560,000.
    public var retentionMinutes: Int = 0
    /// A backup that one volume has rolled off is expired for all.
    public var expireBackupOnAutoRoll: Bool = false

    /// The defaults.
    public init() {}

    /// The options after a partial change.
    public func applying(_ changes: OptionChanges) -> SafeguardedOptions {
        var options = self
        if let value = changes.minimumMinutesBetweenBackups {
            options.minimumMinutesBetweenBackups = value
        }
        if let value = changes.retentionMinutes { options.retentionMinutes = value }
        if let value = changes.expireBackupOnAutoRoll { options.expireBackupOnAutoRoll = value }
        return options
    }
}

/// The options of a FlashCopy session. They hold from the next Flash on.
public struct FlashOptions: Hashable, Sendable, Codable {
    /// Changes are recorded, so that the next Flash copies only these. Implies persistent.
    public var incremental: Bool = false
    /// Relationships stay when every track has been copied.
    public var persistent: Bool = false
    /// Tracks are copied only when they are written to.
    public var noCopy: Bool = false
    /// Hosts may not write to the targets.
    public var inhibitTargetWrites: Bool = false
    /// What a refresh replaces is kept until it is committed or reverted. Needs incremental.
    public var revertible: Bool = false
    /// Limits the background copy of each pair: MiB a second, 0 to 1,000,000; 0 = no limit.
    public var copyRateMiBps: Int = 0
    /// Who decides whether a pair is refreshed.
    public var incrementalScope = IncrementalScope.logicalSubsystem

    /// The defaults.
    public init() {}

    /// The options after a partial change.
    public func applying(_ changes: OptionChanges) -> FlashOptions {
        var options = self
        if let value = changes.incremental { options.incremental = value }
        if let value = changes.persistent { options.persistent = value }
        if let value = changes.noCopy { options.noCopy = value }
        if let value = changes.inhibitTargetWrites { options.inhibitTargetWrites = value }
        if let value = changes.revertible { options.revertible = value }
        if let value = changes.copyRateMiBps { options.copyRateMiBps = value }
        if let value = changes.incrementalScope { options.incrementalScope = value }
        return options
    }

    /// The relationships that they ask for.
    public var terms: RelationshipTerms {
        var terms = RelationshipTerms()
        terms.backgroundCopy = !noCopy
        terms.incremental = incremental
        terms.persistent = persistent || incremental
        terms.inhibitTargetWrites = inhibitTargetWrites
        terms.copyRateMiBps = copyRateMiBps
        return terms
    }
}

/// Who decides whether a Flash refreshes a pair or copies it in full.
public enum IncrementalScope: String, Sendable, Hashable, Codable, CaseIterable {
    /// The logical subsystem: where one of its pairs is incremental, all are refreshed, and those that are not
    /// incremental cannot be. As published for Copy Services Manager.
    case logicalSubsystem
    /// Each pair for itself: it is refreshed if it can be, else copied in full.
    case pair
}

/// The options of a session, by its type.
public enum SessionOptions: Hashable, Sendable, Codable {
    /// Of a Safeguarded Copy session.
    case safeguarded(SafeguardedOptions)
    /// Of a FlashCopy session.
    case flash(FlashOptions)

    /// The defaults of a type.
    public init(_ type: SessionType) {
        switch type {
        case .safeguardedCopy: self = .safeguarded(SafeguardedOptions())
        case .flashCopy: self = .flash(FlashOptions())
        }
    }

    /// The options after a partial change.
    public func applying(_ changes: OptionChanges) -> SessionOptions {
        switch self {
        case .safeguarded(let options): .safeguarded(options.applying(changes))
        case .flash(let options): .flash(options.applying(changes))
        }
    }

    /// Services with these options and nothing on the storage.
    public var services: CopyServices {
        switch self {
        case .safeguarded(let options): .safeguarded(SafeguardedServices(options: options))
        case .flash(let options): .flash(FlashServices(options: options))
        }
    }
}

extension CopyServices {
    /// The options.
    public var options: SessionOptions {
        get {
            switch self {
            case .safeguarded(let services): .safeguarded(services.options)
            case .flash(let services): .flash(services.options)
            }
        }
        set {
            switch (self, newValue) {
            case (.safeguarded(var services), .safeguarded(let options)):
                services.options = options
                self = .safeguarded(services)
            case (.flash(var services), .flash(let options)):
                services.options = options
                self = .flash(services)
            case (.safeguarded, .flash), (.flash, .safeguarded):
                preconditionFailure("a session's type never changes")
            }
        }
    }
}

/// A partial set of options; nil = leave as it is.
public struct OptionChanges: Hashable, Sendable, Codable {
    /// See `SafeguardedOptions`.
    public var minimumMinutesBetweenBackups: Int?
    /// See `SafeguardedOptions`.
    public var retentionMinutes: Int?
    /// See `SafeguardedOptions`.
    public var expireBackupOnAutoRoll: Bool?
    /// See `FlashOptions`.
    public var incremental: Bool?
    /// See `FlashOptions`.
    public var persistent: Bool?
    /// See `FlashOptions`.
    public var noCopy: Bool?
    /// See `FlashOptions`.
    public var inhibitTargetWrites: Bool?
    /// See `FlashOptions`.
    public var revertible: Bool?
    /// See `FlashOptions`.
    public var copyRateMiBps: Int?
    /// See `FlashOptions`.
    public var incrementalScope: IncrementalScope?

    /// No change.
    public init() {}

    /// True where nothing is changed.
    public var isEmpty: Bool { self == OptionChanges() }

    /// The names of the options that are changed and that sessions of the type do not have, in order of
    /// name.
    public func strange(to type: SessionType) -> [String] {
        let own = Self.names(of: type)
        let all = [
            ("copyRateMiBps", copyRateMiBps != nil),
            ("expireBackupOnAutoRoll", expireBackupOnAutoRoll != nil),
            ("incremental", incremental != nil), ("incrementalScope", incrementalScope != nil),
            ("inhibitTargetWrites", inhibitTargetWrites != nil),
            ("minimumMinutesBetweenBackups", minimumMinutesBetweenBackups != nil),
            ("noCopy", noCopy != nil), ("persistent", persistent != nil),
            ("retentionMinutes", retentionMinutes != nil), ("revertible", revertible != nil),
        ]
        return all.filter { $0.1 && !own.contains($0.0) }.map(\.0)
    }

    /// The names of the options that sessions of a type have, in order.
    public static func names(of type: SessionType) -> [String] {
        switch type {
        case .safeguardedCopy:
            ["minimumMinutesBetweenBackups", "retentionMinutes", "expireBackupOnAutoRoll"]
        case .flashCopy:
            [
                "incremental", "persistent", "noCopy", "inhibitTargetWrites", "revertible",
                "copyRateMiBps", "incrementalScope",
            ]
        }
    }
}
