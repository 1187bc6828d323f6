import TrackBitmap

/// A row's key: numbers in big-endian order, one after the other.
struct Key {
    private(set) var bytes: [UInt8] = []

    func adding<Number: FixedWidthInteger & BitwiseCopyable>(_ number: Number) -> Key {
        var key = self
        withUnsafeBytes(of: number.bigEndian) { key.bytes.append(contentsOf: $0) }
        return key
    }

    static func volume(_ volume: UInt16) -> [UInt8] { Key().adding(volume).bytes }
    static func point(_ volume: UInt16, _ sequence: UInt64) -> [UInt8] {
        Key().adding(volume).adding(sequence).bytes
    }
    static func page(_ target: UInt16, _ page: Int) -> [UInt8] {
        Key().adding(target).adding(UInt32(page)).bytes
    }
    static func segment(_ volume: UInt16, _ segment: UInt32) -> [UInt8] {
        Key().adding(volume).adding(segment).bytes
    }
    static func saved(_ volume: UInt16, _ entry: SavedEntry) -> [UInt8] {
        Key().adding(volume).adding(entry.track).adding(entry.sequence).adding(entry.segment)
            .adding(entry.block).bytes
    }
    static func changes(_ target: UInt16, _ side: RelationshipSide, _ page: Int) -> [UInt8] {
        Key().adding(target).adding(side.rawValue).adding(UInt32(page)).bytes
    }
    static func intent(_ volume: UInt16, _ region: UInt32) -> [UInt8] {
        Key().adding(volume).adding(region).bytes
    }
    static let nextSequence = Array("nextSequence".utf8)
    static let removedPrefix = Array("removed/".utf8)
    /// Notes that a deleted volume's files may still be there.
    static func removed(_ volume: String) -> [UInt8] { removedPrefix + Array(volume.utf8) }
}

/// Reads the numbers of a key.
struct KeyReader {
    private let bytes: UnsafeRawBufferPointer
    private var position = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    mutating func take<Number: FixedWidthInteger & BitwiseCopyable>(_: Number.Type) -> Number {
        guard position + MemoryLayout<Number>.size <= bytes.count else { return 0 }
        let number = bytes.loadUnaligned(fromByteOffset: position, as: Number.self)
        position += MemoryLayout<Number>.size
        return Number(bigEndian: number)
    }
}

/// A row that is stored as bytes. A stored row that cannot be read means a damaged store.
protocol Record {
    var bytes: [UInt8] { get }
    init?(_ reader: inout ByteReader)
}

extension Record {
    init(row: UnsafeRawBufferPointer, _ place: String) throws(TrackStoreError) {
        guard let start = row.baseAddress else {
            throw TrackStoreError(.damaged, "an empty row in the index", place: place)
        }
        var reader = ByteReader(start, count: row.count)
        guard let record = Self(&reader) else {
            throw TrackStoreError(.damaged, "an unreadable row in the index", place: place)
        }
        self = record
    }
}

extension [UInt8] {
    mutating func put<Number: FixedWidthInteger & BitwiseCopyable>(_ number: Number) {
        Swift.withUnsafeBytes(of: number.littleEndian) { append(contentsOf: $0) }
    }

    mutating func put(_ text: String) {
        put(UInt32(text.utf8.count))
        append(contentsOf: text.utf8)
    }
}

struct NumberRecord: Record {
    var number: UInt64
    var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.put(number)
        return bytes
    }
    init(_ number: UInt64) { self.number = number }
    init?(_ reader: inout ByteReader) { number = reader.take(UInt64.self) }
}

struct VolumeRecord: Record {
    var capacity: UInt64
    var multiplier: UInt32

    init(capacity: UInt64, multiplier: UInt32) {
        self.capacity = capacity
        self.multiplier = multiplier
    }

    var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.put(capacity)
        bytes.put(multiplier)
        return bytes
    }

    init?(_ reader: inout ByteReader) {
        guard reader.remaining >= 12 else { return nil }
        capacity = reader.take(UInt64.self)
        multiplier = reader.take(UInt32.self)
    }
}

struct PointRecord: Record, Equatable {
    var time: Int64
    var capacity: UInt64
    var tag: String

    init(time: Int64, capacity: UInt64, tag: String) {
        self.time = time
        self.capacity = capacity
        self.tag = tag
    }

    var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.put(time)
        bytes.put(capacity)
        bytes.put(tag)
        return bytes
    }

    init?(_ reader: inout ByteReader) {
        time = reader.take(Int64.self)
        capacity = reader.take(UInt64.self)
        guard reader.remaining >= 4, let tag = reader.takeText(Int(reader.take(UInt32.self)))
        else { return nil }
        self.tag = tag
    }
}

/// Where a volume's log goes on after the entries that are in the index.
struct TailRecord: Record {
    var segment: UInt32
    var block: UInt32
    var batch: UInt64

