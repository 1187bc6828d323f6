import CISAL
import Glibc
import TrackBitmap

/// CRC-32C, with the processor's own instruction where it has one.
enum Checksum {
    static func crc32c(_ start: UnsafeRawPointer, count: Int) -> UInt32 {
        let bytes = UnsafeMutablePointer<UInt8>(
            mutating: start.assumingMemoryBound(to: UInt8.self))
        return ~crc32_iscsi(bytes, Int32(count), ~0)
    }
}

/// Looking for zeroes.
enum Zeroes {
    /// True where all `count` bytes are 0. Comparing memory with itself, shifted by one word, runs
    /// at the speed of `memcmp` and needs no block of zeroes to compare with.
    static func fill(_ start: UnsafeRawPointer, count: Int) -> Bool {
        guard count >= 8 else {
            return UnsafeRawBufferPointer(start: start, count: count).allSatisfy { $0 == 0 }
        }
        return start.loadUnaligned(as: UInt64.self) == 0 && memcmp(start, start + 8, count - 8) == 0
    }
}
