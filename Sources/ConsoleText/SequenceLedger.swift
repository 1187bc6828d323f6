import CopyModel

/// Notices what a consumer has missed or seen twice: a subject's events are numbered without gaps.
public struct SequenceLedger: Sendable {
    /// How an event stands to the one before it.
    public enum Verdict: Sendable, Hashable {
        /// The first of its subject that was seen.
        case first
        /// The one that was due.
        case next
        /// Seen before: to be dropped.
        case repeated
        /// Others are missing before it, from and to.
        case gap(ClosedRange<UInt64>)
        /// Counting has begun anew although time went on: not a repeat, another store's events.
        case restarted(after: UInt64)
    }

    private var last: [String: (sequence: UInt64, time: Timestamp?)] = [:]

    /// A ledger that has seen nothing.
    public init() {}

    /// Enters an event with the time at which its change was committed.
    ///
    /// An earlier number than the last is a repeat, however far back, unless it was committed later
    /// than that one: dropping those would hide a subject for ever once its store was replaced.
    public mutating func enter(subject: String, sequence: UInt64, time: Timestamp?) -> Verdict {
        guard let previous = last[subject] else {
            last[subject] = (sequence, time)
            return .first
        }
        if sequence <= previous.sequence {
            guard let time, let before = previous.time, time > before else { return .repeated }
            last[subject] = (sequence, time)
            return .restarted(after: previous.sequence)
        }
        last[subject] = (sequence, time)
        let due = previous.sequence + 1
        return sequence == due ? .next : .gap(due...sequence - 1)
    }
}
