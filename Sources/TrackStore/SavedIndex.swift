import Glibc
import Synchronization

/// Where saved content lies: the pending entries of every volume and the table `saved` together,
/// and the thread that moves entries from the one to the other, in groups, behind the hosts' backs.
final class SavedIndex: Sendable {
    private struct Work {
        var volumes: [UInt16: Volume] = [:]
        var entries = 0
        var isStopping = false
    }

    private let catalogue: Catalogue
    private let tell: @Sendable (TrackStoreFact) -> Void
    private let makeIO: BlockIOFactory
    private let work = Monitor(Work())
    /// Entries that a reader found to be damaged.
    let suspicions = Suspicions()
    /// One commit at a time.
    private let committing = Monitor<Void>(())
    /// Counts commits. Moved after a commit and before its entries leave the pending index: a
    /// reader who did not find an entry there sees the new number and begins a new transaction.
    let version = Atomic<UInt64>(0)

    /// So many entries are committed at once under load; fewer after so many milliseconds.
    private static let group = 16_384
    private static let pause = 500
    /// More than this are never pending: something is badly wrong with the index then.
    static let most = 2_000_000

    init(
        catalogue: Catalogue, makeIO: @escaping BlockIOFactory,
        tell: @escaping @Sendable (TrackStoreFact) -> Void
    ) {
        self.catalogue = catalogue
        self.makeIO = makeIO
        self.tell = tell
    }

    /// Entries have been added to the volume's pending index.
    func note(_ volume: Volume, entries: Int) {
        let isFull = work.withLock { work in
            work.volumes[volume.number] = volume
            work.entries += entries
            return work.entries >= Self.group && work.entries - entries < Self.group
        }
        if isFull { work.notifyAll() }
    }

    /// True where the pending index must not grow any more.
    var isCongested: Bool { work.withLock { $0.entries > Self.most } }

    /// The committer's thread.
    func run() {
        let io = makeIO()
        while true {
            let stops = work.withLock(
                waitingWhile: { $0.entries < Self.group && !$0.isStopping },
                milliseconds: Self.pause,
                { $0.isStopping })
            if stops == true { return }
            do throws(TrackStoreError) {
                try commit(through: io)
            } catch {
                tell(.storageFailed(place: error.place, errno: error.errno))
                _ = work.withLock(
                    waitingWhile: { !$0.isStopping }, milliseconds: 1000, { _ in })
            }
        }
    }

    /// Lets the thread end; what it has not committed stays pending.
    func stop() {
        work.withLock { $0.isStopping = true }
        work.notifyAll()
    }

    /// Commits everything that is pending, in one transaction.
    func commit(through io: any BlockIO) throws(TrackStoreError) {
        try committing.withLock { (_: inout Void) throws(TrackStoreError) in
            let (volumes, entries) = work.withLock { work in
                defer {
                    work.volumes = [:]
                    work.entries = 0
                }
                return (Array(work.volumes.values), work.entries)
            }
            guard !volumes.isEmpty else { return }
            do throws(TrackStoreError) {
                try commit(volumes, through: io)
            } catch {
                work.withLock { work in
                    for volume in volumes { work.volumes[volume.number] = volume }
                    work.entries += entries
                }
                throw error
            }
        }
    }

    private func commit(_ volumes: [Volume], through io: any BlockIO) throws(TrackStoreError) {
        var taken: [(volume: Volume, unindexed: SaveLog.Unindexed)] = []
        do throws(TrackStoreError) {
            for volume in volumes where !volume.isDeleted.load(ordering: .acquiring) {
                if let unindexed = take(volume, through: io) { taken.append((volume, unindexed)) }
            }
            let all = taken
            try catalogue.write { (transaction) throws(TrackStoreError) in
                for (volume, unindexed) in all {
                    try store(unindexed, of: volume, transaction)
                }
            }
        } catch {
            for (volume, unindexed) in taken { volume.log.restore(unindexed) }
            throw error
        }
        version.add(1, ordering: .sequentiallyConsistent)
        for (volume, _) in taken { volume.log.finishCommit() }
    }

    /// Nil where the volume's log can no longer be synced: its entries stay pending, and readable,
    /// until the store is opened again; the other volumes' need not wait for that.
    private func take(_ volume: Volume, through io: any BlockIO) -> SaveLog.Unindexed? {
        do throws(TrackStoreError) {
            return try volume.log.takeUnindexed(through: io)
        } catch {
            tell(.storageFailed(place: error.place, errno: error.errno))
            return nil
        }
    }

    private func store(
        _ unindexed: SaveLog.Unindexed, of volume: Volume,
        _ transaction: borrowing Catalogue.Transaction
    ) throws(TrackStoreError) {
        let oldest = volume.state.withLock { $0.oldestNeeded }
        for entry in unindexed.entries where entry.sequence >= oldest {
            try transaction.put(
                .saved, Key.saved(volume.number, entry), SavedRecord(entry).bytes)
        }
        for (number, record) in unindexed.segments {
            try transaction.put(.segments, Key.segment(volume.number, number), record.bytes)
        }
        if let tail = unindexed.tail {
            try transaction.put(.tails, Key.volume(volume.number), tail.bytes)
        }
    }
}

/// One thread's view of the saved index. A transaction is begun when one is needed and given up
/// with `end`, at the latest when the thread's operation is over.
final class IndexReader {
    private let catalogue: Catalogue
    private let index: SavedIndex
    private var transaction: Catalogue.Transaction?
    private var version: UInt64 = 0

