import Synchronization

/// Notices when nothing has been heard for a while, or when time is up.
///
/// Any thread.
final class QuietTime: Sendable {
    /// What counts as a while: first for the first answer, then between two.
    private static let patience = (first: Duration.seconds(3), next: Duration.seconds(1))

    private let state: Mutex<(last: ContinuousClock.Instant, any: Bool)>
    private let end: ContinuousClock.Instant

    /// Begins now; `limit` is for all of it.
    init(limit: Duration) {
        let now = ContinuousClock.now
        state = Mutex((now, false))
        end = now + limit
    }

    /// Something has been heard.
    func heard() { state.withLock { $0 = (.now, true) } }

    /// True after a while of silence, or when time is up.
    var isOver: Bool {
        let quiet = state.withLock { state in
            ContinuousClock.now - state.last
                >= (state.any ? Self.patience.next : Self.patience.first)
        }
        return quiet || limitPassed
    }

    /// True when time is up.
    var limitPassed: Bool { ContinuousClock.now >= end }
}
