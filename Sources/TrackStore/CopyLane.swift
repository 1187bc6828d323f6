import Glibc
import TrackBitmap

/// Copies pending tracks into a target's file. One lane serves one thread.
///
/// A copy changes no content of the target as it is now, so it saves nothing for points taken since
/// the relationship began. But it overwrites what the target's file held before: the content of older
/// points, which they read from the file as long as it is there. What they need of it is saved first,
/// as before any other overwriting.
final class CopyLane {
    /// Tracks that are copied together.
    static let run = 16

    private struct Copy {
        var track: UInt32
        /// The blocks of the file that older points need, and where they are read to.
        var old: UInt16
        var sequence: UInt64
        var place: UnsafeMutableRawPointer?
    }

    private let parts: StoreParts
    private let io: any BlockIO
    private let index: IndexReader
    private let resolver: Resolver
    private let saver: Saver
    private let memory = AlignedMemory(count: run * Geometry.track)
    private var copies: [Copy] = []
    private var wants: [Want] = []
    private var operations: [BlockOperation] = []
    private var found: [SavedEntry] = []

    init(parts: StoreParts, io: any BlockIO, index: IndexReader, resolver: Resolver) {
        self.parts = parts
        self.io = io
        self.index = index
        self.resolver = resolver
        saver = Saver(parts: parts, io: io, blocks: Self.run * Geometry.blocksPerTrack)
    }

    /// What a copy came to.
    struct Result {
        /// The first error number, or 0.
        var failure: Int32 = 0
        /// Bytes written: holes stay holes and cost nothing.
        var bytes = 0
        /// Where the next copy begins.
        var next = 0
    }

    /// Copies the next pending tracks at or after `start`, adjacent or not. Where one cannot be read, the
    /// others are copied all the same.
    func copySome(of relationship: Relationship, from start: Int) -> Result {
        let tracks = relationship.pending.firstMembers(from: start, limit: Self.run)
        guard let last = tracks.last else { return Result(next: start) }
        var result = copy(tracks.map { UInt32($0) }, of: relationship)
        if result.failure == EIO, tracks.count > 1 {
            for track in tracks where relationship.pending.contains(track) {
                result.bytes += copy([UInt32(track)], of: relationship).bytes
            }
        }
        result.next = last + 1
        return result
    }

    /// Copies those of at most `run` tracks that are pending, or none of them.
    func copy(_ tracks: [UInt32], of relationship: Relationship) -> Result {
        let target = relationship.target
        do throws(TrackStoreError) {
            try target.state.withLock(waitingWhile: { state in
                tracks.contains { state.lockedTracks.contains($0) }
            }) { (state) throws(TrackStoreError) in
                try decide(&state, tracks, relationship)
                state.lockedTracks.formUnion(tracks)
            }
        } catch {
            return Result(failure: error.number)
        }
        defer {
            target.state.withLock { $0.lockedTracks.subtract(tracks) }
            target.state.notifyAll()
        }
        // Who withdraws waits for this operation.
        guard !copies.isEmpty, !relationship.withdrawn,
            !target.isDeleted.load(ordering: .acquiring)
        else { return Result() }
        do throws(TrackStoreError) {
            try read(relationship)
            try save(target)
            let failure = overwrite(relationship, try target.file())
            return Result(
                failure: failure, bytes: operations.reduce(0) { $0 + $1.length })
        } catch {
            return Result(failure: error.number)
        }
    }

    /// Which tracks are copied, and what must be saved of the file first. A host may have written some
    /// meanwhile.
    private func decide(
        _ state: inout VolumeState, _ tracks: [UInt32], _ relationship: Relationship
    ) throws(TrackStoreError) {
        state.materialise()
        copies.removeAll(keepingCapacity: true)
        for track in tracks where relationship.pending.contains(Int(track)) {
            let (mask, sequence) = try index.oldNeed(
                of: track, state, relationship, relationship.target, &found)
            copies.append(Copy(track: track, old: mask, sequence: sequence))
        }
    }

