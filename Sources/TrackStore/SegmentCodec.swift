import TrackBitmap

/// How save segments look on disk.
///
/// A segment is a file of blocks. Block 0 is the segment's header, with a random `nonce`. Then come
/// batches, one after the other without gaps: a header block, then the saved blocks that it
/// describes.
///
///     segment header   magic 8 · version 4 · volume 2 · 0 2 · segment 4 · nonce 8 · … · crc 4
///     batch header     magic 8 · segment 4 · volume 2 · entries 2 · data blocks 4 · 0 4 ·
///                      batch 8 · nonce 8 · entries… · crc 4 (in the last four bytes)
///     entry            track 4 · mask 2 · zero mask 2 · sequence 8 · crc 4 per block with data
///
/// All numbers are little-endian. Reading a segment stops at the first batch that is not whole:
/// wrong magic, place, number, nonce or checksum of the header, or of a saved block. What a host
/// wrote is never taken for a header, even where the host forges one: it cannot know the nonce.
enum SegmentCodec {
    static let version: UInt32 = 1
    private static let segmentMagic: UInt64 = 0x5347_4553_5449_4C53
    private static let batchMagic: UInt64 = 0x4354_4142_5449_4C53
    private static let headerBytes = 40
    private static let entryBytes = 16
    private static let checksumPlace = Geometry.block - 4

    /// Bytes of a batch header that entries may fill.
    static let room = checksumPlace - headerBytes

    /// Bytes that one entry takes there.
    static func size(dataBlocks: Int) -> Int { entryBytes + 4 * dataBlocks }

    /// What a batch header says about itself.
    struct Batch {
        var volume: UInt16
        var segment: UInt32
        var number: UInt64
        var nonce: UInt64
        var entries: [SavedEntry] = []

        var dataBlocks: Int { entries.reduce(0) { $0 + $1.dataBlocks } }
        /// The batch's size, its header included.
        var blocks: Int { 1 + dataBlocks }
        var newestSequence: UInt64 { entries.reduce(0) { max($0, $1.sequence) } }
    }

    static func encodeSegmentHeader(
        volume: UInt16, segment: UInt32, nonce: UInt64, into block: UnsafeMutableRawPointer
    ) {
        var writer = ByteWriter(block, count: Geometry.block)
        writer.put(segmentMagic)
        writer.put(version)
        writer.put(volume)
        writer.put(UInt16(0))
        writer.put(segment)
        writer.put(nonce)
        writer.seal(at: checksumPlace)
    }

    /// The segment's nonce; nil where the block is not this segment's header.
    static func decodeSegmentHeader(
        volume: UInt16, segment: UInt32, from block: UnsafeRawPointer
    ) -> UInt64? {
        guard let found = decodeSegmentHeader(volume: volume, from: block),
            found.segment == segment
        else { return nil }
        return found.nonce
    }

    /// Any segment's number and nonce; nil where the block is no header of one.
    static func decodeSegmentHeader(
        volume: UInt16, from block: UnsafeRawPointer
    ) -> (segment: UInt32, nonce: UInt64)? {
        var reader = ByteReader(block, count: Geometry.block)
        guard reader.isSealed(at: checksumPlace), reader.take(UInt64.self) == segmentMagic,
            reader.take(UInt32.self) == version, reader.take(UInt16.self) == volume,
            reader.take(UInt16.self) == 0
        else { return nil }
        return (reader.take(UInt32.self), reader.take(UInt64.self))
    }

    /// The caller has made sure that the entries fit.
    static func encode(_ batch: borrowing Batch, into block: UnsafeMutableRawPointer) {
        var writer = ByteWriter(block, count: Geometry.block)
        writer.put(batchMagic)
        writer.put(batch.segment)
        writer.put(batch.volume)
        writer.put(UInt16(batch.entries.count))
        writer.put(UInt32(batch.dataBlocks))
        writer.put(UInt32(0))
        writer.put(batch.number)
        writer.put(batch.nonce)
        for entry in batch.entries {
            writer.put(entry.track)
            writer.put(entry.mask)
            writer.put(entry.zeroMask)
            writer.put(entry.sequence)
            for index in 0..<entry.dataBlocks { writer.put(entry.checksums[index]) }
        }
        writer.seal(at: checksumPlace)
    }

