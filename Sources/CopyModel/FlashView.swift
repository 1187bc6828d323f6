// What is said of the services of a FlashCopy session: derived from them, never kept beside them.

extension FlashServices {
    /// Every pair's target can be used.
    var isRecoverable: Bool { !pairs.isEmpty && pairs.allSatisfy(\.isRecoverable) }

    /// A background copy is under way.
    var isCopying: Bool { pairs.contains(where: \.isCopying) }

    /// The storage has lost a pair, or a copy cannot go on.
    var hasError: Bool { pairs.contains { $0.pair.state == .lost || $0.pair.isStopped } }

    /// `Severe` where a pair is lost; `Warning` where a target's content went into a fast reverse restore, so
    /// that there is no copy until the next Flash (Copy Services Manager's meaning of the icons).
    var status: SessionStatus {
        if pairs.contains(where: { $0.pair.state == .lost }) { return .severe }
        return pairs.contains { $0.pair.state == .invalid } ? .warning : .normal
    }

    /// The instants that targets present, by number: what facts of relationships are held to.
    public var numbersByTarget: [VolumeID: UInt64] {
        Dictionary(
            pairs.filter { $0.stage != .ended }.map { ($0.pair.target, $0.number) },
            uniquingKeysWith: { first, _ in first })
    }

    /// All pairs became what they are at one instant, and none is lost: they fit each other.
    public var isConsistencyVerified: Bool {
        guard let instant else { return false }
        return pairs.allSatisfy { $0.number == instant && $0.isRecoverable }
    }

    /// Seconds between the oldest and the newest instant that the targets present, rounded up, so that 0 means
    /// one instant; nil where there is no pair, or the time of one is not known.
    public var flashTimeSpread: Int64? {
        let times = pairs.compactMap(\.since)
        guard times.count == pairs.count, let first = times.min(), let last = times.max() else {
            return nil
        }
        return (last.milliseconds - first.milliseconds + 999) / 1000
    }
}

extension RolePairView {
    /// Sums the pairs of a FlashCopy session that `isCounted` takes.
    init(flash services: FlashServices, counting isCounted: (FlashPair) -> Bool = { _ in true }) {
        self.init(
            .h1t1, at: services.flashTime,
            services.pairs.filter(isCounted).lazy.map { ($0.pair, $0.isRecoverable, $0.isCopying) })
    }
}

/// A session's background copy: what its progress is told of.
public struct BackgroundCopy: Hashable, Sendable {
    /// Another copy has another one.
    public var identity: UInt64
    /// The pairs that are copied, summed.
    public var view: RolePairView
}

extension Session {
    /// The background copy that was asked for, done or not; nil where none was.
    public var backgroundCopy: BackgroundCopy? {
        switch services {
        case .safeguarded(let services):
            guard let recovery = services.recovery, recovery.backgroundCopy else { return nil }
            return BackgroundCopy(
                identity: recovery.backup.seconds, view: RolePairView(recovery: recovery))
        case .flash(let services):
            let view = RolePairView(flash: services) {
                $0.terms.backgroundCopy && $0.pair.state != .lost
            }
            guard view.pairs > 0 else { return nil }
            return BackgroundCopy(
                identity: services.instant ?? services.pairs.map(\.number).max() ?? 0, view: view)
        }
    }
}
