/// The part of a volume's saved index that is not in LMDB yet.
///
/// Entries come in as their batch is appended. The committer takes all of them (`take`), commits
/// them, and only then lets go of them (`release`). A reader looks here first and then into an LMDB
/// transaction begun afterwards: an entry it does not find here was released before, so it is in
/// LMDB. It may find one in both places, which is harmless.
final class PendingIndex: Sendable {
    private struct Generation {
        var entries: [SavedEntry] = []
        /// For each entry the entry of the same track before it, or -1.
        var previous: [Int32] = []
        var newest: [UInt32: Int32] = [:]

        mutating func append(_ entry: SavedEntry) {
            previous.append(newest[entry.track] ?? -1)
            newest[entry.track] = Int32(entries.count)
            entries.append(entry)
        }

        func find(track: UInt32, from sequence: UInt64, into found: inout [SavedEntry]) {
            guard !entries.isEmpty, var index = newest[track] else { return }
            while index >= 0 {
                let entry = entries[Int(index)]
                if entry.sequence >= sequence { found.append(entry) }
                index = previous[Int(index)]
            }
        }
    }

    private struct State {
        var current = Generation()
        var committing = Generation()
    }

    private let state = Monitor(State())

    func append(_ entries: [SavedEntry]) {
        state.withLock { state in
            for entry in entries { state.current.append(entry) }
        }
    }

    /// Adds the entries of a track saved at or after `sequence`, in no order.
    func find(track: UInt32, from sequence: UInt64, into found: inout [SavedEntry]) {
        state.withLock { state in
            state.current.find(track: track, from: sequence, into: &found)
            state.committing.find(track: track, from: sequence, into: &found)
        }
    }

    /// The tracks of which anything was saved at or after `sequence`.
    func tracks(from sequence: UInt64) -> Set<Int> {
        state.withLock { state in
            let entries = state.current.entries + state.committing.entries
            return Set(entries.filter { $0.sequence >= sequence }.map { Int($0.track) })
        }
    }

    /// The segments in which entries lie that are not in LMDB yet.
    var segments: Set<UInt32> {
        state.withLock { state in
            Set((state.current.entries + state.committing.entries).map(\.segment))
        }
    }

    /// Everything that is to be committed next; it can still be found. Until `release`, later
    /// entries wait, and a second `take` gives the same.
    func take() -> [SavedEntry] {
        state.withLock { state in
            if state.committing.entries.isEmpty { swap(&state.committing, &state.current) }
            return state.committing.entries
        }
    }

    /// What was taken has been committed.
    func release() {
        state.withLock { $0.committing = Generation() }
    }

    /// Forgets everything: the volume has no points any more.
    func removeAll() { state.withLock { $0 = State() } }

    var isEmpty: Bool {
        state.withLock { $0.current.entries.isEmpty && $0.committing.entries.isEmpty }
    }
}
