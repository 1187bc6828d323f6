import Glibc
import Synchronization
import TrackBitmap

/// Where hosts' writes are made durable that would otherwise have to wait until old content is saved.
///
/// A ring of files of one size. A batch, what one wave writes to one volume, is appended with one write
/// while the journal's monitor is held, and entered for the volume's readers before the monitor is let go.
/// So batches are complete in the order of their places, each block's records come in the order of its
/// writes, and one sync covers every batch before it, whoever appended it. The destager brings the
/// content to the volumes' files behind the hosts' backs, saving what points need of these.
///
/// A write has happened, as far as points are concerned, when it was decided; its record carries the
/// newest point of that moment. That it reaches the file later makes no difference to any reader:
///
///     read(V, b)      looks into the journal before the file
///     read(V at p, b) does so too, after the entries, and takes the newest record from before p
///
/// A batch that could not be synced may be there after a crash all the same. Its blocks therefore must not
/// be written past the journal, and the journal takes nothing more until the store is opened again. Other
/// blocks are written without it then.
final class WriteJournal: Sendable {
    /// A place in the journal: the end of a batch.
    struct Position: Comparable {
        var segment: UInt32
        var block: Int

        static func < (left: Position, right: Position) -> Bool {
            (left.segment, left.block) < (right.segment, right.block)
        }
    }

    struct State {
        /// Those that hold something, oldest first; the last may be open.
        var segments: [JournalSegment] = []
        /// Files that come next, in this order.
        var empty: [EmptyJournalFile] = []
        var nextNumber: UInt32 = 1
        /// Everything before it is durable.
        var durable = Position(segment: 0, block: 0)
        var isSyncing = false
        /// An append or a sync failed.
        var failure: Int32 = 0
        var isFailureTold = false
        /// Destaging failed, so many times; it is tried again.
        var destageFailure: TrackStoreError?
        var failures: UInt64 = 0
        /// A file could not be made ahead of time.
        var makeFailure: Int32 = 0
        /// When something was appended last. Milliseconds.
        var lastAppend: Int64 = 0
        /// Everything up to this segment is wanted in the files.
        var drainThrough: UInt32 = 0
        /// Somebody waits for room.
        var isPressed = false
        /// Counts what the destager should look at without waiting for the next moment.
        var calls: UInt64 = 0
        /// Counts retired segments.
        var retired: UInt64 = 0
        var isStopping = false

        /// The segment that takes the next batch, if one is open.
        var open: Int? { segments.last.map(\.isClosed) == false ? segments.count - 1 : nil }
    }

    let directory: String
    /// Blocks of a segment.
    let segmentBlocks: Int
    /// Segments at most.
    let mostSegments: Int
    let state: Monitor<State>
    private let failed = Atomic<Bool>(false)

    /// A wave's blocks, and what surrounds them.
    private static let smallestSegment = Wave.mostBlocks + 2

    /// Up to so many bytes of files in a directory, at least four waves.
    init(directory: String, capacity: Int) {
        self.directory = directory
        let blocks = capacity / Geometry.block
        segmentBlocks = max(min(blocks / 16, 4096), Self.smallestSegment)
        mostSegments = max(blocks / segmentBlocks, 4)
        state = Monitor(State())
    }

    /// It takes nothing more until the store is opened again. What is in it still counts.
    var hasFailed: Bool { failed.load(ordering: .acquiring) }

