import Glibc
import Synchronization

/// What is known to be damaged of what was saved, and so which points cannot be read whole.
///
/// Whoever reads an entry and finds it damaged goes on and names it (`Suspicions`); a scrub in another
/// process leaves word of what it finds (`SuspectFile`). A thread of its own then reads each of them
/// again, and enters in the index what is damaged indeed: block by block, since that is what is so, and
/// follows from nothing. Which points need a block follows from the entries and the points that there
/// are (`DamageReach`), and is worked out anew whenever the rows have changed, and at a start. What is
/// whole again, because somebody has mended it, is taken out of the index.
final class Damages: Sendable {
    private struct PointKey: Hashable {
        var volume: UInt16
        var sequence: UInt64
    }

    private let catalogue: Catalogue
    private let index: SavedIndex
    private let epochs: Epochs
    private let makeIO: BlockIOFactory
    private let tell: @Sendable (TrackStoreFact) -> Void
    /// The damaged points with the first place that says why.
    private let known = Monitor<[PointKey: String]>([:])
    private let isAny = Atomic<Bool>(false)
    /// One at a time, so that the last word stays.
    private let refreshing = Monitor<Void>(())

    /// How often somebody looks whether a scrub has left word. Milliseconds.
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

    /// Which block that a point needs is damaged, and where; nil where none is known to be.
    func place(of point: Point, _ volume: Volume) -> String? {
        guard isAny.load(ordering: .acquiring) else { return nil }
        return known.withLock { $0[PointKey(volume: volume.number, sequence: point.sequence)] }
    }

    /// The thread: looks at what is suspected, until it is to end.
    func run(in directory: String, _ volumes: Monitor<[UInt16: Volume]>) {
        let word = SuspectFile(in: directory)
        let examiner = Examiner(self, io: makeIO())
        var (isFirst, pause) = (true, 0)
        while let named = index.suspicions.next(milliseconds: pause) {
            pause = Self.pause
            let left = word.take()
            do throws(TrackStoreError) {
                // At a start, what was damaged is looked at again: it may have been mended.
                let old = isFirst ? try rows().map(\.key) : []
                let suspects = named.union(left).union(old)
                isFirst = false
                if !suspects.isEmpty {
                    let there = volumes.withLock { $0 }
                    if try examiner.examine(suspects, there) { try refresh(there) }
                }
                if !left.isEmpty { word.forget() }
            } catch {
                tell(.storageFailed(place: error.place, errno: error.errno))
            }
        }
    }

    private func rows() throws(TrackStoreError) -> [(key: SavedKey, record: DamageRecord)] {
        try catalogue.read { (transaction) throws(TrackStoreError) in
            var rows: [(key: SavedKey, record: DamageRecord)] = []
            try transaction.scan(.damages, prefix: []) { (key, value) throws(TrackStoreError) in
                var reader = KeyReader(key)
                rows.append((SavedKey(&reader), try DamageRecord(row: value, "damages")))
                return true
            }
            return rows
        }
    }

    /// Works out which points are damaged, and tells of those that were not before.
    func refresh(_ volumes: [UInt16: Volume]) throws(TrackStoreError) {
        try refreshing.withLock { (_: inout Void) throws(TrackStoreError) in
            let rows = try rows()
            guard !rows.isEmpty || isAny.load(ordering: .acquiring) else { return }
            var reach = DamageReach(volumes, IndexReader(catalogue: catalogue, index: index))
            for (key, record) in rows { try reach.add(key, record) }
            let damaged = reach.damaged
            let places = Dictionary(
                damaged.map {
                    (PointKey(volume: $0.volume.number, sequence: $0.point.sequence), $0.place)
                }, uniquingKeysWith: { first, _ in first })
            let before = known.withLock { known in
                defer { known = places }
                return known
            }
            isAny.store(!places.isEmpty, ordering: .releasing)
            tellOf(
                damaged.filter {
                    before[PointKey(volume: $0.volume.number, sequence: $0.point.sequence)] == nil
                })
        }
    }

