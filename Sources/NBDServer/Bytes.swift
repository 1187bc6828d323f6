extension Array where Element == UInt8 {
    /// Appends an integer most significant byte first.
    mutating func append<Integer: FixedWidthInteger>(bigEndian value: Integer) {
        Swift.withUnsafeBytes(of: value.bigEndian) { append(contentsOf: $0) }
    }
}

extension UnsafeRawBufferPointer {
    /// Reads an integer, most significant byte first, at an offset that the caller has checked.
    @inline(__always)
    func bigEndian<Integer: FixedWidthInteger & BitwiseCopyable>(
        at offset: Int, as type: Integer.Type = Integer.self
    ) -> Integer {
        Integer(bigEndian: loadUnaligned(fromByteOffset: offset, as: type))
    }
}

extension UnsafeMutableRawPointer {
    /// Writes an integer, most significant byte first.
    @inline(__always)
    func storeBigEndian<Integer: FixedWidthInteger & BitwiseCopyable>(
        _ value: Integer, at offset: Int
    ) {
        storeBytes(of: value.bigEndian, toByteOffset: offset, as: Integer.self)
    }
}

/// Reads one option's data from front to back; nil wherever the data ends too early.
struct OptionReader {
    private let bytes: UnsafeRawBufferPointer
    private var position = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    var isAtEnd: Bool { position == bytes.count }
    var remaining: Int { bytes.count - position }

    mutating func integer<Integer: FixedWidthInteger & BitwiseCopyable>(
        _ type: Integer.Type
    ) -> Integer? {
        guard remaining >= MemoryLayout<Integer>.size else { return nil }
        defer { position += MemoryLayout<Integer>.size }
        return bytes.bigEndian(at: position, as: type)
    }

    mutating func bytes(_ count: Int) -> UnsafeRawBufferPointer? {
        guard count >= 0, remaining >= count else { return nil }
        defer { position += count }
        return UnsafeRawBufferPointer(rebasing: bytes[position..<position + count])
    }
}
