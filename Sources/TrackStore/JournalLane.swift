import Glibc
import TrackBitmap

/// Puts waves into the journal: one batch for each. One lane serves one thread.
final class JournalLane {
    private let journal: WriteJournal
    private let io: any BlockIO
    private let memory = AlignedMemory(count: (Wave.mostBlocks + 1) * Geometry.block)
    private let zeroes: AlignedMemory
    private var entries: [SavedEntry] = []
    private var end: UnsafeMutableRawPointer
    /// Where the new content of each block of each touch is; nil: it is not written.
    private var sources: [UnsafeMutableRawPointer?] = []
    /// Blocks of each touch that become zeroes and need not be kept.
    private var zeroMasks: [UInt16] = []

    /// `zeroes`: a track of them.
    init(journal: WriteJournal, io: any BlockIO, zeroes: AlignedMemory) {
        self.journal = journal
        self.io = io
        self.zeroes = zeroes
        end = memory.start
    }

    /// Makes the items durable, whose blocks have been put together; those of tracks that have failed are
    /// left out. False where the journal has no room: nothing is done then.
    func write(
        _ items: [WriteItem], on touches: [TrackTouch], after sequence: UInt64, to volume: Volume
    ) throws(TrackStoreError) -> Bool {
        collect(items, touches)
        fill(touches, sequence)
        guard !entries.isEmpty else { return true }
        let dataBlocks = (end - memory.start) / Geometry.block - 1
        guard
            let place = try journal.append(
                &entries, of: volume, memory: memory.start, dataBlocks: dataBlocks, through: io)
        else { return false }
        try journal.sync(through: place, by: io)
        return true
    }

    private func collect(_ items: [WriteItem], _ touches: [TrackTouch]) {
        sources.removeAll(keepingCapacity: true)
        sources.append(
            contentsOf: repeatElement(nil, count: touches.count * Geometry.blocksPerTrack))
        zeroMasks.removeAll(keepingCapacity: true)
        zeroMasks.append(contentsOf: repeatElement(0, count: touches.count))
        var number = 0
        for item in items {
            for block in item.firstBlock..<item.endBlock {
                let track = UInt32(block / Geometry.blocksPerTrack)
                if touches[number].track != track {
                    guard let found = touches.firstIndex(where: { $0.track == track }) else {
                        continue
                    }
                    number = found
                }
                guard touches[number].failure == nil else { continue }
                let bit = block % Geometry.blocksPerTrack
                let place = number * Geometry.blocksPerTrack + bit
                if !item.isZero || !item.wholeBlocks.contains(block) {
                    sources[place] = item.staged.map {
                        $0 + (block - item.firstBlock) * Geometry.block
                    }
                } else if item.mayPunch {
                    zeroMasks[number] |= 1 << UInt16(bit)
                } else {
                    sources[place] = zeroes.start
                }
            }
        }
    }

    private func fill(_ touches: [TrackTouch], _ sequence: UInt64) {
        entries.removeAll(keepingCapacity: true)
        end = memory.start + Geometry.block
        for (number, touch) in touches.enumerated() {
            var entry = SavedEntry(
                track: touch.track, sequence: sequence, segment: 0, block: 0,
                mask: zeroMasks[number], zeroMask: zeroMasks[number])
            var count = 0
            for bit in 0..<Geometry.blocksPerTrack {
                guard let source = sources[number * Geometry.blocksPerTrack + bit] else { continue }
                memcpy(end, source, Geometry.block)
                entry.mask |= 1 << UInt16(bit)
                entry.checksums[count] = Checksum.crc32c(end, count: Geometry.block)
                count += 1
                end += Geometry.block
            }
            if entry.mask != 0 { entries.append(entry) }
        }
    }
}
