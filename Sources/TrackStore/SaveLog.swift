import Glibc
import Synchronization
import TrackBitmap

/// Where a volume's old content is saved: append-only segments of self-describing batches.
///
/// A batch is appended with one write while the log's monitor is held, and entered in the pending
/// index before the monitor is let go. So batches are complete in the order of their places; a sync
/// that begins when a batch is complete covers all before it; and whoever takes the pending entries
/// together with the log's end misses no entry before that end. A segment is synced before the next
/// one is begun. What is durable is therefore always a front of the log.
///
/// An entry may be found before it is durable: it tells the truth, since the blocks it stands for
/// are not overwritten until it is. It is committed to LMDB only once it is durable.
final class SaveLog: Sendable {
    /// A place in the log: the end of a batch.
    struct Position: Comparable {
        var segment: UInt32
        var block: Int

        static func < (left: Position, right: Position) -> Bool {
            (left.segment, left.block) < (right.segment, right.block)
        }
    }

    struct State {
        var segments: [SaveSegment] = []
        var nextNumber: UInt32 = 1
        /// The highest number that was ever begun.
        var newest: UInt32 = 0
        /// Everything before it is durable.
        var durable = Position(segment: 0, block: 0)
        var isSyncing = false
        /// A sync failed: what it was to cover may be lost, so nothing may be overwritten on the
        /// strength of a later one. The log takes nothing more until the store is opened again.
        var failure: Int32 = 0
        var hasDirectory = false
        /// The tail that belongs to the entries that are being committed.
        var committing: TailRecord?
        /// Segments whose record in the index is out of date.
        var changed: Set<UInt32> = []
        /// The segment that comes next, if it has been made ahead of time.
        var spare: SaveSegment?
        var isMakingSpare = false
        /// None could be made; it is tried again when the segment is needed.
        var hasNoSpare = false
    }

    let volume: UInt16
    let directory: String
    let pending = PendingIndex()
    let state: Monitor<State>
    /// The segments' files for readers, who must not wait while a batch is being written.
    let files = Monitor<[UInt32: OpenFile]>([:])
    let live = Atomic<Int>(0)

    private static let smallest = (1 << 20) / Geometry.block
    private static let largest = (64 << 20) / Geometry.block

    init(volume: UInt16, directory: String) {
        self.volume = volume
        self.directory = directory
        state = Monitor(State())
    }

    /// Blocks that live batches and their headers take.
    var liveBlocks: Int { live.load(ordering: .acquiring) }

    /// Blocks of live batches from the first on that may hold anything saved at or after `sequence`.
    func liveBlocks(from sequence: UInt64) -> Int {
        state.withLock { state in
            state.segments.reduce(0) { sum, segment in
                sum + segment.liveBlocks(from: segment.deadFront(before: sequence))
            }
        }
    }

    /// The file of a segment; nil where it is gone.
    func file(of segment: UInt32) -> Int32? { files.withLock { $0[segment]?.descriptor } }

    /// Appends a batch: `memory` has room for the header in its first block and then holds the
    /// entries' data blocks. Gives the entries their places. Throws with nothing appended.
    func append(
        _ entries: inout [SavedEntry], memory: UnsafeMutableRawPointer, dataBlocks: Int,
        through io: any BlockIO
    ) throws(TrackStoreError) -> Position {
        let blocks = 1 + dataBlocks
        return try state.withLock { (state) throws(TrackStoreError) in
            try check(state)
            if state.segments.last.map({ $0.usedBlocks + blocks > $0.sizeBlocks }) ?? true {
                try beginSegment(&state, atLeast: blocks + 1, through: io)
            }
            let last = state.segments.count - 1
            let segment = state.segments[last]
            place(&entries, in: segment)
            let batch = SegmentCodec.Batch(
                volume: volume, segment: segment.number, number: segment.batches,
                nonce: segment.nonce, entries: entries)
            SegmentCodec.encode(batch, into: memory)
            var operations = [
                BlockOperation(
                    kind: .write, file: segment.file.descriptor, memory: memory,
                    length: blocks * Geometry.block, offset: segment.usedBlocks * Geometry.block)
            ]
            io.perform(&operations)
            if operations[0].failure != 0 {
                throw .system(operations[0].failure, "save old content", segment.file.path)
            }
            state.segments[last].mark(batch.newestSequence, at: segment.usedBlocks)
            state.segments[last].usedBlocks += blocks
            state.segments[last].batches += 1
            state.changed.insert(segment.number)
            pending.append(entries)
            live.add(blocks, ordering: .acquiringAndReleasing)
            return Position(segment: segment.number, block: segment.usedBlocks + blocks)
        }
    }

    /// Throws where nothing may be overwritten any more that an entry stands for.
    func checkUsable() throws(TrackStoreError) {
        try state.withLock { (state) throws(TrackStoreError) in try check(state) }
    }

