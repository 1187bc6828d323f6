import Glibc
import TrackBitmap

/// Saves old blocks of a volume: makes entries of them, appends these in one batch, and makes them
/// durable. One saver serves one thread.
///
/// The data blocks are read to `memory` from its second block on, one track after the other; the first
/// block is the batch's header.
final class Saver {
    private let parts: StoreParts
    private let io: any BlockIO
    let memory: AlignedMemory
    private var entries: [SavedEntry] = []
    /// What has been appended and may not be durable yet, and its end.
    private var appended: [SavedEntry] = []
    private var last: SaveLog.Position?
    private var end: UnsafeMutableRawPointer

    /// Room for so many blocks.
    init(parts: StoreParts, io: any BlockIO, blocks: Int) {
        self.parts = parts
        self.io = io
        memory = AlignedMemory(count: (blocks + 1) * Geometry.block)
        end = memory.start + Geometry.block
    }

    /// Where the first old block goes.
    var firstBlock: UnsafeMutableRawPointer { memory.start + Geometry.block }

    /// Begins a batch.
    func begin() {
        entries.removeAll(keepingCapacity: true)
        end = firstBlock
    }

    /// Enters the blocks `mask` of a track, which lie one after the other at `blocks`, moving those
    /// with data together: blocks of zeroes take no space. To be called in the order of places.
    func add(track: UInt32, mask: UInt16, sequence: UInt64, at blocks: UnsafeMutableRawPointer) {
        var entry = SavedEntry(
            track: track, sequence: sequence, segment: 0, block: 0, mask: mask, zeroMask: 0)
        var block = blocks
        var count = 0
        for bit in 0..<Geometry.blocksPerTrack where mask & (1 << UInt16(bit)) != 0 {
            defer { block += Geometry.block }
            if Zeroes.fill(block, count: Geometry.block) {
                entry.zeroMask |= 1 << UInt16(bit)
                continue
            }
            if block != end { memcpy(end, block, Geometry.block) }
            entry.checksums[count] = Checksum.crc32c(end, count: Geometry.block)
            count += 1
            end += Geometry.block
        }
        entries.append(entry)
    }

    /// Appends the batch, makes it durable and makes it count. Nothing to do without entries.
    func save(to volume: Volume) throws(TrackStoreError) {
        try append(to: volume)
        try settle(volume)
    }

    /// Appends the batch, after which another one may be begun. Nothing to do without entries.
    func append(to volume: Volume) throws(TrackStoreError) {
        guard !entries.isEmpty else { return }
        guard !parts.index.isCongested else {
            throw TrackStoreError(
                .noSpace, "the index cannot keep up", place: volume.name, errno: ENOSPC)
        }
        let dataBlocks = (end - firstBlock) / Geometry.block
        last = try volume.log.append(
            &entries, memory: memory.start, dataBlocks: dataBlocks, through: io)
        let added = entries.count
        appended += entries
        entries.removeAll(keepingCapacity: true)
        parts.index.note(volume, entries: added)
        parts.noteUsage(of: volume)
        if volume.log.wantsSpare { parts.reclaimer.prepareSegment(for: volume) }
    }

    /// Makes what has been appended to a volume's log durable, and makes it count.
    func settle(_ volume: Volume) throws(TrackStoreError) {
        guard let last else { return }
        defer {
            appended.removeAll(keepingCapacity: true)
            self.last = nil
        }
        try volume.log.sync(through: last, by: io)
        volume.state.withLock { state in
            for entry in appended {
                state.saved.add(entry.mask, track: entry.track, sequence: entry.sequence)
            }
        }
        for entry in appended {
            parts.stamps.move(parts.stamps.index(volume: volume.number, track: entry.track))
        }
    }
}
