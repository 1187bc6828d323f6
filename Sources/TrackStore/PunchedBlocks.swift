/// The blocks of a segment that nobody needs any more and that have been punched out, though some of
/// those before them are needed: a bit a block.
struct PunchedBlocks: Equatable {
    private var words: [UInt64] = []
    /// How many there are.
    private(set) var count = 0

    init() {}

    /// As `bytes` gave them.
    init(_ bytes: UnsafeRawBufferPointer) {
        for start in stride(from: 0, to: bytes.count - 7, by: 8) {
            let word = bytes.loadUnaligned(fromByteOffset: start, as: UInt64.self)
            words.append(UInt64(littleEndian: word))
        }
        count = words.reduce(0) { $0 + $1.nonzeroBitCount }
    }

    /// The value of their row: at most 2 KiB for a segment of 64 MiB.
    var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(8 * words.count)
        for word in words { bytes.put(word) }
        return bytes
    }

    /// Adds a block; one that is there is there already.
    mutating func insert(_ block: Int) {
        while words.count <= block / 64 { words.append(0) }
        let bit = UInt64(1) << UInt64(block % 64)
        guard words[block / 64] & bit == 0 else { return }
        words[block / 64] |= bit
        count += 1
    }

    /// How many lie before `block`.
    func count(before block: Int) -> Int {
        guard count > 0, block > 0 else { return 0 }
        let whole = min(block / 64, words.count)
        var sum = words[..<whole].reduce(0) { $0 + $1.nonzeroBitCount }
        if whole < words.count {
            sum += (words[whole] & ((1 << UInt64(block % 64)) &- 1)).nonzeroBitCount
        }
        return sum
    }

    /// How many lie at `block` or behind it.
    func count(from block: Int) -> Int { count - count(before: block) }
}
