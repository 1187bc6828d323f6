import TrackBitmap

/// Bringing a volume's log up after a stop, clean or not.
///
/// What lies before the recorded tail is in the index. From there on the segments are read batch by
/// batch until one is not whole: that one, and all after it, were never durable, so nothing was
/// overwritten on their strength. New batches go to a new segment: were they written over a torn
/// one, leftovers behind them might be taken for their successors at the next start.
extension SaveLog {
    /// What the index has recorded of the log.
    struct Recorded {
        var tail: TailRecord?
        var segments: [UInt32: SegmentRecord] = [:]
        var punched: [UInt32: PunchedBlocks] = [:]
    }

    /// Reads the segments, removes what was never begun properly, and enters what the index lacks
    /// in `pending`. To be called once, before the log is used. Gives the newest sequence it came
    /// across.
    func recover(_ recorded: Recorded, through io: any BlockIO) throws(TrackStoreError) -> UInt64 {
        var newest: UInt64 = 0
        var found: [SaveSegment] = []
        var last = recorded.tail?.segment ?? 0
        let window = AlignedMemory(count: Window.bytes)
        for name in try Files.names(in: directory) {
            guard name.utf8.count == 8, let number = UInt32(name, radix: 16) else { continue }
            last = max(last, number)
            let path = directory + "/" + name
            let isScanned = number >= recorded.tail?.segment ?? 0
            guard isScanned || recorded.segments[number] != nil else {
                try Files.remove(path)
                continue
            }
            guard
                let segment = try recoverSegment(
                    number, path, recorded, isScanned: isScanned, Window(window, io))
            else {
                try Files.remove(path)
                continue
            }
            newest = max(newest, segment.newestSequence)
            found.append(segment)
        }
        let segments = found
        let firstScanned = recorded.tail?.segment ?? 0
        let next = last + 1
        state.withLock { state in
            state.segments = segments
            state.nextNumber = next
            state.newest = next - 1
            if let end = segments.last {
                state.durable = Position(segment: end.number, block: end.usedBlocks)
            }
            state.hasDirectory = !segments.isEmpty
            // What was scanned may have grown beyond its record, which says what is dead and what
            // is not.
            state.changed = Set(segments.filter { $0.number >= firstScanned }.map(\.number))
        }
        files.withLock { files in for segment in segments { files[segment.number] = segment.file } }
        live.store(segments.reduce(0) { $0 + $1.liveBlocks }, ordering: .releasing)
        return newest
    }

    /// Nil where the segment was never begun properly, or holds nothing.
    private func recoverSegment(
        _ number: UInt32, _ path: String, _ recorded: Recorded, isScanned: Bool, _ window: Window
    ) throws(TrackStoreError) -> SaveSegment? {
        let file = try OpenFile(path, .existing)
        let record = recorded.segments[number]
        let header = try window.blocks(of: file, from: 0, count: 1)
        let nonce = header.flatMap {
            SegmentCodec.decodeSegmentHeader(volume: volume, segment: number, from: $0)
        }
        if nonce == nil, isScanned {
            // The header is made durable before the segment is recorded.
            guard record == nil else {
                throw TrackStoreError(.damaged, "a segment without its header", place: path)
            }
            return nil
        }
        var segment = SaveSegment(
            number: number, file: file, nonce: nonce ?? 0, sizeBlocks: 0,
            usedBlocks: Int(record?.usedBlocks ?? 1), deadBlocks: Int(record?.deadBlocks ?? 0),
            reclaimedBlocks: Int(record?.deadBlocks ?? 0),
            punched: recorded.punched[number] ?? PunchedBlocks(), marks: record?.marks ?? [])
        if isScanned, nonce != nil {
            if let tail = recorded.tail, tail.segment == number {
                segment.usedBlocks = Int(tail.block)
                segment.batches = tail.batch
            } else {
                segment.usedBlocks = 1
            }
            try scan(&segment, window)
            try Files.setLength(file, segment.usedBlocks * Geometry.block)
            let failure = window.io.sync(file.descriptor)
            guard failure == 0 else { throw .system(failure, "sync saved content", path) }
        }
        segment.sizeBlocks = segment.usedBlocks
        return segment.usedBlocks > 1 ? segment : nil
    }

    /// Goes from batch to batch as long as they are whole.
    private func scan(_ segment: inout SaveSegment, _ window: Window) throws(TrackStoreError) {
        while true {
            let place = segment.usedBlocks
            guard let header = try window.blocks(of: segment.file, from: place, count: 1),
                let batch = SegmentCodec.decode(
                    volume: volume, segment: segment.number, number: segment.batches,
                    nonce: segment.nonce, place: place, from: header),
                let data = try window.blocks(of: segment.file, from: place, count: batch.blocks),
                batch.isWhole(data + Geometry.block)
            else { return }
            segment.mark(batch.newestSequence, at: place)
            segment.usedBlocks += batch.blocks
            segment.batches += 1
            pending.append(batch.entries)
        }
    }
}

extension SegmentCodec.Batch {
    /// True where the blocks behind the header are those that it describes.
    func isWhole(_ data: UnsafeRawPointer) -> Bool {
        var block = data
        for entry in entries {
            for index in 0..<entry.dataBlocks {
                guard Checksum.crc32c(block, count: Geometry.block) == entry.checksums[index]
                else { return false }
                block += Geometry.block
            }
        }
        return true
    }
}

/// Reads a segment in large pieces, for someone who goes through it block by block.
final class Window {
    static let bytes = 4 << 20
    let io: any BlockIO
    private let memory: AlignedMemory
    /// Held open: another file must not get its descriptor while its content is in memory.
    private var file: OpenFile?
    private var range = 0..<0

    init(_ memory: AlignedMemory, _ io: any BlockIO) {
        self.memory = memory
        self.io = io
    }

    /// So many blocks from `first` on, valid until the next call; nil where the file ends before
    /// them.
    ///
    /// Throws where they cannot be read: what lies there may be durable saves, on whose strength blocks
    /// were overwritten, so the log must not be taken to end before them.
    func blocks(
        of open: OpenFile, from first: Int, count: Int
    ) throws(TrackStoreError) -> UnsafeRawPointer? {
        guard count * Geometry.block <= Window.bytes else { return nil }
        if file !== open || first < range.lowerBound || first + count > range.upperBound {
            let length = try Files.length(open)
            let end = min(length / Geometry.block, first + Window.bytes / Geometry.block)
            guard first + count <= end else { return nil }
            var operations = [
                BlockOperation(
                    kind: .read, file: open.descriptor, memory: memory.start,
                    length: (end - first) * Geometry.block, offset: first * Geometry.block)
            ]
            io.perform(&operations)
            let failure = operations[0].failure
            guard failure == 0 else { throw .system(failure, "read saved content", open.path) }
            file = open
            range = first..<end
        }
        return UnsafeRawPointer(memory.start + (first - range.lowerBound) * Geometry.block)
    }
}
