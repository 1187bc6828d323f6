import TrackBitmap

/// A piece of a host's request that changes a volume: at most `Wave.largest` bytes.
struct WriteItem {
    /// Which of the batch's requests it belongs to.
    var request: Int
    var offset: UInt64
    var length: Int
    /// Nil: zeroes.
    var source: UnsafeRawPointer?
    var mayPunch: Bool
    /// Where its blocks are put together; only for those that are not zeroes.
    var staged: UnsafeMutableRawPointer?

    var firstBlock: Int { Int(offset) / Geometry.block }
    var endBlock: Int { (Int(offset) + length + Geometry.block - 1) / Geometry.block }
    var startsInside: Bool { Int(offset) % Geometry.block != 0 }
    var endsInside: Bool { (Int(offset) + length) % Geometry.block != 0 }
    var isZero: Bool { source == nil }

    /// The blocks that it overwrites as a whole.
    var wholeBlocks: Range<Int> {
        let first = firstBlock + (startsInside ? 1 : 0)
        let end = endBlock - (endsInside ? 1 : 0)
        return first..<max(first, end)
    }

    /// The blocks that it overwrites in part: none, one or two.
    var partialBlocks: [Int] {
        var blocks: [Int] = []
        if startsInside { blocks.append(firstBlock) }
        if endsInside, blocks.last != endBlock - 1 { blocks.append(endBlock - 1) }
        return blocks
    }
}

/// What a wave does to one track.
struct TrackTouch {
    let track: UInt32
    /// Blocks that are written, at least in part.
    var touched: UInt16 = 0
    /// Blocks whose old content must be saved first.
    var need: UInt16 = 0
    /// Where the old content is read to: the blocks of `need`, one after the other.
    var saved: UnsafeMutableRawPointer?
    /// The track is pending, so the wave makes it whole.
    var isPending = false
    /// Blocks that the wave copies in for that, in their places of the track at `copied`.
    var missing: UInt16 = 0
    var copied: UnsafeMutableRawPointer?
    var failure: HostFailure?

    init(track: UInt32) { self.track = track }
}

/// Requests that are done together: none of them reads or writes what another one writes.
///
/// Its limits make its saved blocks fit into one batch, whatever they are.
struct Wave {
    /// Bytes of a piece.
    static let largest = 1 << 20
    /// Blocks written and tracks touched by a wave.
    static let mostBlocks = 512
    static let mostTracks = 96

    var reads: [Int] = []
    var writes: [WriteItem] = []
    var forced: [Int] = []
    private var written: [Range<Int>] = []
    private var blocks = 0
    private var tracks = 0

    var isEmpty: Bool { reads.isEmpty && writes.isEmpty }

    mutating func clear() {
        reads.removeAll(keepingCapacity: true)
        writes.removeAll(keepingCapacity: true)
        forced.removeAll(keepingCapacity: true)
        written.removeAll(keepingCapacity: true)
        blocks = 0
        tracks = 0
    }

    /// Takes a read; false where it must come after what the wave writes. Reads come before the
    /// wave's writes, so one that was asked before a write of the same block may share its wave.
    mutating func addRead(_ request: Int, _ offset: UInt64, _ length: Int) -> Bool {
        let range = Self.blocks(offset, length)
        guard !written.contains(where: { $0.overlaps(range) }) else { return false }
        reads.append(request)
        return true
    }

    /// Takes a write; false where it must come after another or does not fit.
    mutating func addWrite(_ item: WriteItem) -> Bool {
        let range = item.firstBlock..<item.endBlock
        let first = range.lowerBound / Geometry.blocksPerTrack
        let last = (range.upperBound - 1) / Geometry.blocksPerTrack
        guard blocks + range.count <= Self.mostBlocks, tracks + last - first + 1 <= Self.mostTracks,
            !written.contains(where: { $0.overlaps(range) })
        else { return false }
        written.append(range)
        blocks += range.count
        tracks += last - first + 1
        writes.append(item)
        return true
    }

    static func blocks(_ offset: UInt64, _ length: Int) -> Range<Int> {
        Int(offset) / Geometry.block..<(Int(offset) + length + Geometry.block - 1) / Geometry.block
    }
}
