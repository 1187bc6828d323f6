import Glibc
import TrackBitmap

/// Writes batches of the journal to the volumes' files, saving first what points need.
///
/// A write counts for the points of the moment when it was decided. What is saved of the old content is
/// saved under the newest of them; points that have come since have the write in their content. Each
/// run goes through these steps, each one batch of I/O:
///
///     read batches  →  per volume and point: decide what must be saved  →  read old blocks
///       →  append them  →  make them durable, make them count  →  overwrite
///
/// Nobody else changes these blocks meanwhile, or saves for them: writes of a block that is in the journal
/// go through the journal, and no volume with pending tracks has anything there. One lane serves one
/// thread.
final class DestageLane {
    /// Blocks of one track that are written together.
    private struct Work {
        var track: UInt32
        var mask: UInt16 = 0
        var zeroMask: UInt16 = 0
        var need: UInt16 = 0
        var data = InlineArray<16, UnsafeMutableRawPointer?>(repeating: nil)

        init(track: UInt32) { self.track = track }
    }

    /// An entry of the journal, with its blocks in memory.
    private struct Item {
        var entry: SavedEntry
        var data: UnsafeMutableRawPointer
    }

    private let parts: StoreParts
    private let io: any BlockIO
    private let index: IndexReader
    private let saver: Saver
    private let memory: AlignedMemory
    private let zeroes = AlignedMemory(count: Geometry.track)
    private var operations: [BlockOperation] = []
    private var found: [SavedEntry] = []
    private var durable = WriteJournal.Position(segment: 0, block: 0)

    /// Bytes of the journal that are read at once, where the segments are not smaller.
    private static let run = 4 << 20

    init(parts: StoreParts, io: any BlockIO, segmentBlocks: Int) {
        self.parts = parts
        self.io = io
        index = IndexReader(catalogue: parts.catalogue, index: parts.index)
        saver = Saver(parts: parts, io: io, blocks: Wave.mostBlocks)
        memory = AlignedMemory(
            count: min(
                max(Self.run, (Wave.mostBlocks + 1) * Geometry.block),
                segmentBlocks * Geometry.block))
    }

    /// Destages the next batches of a segment, up to `end`; the journal is durable up to `durable`, or
    /// further. Gives the place behind them.
    func destage(
        _ segment: JournalSegment, through end: Int, durable: WriteJournal.Position
    ) throws(TrackStoreError) -> Int {
        self.durable = durable
        let first = segment.destagedBlocks
        let count = min(end - first, memory.count / Geometry.block)
        var reads = [
            BlockOperation(
                kind: .read, file: segment.file.descriptor, memory: memory.start,
                length: count * Geometry.block, offset: first * Geometry.block)
        ]
        io.perform(&reads)
        guard reads[0].failure == 0 else {
            throw .system(reads[0].failure, "read the journal", segment.file.path)
        }
        var items: [UInt16: [Item]] = [:]
        var place = first
        while place < first + count,
            let batch = batch(
                of: segment, place, at: memory.start + (place - first) * Geometry.block)
        {
            guard place + batch.blocks <= first + count else { break }
            var data = memory.start + (place - first + 1) * Geometry.block
            for entry in batch.entries {
                items[batch.volume, default: []].append(Item(entry: entry, data: data))
                data += entry.dataBlocks * Geometry.block
            }
            place += batch.blocks
        }
        guard place > first else {
            throw TrackStoreError(
                .damaged, "a batch of the journal cannot be read", place: segment.file.path,
                errno: EIO)
        }
        defer { index.end() }
        for (number, items) in items {
            guard let volume = segment.members[number]?.volume,
                !volume.isDeleted.load(ordering: .acquiring)
            else { continue }
            try destage(items, to: volume)
        }
        return place
    }

    private func batch(
        of segment: JournalSegment, _ place: Int, at header: UnsafeMutableRawPointer
    ) -> SegmentCodec.Batch? {
        SegmentCodec.decode(
            volume: nil, segment: segment.number, number: nil, nonce: segment.nonce, place: place,
            from: header)
    }

