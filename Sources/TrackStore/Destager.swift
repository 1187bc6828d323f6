import Glibc
import Synchronization

/// Brings what the journal holds to the volumes' files, and makes the journal's files empty again.
///
/// It works from the oldest batch on, and so each block's writes reach the file in their order. It lets
/// writes gather, so that those of one block between the same two points cost one save and one write:
/// it begins when the journal is half full, when nothing has been written for a moment, when something is
/// old, or when somebody wants to have it in the files.
///
/// A segment is retired in this order: every file that it went to is synced; its header is replaced,
/// durably, so that no start finds it again; readers see the files instead; readers that are at it end.
/// What is destaged twice, after a crash, saves nothing twice, since the entries are there.
final class Destager: Sendable {
    private enum Step {
        case tell(failure: Int32)
        case sync(WriteJournal.Position)
        case destage(JournalSegment, through: Int, durable: WriteJournal.Position)
        case retire(JournalSegment)
        case make(number: UInt32)
    }

    private let journal: WriteJournal
    private let volumesDirectory: String
    private let parts: StoreParts

    /// Milliseconds without a write after which it begins, and after which anything is old.
    private static let quiet: Int64 = 250
    private static let old: Int64 = 1_000
    /// Milliseconds until it tries again.
    private static let rest = 1_000

    init(journal: WriteJournal, volumes: String, parts: StoreParts) {
        self.journal = journal
        volumesDirectory = volumes
        self.parts = parts
    }

    /// Lets the thread end.
    func stop() {
        journal.state.withLock { $0.isStopping = true }
        journal.state.notifyAll()
    }

    /// The destaging thread.
    func run() {
        let io = parts.makeIO()
        let lane = DestageLane(parts: parts, io: io, segmentBlocks: journal.segmentBlocks)
        while let step = waitForStep() {
            do throws(TrackStoreError) {
                try perform(step, lane, io)
            } catch {
                fail(step, error)
            }
        }
    }

    /// Destages everything, by the caller's thread, when no other thread uses the store.
    ///
    /// Errors: those of the files; and `inputOutput` where the journal has failed: what it could not make
    /// durable stays in it.
    func destageAll(through io: any BlockIO) throws(TrackStoreError) {
        let lane = DestageLane(parts: parts, io: io, segmentBlocks: journal.segmentBlocks)
        while let step = journal.state.withLock({ nextStep(&$0, now: 0, isUrgent: true) }) {
            try perform(step, lane, io)
        }
        let (isEmpty, failure) = journal.state.withLock { ($0.segments.isEmpty, $0.failure) }
        guard isEmpty else {
            throw .system(failure, "write to the journal", journal.directory)
        }
    }

    /// Nil when the thread shall end.
    private func waitForStep() -> Step? {
        while true {
            let found = journal.state.withLock { state -> (step: Step?, calls: UInt64)? in
                if state.isStopping { return nil }
                return (
                    nextStep(&state, now: monotonicMilliseconds(), isUrgent: false), state.calls
                )
            }
            guard let found else { return nil }
            if let step = found.step { return step }
            _ = journal.state.withLock(
                waitingWhile: { !$0.isStopping && $0.calls == found.calls },
                milliseconds: Int(Self.quiet), { _ in })
        }
    }

    /// What is to be done next; nil where it may wait.
    private func nextStep(
        _ state: inout WriteJournal.State, now: Int64, isUrgent: Bool
    ) -> Step? {
        if state.failure != 0, !state.isFailureTold {
            state.isFailureTold = true
            return .tell(failure: state.failure)
        }
        guard let first = state.segments.first else {
            state.isPressed = false
            return nil
        }
        let isWanted =
            isUrgent || state.isPressed || journal.isHalfFull(state)
            || first.number <= state.drainThrough
        let isDue =
            isWanted || now - state.lastAppend >= Self.quiet || now - first.since >= Self.old
        // Else it might grow for ever.
        if isWanted, first.batches > 0 { state.segments[0].isClosed = true }
        let isClosed = state.segments[0].isClosed
        let durable =
            state.durable.segment == first.number
            ? state.durable.block : state.durable.segment > first.number ? first.usedBlocks : 1
        if isDue, first.destagedBlocks < durable {
            return .destage(first, through: durable, durable: state.durable)
        }
        if isDue || isClosed, first.isDestaged {
            state.segments[0].isClosed = true
            return .retire(state.segments[0])
        }
        if isDue, isClosed, durable < first.usedBlocks, state.failure == 0 {
            return .sync(
                WriteJournal.Position(segment: first.number, block: first.usedBlocks))
        }
        guard !isUrgent, let open = state.open, state.empty.isEmpty,
            state.segments.count < journal.mostSegments,
            state.segments[open].usedBlocks * 2 > journal.segmentBlocks
        else { return nil }
        state.nextNumber += 1
        return .make(number: state.nextNumber - 1)
    }

