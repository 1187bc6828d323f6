import Glibc
import TrackBitmap

/// Taking up the journal after a stop, clean or not.
///
/// Every batch that is whole counts, up to the first of its segment that is not: that one and all after it
/// were never durable, so no host has an answer for them. What the files hold already is written to them
/// again, which changes nothing: where a point needs what was there, an entry has it.
///
/// A segment that another one follows ends with a seal. Where it does not, it is damaged, and writes that were
/// answered may be missing: that is told, and what can be read counts.
extension WriteJournal {
    /// What a start found.
    struct Recovered {
        /// The newest sequence of a record.
        var newest: UInt64 = 0
        /// Where something is missing.
        var damages: [String] = []
    }

    /// Reads the segments and enters what they hold for the readers of the volumes. To be called once,
    /// before the journal is used.
    ///
    /// Errors: `inputOutput` where a segment cannot be read: a write that was answered may lie there.
    func recover(
        _ volumes: [UInt16: Volume], through io: any BlockIO
    ) throws(TrackStoreError) -> Recovered {
        let window = Window(AlignedMemory(count: Window.bytes), io)
        var segments: [JournalSegment] = []
        var recovered = Recovered()
        var last: UInt32 = 0
        // Those in which nothing was found.
        var empty: [(number: UInt32, path: String)] = []
        for name in try Files.names(in: directory) {
            guard name.utf8.count == 8, let number = UInt32(name, radix: 16) else { continue }
            last = max(last, number)
            let file = try OpenFile(directory + "/" + name, .existing)
            let block = try window.blocks(of: file, from: 0, count: 1)
            let header = block.flatMap { SegmentCodec.decodeSegmentHeader(volume: 0, from: $0) }
            guard let header, header.segment == number else {
                // It was being made, or has been made empty and not been renamed yet.
                if header == nil {
                    empty.append((number, file.path))
                } else {
                    try Files.remove(file.path)
                }
                continue
            }
            var segment = JournalSegment(number: number, file: file, nonce: header.nonce)
            recovered.newest = max(recovered.newest, try scan(&segment, volumes, window))
            guard segment.batches > 0 else {
                // Under its nonce, batches that were never whole together might be taken for successors of
                // new ones.
                empty.append((number, file.path))
                continue
            }
            segment.isClosed = true
            segments.append(segment)
        }
        for segment in segments.dropLast() where !segment.isSealed {
            recovered.damages.append("\(segment.file.path), block \(segment.usedBlocks)")
        }
        recovered.damages += try clear(empty, before: segments.last?.number ?? 0)
        // A batch without an answer may be read from now on, so it must not go again.
        if let last = segments.last {
            let failure = io.sync(last.file.descriptor)
            guard failure == 0 else { throw .system(failure, "sync the journal", directory) }
        }
        let (found, next) = (segments, last + 1)
        state.withLock { state in
            state.segments = found
            state.nextNumber = next
            if let last = found.last {
                state.durable = Position(segment: last.number, block: last.usedBlocks)
            }
        }
        return recovered
    }

    /// Removes files in which nothing was found. They are used in the order of their numbers, so one that
    /// comes before others that hold something is damaged: it is set aside, and named.
    private func clear(
        _ empty: [(number: UInt32, path: String)], before last: UInt32
    ) throws(TrackStoreError) -> [String] {
        var damages: [String] = []
        for (number, path) in empty {
            guard number < last else {
                try Files.remove(path)
                continue
            }
            damages.append("\(path), block 0")
            guard rename(path, directory + "/damaged-" + SaveSegment.name(number)) == 0 else {
                throw .system(errno, "set a journal segment aside", path)
            }
        }
        return damages
    }

    private func scan(
        _ segment: inout JournalSegment, _ volumes: [UInt16: Volume], _ window: Window
    ) throws(TrackStoreError) -> UInt64 {
        var newest: UInt64 = 0
        while true {
            let place = segment.usedBlocks
            guard let header = try window.blocks(of: segment.file, from: place, count: 1),
                let batch = SegmentCodec.decode(
                    volume: nil, segment: segment.number, number: segment.batches,
                    nonce: segment.nonce, place: place, from: header),
                let data = try window.blocks(of: segment.file, from: place, count: batch.blocks),
                batch.isWhole(data + Geometry.block)
            else { return newest }
            segment.usedBlocks += batch.blocks
            segment.batches += 1
            newest = max(newest, batch.newestSequence)
            segment.isSealed = batch.entries.isEmpty
            guard let volume = volumes[batch.volume] else { continue }
            volume.journaled.insert(batch.entries, file: segment.file.descriptor)
            segment.enter(batch.entries, of: volume)
            // Its point may be gone; what is written from now on comes after it all the same.
            volume.state.withLock { state in
                guard batch.newestSequence > state.saved.sequence else { return }
                state.saved.startOver(batch.newestSequence, asksIndex: true)
            }
        }
    }
}
