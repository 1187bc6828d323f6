import TrackBitmap

/// Old content of some blocks of one track, saved aside: what of it, since which point, and where.
///
/// `mask` has a bit a saved block; `zeroMask`, a part of it, those that held nothing but zeroes and
/// take no space. The others lie one after the other from `block` on in the segment, lowest first; so
/// did those of `punched`, which nobody needs any more and whose places are holes.
struct SavedEntry {
    var track: UInt32
    var sequence: UInt64
    var segment: UInt32
    var block: UInt32
    var mask: UInt16
    var zeroMask: UInt16
    /// CRC-32C of each block that has a place in the segment, lowest first.
    var checksums = InlineArray<16, UInt32>(repeating: 0)
    /// No longer in `mask`, but once between its blocks in the segment.
    var punched: UInt16 = 0

    var dataMask: UInt16 { mask & ~zeroMask }
    var dataBlocks: Int { dataMask.nonzeroBitCount }
    private var placed: UInt16 { dataMask | punched }
    /// How many blocks have a place in the segment, from `block` on.
    var placedBlocks: Int { placed.nonzeroBitCount }

    /// Which of the places in the segment is that of block `bit` of the track: 0 for the first.
    func rank(of bit: Int) -> Int { placed.rank(of: bit) }

    /// Some of its blocks are needed no more. The others keep their places and checksums.
    mutating func giveUp(_ blocks: UInt16) {
        punched |= dataMask & blocks
        mask &= ~blocks
        zeroMask &= ~blocks
        if dataMask == 0 { punched = 0 }
    }
}

extension UInt16 {
    /// How many members of the mask come before `bit`.
    @inline(__always)
    func rank(of bit: Int) -> Int { (self & ((1 << UInt16(bit)) &- 1)).nonzeroBitCount }

    /// The mask of the blocks `range` of a track.
    @inline(__always)
    init(blocks range: Range<Int>) {
        self = UInt16(
            truncatingIfNeeded: (UInt32(1) << range.upperBound) - (UInt32(1) << range.lowerBound))
    }

    /// The first run of members at or after `bit`; nil where there is none.
    @inline(__always)
    func run(from bit: Int) -> Range<Int>? {
        let rest = UInt32(self) >> UInt32(bit)
        guard bit < 16, rest != 0 else { return nil }
        let first = bit + rest.trailingZeroBitCount
        let length = (~(UInt32(self) >> UInt32(first))).trailingZeroBitCount
        return first..<first + length
    }
}