    init(catalogue: Catalogue, index: SavedIndex) {
        self.catalogue = catalogue
        self.index = index
    }

    func end() { transaction = nil }

    /// What the entry stands for could not be read, or is not what was saved.
    func suspect(_ key: SavedKey) { index.suspicions.add(key) }

    /// The entries of a track saved at or after `sequence`, earliest first: all of them, or as far as
    /// needed to find the first entry of each of some blocks, so that a track that is written again after
    /// each of many points costs no more than another.
    func find(
        _ volume: Volume, track: UInt32, from sequence: UInt64, covering blocks: UInt16? = nil,
        into found: inout [SavedEntry]
    ) throws(TrackStoreError) {
        found.removeAll(keepingCapacity: true)
        volume.log.pending.find(track: track, from: sequence, into: &found)
        let pending = found.count
        let newest = index.version.load(ordering: .sequentiallyConsistent)
        if transaction == nil || version != newest {
            transaction = nil
            transaction = try catalogue.beginReading()
            version = newest
        }
        try findCommitted(volume, track, sequence, blocks, into: &found)
        if pending > 0 {
            found.sort { left, right in
                (left.sequence, left.segment, left.block) < (
                    right.sequence, right.segment, right.block
                )
            }
        }
    }

    /// As `find`, to decide what need not be saved again. After a failed sync an entry may be found that is
    /// not durable: nothing may be overwritten that it stands for.
    func findSaved(
        _ volume: Volume, track: UInt32, from sequence: UInt64, covering blocks: UInt16? = nil,
        into found: inout [SavedEntry]
    ) throws(TrackStoreError) {
        try find(volume, track: track, from: sequence, covering: blocks, into: &found)
        if !found.isEmpty { try volume.log.checkUsable() }
    }

    /// The tracks of which anything was saved at or after `sequence`.
    func tracks(of volume: Volume, from sequence: UInt64) throws(TrackStoreError) -> Set<Int> {
        var tracks = volume.log.pending.tracks(from: sequence)
        let transaction = try catalogue.beginReading()
        try transaction.scan(.saved, prefix: Key.volume(volume.number)) {
            (key, _) throws(TrackStoreError) in
            var reader = KeyReader(key)
            _ = reader.take(UInt16.self)
            let track = Int(reader.take(UInt32.self))
            if reader.take(UInt64.self) >= sequence { tracks.insert(track) }
            return true
        }
        return tracks
    }

    /// The first track of a range of which anything was saved at or after `sequence`; or a track before which
    /// there is none, where looking on would take long; or the end of the range.
    func firstTrack(
        of volume: Volume, in tracks: Range<UInt32>, savedFrom sequence: UInt64
    ) throws(TrackStoreError) -> UInt32 {
        let pending = volume.log.pending.tracks(from: sequence).lazy.map { UInt32($0) }
            .filter { tracks ~= $0 }.min()
        let transaction = try catalogue.beginReading()
        var first = tracks.upperBound
        var rows = 0
        var start: [UInt8] = Key.volume(volume.number)
        start.put(tracks.lowerBound.bigEndian)
        var failure: TrackStoreError?
        start.withUnsafeBytes { start in
            do throws(TrackStoreError) {
                try transaction.scan(.saved, from: start) {
                    (key, _) throws(TrackStoreError) in
                    var reader = KeyReader(key)
                    guard reader.take(UInt16.self) == volume.number else { return false }
                    let track = reader.take(UInt32.self)
                    guard track < tracks.upperBound else { return false }
                    rows += 1
                    if reader.take(UInt64.self) >= sequence || rows == Self.mostRows {
                        first = track
                        return false
                    }
                    return true
                }
            } catch { failure = error }
        }
        if let failure { throw failure }
        return min(first, pending ?? tracks.upperBound)
    }

    /// Rows that are looked at to tell holes of a backup.
    private static let mostRows = 10_000

    private func findCommitted(
        _ volume: Volume, _ track: UInt32, _ sequence: UInt64, _ blocks: UInt16?,
        into found: inout [SavedEntry]
    ) throws(TrackStoreError) {
        var missing = blocks ?? 0
        // volume 2 · track 4 · sequence 8, big-endian
        var start = InlineArray<16, UInt8>(repeating: 0)
        withUnsafeMutableBytes(of: &start) { bytes in
            bytes.storeBytes(of: volume.number.bigEndian, toByteOffset: 0, as: UInt16.self)
            bytes.storeBytes(of: track.bigEndian, toByteOffset: 2, as: UInt32.self)
            bytes.storeBytes(of: sequence.bigEndian, toByteOffset: 6, as: UInt64.self)
        }
        var failure: TrackStoreError?
        withUnsafeBytes(of: &start) { bytes in
            do throws(TrackStoreError) {
                try transaction?.scan(.saved, from: UnsafeRawBufferPointer(rebasing: bytes[..<14]))
                {
                    (key, value) throws(TrackStoreError) in
                    var reader = KeyReader(key)
                    guard reader.take(UInt16.self) == volume.number,
                        reader.take(UInt32.self) == track
                    else { return false }
                    let entry = try SavedEntry(track: track, &reader, value, volume.path)
                    found.append(entry)
                    missing &= ~entry.mask
                    return blocks == nil || missing != 0
                }
            } catch { failure = error }
        }
        if let failure { throw failure }
    }
}
