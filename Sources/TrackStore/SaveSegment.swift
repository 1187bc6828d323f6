import Glibc
import TrackBitmap

/// One file of a volume's save log, as it is known in memory.
struct SaveSegment {
    let number: UInt32
    let file: OpenFile
    let nonce: UInt64
    /// Blocks reserved; at `usedBlocks` or less, nothing can be appended any more.
    var sizeBlocks: Int
    /// Blocks that hold the header and whole batches.
    var usedBlocks: Int
    /// Blocks at the front that no point needs any more; 0 or more than the header.
    var deadBlocks = 0
    /// How much of them has been given back, rows and all: what is recorded, so that the next start
    /// does the rest.
    var reclaimedBlocks = 0
    /// Blocks between needed ones that have been punched out; some may lie in the dead front.
    var punched = PunchedBlocks()
    var batches: UInt64 = 0
    /// Where the newest sequence so far rises. Batches come nearly in order of sequence; a late one
    /// counts as what came before it, so a front is called dead only if all of it is.
    var marks: [SequenceMark] = []

    var liveBlocks: Int { liveBlocks(from: deadBlocks) }

    /// Blocks from `front` on, which may lie in the dead front, without what has been punched out.
    func liveBlocks(from front: Int) -> Int {
        let first = max(front, deadBlocks)
        return usedBlocks - first - punched.count(from: first)
    }
    var newestSequence: UInt64 { marks.last?.sequence ?? 0 }

    var record: SegmentRecord {
        SegmentRecord(
            usedBlocks: UInt32(usedBlocks), deadBlocks: UInt32(reclaimedBlocks), marks: marks)
    }

    mutating func mark(_ sequence: UInt64, at block: Int) {
        guard marks.isEmpty || sequence > newestSequence else { return }
        marks.append(SequenceMark(block: UInt32(block), sequence: sequence))
    }

    /// Blocks at the front that hold nothing saved at or after `oldest`.
    func deadFront(before oldest: UInt64) -> Int {
        if newestSequence < oldest { return usedBlocks }
        let first = marks.first { $0.sequence >= oldest }
        let front = first.map { Int($0.block) } ?? 0
        return front > 1 ? front : 0
    }

    /// Makes a segment of zeroes, durably. It is written once in full: appending to space that is
    /// only reserved would make every sync wait for the file system's journal as well.
    static func make(
        number: UInt32, volume: UInt16, directory: String, sizeBlocks: Int, through io: any BlockIO
    ) throws(TrackStoreError) -> SaveSegment {
        let path = directory + "/" + name(number)
        let file = try OpenFile(path, .absent)
        do throws(TrackStoreError) {
            let full = io.reserve(file.descriptor, offset: 0, length: sizeBlocks * Geometry.block)
            guard full == 0 else { throw .system(full, "reserve space to save in", path) }
            let nonce = makeNonce()
            try fill(file, volume: volume, number: number, nonce: nonce, sizeBlocks, io)
            try Files.syncDirectory(directory)
            return SaveSegment(
                number: number, file: file, nonce: nonce, sizeBlocks: sizeBlocks, usedBlocks: 1)
        } catch {
            // The space is wanted back at once; if the name stays, the next start removes it.
            unlink(path)
            throw error
        }
    }

    /// A number that no host can know, and no other segment has.
    static func makeNonce() -> UInt64 { UInt64.random(in: 1...UInt64.max) }

    private static func fill(
        _ file: OpenFile, volume: UInt16, number: UInt32, nonce: UInt64, _ sizeBlocks: Int,
        _ io: any BlockIO
    ) throws(TrackStoreError) {
        let memory = AlignedMemory(count: min(sizeBlocks * Geometry.block, 1 << 20))
        var offset = 0
        while offset < sizeBlocks * Geometry.block {
            if offset == 0 {
                SegmentCodec.encodeSegmentHeader(
                    volume: volume, segment: number, nonce: nonce, into: memory.start)
            }
            let length = min(memory.count, sizeBlocks * Geometry.block - offset)
            var operations = [
                BlockOperation(
                    kind: .write, file: file.descriptor, memory: memory.start, length: length,
                    offset: offset)
            ]
            io.perform(&operations)
            guard operations[0].failure == 0 else {
                throw .system(operations[0].failure, "begin a save segment", file.path)
            }
            if offset == 0 { memset(memory.start, 0, Geometry.block) }
            offset += length
        }
        let failure = io.sync(file.descriptor)
        guard failure == 0 else { throw .system(failure, "sync a save segment", file.path) }
    }

    static func name(_ number: UInt32) -> String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: 8 - digits.utf8.count) + digits
    }
}

/// Parts of a volume's log that no point needs any more, to be given back to the file system once
/// nobody can be reading them.
struct DeadSpace {
    /// Whole segments.
    var segments: [SaveSegment] = []
    /// Fronts of segments that go on living: blocks `from..<to`.
    var fronts: [(segment: SaveSegment, from: Int, to: Int)] = []

    var isEmpty: Bool { segments.isEmpty && fronts.isEmpty }
}
