import Glibc
import TrackBitmap

/// One file of the write journal, as it is known in memory.
///
/// On disk it looks like a segment of saved content, of volume 0: a header with a number and a nonce,
/// then batches, each with a header of its own and the blocks that a host has written. The batches are of
/// different volumes, and an entry's sequence is that of its volume's newest point then.
struct JournalSegment {
    /// What was written for one volume.
    struct Member {
        var volume: Volume
        var tracks: [UInt32]
    }

    let number: UInt32
    let file: OpenFile
    let nonce: UInt64
    /// Blocks that hold the header and whole batches.
    var usedBlocks = 1
    var batches: UInt64 = 0
    /// Blocks whose content the volumes' files hold, though perhaps not durably.
    var destagedBlocks = 1
    /// Nothing is appended any more.
    var isClosed = false
    /// Its last batch says that it is the last.
    var isSealed = false
    /// When the oldest batch that is not destaged was appended. Milliseconds.
    var since: Int64 = 0
    var members: [UInt16: Member] = [:]

    var isDestaged: Bool { destagedBlocks == usedBlocks }

    mutating func enter(_ entries: [SavedEntry], of volume: Volume) {
        members[volume.number, default: Member(volume: volume, tracks: [])].tracks +=
            entries.lazy.map(\.track)
    }
}

/// A journal file without content, its header durable.
struct EmptyJournalFile {
    let number: UInt32
    let file: OpenFile
    let nonce: UInt64

    static func path(_ directory: String, _ number: UInt32) -> String {
        directory + "/" + SaveSegment.name(number)
    }

    /// Makes a file of zeroes. It is written once in full, so that no sync of an append has to wait for the
    /// file system's own journal.
    static func make(
        _ number: UInt32, in directory: String, blocks: Int, through io: any BlockIO
    ) throws(TrackStoreError) -> EmptyJournalFile {
        let segment = try SaveSegment.make(
            number: number, volume: 0, directory: directory, sizeBlocks: blocks, through: io)
        return EmptyJournalFile(number: number, file: segment.file, nonce: segment.nonce)
    }

    /// Gives a file a new number and nonce, durably. What it held counts no more from then on, though it
    /// can still be read until something is appended.
    static func remake(
        _ segment: JournalSegment, as number: UInt32, in directory: String, through io: any BlockIO
    ) throws(TrackStoreError) -> EmptyJournalFile {
        let file = segment.file
        let (before, after) = (path(directory, segment.number), path(directory, number))
        let nonce = SaveSegment.makeNonce()
        let memory = AlignedMemory(count: Geometry.block)
        SegmentCodec.encodeSegmentHeader(
            volume: 0, segment: number, nonce: nonce, into: memory.start)
        var operations = [
            BlockOperation(
                kind: .write, file: file.descriptor, memory: memory.start,
                length: Geometry.block, offset: 0)
        ]
        io.perform(&operations)
        var failure = operations[0].failure
        if failure == 0 { failure = io.sync(file.descriptor) }
        guard failure == 0 else { throw .system(failure, "empty a journal segment", before) }
        guard rename(before, after) == 0 else {
            throw .system(errno, "rename a journal segment", before)
        }
        do throws(TrackStoreError) {
            try Files.syncDirectory(directory)
        } catch {
            // So that whoever tries again finds it. Nothing may be appended under a name that a start
            // may not see.
            _ = rename(after, before)
            throw error
        }
        return EmptyJournalFile(number: number, file: file, nonce: nonce)
    }
}
