import Synchronization

/// How readers that lock nothing find out that what they looked up has been overtaken.
///
/// A writer makes a saved record visible in the index, then moves the track's stamp, and only then
/// overwrites the blocks. A reader of a point notes the stamp, looks the record up, finds none,
/// reads the volume's file, and compares: if the file already held newer blocks when it was read,
/// the stamp had moved before, so the reader sees it and looks again. The same stamp may serve
/// several tracks; that costs a needless second look, never a wrong answer. 512 KiB serve a whole
/// store.
// Sendable: `stamps` is set once and its cells are atomics.
final class Stamps: @unchecked Sendable {
    private static let count = 65_536
    private let stamps: UnsafeMutablePointer<Atomic<UInt64>>

    init() {
        stamps = .allocate(capacity: Self.count)
        for index in 0..<Self.count { (stamps + index).initialize(to: Atomic(0)) }
    }

    deinit {
        stamps.deinitialize(count: Self.count)
        stamps.deallocate()
    }

    /// The stamp that serves a track of a volume.
    @inline(__always)
    func index(volume: UInt16, track: UInt32) -> Int {
        let mixed = (UInt64(track) &+ UInt64(volume) &* 0x9E37_79B9) &* 0x9E37_79B9_7F4A_7C15
        return Int(mixed >> 48)
    }

    @inline(__always)
    func load(_ index: Int) -> UInt64 { stamps[index].load(ordering: .sequentiallyConsistent) }

    /// Moves the stamp on.
    @inline(__always)
    func move(_ index: Int) { stamps[index].add(1, ordering: .sequentiallyConsistent) }
}