    /// Appends a batch for a volume and enters it for the volume's readers: `memory` has room for the
    /// header in its first block and then holds the entries' data blocks. Gives its end, with which
    /// `sync` makes it durable; nil where there is no room, with nothing done.
    func append(
        _ entries: inout [SavedEntry], of volume: Volume, memory: UnsafeMutableRawPointer,
        dataBlocks: Int, through io: any BlockIO
    ) throws(TrackStoreError) -> Position? {
        let blocks = 1 + dataBlocks
        return try state.withLock { (state) throws(TrackStoreError) -> Position? in
            try check(state)
            guard let number = try segment(for: blocks, &state, through: io) else { return nil }
            let segment = state.segments[number]
            var block = segment.usedBlocks + 1
            for index in entries.indices {
                entries[index].segment = segment.number
                entries[index].block = UInt32(block)
                block += entries[index].dataBlocks
            }
            SegmentCodec.encode(
                SegmentCodec.Batch(
                    volume: volume.number, segment: segment.number, number: segment.batches,
                    nonce: segment.nonce, entries: entries), into: memory)
            var operations = [
                BlockOperation(
                    kind: .write, file: segment.file.descriptor, memory: memory,
                    length: blocks * Geometry.block, offset: segment.usedBlocks * Geometry.block)
            ]
            io.perform(&operations)
            let isWritten = operations[0].failure == 0
            if !isWritten, void(segment, memory, through: io) {
                throw .system(operations[0].failure, "write to the journal", directory)
            }
            volume.journaled.insert(
                entries, file: segment.file.descriptor, hasFailed: !isWritten)
            let now = monotonicMilliseconds()
            if segment.isDestaged { state.segments[number].since = now }
            state.segments[number].usedBlocks += blocks
            state.segments[number].batches += 1
            state.segments[number].enter(entries, of: volume)
            state.lastAppend = now
            if !isWritten {
                fail(&state, operations[0].failure)
                throw .system(operations[0].failure, "write to the journal", directory)
            }
            return Position(segment: segment.number, block: segment.usedBlocks + blocks)
        }
    }

    /// Makes sure that no start takes a batch for whole that could not be written: true where it is.
    private func void(
        _ segment: JournalSegment, _ memory: UnsafeMutableRawPointer, through io: any BlockIO
    ) -> Bool {
        memset(memory, 0, Geometry.block)
        var operations = [
            BlockOperation(
                kind: .write, file: segment.file.descriptor, memory: memory,
                length: Geometry.block, offset: segment.usedBlocks * Geometry.block)
        ]
        io.perform(&operations)
        return operations[0].failure == 0 && io.sync(segment.file.descriptor) == 0
    }

    private func fail(_ state: inout State, _ failure: Int32) {
        state.failure = failure
        state.calls += 1
        failed.store(true, ordering: .releasing)
        self.state.notifyAll()
    }

    private func check(_ state: State) throws(TrackStoreError) {
        guard state.failure == 0 else {
            throw .system(state.failure, "write to the journal after it has failed", directory)
        }
    }

    /// The segment that has room; nil where none has.
    private func segment(
        for blocks: Int, _ state: inout State, through io: any BlockIO
    ) throws(TrackStoreError) -> Int? {
        if let open = state.open {
            // One block is kept for the seal.
            if state.segments[open].usedBlocks + blocks < segmentBlocks { return open }
            guard !state.empty.isEmpty || state.segments.count < mostSegments else { return nil }
        }
        if state.empty.isEmpty {
            guard state.segments.count < mostSegments else { return nil }
            let number = state.nextNumber
            state.nextNumber += 1
            state.empty.append(
                try EmptyJournalFile.make(
                    number, in: directory, blocks: segmentBlocks, through: io))
        }
        try sealLast(&state, through: io)
        try syncLast(&state, through: io)
        // Not before the next one is there: the open one may have room for smaller batches.
        if let open = state.open { state.segments[open].isClosed = true }
        let file = state.empty.removeFirst()
        state.segments.append(
            JournalSegment(number: file.number, file: file.file, nonce: file.nonce))
        if isHalfFull(state) {
            state.calls += 1
            self.state.notifyAll()
        }
        return state.segments.count - 1
    }

    /// True where content has to reach the files to make room.
    func isHalfFull(_ state: State) -> Bool { state.segments.count * 2 > mostSegments }

    /// An empty batch ends a segment that another one follows: a start that does not find it knows that
    /// something is missing.
    private func sealLast(_ state: inout State, through io: any BlockIO) throws(TrackStoreError) {
        guard let last = state.segments.indices.last, !state.segments[last].isSealed,
            state.segments[last].usedBlocks < segmentBlocks
        else { return }
        let segment = state.segments[last]
        let memory = AlignedMemory(count: Geometry.block)
        SegmentCodec.encode(
            SegmentCodec.Batch(
                volume: 0, segment: segment.number, number: segment.batches, nonce: segment.nonce),
            into: memory.start)
        var operations = [
            BlockOperation(
                kind: .write, file: segment.file.descriptor, memory: memory.start,
                length: Geometry.block, offset: segment.usedBlocks * Geometry.block)
        ]
        io.perform(&operations)
        guard operations[0].failure == 0 else {
            throw .system(operations[0].failure, "write to the journal", directory)
        }
        state.segments[last].usedBlocks += 1
        state.segments[last].batches += 1
        state.segments[last].isSealed = true
    }