    private func check(_ state: State) throws(TrackStoreError) {
        guard state.failure == 0 else {
            throw .system(state.failure, "save old content after a failed sync", directory)
        }
    }

    private func place(_ entries: inout [SavedEntry], in segment: SaveSegment) {
        var block = segment.usedBlocks + 1
        for index in entries.indices {
            entries[index].segment = segment.number
            entries[index].block = UInt32(block)
            block += entries[index].dataBlocks
        }
    }

    /// Returns when everything before `position` is durable. One thread syncs for all that wait:
    /// what is complete when it begins is covered by it.
    func sync(through position: Position, by io: any BlockIO) throws(TrackStoreError) {
        while true {
            let file = try state.withLock(waitingWhile: { state in
                state.isSyncing && state.failure == 0 && state.durable < position
            }) { (state) throws(TrackStoreError) -> (OpenFile, Position)? in
                guard state.durable < position else { return nil }
                try check(state)
                // A segment that is gone was needed by no point any more.
                guard let last = state.segments.last, last.number >= position.segment,
                    state.segments.contains(where: { $0.number == position.segment })
                else { return nil }
                state.isSyncing = true
                return (last.file, Position(segment: last.number, block: last.usedBlocks))
            }
            guard let (open, end) = file else { return }
            let failure = io.sync(open.descriptor)
            state.withLock { state in
                state.isSyncing = false
                if failure != 0 { state.failure = failure }
                if failure == 0, state.durable < end { state.durable = end }
            }
            state.notifyAll()
        }
    }

    /// Syncs the segment that is full and makes a new one, twice as large as the last up to a
    /// limit.
    private func beginSegment(
        _ state: inout State, atLeast blocks: Int, through io: any BlockIO
    ) throws(TrackStoreError) {
        if let last = state.segments.last {
            let end = Position(segment: last.number, block: last.usedBlocks)
            if state.durable < end {
                let failure = io.sync(last.file.descriptor)
                guard failure == 0 else {
                    state.failure = failure
                    throw .system(failure, "sync saved content", last.file.path)
                }
                state.durable = end
            }
        }
        let segment: SaveSegment
        if let spare = Self.takeSpare(&state, atLeast: blocks) {
            segment = spare
        } else {
            try makeDirectory(&state)
            let number = state.nextNumber
            state.nextNumber += 1
            segment = try SaveSegment.make(
                number: number, volume: volume, directory: directory,
                sizeBlocks: max(Self.nextSize(state), blocks), through: io)
        }
        state.segments.append(segment)
        state.newest = segment.number
        state.hasNoSpare = false
        files.withLock { $0[segment.number] = segment.file }
        live.add(1, ordering: .acquiringAndReleasing)
    }

    /// The spare, if it is large enough. One that is not goes: a segment with a higher number is begun
    /// instead, and numbers must rise along the log, because places in it are compared by them.
    private static func takeSpare(_ state: inout State, atLeast blocks: Int) -> SaveSegment? {
        guard let spare = state.spare else { return nil }
        state.spare = nil
        if spare.sizeBlocks >= blocks, spare.number > state.newest { return spare }
        unlink(spare.file.path)
        return nil
    }

    /// Twice the last one's, within limits.
    private static func nextSize(_ state: State) -> Int {
        min(max((state.segments.last?.sizeBlocks ?? 0) * 2, smallest), largest)
    }

    private func makeDirectory(_ state: inout State) throws(TrackStoreError) {
        guard !state.hasDirectory else { return }
        try Files.makeDirectory(directory)
        try Files.syncDirectory(directory + "/..")
        state.hasDirectory = true
    }

    /// True where the segment in use is half full and the next one should be made.
    var wantsSpare: Bool {
        state.withLock { state in
            guard state.spare == nil, !state.isMakingSpare, !state.hasNoSpare,
                let last = state.segments.last
            else { return false }
            return last.usedBlocks * 2 > last.sizeBlocks && last.sizeBlocks >= Self.smallest
        }
    }

    /// Makes the next segment ahead of time, so that no host's write has to wait for it. Where that
    /// fails it is tried again when it is needed.
    func makeSpare(through io: any BlockIO) throws(TrackStoreError) {
        let wanted = state.withLock { state -> (number: UInt32, size: Int)? in
            guard state.spare == nil, !state.isMakingSpare, !state.segments.isEmpty
            else { return nil }
            state.isMakingSpare = true
            defer { state.nextNumber += 1 }
            return (state.nextNumber, Self.nextSize(state))
        }
        guard let wanted else { return }
        let spare: SaveSegment
        do throws(TrackStoreError) {
            spare = try SaveSegment.make(
                number: wanted.number, volume: volume, directory: directory,
                sizeBlocks: wanted.size, through: io)
        } catch {
            state.withLock { state in
                state.isMakingSpare = false
                state.hasNoSpare = true
            }
            throw error
        }
        state.withLock { state in
            state.isMakingSpare = false
            // One that has been overtaken is of no use.
            if spare.number > state.newest, !state.segments.isEmpty {
                state.spare = spare
            } else {
                unlink(spare.file.path)
            }
        }
    }
}

