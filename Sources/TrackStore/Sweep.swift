import Glibc
import TrackBitmap

/// Finds what no point of a volume needs any more, although an older point is there, and gives it back
/// where it lies: nothing that is still needed is written anew.
///
/// Between a point and the next newer one that is kept, the first entry of a block serves that point, and
/// all older ones that reach so far. Every other entry of the block between these two serves nobody: it
/// was for points that are gone. It never will serve anybody again: points are only added at the end, and
/// entries between two points at most in front of it. So the volume's rows are gone through in their
/// order, which is by track and then by sequence, and no lock is held but for a glance at the points.
///
/// The order is: punch the blocks out, then take the rows out of the index and enter the blocks as
/// punched, in one transaction, then count them as free. If the process dies in between, the rows are
/// still there, point to holes that nobody reads, and the note that a sweep is owed (`sweeps`) makes the
/// next start do it again; blocks are counted by their bits, so once. Headers of batches stay, for
/// whoever walks over the segment; a segment in which no row is left goes as a whole. Only what is in the
/// index is looked at, so nothing behind the recorded tail is touched, where a hole would look torn.
struct Sweep {
    let volume: Volume
    let catalogue: Catalogue
    let io: any BlockIO

    /// Rows that are read, and at most changed, in one transaction: others need not wait long for theirs,
    /// and the index can reuse its space.
    private static let group = 4096

    private struct Dead {
        var entry: SavedEntry
        /// Those of its blocks that nobody needs.
        var mask: UInt16
    }

    /// Goes through the volume once. Everything that was saved when the points went is in the index, and
    /// no operation is under way that began before they went. Gives segments that are to go, out of the
    /// log already; `isStopping` is asked between transactions.
    func run(isStopping: () -> Bool) throws(TrackStoreError) -> [SaveSegment] {
        let owed = try owed()
        // Segments before it take no more entries; theirs are in the index, or still pending.
        let newest = volume.log.newestSegment
        var inUse = volume.log.pending.segments
        var start = Key.volume(volume.number)
        var ofTrack: [SavedEntry] = []
        while true {
            guard !isStopping(), !volume.isDeleted.load(ordering: .acquiring) else { return [] }
            let rows = try rows(from: start)
            try giveUp(find(rows, &ofTrack, &inUse))
            guard rows.count == Self.group, let last = rows.last else { break }
            start = Key.saved(volume.number, last) + [0]
        }
        let empty = volume.log.release { $0.number < newest && !inUse.contains($0.number) }
        try catalogue.write { (transaction) throws(TrackStoreError) in
            for segment in empty {
                let key = Key.segment(volume.number, segment.number)
                try transaction.delete(.segments, key)
                try transaction.delete(.punched, key)
            }
            // Another point may have gone meanwhile.
            let key = Key.volume(volume.number)
            if let owed, try transaction.get(.sweeps, key) == owed {
                try transaction.delete(.sweeps, key)
            }
        }
        return empty
    }

    /// The note that this sweep makes up for; nil where there is none, or its point has yet to go from
    /// memory, which asks for another sweep.
    private func owed() throws(TrackStoreError) -> [UInt8]? {
        let row = try catalogue.read { (transaction) throws(TrackStoreError) in
            try transaction.get(.sweeps, Key.volume(volume.number))
        }
        let isThere = volume.state.withLock { state in
            state.points.contains { NumberRecord($0.sequence).bytes == row }
        }
        return isThere ? nil : row
    }

    private func rows(from start: [UInt8]) throws(TrackStoreError) -> [SavedEntry] {
        try catalogue.read { (transaction) throws(TrackStoreError) in
            try transaction.entries(of: volume.number, from: start, limit: Self.group)
        }
    }