    init(segment: UInt32, block: UInt32, batch: UInt64) {
        self.segment = segment
        self.block = block
        self.batch = batch
    }

    var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.put(segment)
        bytes.put(block)
        bytes.put(batch)
        return bytes
    }

    init?(_ reader: inout ByteReader) {
        guard reader.remaining >= 16 else { return nil }
        segment = reader.take(UInt32.self)
        block = reader.take(UInt32.self)
        batch = reader.take(UInt64.self)
    }
}

/// What is known of a segment without reading it.
struct SegmentRecord: Record {
    var usedBlocks: UInt32
    /// Of the front that nobody needs, what has been given back.
    var deadBlocks: UInt32
    var marks: [SequenceMark]

    init(usedBlocks: UInt32, deadBlocks: UInt32, marks: [SequenceMark]) {
        self.usedBlocks = usedBlocks
        self.deadBlocks = deadBlocks
        self.marks = marks
    }

    var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.put(usedBlocks)
        bytes.put(deadBlocks)
        bytes.put(UInt32(marks.count))
        for mark in marks {
            bytes.put(mark.block)
            bytes.put(mark.sequence)
        }
        return bytes
    }

    init?(_ reader: inout ByteReader) {
        usedBlocks = reader.take(UInt32.self)
        deadBlocks = reader.take(UInt32.self)
        let count = Int(reader.take(UInt32.self))
        guard reader.remaining == count * 12 else { return nil }
        marks = []
        for _ in 0..<count {
            let block = reader.take(UInt32.self)
            marks.append(SequenceMark(block: block, sequence: reader.take(UInt64.self)))
        }
    }
}

/// From this block of the segment on, nothing newer than `sequence` was saved before the next mark.
struct SequenceMark: Equatable {
    var block: UInt32
    var sequence: UInt64
}

/// The value of a saved entry: masks, then a checksum a block with a place. The rest of it is its key.
///
/// The mask of punched blocks, and 0 2, come between them only where there are any: no row without is as
/// long, so both kinds can be told apart, and those without are as they always were.
struct SavedRecord: Record {
    var mask: UInt16
    var zeroMask: UInt16
    var checksums = InlineArray<16, UInt32>(repeating: 0)
    var punched: UInt16 = 0

    init(_ entry: SavedEntry) {
        mask = entry.mask
        zeroMask = entry.zeroMask
        punched = entry.punched
        checksums = entry.checksums
    }

    var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(8 + 4 * 16)
        bytes.put(mask)
        bytes.put(zeroMask)
        if punched != 0 {
            bytes.put(punched)
            bytes.put(UInt16(0))
        }
        for index in 0..<(mask & ~zeroMask | punched).nonzeroBitCount {
            bytes.put(checksums[index])
        }
        return bytes
    }

    init?(_ reader: inout ByteReader) {
        mask = reader.take(UInt16.self)
        zeroMask = reader.take(UInt16.self)
        if reader.remaining != 4 * (mask & ~zeroMask).nonzeroBitCount {
            punched = reader.take(UInt16.self)
            guard punched != 0, reader.take(UInt16.self) == 0 else { return nil }
        }
        let count = (mask & ~zeroMask | punched).nonzeroBitCount
        guard reader.remaining == 4 * count, zeroMask & ~mask == 0, punched & mask == 0
        else { return nil }
        for index in 0..<count { checksums[index] = reader.take(UInt32.self) }
    }
}

extension SavedEntry {
    /// The entry of a row of `saved`, of which the key has been read up to the track.
    init(
        track: UInt32, _ key: inout KeyReader, _ value: UnsafeRawBufferPointer, _ place: String
    ) throws(TrackStoreError) {
        let record = try SavedRecord(row: value, place)
        self.init(
            track: track, sequence: key.take(UInt64.self), segment: key.take(UInt32.self),
            block: key.take(UInt32.self), mask: record.mask, zeroMask: record.zeroMask,
            checksums: record.checksums, punched: record.punched)
    }

    /// The entry of a row.
    init(_ key: SavedKey, _ record: SavedRecord) {
        self.init(
            track: key.track, sequence: key.sequence, segment: key.segment, block: key.block,
            mask: record.mask, zeroMask: record.zeroMask, checksums: record.checksums,
            punched: record.punched)
    }
}

/// The value of a damaged entry: which of its blocks cannot be read, or are not what was saved.
struct DamageRecord: Record, Equatable {
    var mask: UInt16
    /// The error number; 0 where the bytes are there and others than were saved.
    var errno: Int32

    init(mask: UInt16, errno: Int32) {
        self.mask = mask
        self.errno = errno
    }

    var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.put(mask)
        bytes.put(errno)
        return bytes
    }

    init?(_ reader: inout ByteReader) {
        guard reader.remaining == 6 else { return nil }
        mask = reader.take(UInt16.self)
        errno = reader.take(Int32.self)
    }
}