    /// A segment is durable before the next one is begun: what is durable is a front of the journal.
    private func syncLast(_ state: inout State, through io: any BlockIO) throws(TrackStoreError) {
        guard let segment = state.segments.last else { return }
        let end = Position(segment: segment.number, block: segment.usedBlocks)
        if state.durable < end {
            let failure = io.sync(segment.file.descriptor)
            guard failure == 0 else {
                fail(&state, failure)
                throw .system(failure, "sync the journal", directory)
            }
            state.durable = end
        }
    }

    /// Returns when everything before `position` is durable. One thread syncs for all that wait.
    func sync(through position: Position, by io: any BlockIO) throws(TrackStoreError) {
        while true {
            let next = try state.withLock(waitingWhile: { state in
                state.isSyncing && state.failure == 0 && state.durable < position
            }) { (state) throws(TrackStoreError) -> (OpenFile, Position)? in
                guard state.durable < position else { return nil }
                try check(state)
                // Whatever comes before the last segment is durable.
                guard let last = state.segments.last else { return nil }
                state.isSyncing = true
                return (last.file, Position(segment: last.number, block: last.usedBlocks))
            }
            guard let (open, end) = next else { return }
            let failure = io.sync(open.descriptor)
            state.withLock { state in
                state.isSyncing = false
                if failure != 0 { fail(&state, failure) }
                if failure == 0, state.durable < end { state.durable = end }
            }
            state.notifyAll()
        }
    }

    /// Waits until something has been retired, for a write that finds no room, or that must go past the
    /// journal and finds its blocks in it. To be called outside of any operation: what is retired waits for
    /// those.
    ///
    /// Errors: those with which destaging, or the journal, has failed.
    func waitForRoom() throws(TrackStoreError) {
        let (retired, failures) = state.withLock { state in
            state.isPressed = true
            state.calls += 1
            return (state.retired, state.failures)
        }
        state.notifyAll()
        try state.withLock(waitingWhile: { state in
            state.retired == retired && !state.segments.isEmpty && !state.isStopping
                && state.failures == failures && state.failure == 0
        }) { (state) throws(TrackStoreError) in
            try check(state)
            if state.failures != failures, let failure = state.destageFailure { throw failure }
        }
    }

    /// Gives the disk space back, for a store without a journal. Everything has been destaged.
    func removeFiles() throws(TrackStoreError) {
        for name in try Files.names(in: directory) where !name.hasPrefix("damaged-") {
            try Files.remove(directory + "/" + name)
        }
    }

    /// Everything that is in the journal is wanted in the files.
    func hasten() {
        state.withLock { state in
            state.drainThrough = max(state.drainThrough, state.segments.last?.number ?? 0)
            state.isPressed = !state.segments.isEmpty
            state.calls += 1
        }
        state.notifyAll()
    }

    /// Waits until everything that was appended before the call has reached the files, or the time is up,
    /// or destaging has failed.
    func settle(milliseconds: Int) {
        let (last, failures) = state.withLock { ($0.segments.last?.number ?? 0, $0.failures) }
        guard last > 0 else { return }
        hasten()
        _ = state.withLock(
            waitingWhile: { state in
                state.segments.first.map { $0.number <= last } == true
                    && state.failures == failures && state.failure == 0 && !state.isStopping
            }, milliseconds: milliseconds, { _ in })
    }

    /// Waits until some volumes are their files. Nobody must write to them through the journal meanwhile.
    ///
    /// Errors: those with which destaging has failed.
    func drain(_ volumes: [Volume]) throws(TrackStoreError) {
        guard volumes.contains(where: { !$0.journaled.isEmpty }) else { return }
        let failures = state.withLock { $0.failures }
        hasten()
        try state.withLock(waitingWhile: { state in
            state.failures == failures && state.failure == 0 && !state.isStopping
                && volumes.contains { !$0.journaled.isEmpty }
        }) { (state) throws(TrackStoreError) in
            if state.failures != failures, let failure = state.destageFailure { throw failure }
            guard !volumes.contains(where: { !$0.journaled.isEmpty }) else {
                try check(state)
                throw TrackStoreError(.closed, "the store is closed", place: directory)
            }
        }
    }
}
