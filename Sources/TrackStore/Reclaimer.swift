import CURing
import Glibc
import TrackBitmap

/// Takes care of the space of saves: makes segments before they are needed, and gives the space of
/// dead ones back.
///
/// To give space back, it waits until no reader can be in it, takes its entries out of the index,
/// then unlinks whole segments and punches holes into the fronts of others.
///
/// In this order, so that no row of the index outlives what it points to unless the process dies in
/// between; and then it is a row that no look-up reaches, since every look-up starts at a live
/// point. What lies between needed content is looked for by a `Sweep`, once points have gone.
final class Reclaimer: Sendable {
    private typealias Dead = (volume: Volume, space: DeadSpace)

    private struct Work {
        var dead: [Dead] = []
        var isBusy = false
        var isStopping = false
        /// Volumes whose log will soon need another segment.
        var wanting: [Volume] = []
        /// Volumes with something that may not be needed between what is.
        var sweeping: [Volume] = []

        var isEmpty: Bool { dead.isEmpty && wanting.isEmpty && sweeping.isEmpty }
    }

    private let catalogue: Catalogue
    private let index: SavedIndex
    private let epochs: Epochs
    private let makeIO: BlockIOFactory
    private let tell: @Sendable (TrackStoreFact) -> Void
    private let work = Monitor(Work())

    /// Rows that one transaction removes, so that others need not wait long for theirs.
    private static let group = 4096
    /// Milliseconds after which what has failed is tried again.
    private static let pause = 1000

    init(
        catalogue: Catalogue, index: SavedIndex, epochs: Epochs, makeIO: @escaping BlockIOFactory,
        tell: @escaping @Sendable (TrackStoreFact) -> Void
    ) {
        self.catalogue = catalogue
        self.index = index
        self.epochs = epochs
        self.makeIO = makeIO
        self.tell = tell
    }

    /// Space that nobody needs, except readers who are at it now.
    func add(_ volume: Volume, _ space: DeadSpace) {
        guard !space.isEmpty else { return }
        work.withLock { $0.dead.append((volume, space)) }
        work.notifyAll()
    }

    /// Points have gone from the volume for good, and older ones stay.
    func sweep(_ volume: Volume) {
        work.withLock { work in
            if !work.sweeping.contains(where: { $0 === volume }) { work.sweeping.append(volume) }
        }
        work.notifyAll()
    }

    /// The volume's log will soon need another segment.
    func prepareSegment(for volume: Volume) {
        work.withLock { work in
            if !work.wanting.contains(where: { $0 === volume }) { work.wanting.append(volume) }
        }
        work.notifyAll()
    }

    /// Waits until everything that was added before has been given back.
    func drain() {
        work.withLock(
            waitingWhile: {
                !$0.isStopping && ($0.isBusy || !$0.isEmpty)
            }, { _ in })
    }

    /// Lets the thread end; what is left is found again at the next start.
    func stop() {
        work.withLock { $0.isStopping = true }
        work.notifyAll()
    }

    /// The reclaimer's thread.
    func run() {
        let io = makeIO()
        var failed: [Dead] = []
        while let next = waitForWork(failed.isEmpty ? .max : Self.pause) {
            for volume in next.wanting where !volume.isDeleted.load(ordering: .acquiring) {
                do throws(TrackStoreError) {
                    try volume.log.makeSpare(through: io)
                } catch {
                    tell(.storageFailed(place: error.place, errno: error.errno))
                }
            }
            let dead = failed + next.dead
            if !dead.isEmpty || !next.sweeping.isEmpty {
                epochs.quiesce()
                failed = reclaim(dead, through: io)
                for volume in next.sweeping { sweep(volume, through: io) }
            }
            work.withLock { $0.isBusy = false }
            work.notifyAll()
        }
    }

    /// What there is to do, after so many milliseconds at the latest; nil when the thread shall end.
    private func waitForWork(_ milliseconds: Int) -> Work? {
        let isIdle = { (work: inout Work) in work.isEmpty && !work.isStopping }
        if milliseconds == .max {
            work.withLock(waitingWhile: isIdle, { _ in })
        } else {
            _ = work.withLock(waitingWhile: isIdle, milliseconds: milliseconds, { _ in })
        }
        return work.withLock { work in
            guard !work.isStopping else { return nil }
            let taken = work
            work = Work()
            work.isBusy = true
            return taken
        }
    }