    /// The batch whose header this is, its entries placed as if the header lay at block `place` of
    /// the segment; nil where it is none, or another's. `volume` and `number` nil: whichever it has.
    static func decode(
        volume expected: UInt16?, segment: UInt32, number: UInt64?, nonce: UInt64, place: Int,
        from block: UnsafeRawPointer
    ) -> Batch? {
        var reader = ByteReader(block, count: Geometry.block)
        guard reader.isSealed(at: checksumPlace), reader.take(UInt64.self) == batchMagic,
            reader.take(UInt32.self) == segment
        else { return nil }
        let volume = reader.take(UInt16.self)
        guard volume == expected ?? volume else { return nil }
        let count = Int(reader.take(UInt16.self))
        let dataBlocks = Int(reader.take(UInt32.self))
        guard reader.take(UInt32.self) == 0 else { return nil }
        let found = reader.take(UInt64.self)
        guard found == number ?? found, reader.take(UInt64.self) == nonce else { return nil }
        var batch = Batch(volume: volume, segment: segment, number: found, nonce: nonce)
        var next = place + 1
        for _ in 0..<count {
            guard reader.position + entryBytes <= checksumPlace else { return nil }
            let track = reader.take(UInt32.self)
            let mask = reader.take(UInt16.self)
            let zeroMask = reader.take(UInt16.self)
            var entry = SavedEntry(
                track: track, sequence: reader.take(UInt64.self), segment: segment,
                block: UInt32(next), mask: mask, zeroMask: zeroMask)
            guard mask != 0, zeroMask & ~mask == 0,
                reader.position + 4 * entry.dataBlocks <= checksumPlace
            else { return nil }
            for index in 0..<entry.dataBlocks { entry.checksums[index] = reader.take(UInt32.self) }
            next += entry.dataBlocks
            batch.entries.append(entry)
        }
        // Only the journal has empty ones.
        return next - place - 1 == dataBlocks && (count > 0 || expected == nil) ? batch : nil
    }
}

/// Puts little-endian numbers one after the other into a block.
struct ByteWriter {
    private let start: UnsafeMutableRawPointer
    private let count: Int
    private(set) var position = 0

    /// Writes into zeroed bytes.
    init(_ start: UnsafeMutableRawPointer, count: Int) {
        self.start = start
        self.count = count
        UnsafeMutableRawBufferPointer(start: start, count: count).initializeMemory(
            as: UInt8.self, repeating: 0)
    }

    mutating func put<Number: FixedWidthInteger & BitwiseCopyable>(_ number: Number) {
        precondition(position + MemoryLayout<Number>.size <= count)
        start.storeBytes(of: number.littleEndian, toByteOffset: position, as: Number.self)
        position += MemoryLayout<Number>.size
    }

    /// Puts the checksum of everything before `place` there.
    func seal(at place: Int) {
        start.storeBytes(
            of: Checksum.crc32c(start, count: place).littleEndian, toByteOffset: place,
            as: UInt32.self)
    }
}

/// Takes them out again; beyond the end it finds zeroes.
struct ByteReader {
    private let start: UnsafeRawPointer
    private let count: Int
    private(set) var position = 0

    init(_ start: UnsafeRawPointer, count: Int) {
        self.start = start
        self.count = count
    }

    var remaining: Int { count - position }

    mutating func take<Number: FixedWidthInteger & BitwiseCopyable>(_: Number.Type) -> Number {
        guard position + MemoryLayout<Number>.size <= count else {
            position = count
            return 0
        }
        let number = start.loadUnaligned(fromByteOffset: position, as: Number.self)
        position += MemoryLayout<Number>.size
        return Number(littleEndian: number)
    }

    /// UTF-8 text of so many bytes; nil where it is not that.
    mutating func takeText(_ length: Int) -> String? {
        guard length <= remaining else { return nil }
        let bytes = UnsafeRawBufferPointer(start: start + position, count: length)
        position += length
        return String(validating: bytes, as: UTF8.self)
    }

    func isSealed(at place: Int) -> Bool {
        let stored = start.loadUnaligned(fromByteOffset: place, as: UInt32.self)
        return UInt32(littleEndian: stored) == Checksum.crc32c(start, count: place)
    }
}