    /// The dead among rows that follow those of `ofTrack`; notes the segments of the others.
    private func find(
        _ rows: [SavedEntry], _ ofTrack: inout [SavedEntry], _ inUse: inout Set<UInt32>
    ) -> [Dead] {
        // Asked after the rows were read: a point for which one of them was saved is among them.
        let points = volume.state.withLock { state in
            state.materialise()
            return state.points.map(\.sequence)
        }
        var dead: [Dead] = []
        for entry in rows {
            if let last = ofTrack.last, last.track != entry.track {
                ofTrack.removeAll(keepingCapacity: true)
            }
            let mask = Self.unneeded(entry, after: ofTrack, points)
            if mask != 0 { dead.append(Dead(entry: entry, mask: mask)) }
            if mask != entry.mask { inUse.insert(entry.segment) }
            ofTrack.append(entry)
        }
        return dead
    }

    /// The blocks of an entry that nobody needs: it comes after `earlier` ones of its track.
    private static func unneeded(
        _ entry: SavedEntry, after earlier: [SavedEntry], _ points: [UInt64]
    ) -> UInt16 {
        guard let point = points.last(where: { $0 <= entry.sequence }) else { return entry.mask }
        var covered: UInt16 = 0
        for other in earlier.reversed() {
            guard other.sequence >= point else { break }
            covered |= other.mask
        }
        return entry.mask & covered
    }

    private func giveUp(_ dead: [Dead]) throws(TrackStoreError) {
        guard !dead.isEmpty else { return }
        var blocks: [UInt32: [Int]] = [:]
        for (entry, mask) in dead.map({ ($0.entry, $0.mask & $0.entry.dataMask) }) {
            for bit in 0..<Geometry.blocksPerTrack where mask & (1 << UInt16(bit)) != 0 {
                blocks[entry.segment, default: []].append(Int(entry.block) + entry.rank(of: bit))
            }
        }
        var punched: [(segment: UInt32, blocks: PunchedBlocks)] = []
        for (segment, blocks) in blocks {
            // A segment that has left the log meanwhile goes as a whole.
            guard var bits = volume.log.punched(in: segment) else { continue }
            try punch(blocks.sorted(), of: segment)
            for block in blocks { bits.insert(block) }
            punched.append((segment, bits))
        }
        let segments = punched
        try catalogue.write { (transaction) throws(TrackStoreError) in
            for dead in dead { try remove(dead, transaction) }
            // Not of a volume that was deleted meanwhile.
            guard try transaction.get(.volumes, Key.volume(volume.number)) != nil,
                !volume.isDeleted.load(ordering: .acquiring)
            else { return }
            for (segment, bits) in segments {
                try transaction.put(.punched, Key.segment(volume.number, segment), bits.bytes)
            }
        }
        for (segment, bits) in punched { volume.log.setPunched(bits, in: segment) }
    }

    /// Punches runs of neighbours at once. File systems that cannot punch give the space back later.
    private func punch(_ blocks: [Int], of segment: UInt32) throws(TrackStoreError) {
        guard let file = volume.log.file(of: segment) else { return }
        var index = 0
        while index < blocks.count {
            let first = index
            repeat {
                index += 1
            } while index < blocks.count
                && blocks[index] == blocks[index - 1] + 1
            let failure = io.punch(
                file, offset: blocks[first] * Geometry.block,
                length: (index - first) * Geometry.block)
            if failure != 0, failure != EOPNOTSUPP {
                throw .system(failure, "give saved content's space back", volume.log.directory)
            }
        }
    }

    private func remove(
        _ dead: Dead, _ transaction: borrowing Catalogue.Transaction
    ) throws(TrackStoreError) {
        let key = Key.saved(volume.number, dead.entry)
        // Its volume may have been deleted.
        guard try transaction.get(.saved, key) != nil else { return }
        var rest = dead.entry
        rest.giveUp(dead.mask)
        if rest.mask != 0 {
            try transaction.put(.saved, key, SavedRecord(rest).bytes)
        } else {
            try transaction.delete(.saved, key)
            try transaction.delete(.damages, key)
        }
    }
}
