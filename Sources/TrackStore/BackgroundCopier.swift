import Glibc
import Synchronization
import TrackBitmap

/// Fills targets with the tracks that they do not hold yet, and sees to it that a relationship
/// whose last track has come over counts as drained only once that is durable.
///
/// A copy changes no volume's content, so it saves nothing. It takes the tracks it copies as a
/// host's write would, so the two exclude each other track by track. Relationships take turns, a
/// run of tracks each.
final class BackgroundCopier: Sendable {
    private struct Work {
        var relationships: [Relationship] = []
        var next = 0
        var isStopping = false
        var isAwake = true
    }

    private let catalogue: Catalogue
    private let index: SavedIndex
    private let stamps: Stamps
    private let epochs: Epochs
    private let makeIO: BlockIOFactory
    private let tell: @Sendable (TrackStoreFact) -> Void
    private let work = Monitor(Work())

    init(
        catalogue: Catalogue, index: SavedIndex, stamps: Stamps, epochs: Epochs,
        makeIO: @escaping BlockIOFactory, tell: @escaping @Sendable (TrackStoreFact) -> Void
    ) {
        self.catalogue = catalogue
        self.index = index
        self.stamps = stamps
        self.epochs = epochs
        self.makeIO = makeIO
        self.tell = tell
    }

    /// All relationships there are.
    func relationships() -> [Relationship] { work.withLock { $0.relationships } }

    func add(_ relationship: Relationship) {
        work.withLock { $0.relationships.append(relationship) }
    }

    func remove(_ relationship: Relationship) {
        work.withLock { work in work.relationships.removeAll { $0 === relationship } }
    }

    /// There may be something to do.
    func wake() {
        work.withLock { $0.isAwake = true }
        work.notifyAll()
    }

    /// Lets the thread end.
    func stop() {
        work.withLock { $0.isStopping = true }
        work.notifyAll()
    }

    /// The relationship reads its point no more.
    func unpin(_ relationship: Relationship) {
        guard !relationship.isDrained.exchange(true, ordering: .acquiringAndReleasing) else {
            return
        }
        relationship.point?.pins.subtract(1, ordering: .acquiringAndReleasing)
    }

    /// The copier's thread.
    func run() {
        let io = makeIO()
        let reader = IndexReader(catalogue: catalogue, index: index)
        let lane = CopyLane(
            io: io, index: reader,
            resolver: Resolver(stamps: stamps, index: reader, io: io, longest: Geometry.track))
        let slot = epochs.register()
        defer { epochs.unregister(slot) }
        var told: [ObjectIdentifier: Int64] = [:]
        while let relationship = waitForWork() {
            if relationship.pending.memberCount == 0 {
                told[ObjectIdentifier(relationship)] = nil
                drain(relationship, through: io)
                continue
            }
            epochs.enter(slot)
            let failure = lane.copySome(of: relationship)
            reader.end()
            epochs.leave(slot)
            if failure != 0 {
                relationship.isCopying.store(false, ordering: .releasing)
                tell(
                    .copyFailed(
                        target: relationship.target.name, tag: relationship.record.tag,
                        errno: failure))
            }
            let now = monotonicMilliseconds()
            guard now - (told[ObjectIdentifier(relationship)] ?? now - 500) >= 500 else { continue }
            told[ObjectIdentifier(relationship)] = now
            tell(
                .copyProgress(
                    target: relationship.target.name, tag: relationship.record.tag,
                    tracksRemaining: relationship.tracksRemaining,
                    tracksTotal: relationship.pending.count))
        }
    }

    /// The next relationship that has something to do; nil when the thread shall end.
    private func waitForWork() -> Relationship? {
        work.withLock(waitingWhile: { !$0.isStopping && !$0.isAwake }) { _ in }
        while true {
            let found = work.withLock { work -> (stops: Bool, relationship: Relationship?) in
                if work.isStopping { return (true, nil) }
                for step in 0..<work.relationships.count {
                    let number = (work.next + step) % work.relationships.count
                    let relationship = work.relationships[number]
                    guard !relationship.drained, !relationship.withdrawn,
                        relationship.copying || relationship.pending.memberCount == 0
                    else { continue }
                    work.next = number + 1
                    return (false, relationship)
                }
                work.isAwake = false
                return (false, nil)
            }
            if found.stops { return nil }
            if let relationship = found.relationship { return relationship }
            work.withLock(waitingWhile: { !$0.isStopping && !$0.isAwake }) { _ in }
        }
    }

