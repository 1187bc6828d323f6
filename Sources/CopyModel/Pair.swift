/// Where a pair stands.
public enum PairState: String, Sendable, Hashable, Codable, CaseIterable {
    /// The target can be used by hosts.
    case targetAvailable = "TargetAvailable"
    /// The storage no longer has the relationship that the session made.
    case lost = "Lost"
    /// The target's content is worth nothing: a fast reverse restore has taken it back.
    case invalid = "Invalid"
    /// The relationship was withdrawn; the pair is told of for the last time.
    case withdrawn = "Withdrawn"
}

/// One pair of one role pair of one copy set.
public struct Pair: Hashable, Sendable, Codable {
    /// Whose content is presented: the host volume (H1), but for a reverse restore.
    public var source: VolumeID
    /// Who presents it: the recovery volume (R1) or the target (T1).
    public var target: VolumeID
    /// Where it stands.
    public var state: PairState
    /// Tracks that the target does not hold yet, as last reported.
    public var tracksRemaining: UInt64
    /// Tracks in all.
    public var tracks: UInt64
    /// What went wrong last, if anything.
    public var lastResult: String?

    /// Gathers a pair.
    public init(
        source: VolumeID, target: VolumeID, state: PairState, tracksRemaining: UInt64,
        tracks: UInt64
    ) {
        self.source = source
        self.target = target
        self.state = state
        self.tracksRemaining = tracksRemaining
        self.tracks = tracks
        self.lastResult = nil
    }

    /// The copy cannot go on by itself: it failed, and tracks are left.
    public var isStopped: Bool {
        state == .targetAvailable && tracksRemaining > 0 && lastResult != nil
    }

    /// A background copy, where there is one, has something to do and can.
    public var hasTracksToCopy: Bool {
        state == .targetAvailable && tracksRemaining > 0 && !isStopped
    }

    /// Whole per cent of the tracks that the target holds; 100 only when all are there.
    public var percent: Int { Percent.of(done: tracks - min(tracks, tracksRemaining), all: tracks) }
}

/// Per cent of progress.
public enum Percent {
    /// Whole per cent, rounded down, so that 100 means all.
    public static func of(done: UInt64, all: UInt64) -> Int {
        guard all > 0 else { return 100 }
        return Int(all.dividingFullWidth(done.multipliedFullWidth(by: 100)).quotient)
    }
}
