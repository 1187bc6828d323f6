/// What a FlashCopy session has of its own.
public struct FlashServices: Hashable, Sendable {
    /// Its options: they hold from the next Flash on.
    public var options: FlashOptions
    /// The pairs that it has flashed or found, by H1. Copy sets that were never flashed have none.
    public var pairs: [FlashPair]
    /// When the last Flash was; nil before the first, and where pairs were found and not flashed.
    public var flashTime: Timestamp?
    /// The number of the instant at which all pairs together became what they are; nil where that is
    /// not known.
    public var instant: UInt64?
    /// Pairs were found on the storage: whether they fit each other was not verified.
    public var isDiscovered: Bool
    /// The largest number of an instant ever given out: none is used twice.
    public var lastNumber: UInt64
    /// A Terminate waits until every track is copied.
    public var endsWhenCopied: Bool

    /// Nothing on the storage yet.
    public init(options: FlashOptions) {
        self.options = options
        pairs = []
        flashTime = nil
        instant = nil
        isDiscovered = false
        lastNumber = 0
        endsWhenCopied = false
    }
}

/// The pair H1-T1 of one copy set, since it was flashed or found.
public struct FlashPair: Hashable, Sendable, Codable {
    /// The host volume: it names the copy set, whichever way the relationship goes.
    public var h1: VolumeID
    /// Source and target as they are now, and how far the copy is.
    public var pair: Pair
    /// How the relationship is kept.
    public var terms: RelationshipTerms
    /// The instant that the relationship was last changed by; 0 where it was given none.
    public var number: UInt64
    /// The instant whose content the target presents, as far as it is known.
    public var since: Timestamp?
    /// What is between the two volumes.
    public var stage: FlashStage
    /// The last refresh can be committed or reverted, and has to be before anything else.
    public var isRevertible: Bool
    /// Before that refresh, where it is known.
    public var former: FormerInstant?

    /// Gathers a pair of which nothing is revertible.
    public init(
        h1: VolumeID, pair: Pair, terms: RelationshipTerms, number: UInt64, since: Timestamp?,
        stage: FlashStage = .related
    ) {
        self.h1 = h1
        self.pair = pair
        self.terms = terms
        self.number = number
        self.since = since
        self.stage = stage
        isRevertible = false
        former = nil
    }

    /// The host volume is the target: a reverse restore goes or went from T1 to H1.
    public var isReversed: Bool { pair.target == h1 }

    /// The target can be used.
    public var isRecoverable: Bool { pair.state == .targetAvailable }

    /// A background copy has something to do and can.
    public var isCopying: Bool {
        stage != .ended && terms.backgroundCopy && pair.hasTracksToCopy
    }
}

/// What is between the two volumes of a pair.
public enum FlashStage: String, Sendable, Hashable, Codable, CaseIterable {
    /// A relationship. To: ended, fastReverse.
    case related
    /// A fast reverse restore that has not got every track yet. To: ended.
    case fastReverse
    /// Nothing any more: the relationship has ended by itself when every track was there.
    case ended
}

/// What a target presented before a refresh that can be reverted.
public struct FormerInstant: Hashable, Sendable, Codable {
    /// The number of that instant.
    public var number: UInt64
    /// When it was, as far as it is known.
    public var since: Timestamp?

    /// Gathers it.
    public init(number: UInt64, since: Timestamp?) {
        self.number = number
        self.since = since
    }
}

/// A Flash: one instant for all pairs.
public struct Flash: Hashable, Sendable, Codable {
    /// The instant: milliseconds since 1970, or more, so that numbers rise in the session.
    public var number: UInt64
    /// How the relationships are kept from then on.
    public var terms: RelationshipTerms
    /// The refreshes among them can be reverted.
    public var isRevertible: Bool
    /// One entry a copy set, by H1.
    public var pairs: [FlashedPair]

    /// Gathers a Flash.
    public init(
        number: UInt64, terms: RelationshipTerms, isRevertible: Bool, pairs: [FlashedPair]
    ) {
        self.number = number
        self.terms = terms
        self.isRevertible = isRevertible
        self.pairs = pairs
    }

    /// When it was, to the millisecond.
    public var time: Timestamp { Timestamp(milliseconds: Int64(number)) }
}

/// What a Flash does to one pair.
public struct FlashedPair: Hashable, Sendable, Codable {
    /// The host volume.
    public var h1: VolumeID
    /// The target.
    public var t1: VolumeID
    /// Everything is copied, or what has changed.
    public var mode: FlashMode
    /// Tracks to copy; nil where the storage did not say.
    public var tracksToCopy: UInt64?
    /// Tracks in all.
    public var tracks: UInt64
    /// What is refreshed, as it was; nil where everything is copied.
    public var before: FlashPair?

    /// Gathers an entry of a full copy.
    public init(
        h1: VolumeID, t1: VolumeID, mode: FlashMode, tracksToCopy: UInt64?, tracks: UInt64
    ) {
        self.h1 = h1
        self.t1 = t1
        self.mode = mode
        self.tracksToCopy = tracksToCopy
        self.tracks = tracks
    }
}

/// How much a Flash copies.
public enum FlashMode: String, Sendable, Hashable, Codable, CaseIterable {
    /// Every track: the relationship is new.
    case full
    /// The tracks that have changed on either side: the relationship is refreshed.
    case incremental
}

/// How far a relationship is.
public struct PairProgress: Hashable, Sendable, Codable {
    /// Into that target.
    public var target: VolumeID
    /// Tracks that it does not hold yet.
    public var tracksRemaining: UInt64
    /// Tracks in all.
    public var tracks: UInt64

    /// Gathers progress.
    public init(target: VolumeID, tracksRemaining: UInt64, tracks: UInt64) {
        self.target = target
        self.tracksRemaining = tracksRemaining
        self.tracks = tracks
    }
}

/// A relationship that was reversed.
public struct ReversedPair: Hashable, Sendable, Codable {
    /// Into the volume that was the source, and what is to be copied to it.
    public var progress: PairProgress
    /// It takes tracks that the old target does not hold by itself: it ends when all are back, and what the old
    /// target holds is worth nothing then.
    public var usesUp: Bool

    /// Gathers an entry.
    public init(progress: PairProgress, usesUp: Bool) {
        self.progress = progress
        self.usesUp = usesUp
    }
}

/// What QueryRelationships tells of one copy set.
public struct RelationshipQuery: Hashable, Sendable {
    /// The host volume, which names the set.
    public var copySet: VolumeID
    /// The relationship's target; T1 where there is none.
    public var target: VolumeID
    /// What the storage says of it; nil where there is none.
    public var relationship: RelationshipReport?
    /// Every reason against a reverse restore; none: it would be allowed.
    public var reverseRestore: [Refusal]
    /// The same for a fast one.
    public var fastReverseRestore: [Refusal]

    /// Gathers an answer.
    public init(
        copySet: VolumeID, target: VolumeID, relationship: RelationshipReport?,
        reverseRestore: [Refusal], fastReverseRestore: [Refusal]
    ) {
        self.copySet = copySet
        self.target = target
        self.relationship = relationship
        self.reverseRestore = reverseRestore
        self.fastReverseRestore = fastReverseRestore
    }
}