    /// Points are taken one after the other, so that what was written before one is in the file when what
    /// came after it is destaged.
    private func destage(_ items: [Item], to volume: Volume) throws(TrackStoreError) {
        for sequence in Set(items.map(\.entry.sequence)).sorted() {
            var works: [UInt32: Work] = [:]
            for item in items where item.entry.sequence == sequence {
                try add(item, to: &works, volume)
            }
            var sorted = works.values.sorted { $0.track < $1.track }
            try save(&sorted, sequence, of: volume)
            try overwrite(sorted, volume)
        }
    }

    /// Adds what no later write after the same point replaces.
    private func add(
        _ item: Item, to works: inout [UInt32: Work], _ volume: Volume
    ) throws(TrackStoreError) {
        let entry = item.entry
        let mask =
            volume.journaled.latest(of: entry, durable: durable)
            & volume.blocks(ofTrack: entry.track)
        guard mask != 0 else { return }
        var work = works[entry.track] ?? Work(track: entry.track)
        work.mask |= mask
        for bit in 0..<Geometry.blocksPerTrack where mask & (1 << UInt16(bit)) != 0 {
            guard entry.zeroMask & (1 << UInt16(bit)) == 0 else {
                work.zeroMask |= 1 << UInt16(bit)
                continue
            }
            let rank = entry.rank(of: bit)
            let block = item.data + rank * Geometry.block
            guard Checksum.crc32c(block, count: Geometry.block) == entry.checksums[rank] else {
                throw TrackStoreError(
                    .damaged, "a block of the journal does not have its checksum",
                    place: volume.name, errno: EIO)
            }
            work.data[bit] = block
        }
        works[entry.track] = work
    }
}

// Saving.
extension DestageLane {
    /// Makes durable what points up to `sequence` need of the blocks.
    private func save(
        _ works: inout [Work], _ sequence: UInt64, of volume: Volume
    ) throws(TrackStoreError) {
        // After a failed sync an entry may be found that is not durable.
        try volume.log.checkUsable()
        guard try decide(&works, sequence, volume) > 0 else { return }
        do throws(TrackStoreError) {
            try saveInSteps(&works, sequence, of: volume)
        } catch {
            // What has been appended counts when it is tried again, so it must be durable by then.
            try saver.settle(volume)
            throw error
        }
        try saver.settle(volume)
    }

    /// In steps of a twentieth of the safeguarded capacity at most, or a track, so that whoever watches how
    /// full it is hears of each level before points roll off.
    private func saveInSteps(
        _ works: inout [Work], _ sequence: UInt64, of volume: Volume
    ) throws(TrackStoreError) {
        let file = try volume.file()
        let twentieth = volume.safeguardedCapacity / UInt64(20 * Geometry.block)
        let most = Int(min(UInt64(Wave.mostBlocks), max(twentieth, 16)))
        var first = 0
        while first < works.count {
            var step = Self.step(works[first...], most)
            if step.blocks > 0, try parts.makeRoom(on: volume, blocks: step.blocks + 1) {
                // There may be less to save for.
                _ = try decide(&works, sequence, volume)
                step = Self.step(works[first...], most)
            }
            if step.blocks > 0 {
                try append(works[first..<step.end], sequence, of: volume, file)
            }
            first = step.end
        }
    }

    /// The tracks that are saved together, and how many blocks of theirs.
    private static func step(
        _ works: ArraySlice<Work>, _ most: Int
    ) -> (end: Int, blocks: Int) {
        var (end, tracks, blocks) = (works.startIndex, 0, 0)
        while end < works.endIndex {
            let need = works[end].need.nonzeroBitCount
            if need > 0 {
                guard tracks == 0 || blocks + need <= most, tracks < Wave.mostTracks else { break }
                tracks += 1
                blocks += need
            }
            end += 1
        }
        return (end, blocks)
    }