    private func perform(
        _ step: Step, _ lane: DestageLane, _ io: any BlockIO
    ) throws(TrackStoreError) {
        switch step {
        case .tell(let failure):
            parts.tell(.storageFailed(place: journal.directory, errno: failure))
        case .sync(let end):
            try journal.sync(through: end, by: io)
        case .destage(let segment, let end, let durable):
            let place = try lane.destage(segment, through: end, durable: durable)
            journal.state.withLock { state in
                state.destageFailure = nil
                guard state.segments.first?.number == segment.number else { return }
                state.segments[0].destagedBlocks = place
            }
        case .retire(let segment):
            try retire(segment, through: io)
        case .make(let number):
            let file = try EmptyJournalFile.make(
                number, in: journal.directory, blocks: journal.segmentBlocks, through: io)
            journal.state.withLock { state in
                state.makeFailure = 0
                insert(file, &state)
            }
        }
    }

    /// Files are used in the order of their numbers, and a writer may have made one meanwhile.
    private func insert(_ file: EmptyJournalFile, _ state: inout WriteJournal.State) {
        guard file.number > state.segments.last?.number ?? 0,
            file.number > state.empty.last?.number ?? 0,
            state.segments.count + state.empty.count < journal.mostSegments
        else {
            unlink(EmptyJournalFile.path(journal.directory, file.number))
            return
        }
        state.empty.append(file)
    }

    private func retire(_ segment: JournalSegment, through io: any BlockIO) throws(TrackStoreError)
    {
        do throws(TrackStoreError) {
            try sync(segment.members.values.map(\.volume), through: io)
        } catch {
            // What the sync was to cover may be lost: it is written again.
            journal.state.withLock { $0.segments[0].destagedBlocks = 1 }
            throw error
        }
        let number = journal.state.withLock { state in
            state.nextNumber += 1
            return state.nextNumber - 1
        }
        let file = try EmptyJournalFile.remake(
            segment, as: number, in: journal.directory, through: io)
        for member in segment.members.values {
            member.volume.journaled.remove(segment: segment.number, tracks: member.tracks)
        }
        parts.epochs.quiesce()
        journal.state.withLock { state in
            state.segments.removeFirst()
            insert(file, &state)
            state.retired += 1
            state.isPressed = false
            state.destageFailure = nil
        }
        journal.state.notifyAll()
    }

    private func sync(_ volumes: [Volume], through io: any BlockIO) throws(TrackStoreError) {
        if volumes.count > 64 {
            return try Files.syncFileSystem(volumesDirectory)
        }
        for volume in volumes where !volume.isDeleted.load(ordering: .acquiring) {
            let failure = io.sync(try volume.file())
            guard failure == 0 else { throw .system(failure, "sync a volume", volume.path) }
        }
    }

    /// Told once; tried again after a rest. Who waits for room meanwhile gets the error.
    private func fail(_ step: Step, _ error: TrackStoreError) {
        let isNew = journal.state.withLock { state in
            // A file that cannot be made ahead of time is made when it is needed.
            if case .make = step {
                defer { state.makeFailure = error.errno }
                return state.makeFailure != error.errno
            }
            defer {
                state.destageFailure = error
                state.failures += 1
                state.isPressed = false
            }
            return state.destageFailure?.errno != error.errno
        }
        journal.state.notifyAll()
        if isNew { parts.tell(.storageFailed(place: error.place, errno: error.errno)) }
        _ = journal.state.withLock(
            waitingWhile: { !$0.isStopping && !$0.isPressed }, milliseconds: Self.rest, { _ in })
    }
}