    /// The last track has come over. Only when that is durable is the point let go of.
    private func drain(_ relationship: Relationship, through io: any BlockIO) {
        do throws(TrackStoreError) {
            try relationship.persist(in: catalogue, through: io)
        } catch {
            tell(.storageFailed(place: error.place, errno: error.errno))
            _ = work.withLock(waitingWhile: { !$0.isStopping }, milliseconds: 1000, { _ in })
            return
        }
        guard !relationship.withdrawn else { return }
        relationship.target.stopPresenting(relationship)
        unpin(relationship)
        tell(
            .copyCompleted(
                target: relationship.target.name, tag: relationship.record.tag,
                tracksTotal: relationship.pending.count))
    }
}

/// Copies runs of tracks; used by the copier's thread.
private final class CopyLane {
    private static let run = 16
    private let io: any BlockIO
    private let index: IndexReader
    private let resolver: Resolver
    private let memory = AlignedMemory(count: run * Geometry.track)
    private var wants: [Want] = []
    private var operations: [BlockOperation] = []

    init(io: any BlockIO, index: IndexReader, resolver: Resolver) {
        self.io = io
        self.index = index
        self.resolver = resolver
    }

    /// Copies the next run of pending tracks; 0 or an error number.
    func copySome(of relationship: Relationship) -> Int32 {
        let target = relationship.target
        guard let run = relationship.pending.firstRun(from: 0, limit: Self.run),
            !target.isDeleted.load(ordering: .acquiring)
        else { return 0 }
        let tracks = run.map { UInt32($0) }
        target.state.withLock(waitingWhile: { state in
            tracks.contains { state.lockedTracks.contains($0) }
        }) { state in state.lockedTracks.formUnion(tracks) }
        defer {
            target.state.withLock { $0.lockedTracks.subtract(tracks) }
            target.state.notifyAll()
        }
        // A host may have written some in the meantime; and who withdraws waits for this operation.
        guard !relationship.withdrawn else { return 0 }
        let pending = tracks.filter { relationship.pending.contains(Int($0)) }
        do throws(TrackStoreError) {
            return copy(pending, of: relationship, try target.file())
        } catch {
            return error.errno == 0 ? EIO : error.errno
        }
    }

    private func copy(_ tracks: [UInt32], of relationship: Relationship, _ file: Int32) -> Int32 {
        let target = relationship.target
        wants.removeAll(keepingCapacity: true)
        for (number, track) in tracks.enumerated() {
            wants.append(
                Want(
                    target, track: track, mask: target.blocks(ofTrack: track),
                    into: memory.start + number * Geometry.track, layout: .max))
        }
        resolver.read(&wants)
        operations.removeAll(keepingCapacity: true)
        var failure: Int32 = 0
        for want in wants {
            if let reason = want.failure {
                failure = reason == .noSpace ? ENOSPC : EIO
                continue
            }
            let length = want.mask.nonzeroBitCount * Geometry.block
            let offset = Int(want.track) * Geometry.track
            // Holes stay holes.
            if Zeroes.fill(want.memory, count: length),
                io.punch(file, offset: offset, length: length) == 0
            {
                continue
            }
            operations.append(
                BlockOperation(
                    kind: .write, file: file, memory: want.memory, length: length, offset: offset))
        }
        if !operations.isEmpty { io.perform(&operations) }
        target.isDirty.store(true, ordering: .sequentiallyConsistent)
        let failed = Set(operations.filter { $0.failure != 0 }.map { $0.offset / Geometry.track })
        failure = operations.first { $0.failure != 0 }?.failure ?? failure
        for want in wants where want.failure == nil && !failed.contains(Int(want.track)) {
            relationship.pending.remove(Int(want.track))
        }
        return failure
    }
}