    /// Gives what could not be given back, to be tried again.
    private func reclaim(_ dead: [Dead], through io: any BlockIO) -> [Dead] {
        defer { for (volume, space) in dead { volume.log.forget(space.segments) } }
        var failed: [Dead] = []
        do throws(TrackStoreError) {
            // Entries that are still pending must not reach the index after their rows were
            // removed; and a sweep looks at what is in the index only.
            try index.commit(through: io)
        } catch {
            tell(.storageFailed(place: error.place, errno: error.errno))
            return dead
        }
        for (volume, space) in dead {
            do throws(TrackStoreError) {
                try reclaim(space, of: volume, through: io)
            } catch {
                tell(.storageFailed(place: error.place, errno: error.errno))
                failed.append((volume, space))
            }
        }
        return failed
    }

    /// What a sweep could not do is owed still, and done at the next start or when another point goes.
    private func sweep(_ volume: Volume, through io: any BlockIO) {
        let sweep = Sweep(volume: volume, catalogue: catalogue, io: io)
        do throws(TrackStoreError) {
            let empty = try sweep.run { work.withLock { $0.isStopping } }
            add(volume, DeadSpace(segments: empty))
        } catch {
            tell(.storageFailed(place: error.place, errno: error.errno))
        }
        volume.noteUsage(tell)
    }

    private func reclaim(
        _ space: DeadSpace, of volume: Volume, through io: any BlockIO
    ) throws(TrackStoreError) {
        guard !volume.isDeleted.load(ordering: .acquiring) else { return }
        for segment in space.segments {
            let from = max(segment.deadBlocks, 1)
            try removeRows(of: segment, volume, from..<segment.usedBlocks, through: io)
            try catalogue.write { (transaction) throws(TrackStoreError) in
                let key = Key.segment(volume.number, segment.number)
                try transaction.delete(.segments, key)
                try transaction.delete(.punched, key)
            }
            try Files.remove(segment.file.path)
        }
        for (segment, from, to) in space.fronts {
            try removeRows(of: segment, volume, from..<to, through: io)
            let failure = io.punch(
                segment.file.descriptor, offset: from * Geometry.block,
                length: (to - from) * Geometry.block)
            if failure != 0, failure != EOPNOTSUPP {
                throw .system(failure, "give saved content's space back", segment.file.path)
            }
            volume.log.noteReclaimed(to, of: segment.number)
        }
    }

    /// Reads the batches' headers to know which rows stand for them. Where there is none, somebody was
    /// here before and stopped half-way, or the block is damaged: the next header is looked for. What a
    /// host wrote is never taken for one.
    private func removeRows(
        of segment: SaveSegment, _ volume: Volume, _ range: Range<Int>, through io: any BlockIO
    ) throws(TrackStoreError) {
        let memory = AlignedMemory(count: Geometry.block)
        var keys: [[UInt8]] = []
        var place = range.lowerBound
        while place < range.upperBound {
            var operations = [
                BlockOperation(
                    kind: .read, file: segment.file.descriptor, memory: memory.start,
                    length: Geometry.block, offset: place * Geometry.block)
            ]
            io.perform(&operations)
            guard operations[0].failure == 0 else {
                throw .system(operations[0].failure, "read saved content", segment.file.path)
            }
            guard
                let batch = SegmentCodec.decode(
                    volume: volume.number, segment: segment.number, number: nil,
                    nonce: segment.nonce, place: place, from: memory.start)
            else {
                let data = lseek(segment.file.descriptor, place * Geometry.block, linux_seek_data)
                place =
                    data < 0 && errno == ENXIO
                    ? range.upperBound : max(place + 1, data / Geometry.block)
                continue
            }
            keys += batch.entries.map { Key.saved(volume.number, $0) }
            place += batch.blocks
            if keys.count >= Self.group { try remove(&keys) }
        }
        try remove(&keys)
    }

    private func remove(_ keys: inout [[UInt8]]) throws(TrackStoreError) {
        guard !keys.isEmpty else { return }
        let removed = keys
        try catalogue.write { (transaction) throws(TrackStoreError) in
            for key in removed {
                try transaction.delete(.saved, key)
                try transaction.delete(.damages, key)
            }
        }
        keys.removeAll()
    }
}
