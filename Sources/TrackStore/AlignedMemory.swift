import Glibc
import TrackBitmap

/// Memory that direct I/O accepts: aligned to a block, touched once when made, kept until the owner
/// goes.
///
/// First touch of memory is slow on virtual machines (the host faults it in), so a channel makes
/// its buffers once and uses them over and over.
final class AlignedMemory {
    let start: UnsafeMutableRawPointer
    let count: Int

    /// `count` bytes, rounded up to whole blocks; zeroed.
    init(count: Int) {
        let rounded = max(Geometry.block, (count + Geometry.block - 1) & ~(Geometry.block - 1))
        self.count = rounded
        start = .allocate(byteCount: rounded, alignment: Geometry.block)
        memset(start, 0, rounded)
    }

    deinit { start.deallocate() }
}

/// Buffers of one batch of reads, given out one after the other and taken back all at once.
///
/// Pieces are kept for the next batch up to `kept` bytes; a batch that wants more gets it from the
/// system, for that batch alone.
final class Arena {
    private var pieces: [AlignedMemory]
    private var piece = 0
    private var used = 0
    private let pieceSize: Int
    private static let kept = 16 << 20

    init(pieceSize: Int) {
        self.pieceSize = pieceSize
        pieces = [AlignedMemory(count: pieceSize)]
    }

    /// Takes everything back.
    func reset() {
        if pieces.count > 1 {
            var total = 0
            let keep = pieces.prefix { piece in
                total += piece.count
                return total <= Self.kept
            }.count
            pieces.removeLast(pieces.count - max(keep, 1))
        }
        piece = 0
        used = 0
    }

    /// `count` bytes, aligned to a block, valid until `reset`.
    func take(_ count: Int) -> UnsafeMutableRawPointer {
        let rounded = (count + Geometry.block - 1) & ~(Geometry.block - 1)
        while used + rounded > pieces[piece].count {
            if piece + 1 == pieces.count {
                pieces.append(AlignedMemory(count: max(pieceSize, rounded)))
            }
            piece += 1
            used = 0
        }
        let start = pieces[piece].start + used
        used += rounded
        return start
    }
}
