import Glibc
import TrackBitmap

/// Reads entries back and compares their blocks with what was saved. One serves one thread.
final class EntryCheck {
    /// What is wrong with an entry.
    struct Finding: Equatable {
        /// The blocks of the track that cannot be read, or are not what was saved.
        var mask: UInt16 = 0
        /// The error number; 0 where the bytes are there and others than were saved.
        var errno: Int32 = 0
        /// It could not be read, for a reason that says nothing about the disk: nothing is known.
        var isUndecided = false
    }

    private let io: any BlockIO
    private let memory = AlignedMemory(count: Geometry.track)

    init(io: any BlockIO) { self.io = io }

    /// Looks at an entry's blocks with data; `file` is its segment, negative where that is gone.
    func look(at entry: SavedEntry, in file: Int32) -> Finding {
        guard entry.dataMask != 0 else { return Finding() }
        guard file >= 0 else { return Finding(mask: entry.dataMask, errno: ENOENT) }
        let failure = read(entry, 0..<entry.placedBlocks, file)
        var finding = Finding()
        for bit in 0..<Geometry.blocksPerTrack where entry.dataMask & (1 << UInt16(bit)) != 0 {
            let rank = entry.rank(of: bit)
            // Of a run that cannot be read, some blocks can.
            let own = failure == 0 ? 0 : read(entry, rank..<rank + 1, file)
            let block = memory.start + rank * Geometry.block
            if own != 0, !Self.tellsOfDamage(own) {
                return Finding(isUndecided: true)
            } else if own != 0 {
                finding.mask |= 1 << UInt16(bit)
                finding.errno = own
            } else if Checksum.crc32c(block, count: Geometry.block) != entry.checksums[rank] {
                finding.mask |= 1 << UInt16(bit)
            }
        }
        return finding
    }

    private func read(_ entry: SavedEntry, _ ranks: Range<Int>, _ file: Int32) -> Int32 {
        var operations = [
            BlockOperation(
                kind: .read, file: file, memory: memory.start + ranks.lowerBound * Geometry.block,
                length: ranks.count * Geometry.block,
                offset: (Int(entry.block) + ranks.lowerBound) * Geometry.block)
        ]
        io.perform(&operations)
        return operations[0].failure
    }

    /// Error numbers by which a disk or a file system says that the content is not there; others (no
    /// memory, say) pass.
    private static func tellsOfDamage(_ number: Int32) -> Bool {
        [EIO, ENODATA, EREMOTEIO, EILSEQ, EBADMSG, EUCLEAN].contains(number)
    }
}