    /// Reads what the relationship presents, whatever the target presents by now.
    private func read(_ relationship: Relationship) throws(TrackStoreError) {
        let target = relationship.target
        guard let point = relationship.point else {
            throw TrackStoreError(
                .damaged, "a pending track without a point", place: target.path)
        }
        let blocks = copies.reduce(0) { $0 + $1.old.nonzeroBitCount }
        if blocks > 0 { _ = try parts.makeRoom(on: target, blocks: blocks + 1) }
        wants.removeAll(keepingCapacity: true)
        var place = saver.firstBlock
        for number in copies.indices {
            let copy = copies[number]
            wants.append(
                Want(
                    relationship.source, at: point, track: copy.track,
                    mask: target.blocks(ofTrack: copy.track),
                    into: memory.start + number * Geometry.track, layout: .max))
            guard copy.old != 0 else { continue }
            copies[number].place = place
            wants.append(
                Want(
                    fileOf: target, track: copy.track, mask: copy.old, into: place,
                    layout: copy.old))
            place += copy.old.nonzeroBitCount * Geometry.block
        }
        resolver.read(&wants)
        if let failure = wants.lazy.compactMap(\.failure).first {
            let number = failure == .noSpace ? ENOSPC : EIO
            throw .system(number, "read what is to be copied", target.name)
        }
    }

    private func save(_ target: Volume) throws(TrackStoreError) {
        saver.begin()
        for copy in copies {
            guard let place = copy.place else { continue }
            saver.add(track: copy.track, mask: copy.old, sequence: copy.sequence, at: place)
        }
        try saver.save(to: target)
    }

    private func overwrite(_ relationship: Relationship, _ file: Int32) -> Int32 {
        operations.removeAll(keepingCapacity: true)
        for (number, copy) in copies.enumerated() {
            let memory = memory.start + number * Geometry.track
            let blocks = relationship.target.blocks(ofTrack: copy.track)
            let length = blocks.nonzeroBitCount * Geometry.block
            let offset = Int(copy.track) * Geometry.track
            // Holes stay holes.
            if Zeroes.fill(memory, count: length),
                io.punch(file, offset: offset, length: length) == 0
            {
                continue
            }
            if let last = operations.last, last.offset + last.length == offset,
                last.memory + last.length == memory
            {
                operations[operations.count - 1].length += length
                continue
            }
            operations.append(
                BlockOperation(
                    kind: .write, file: file, memory: memory, length: length, offset: offset))
        }
        if !operations.isEmpty { io.perform(&operations) }
        relationship.target.noteWrite()
        let failed = operations.filter { $0.failure != 0 }
        for copy in copies {
            let offset = Int(copy.track) * Geometry.track
            if failed.contains(where: { $0.offset <= offset && offset < $0.offset + $0.length }) {
                continue
            }
            relationship.pending.remove(Int(copy.track))
        }
        return failed.first?.failure ?? 0
    }
}

extension TrackStoreError {
    /// The error number, or that of a disk that failed.
    var number: Int32 { errno == 0 ? EIO : errno }
}

extension IndexReader {
    /// The blocks of a pending track that the target's file holds and that points older than the
    /// relationship need, with the sequence to save them under; none: an empty mask.
    ///
    /// Entries of younger points do not count: they hold what the relationship presents.
    func oldNeed(
        of track: UInt32, _ state: VolumeState, _ relationship: Relationship, _ target: Volume,
        _ found: inout [SavedEntry]
    ) throws(TrackStoreError) -> (mask: UInt16, sequence: UInt64) {
        let base = relationship.base
        guard let point = state.newestNeeding(track, before: base),
            let newest = state.points.last(where: { $0.sequence < base })
        else { return (0, 0) }
        try findSaved(target, track: track, from: point.sequence, into: &found)
        let saved = found.reduce(UInt16(0)) { $1.sequence < base ? $0 | $1.mask : $0 }
        return (target.blocks(ofTrack: track) & ~saved, newest.sequence)
    }
}
