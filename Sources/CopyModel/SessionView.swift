// What is said of a session: derived from it, never kept beside it.

extension Session {
    /// A copy that can be recovered exists.
    public var isRecoverable: Bool {
        switch services {
        case .safeguarded(let services): services.isRecoverable
        case .flash(let services): services.isRecoverable
        }
    }

    /// A background copy is under way.
    public var isCopying: Bool {
        switch services {
        case .safeguarded(let services): services.isCopying
        case .flash(let services): services.isCopying
        }
    }

    /// Something that the session made is no longer whole, or a copy cannot go on.
    public var hasError: Bool {
        switch services {
        case .safeguarded(let services): services.hasError
        case .flash(let services): services.hasError
        }
    }

    /// How well the session stands; `Unknown` where the storage does not answer for a volume: what is on it
    /// may all be there, or not.
    public var status: SessionStatus {
        guard state != .defined else { return .inactive }
        guard unseen.isEmpty else { return .unknown }
        switch services {
        case .safeguarded(let services): return services.status
        case .flash(let services): return services.status
        }
    }

    /// The role pairs that have pairs on the storage.
    public var rolePairs: [RolePairView] {
        switch services {
        case .safeguarded(let services):
            services.recovery.map { [RolePairView(recovery: $0)] } ?? []
        case .flash(let services):
            services.pairs.isEmpty ? [] : [RolePairView(flash: services)]
        }
    }

    /// The pairs that it has on the storage.
    public var pairViews: [PairView] {
        switch services {
        case .safeguarded(let services):
            services.recovery.map { recovery in
                recovery.pairs.map { PairView($0, backgroundCopy: recovery.backgroundCopy) }
            } ?? []
        case .flash(let services): services.pairs.map { PairView($0) }
        }
    }

    /// The backups of a Safeguarded Copy session, oldest first; none of any other.
    public var backups: [Backup] { safeguarded?.backups ?? [] }

    /// The recovery that a Safeguarded Copy session has in place.
    public var recovery: Recovery? { safeguarded?.recovery }

    /// The newest backup that can be recovered.
    public var newestRecoverableBackup: Backup? { safeguarded?.newestRecoverableBackup }

    /// The backup of that id.
    public func backup(_ id: BackupID) -> Backup? { safeguarded?.backup(id) }

    /// The whole summary, as events carry it.
    public var summary: SessionSummary {
        SessionSummary(
            session: name, type: type, state: state, status: status, recoverable: isRecoverable,
            copying: isCopying, error: hasError, copySets: copySets.count,
            newestRecoverableBackup: newestRecoverableBackup?.id, flashTime: flash?.flashTime,
            revision: revision)
    }
}

extension SafeguardedServices {
    /// A backup that can be recovered exists.
    public var isRecoverable: Bool { backups.contains { $0.isRecoverable } }

    /// A background copy is under way.
    public var isCopying: Bool {
        guard let recovery, recovery.backgroundCopy else { return false }
        return recovery.pairs.contains(where: \.hasTracksToCopy)
    }

    /// A backup is no longer whole, the recovery has lost a pair, or a copy cannot go on.
    public var hasError: Bool {
        backups.contains { !$0.spoiled.isEmpty }
            || (recovery?.pairs.contains { $0.state == .lost || $0.isStopped } ?? false)
    }

    /// `Warning` after a backup until it is read back; `Severe` where the newest backup has lost a volume, or
    /// is damaged, or a recovery has lost a pair (Copy Services Manager's meaning of the icons).
    var status: SessionStatus {
        guard let newest = backups.last else { return .normal }
        if !newest.spoiled.isEmpty || (recovery?.pairs.contains { $0.state == .lost } ?? false) {
            return .severe
        }
        return newest.isRecoverable ? .normal : .warning
    }

    /// True where the recovery's targets present that.
    public func presents(_ presented: Presented) -> Bool {
        guard let recovery, let tag = presented.tag else { return false }
        return (backup(recovery.backup)?.tag ?? tag) == tag
    }

    /// The newest backup that can be recovered.
    public var newestRecoverableBackup: Backup? { backups.last { $0.isRecoverable } }

    /// The backup of that id.
    public func backup(_ id: BackupID) -> Backup? { backups.first { $0.id == id } }
}

/// A session in one line.
public struct SessionSummary: Hashable, Sendable {
    /// Its name.
    public var session: SubjectName
    /// Its type.
    public var type: SessionType
    /// Where it stands.
    public var state: SessionState
    /// How well.
    public var status: SessionStatus
    /// Something can be recovered.
    public var recoverable: Bool
    /// A background copy is under way.
    public var copying: Bool
    /// Something is no longer whole.
    public var error: Bool
    /// Number of copy sets.
    public var copySets: Int
    /// The newest backup that can be recovered.
    public var newestRecoverableBackup: BackupID?
    /// When a FlashCopy session was flashed last.
    public var flashTime: Timestamp?
    /// The session's revision.
    public var revision: UInt64
}

/// The role pairs of the sessions.
public enum RolePair: String, Sendable, Hashable, Codable, CaseIterable {
    /// Safeguarded Copy: host volume to recovery volume.
    case h1r1 = "H1-R1"
    /// FlashCopy: host volume and its target.
    case h1t1 = "H1-T1"
}

/// One role pair of a session, summed over its pairs.
public struct RolePairView: Hashable, Sendable {
    /// Which.
    public var rolePair: RolePair
    /// Every pair's target can be used.
    public var recoverable: Bool
    /// Some pair is copying.
    public var copying: Bool
    /// Whole per cent of all tracks that the targets hold.
    public var percent: Int
    /// Tracks that the targets do not hold yet.
    public var tracksRemaining: UInt64
    /// Number of pairs.
    public var pairs: Int
    /// Number of pairs whose target can be used.
    public var recoverablePairs: Int
    /// Number of pairs that are copying.
    public var copyingPairs: Int
    /// The instant that the targets present; nil where they were found and not flashed.
    public var recoveryTime: Timestamp?

    /// Sums pairs: of each, how far it is, whether its target can be used, and whether it is copying.
    init(
        _ rolePair: RolePair, at time: Timestamp?,
        _ counted: some Sequence<(pair: Pair, recoverable: Bool, copying: Bool)>
    ) {
        self.rolePair = rolePair
        recoveryTime = time
        (pairs, recoverablePairs, copyingPairs, tracksRemaining) = (0, 0, 0, 0)
        var tracks: UInt64 = 0
        for (pair, isRecoverable, isCopying) in counted {
            pairs += 1
            recoverablePairs += isRecoverable ? 1 : 0
            copyingPairs += isCopying ? 1 : 0
            tracksRemaining += pair.tracksRemaining
            tracks += pair.tracks
        }
        recoverable = recoverablePairs == pairs
        copying = copyingPairs > 0
        percent = Percent.of(done: tracks - min(tracks, tracksRemaining), all: tracks)
    }

    /// Sums a recovery.
    public init(recovery: Recovery) {
        self.init(
            .h1r1, at: recovery.backup.time,
            recovery.pairs.lazy.map { pair in
                (
                    pair, pair.state == .targetAvailable,
                    recovery.backgroundCopy && pair.hasTracksToCopy
                )
            })
    }
}