    /// Which blocks must be saved; how many that are.
    private func decide(
        _ works: inout [Work], _ sequence: UInt64, _ volume: Volume
    ) throws(TrackStoreError) -> Int {
        var blocks = 0
        var first = 0
        // Hosts decide under the same monitor: they wait for some tracks, not for all.
        while first < works.count {
            let end = min(first + 64, works.count)
            try volume.state.withLock { (state) throws(TrackStoreError) in
                state.materialise()
                for number in first..<end {
                    works[number].need = try need(of: works[number], sequence, &state, volume)
                    blocks += works[number].need.nonzeroBitCount
                }
            }
            first = end
        }
        return blocks
    }

    private func need(
        of work: Work, _ sequence: UInt64, _ state: inout VolumeState, _ volume: Volume
    ) throws(TrackStoreError) -> UInt16 {
        let (points, readers) = (state.points, state.readers)
        // The points that the write counts for may be gone by now.
        guard
            VolumeState.newestNeeding(work.track, points, readers, before: sequence + 1) != nil
        else { return 0 }
        let saved = { (track: UInt32) throws(TrackStoreError) -> UInt16 in
            guard
                let point = VolumeState.newestNeeding(
                    track, points, readers, before: sequence + 1)
            else { return .max }
            try self.index.find(
                volume, track: track, from: point.sequence, covering: .max, into: &self.found)
            return self.found.reduce(0) { $0 | $1.mask }
        }
        // Since the newest point, the map knows.
        let covered =
            state.saved.sequence == sequence
            ? try state.saved.mask(of: work.track, ask: saved) : try saved(work.track)
        return work.mask & ~covered
    }

    private func append(
        _ works: ArraySlice<Work>, _ sequence: UInt64, of volume: Volume, _ file: Int32
    ) throws(TrackStoreError) {
        operations.removeAll(keepingCapacity: true)
        var place = saver.firstBlock
        for work in works where work.need != 0 {
            var bit = 0
            while let run = work.need.run(from: bit) {
                bit = run.upperBound
                let block = Int(work.track) * Geometry.blocksPerTrack + run.lowerBound
                operations.append(
                    BlockOperation(
                        kind: .read, file: file, memory: place, length: run.count * Geometry.block,
                        offset: block * Geometry.block))
                place += run.count * Geometry.block
            }
        }
        io.perform(&operations)
        if let failed = operations.first(where: { $0.failure != 0 }) {
            throw .system(failed.failure, "read what is to be saved", volume.path)
        }
        saver.begin()
        place = saver.firstBlock
        for work in works where work.need != 0 {
            saver.add(track: work.track, mask: work.need, sequence: sequence, at: place)
            place += work.need.nonzeroBitCount * Geometry.block
        }
        try saver.append(to: volume)
    }
}

// Overwriting.
extension DestageLane {
    private func overwrite(_ works: [Work], _ volume: Volume) throws(TrackStoreError) {
        let file = try volume.file()
        operations.removeAll(keepingCapacity: true)
        for work in works {
            let offset = Int(work.track) * Geometry.track
            let whole = volume.blocks(ofTrack: work.track)
            if work.zeroMask == whole {
                let length = whole.nonzeroBitCount * Geometry.block
                if io.punch(file, offset: offset, length: length) == 0 { continue }
            }
            for bit in 0..<Geometry.blocksPerTrack where work.mask & (1 << UInt16(bit)) != 0 {
                add(offset + bit * Geometry.block, work.data[bit] ?? zeroes.start, file)
            }
        }
        guard !operations.isEmpty else { return }
        io.perform(&operations)
        if let failed = operations.first(where: { $0.failure != 0 }) {
            throw .system(failed.failure, "write to a volume", volume.path)
        }
    }

    private func add(_ offset: Int, _ memory: UnsafeMutableRawPointer, _ file: Int32) {
        if let last = operations.last, last.offset + last.length == offset,
            last.memory + last.length == memory
        {
            operations[operations.count - 1].length += Geometry.block
            return
        }
        operations.append(
            BlockOperation(
                kind: .write, file: file, memory: memory, length: Geometry.block, offset: offset))
    }
}
