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

/// The options of a session, by its type.
public enum SessionOptions: Hashable, Sendable, Codable {
    /// Of a Safeguarded Copy session.
    case safeguarded(SafeguardedOptions)

    /// The defaults of a type.
    public init(_ type: SessionType) {
        switch type {
        case .safeguardedCopy: self = .safeguarded(SafeguardedOptions())
        }
    }

    /// The options after a partial change.
    public func applying(_ changes: OptionChanges) -> SessionOptions {
        switch self {
        case .safeguarded(let options): .safeguarded(options.applying(changes))
        }
    }

    /// Services with these options and nothing on the storage.
    public var services: CopyServices {
        switch self {
        case .safeguarded(let options): .safeguarded(SafeguardedServices(options: options))
        }
    }
}

extension CopyServices {
    /// The options.
    public var options: SessionOptions {
        get {
            switch self {
            case .safeguarded(let services): .safeguarded(services.options)
            }
        }
        set {
            switch (self, newValue) {
            case (.safeguarded(var services), .safeguarded(let options)):
                services.options = options
                self = .safeguarded(services)
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

    /// No change.
    public init() {}

    /// True where nothing is changed.
    public var isEmpty: Bool { self == OptionChanges() }
}
