import CopyModel
import Synchronization

/// What a worker counts. Read from any thread; the numbers only rise, but for the gauges.
public final class Meters: Sendable {
    /// Commands that ended so, by outcome.
    public struct Commands: Sendable, Hashable {
        /// Completed.
        public var completed: UInt64 = 0
        /// Refused.
        public var refused: UInt64 = 0
        /// Failed.
        public var failed: UInt64 = 0
        /// Answered from the inbox.
        public var duplicates: UInt64 = 0
        /// Sent to the dead letters.
        public var deadLetters: UInt64 = 0
    }

    /// Everything counted, at one instant.
    public struct Reading: Sendable, Hashable {
        /// Commands by outcome.
        public var commands = Commands()
        /// Seconds from delivery to commit, as a histogram over `bounds`, cumulative.
        public var durations: [UInt64] = Array(repeating: 0, count: Meters.bounds.count + 1)
        /// The sum of those seconds, in milliseconds.
        public var durationMilliseconds: UInt64 = 0
        /// Events and replies that the broker has confirmed.
        public var published: UInt64 = 0
        /// Publishes that have to be repeated.
        public var republished: UInt64 = 0
        /// Messages owed to the broker, as last seen.
        public var owed: UInt64 = 0
        /// Commits that failed and were tried again.
        public var commitRetries: UInt64 = 0
        /// Sessions.
        public var sessions: UInt64 = 0
    }

    /// Upper bounds of the duration histogram, in milliseconds.
    public static let bounds: [Int64] = [
        5, 10, 25, 50, 75, 100, 250, 500, 1000, 2500, 5000, 10_000,
    ]

    private let state = Mutex(Reading())

    /// Counts nothing yet.
    public init() {}

    /// What was counted so far.
    public var reading: Reading { state.withLock { $0 } }

    func count(_ change: (inout Reading) -> Void) { state.withLock { change(&$0) } }

    func ended(_ kind: OutcomeKind, after milliseconds: Int64) {
        state.withLock { reading in
            switch kind {
            case .completed: reading.commands.completed += 1
            case .refused: reading.commands.refused += 1
            case .failed: reading.commands.failed += 1
            }
            let slot = Self.bounds.firstIndex { milliseconds <= $0 } ?? Self.bounds.count
            reading.durations[slot] += 1
            reading.durationMilliseconds += UInt64(max(0, milliseconds))
        }
    }
}