    /// One fact a volume and place. Points that are not safeguarded have no name to tell.
    private func tellOf(_ damaged: [DamageReach.Damaged]) {
        var told: [(volume: String, place: String, tags: [String])] = []
        for found in damaged where found.point.isSafeguarded {
            let tag = found.point.tag
            if let last = told.last, last.volume == found.volume.name, last.place == found.place {
                told[told.count - 1].tags.append(tag)
            } else {
                told.append((found.volume.name, found.place, [tag]))
            }
        }
        for (volume, place, tags) in told {
            tell(.pointsDamaged(volume: volume, tags: tags, place: place))
        }
    }

    /// Reads suspects again, and makes durable what is found.
    private struct Examiner {
        let damages: Damages
        let io: any BlockIO
        let check: EntryCheck

        init(_ damages: Damages, io: any BlockIO) {
            self.damages = damages
            self.io = io
            check = EntryCheck(io: io)
        }

        /// True where something is known now that was not, or is whole again.
        func examine(
            _ suspects: Set<SavedKey>, _ volumes: [UInt16: Volume]
        ) throws(TrackStoreError) -> Bool {
            // An entry that is behind the recorded tail when the process dies would be taken for torn.
            try damages.index.commit(through: io)
            let slot = damages.epochs.register()
            defer { damages.epochs.unregister(slot) }
            var findings: [(key: SavedKey, finding: EntryCheck.Finding)] = []
            for key in suspects {
                // One at a time: whoever waits for operations to end should not wait for all of them.
                damages.epochs.enter(slot)
                defer { damages.epochs.leave(slot) }
                let entry = try entry(key)
                let file = volumes[key.volume]?.log.file(of: key.segment) ?? -1
                let finding = entry.map { check.look(at: $0, in: file) } ?? EntryCheck.Finding()
                if !finding.isUndecided { findings.append((key, finding)) }
            }
            return try record(findings)
        }

        private func entry(_ key: SavedKey) throws(TrackStoreError) -> SavedEntry? {
            try damages.catalogue.read { (transaction) throws(TrackStoreError) in
                try transaction.entry(key)
            }
        }

        private func record(
            _ findings: [(key: SavedKey, finding: EntryCheck.Finding)]
        ) throws(TrackStoreError) -> Bool {
            try damages.catalogue.write { (transaction) throws(TrackStoreError) in
                var isNew = false
                for (key, finding) in findings {
                    let row = key.bytes
                    let known = try transaction.get(.damages, row)
                    // An entry that is gone meanwhile took what it was needed for with it.
                    let isThere = try transaction.get(.saved, row) != nil
                    let record = DamageRecord(mask: finding.mask, errno: finding.errno)
                    if finding.mask == 0 || !isThere {
                        guard known != nil else { continue }
                        try transaction.delete(.damages, row)
                    } else {
                        guard known != record.bytes else { continue }
                        try transaction.put(.damages, row, record.bytes)
                    }
                    isNew = true
                }
                return isNew
            }
        }
    }
}

extension Catalogue.Transaction {
    /// The entry of a row; nil where it is gone.
    func entry(_ key: SavedKey) throws(TrackStoreError) -> SavedEntry? {
        guard let value = try get(.saved, key.bytes) else { return nil }
        let record = value.withUnsafeBytes { bytes -> SavedRecord? in
            guard let start = bytes.baseAddress else { return nil }
            var reader = ByteReader(start, count: bytes.count)
            return SavedRecord(&reader)
        }
        guard let record else {
            throw TrackStoreError(
                .damaged, "an unreadable row in the index", place: Volume.name(key.volume))
        }
        return SavedEntry(key, record)
    }
}

extension TrackStore {
    /// Waits until every damage that reads have met so far has been looked at; for tests.
    package func drainDamages() { parts.index.suspicions.drain() }
}