// What is taken out of the log again, and what the index must know of it.
extension SaveLog {
    /// What a commit of the index stores for this volume.
    struct Unindexed {
        var entries: [SavedEntry]
        var tail: TailRecord?
        var segments: [(number: UInt32, record: SegmentRecord)]
    }

    /// The entries that are not in LMDB, made durable, with the place up to which they go.
    /// `finishCommit` must follow once they are.
    func takeUnindexed(through io: any BlockIO) throws(TrackStoreError) -> Unindexed {
        let (taken, end) = state.withLock { state -> (Unindexed, Position?) in
            let entries = pending.take()
            if state.committing == nil, let last = state.segments.last {
                state.committing = TailRecord(
                    segment: last.number, block: UInt32(last.usedBlocks), batch: last.batches)
            }
            let changed = state.segments.filter { state.changed.contains($0.number) }
            let taken = Unindexed(
                entries: entries, tail: state.committing,
                segments: changed.map { ($0.number, $0.record) })
            state.changed.removeAll()
            let end = state.committing.map {
                Position(segment: $0.segment, block: Int($0.block))
            }
            return (taken, end)
        }
        do throws(TrackStoreError) {
            if let end { try sync(through: end, by: io) }
        } catch {
            restore(taken)
            throw error
        }
        return taken
    }

    /// The commit did not happen: the same entries are given out again.
    func restore(_ taken: Unindexed) {
        state.withLock { $0.changed.formUnion(taken.segments.map(\.number)) }
    }

    /// What was taken is in LMDB.
    func finishCommit() {
        state.withLock { state in
            pending.release()
            state.committing = nil
        }
    }

    /// Gives up everything that was saved before `oldest` only: it counts no more from now on, and
    /// the reclaimer gives its space back. Segments without anything live leave the log.
    func release(before oldest: UInt64) -> DeadSpace {
        state.withLock { state in
            var dead = DeadSpace()
            var kept: [SaveSegment] = []
            for var segment in state.segments {
                let front = segment.deadFront(before: oldest)
                if front >= segment.usedBlocks {
                    live.subtract(segment.liveBlocks, ordering: .acquiringAndReleasing)
                    dead.segments.append(segment)
                    state.changed.remove(segment.number)
                    continue
                }
                if front > segment.deadBlocks {
                    live.subtract(
                        segment.liveBlocks - segment.liveBlocks(from: front),
                        ordering: .acquiringAndReleasing)
                    dead.fronts.append((segment, max(segment.deadBlocks, 1), front))
                    segment.deadBlocks = front
                }
                kept.append(segment)
            }
            state.segments = kept
            if kept.isEmpty, let spare = state.spare {
                dead.segments.append(spare)
                state.spare = nil
            }
            return dead
        }
    }

    /// The front of a segment has been given back.
    func noteReclaimed(_ front: Int, of number: UInt32) {
        state.withLock { state in
            guard let index = state.segments.firstIndex(where: { $0.number == number }) else {
                return
            }
            state.segments[index].reclaimedBlocks = front
            state.changed.insert(number)
        }
    }

    /// Takes segments out of the log in which nothing is left that anybody needs: they count no more
    /// from now on, and the reclaimer gives their space back.
    func release(where isEmpty: (SaveSegment) -> Bool) -> [SaveSegment] {
        state.withLock { state in
            let empty = state.segments.filter(isEmpty)
            for segment in empty {
                live.subtract(segment.liveBlocks, ordering: .acquiringAndReleasing)
                state.changed.remove(segment.number)
            }
            state.segments.removeAll(where: isEmpty)
            return empty
        }
    }

    /// The highest number of a segment in the log; 0 without any. All entries to come are put there, or
    /// in later ones.
    var newestSegment: UInt32 { state.withLock { $0.segments.last?.number ?? 0 } }

    /// What has been punched out of a segment; nil where it is not in the log any more.
    func punched(in number: UInt32) -> PunchedBlocks? {
        state.withLock { $0.segments.first { $0.number == number }?.punched }
    }

    /// More has been punched out of a segment, durably: it counts no more from now on.
    func setPunched(_ punched: PunchedBlocks, in number: UInt32) {
        state.withLock { state in
            guard let index = state.segments.firstIndex(where: { $0.number == number }) else {
                return
            }
            let before = state.segments[index].liveBlocks
            state.segments[index].punched = punched
            live.subtract(
                before - state.segments[index].liveBlocks, ordering: .acquiringAndReleasing)
        }
    }

    /// Readers are gone from these segments: their files may be closed.
    func forget(_ segments: [SaveSegment]) {
        files.withLock { files in
            for segment in segments { files[segment.number] = nil }
        }
    }
}
