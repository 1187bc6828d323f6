/// What the engine observed on its own. Facts of a relationship carry the tag of its point, or the number of
/// its instant: by the time one is heard the target may present another. A fact is told from one of the
/// engine's or the hosts' threads: the callback must return quickly and must not call the store's control
/// functions.
public enum TrackStoreFact: Sendable, Hashable {
    /// A volume's safeguarded capacity ran out, so its oldest points are gone, oldest first. Told
    /// after their removal is durable.
    case pointsRolledOff(volume: String, tags: [String])
    /// A saved block that these points of the volume need, oldest first, cannot be read or is not what
    /// was saved; `place` says which and where. Told after that is durable, and again at each start.
    case pointsDamaged(volume: String, tags: [String], place: String)
    /// A volume's safeguarded capacity has passed a level upwards, or fallen below one.
    case capacity(volume: String, usedPercent: Int, level: CapacityLevel)
    /// A background copy goes on; at most about two a second a relationship.
    case copyProgress(
        target: String, tag: String, number: UInt64, tracksRemaining: Int, tracksTotal: Int)
    /// The target holds every track, durably. Told once a relationship, with or without background
    /// copy.
    case copyCompleted(target: String, tag: String, number: UInt64, tracksTotal: Int)
    /// A background copy stopped; `startBackgroundCopy` starts it again.
    case copyFailed(target: String, tag: String, number: UInt64, errno: Int32)
    /// The disk failed, or is full. Either the engine could not do something and will try again, and
    /// `place` is a path or volume; or a host got the error, and `place` is its volume and the byte.
    case storageFailed(place: String, errno: Int32)
}

/// How full a volume's safeguarded capacity is.
public enum CapacityLevel: Int, Sendable, Hashable, Comparable {
    /// Below 80 per cent.
    case normal = 0
    /// 80 per cent or more.
    case warning = 80
    /// 95 per cent or more.
    case critical = 95

    /// Orders by fullness.
    public static func < (left: CapacityLevel, right: CapacityLevel) -> Bool {
        left.rawValue < right.rawValue
    }

    /// The level of so much used out of `capacity` bytes.
    init(used: UInt64, of capacity: UInt64) {
        let percent = CapacityLevel.percent(used: used, of: capacity)
        self = percent >= 95 ? .critical : percent >= 80 ? .warning : .normal
    }

    static func percent(used: UInt64, of capacity: UInt64) -> Int {
        guard capacity > 0 else { return used > 0 ? 100 : 0 }
        return Int(used.multipliedFullWidth(by: 100).high > 0 ? 1000 : used * 100 / capacity)
    }
}
