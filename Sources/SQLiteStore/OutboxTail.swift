import DequeModule
import SessionStore
import Synchronization

/// The messages that were committed last, in memory too, so that who publishes them need not read
/// back what has just been written.
///
/// Invariant: every message that is owed and has a position beyond `start` is in `records`, in the
/// order of positions. The writing thread adds after the commit; any task reads.
final class OutboxTail: Sendable {
    fileprivate struct State {
        var start = Int64.max
        var records: Deque<OutboxRecord> = []
        var bytes = 0
    }

    /// What it holds at the most; older messages are then read from the tables.
    private static let mostBytes = 8 << 20
    private static let mostRecords = 16_384
    private let state = Mutex(State())

    /// Begins; `position` is the last one that was given out before.
    func begin(after position: Int64) { state.withLock { $0.start = position } }

    /// Ends: nothing is answered from memory any more.
    func end() { state.withLock { $0 = State() } }

    /// Adds what has been committed.
    func append(_ records: [OutboxRecord]) {
        guard !records.isEmpty else { return }
        state.withLock { state in
            for record in records {
                state.records.append(record)
                state.bytes += record.message.body.count
            }
            while state.bytes > Self.mostBytes || state.records.count > Self.mostRecords,
                let first = state.records.popFirst()
            {
                state.bytes -= first.message.body.count
                state.start = first.position
            }
        }
    }

    /// Lets go of what nobody is owed any more.
    func forget(_ positions: [Int64]) {
        state.withLock { state in
            for position in positions {
                let place = state.firstPlace(after: position - 1)
                guard place < state.records.endIndex, state.records[place].position == position
                else { continue }
                state.bytes -= state.records.remove(at: place).message.body.count
            }
        }
    }

    /// The messages beyond a position; nil where that reaches back further than memory does.
    func records(after position: Int64, limit: Int) -> [OutboxRecord]? {
        state.withLock { state in
            guard position >= state.start else { return nil }
            return Array(state.records[state.firstPlace(after: position)...].prefix(max(0, limit)))
        }
    }
}

extension OutboxTail.State {
    /// The place of the first message beyond a position, found by halving.
    fileprivate func firstPlace(after position: Int64) -> Int {
        var low = records.startIndex
        var high = records.endIndex
        while low < high {
            let middle = (low + high) / 2
            if records[middle].position > position {
                high = middle
            } else {
                low = middle + 1
            }
        }
        return low
    }
}
