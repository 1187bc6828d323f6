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
    var batches: UInt64 = 0
    /// Where the newest sequence so far rises. Batches come nearly in order of sequence; a late one
    /// counts as what came before it, so a front is called dead only if all of it is.
    var marks: [SequenceMark] = []

    var liveBlocks: Int { usedBlocks - deadBlocks }
    var newestSequence: UInt64 { marks.last?.sequence ?? 0 }

    var record: SegmentRecord {
        SegmentRecord(
            usedBlocks: UInt32(usedBlocks), deadBlocks: UInt32(deadBlocks), marks: marks)
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

    static func name(_ number: UInt32) -> String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: 8 - digits.utf8.count) + digits
    }
}

/// Parts of a volume's log that no point needs any more, to be given back to the file system once nobody
/// can be reading them.
struct DeadSpace {
    /// Whole segments.
    var segments: [SaveSegment] = []
    /// Fronts of segments that go on living: blocks `from..<to`.
    var fronts: [(segment: SaveSegment, from: Int, to: Int)] = []

    var isEmpty: Bool { segments.isEmpty && fronts.isEmpty }
}
