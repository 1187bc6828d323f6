import Synchronization
import TrackBitmap

/// Blocks of one track that a host has written and that lie in the write journal: which, after which
/// point, and where.
///
/// The entry's sequence is that of the volume's newest point when the write was decided; its segment
/// and block are places in the journal.
struct JournalRecord {
    var entry: SavedEntry
    /// The journal segment's descriptor: it stays open as long as the store does.
    var file: Int32
    /// It could not be written, but a start may find it all the same: nobody reads it, and nobody writes
    /// past it.
    var hasFailed = false
}

/// What of a volume lies in the write journal, for everybody who reads the volume.
///
/// A record is entered when it is appended, and taken out when its segment is retired: when the
/// volume's file holds it durably and no start of the store will find it in the journal any more. As
/// long as a block has a record here, the journal is the only way to write it: a write past the journal
/// would be undone by the older record.
final class JournaledTracks: Sendable {
    private let records = Monitor<[UInt32: [JournalRecord]]>([:])
    private let count = Atomic<Int>(0)

    /// True where the volume is its file.
    @inline(__always)
    var isEmpty: Bool { count.load(ordering: .sequentiallyConsistent) == 0 }

    /// Enters what has been appended to the journal, in its order.
    func insert(_ entries: [SavedEntry], file: Int32, hasFailed: Bool = false) {
        records.withLock { records in
            for entry in entries {
                records[entry.track, default: []].append(
                    JournalRecord(entry: entry, file: file, hasFailed: hasFailed))
            }
        }
        count.add(entries.count, ordering: .sequentiallyConsistent)
    }

    /// Takes the records out that lie in a segment, on the tracks that it was written for.
    func remove(segment: UInt32, tracks: [UInt32]) {
        let removed = records.withLock { records in
            var removed = 0
            for track in Set(tracks) {
                guard var list = records[track] else { continue }
                let before = list.count
                list.removeAll { $0.entry.segment == segment }
                removed += before - list.count
                records[track] = list.isEmpty ? nil : list
            }
            return removed
        }
        count.subtract(removed, ordering: .sequentiallyConsistent)
    }

    /// The records of a track that were written before the point `end`, newest first.
    func find(_ track: UInt32, before end: UInt64, into found: inout [JournalRecord]) {
        found.removeAll(keepingCapacity: true)
        guard !isEmpty else { return }
        records.withLock { records in
            for record in records[track, default: []].reversed()
            where record.entry.sequence < end && !record.hasFailed {
                found.append(record)
            }
        }
    }

    /// The blocks of a track that lie in the journal, written at or after one sequence and before
    /// another.
    func blocks(of track: UInt32, from start: UInt64 = 0, before end: UInt64 = .max) -> UInt16 {
        guard !isEmpty else { return 0 }
        return records.withLock { records in
            records[track, default: []].reduce(0) { mask, record in
                start <= record.entry.sequence && record.entry.sequence < end
                    ? mask | record.entry.mask : mask
            }
        }
    }

    /// The blocks of an entry over which nothing durable has been written after the same point: of those
    /// that have been, only what comes later need be destaged. What is not durable may be lost, and
    /// must not stand for what has been answered.
    func latest(of entry: SavedEntry, durable end: WriteJournal.Position) -> UInt16 {
        records.withLock { records in
            var mask = entry.mask
            for record in records[entry.track, default: []].reversed() {
                let other = record.entry
                if other.segment == entry.segment, other.block == entry.block { break }
                let place = WriteJournal.Position(
                    segment: other.segment, block: Int(other.block) + other.dataBlocks)
                if other.sequence == entry.sequence, place <= end { mask &= ~other.mask }
            }
            return mask
        }
    }

    /// The tracks of a range that have records.
    func tracks(in range: Range<UInt32>) -> Set<UInt32> {
        guard !isEmpty else { return [] }
        return records.withLock { records in
            if records.count < range.count { return Set(records.keys.filter { range ~= $0 }) }
            return Set(range.filter { records[$0] != nil })
        }
    }
}
