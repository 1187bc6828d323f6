import Synchronization
import TrackBitmap

/// A volume: a sparse file, its points, what is saved for them, and the point it presents, if any.
final class Volume: Sendable {
    /// The four hexadecimal digits as a number.
    let number: UInt16
    let path: String
    let state: Monitor<VolumeState>
    let log: SaveLog
    /// What of it lies in the journal only.
    let journaled = JournaledTracks()
    /// One roll-off at a time.
    let rollingOff = Monitor<Void>(())

    private let bytes: Atomic<UInt64>
    private let safeguarded: Atomic<UInt32>
    private let opened = Monitor<OpenFile?>(nil)
    private let descriptor = Atomic<Int32>(-1)
    private let presented = Monitor<Relationship?>(nil)
    private let presents = Atomic<Bool>(false)
    /// Counts what was written to the file. Raised when a write is complete, before its operation ends:
    /// whoever waits for operations and then looks, misses none. Not 0 at first: a process that was killed
    /// may have left data that only the cache holds.
    private let writes = Atomic<UInt64>(1)
    /// As much of it as syncs have covered.
    private let synced = Atomic<UInt64>(0)
    let isDeleted = Atomic<Bool>(false)
    /// A relationship keeps hosts from writing to it.
    let inhibitsWrites = Atomic<Bool>(false)
    let level = Atomic<Int>(0)
    /// When an error that a host got was told last. Milliseconds.
    let failureTold = Atomic<Int64>(-10_000)
    /// What stays of relationships into it when they have ended.
    let note = Monitor(TargetNote())

    init(number: UInt16, path: String, record: VolumeRecord, points: [Point], log: SaveLog) {
        self.number = number
        self.path = path
        state = Monitor(VolumeState(points: points))
        self.log = log
        bytes = Atomic(record.capacity)
        safeguarded = Atomic(record.multiplier)
    }

    /// Four lower-case hexadecimal digits.
    var name: String { Volume.name(number) }

    static func name(_ number: UInt16) -> String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: 4 - digits.utf8.count) + digits
    }

    /// The number of four hexadecimal digits; nil where the text is something else.
    static func number(_ name: String) -> UInt16? {
        guard name.utf8.count == 4,
            name.utf8.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit })
        else { return nil }
        return UInt16(name, radix: 16)
    }

    var capacity: UInt64 {
        get { bytes.load(ordering: .acquiring) }
        set { bytes.store(newValue, ordering: .releasing) }
    }

    var multiplier: UInt32 {
        get { safeguarded.load(ordering: .acquiring) }
        set { safeguarded.store(newValue, ordering: .releasing) }
    }

    /// Bytes that saved content may take.
    var safeguardedCapacity: UInt64 {
        let (bytes, overflow) = capacity.multipliedReportingOverflow(by: UInt64(multiplier))
        return overflow ? .max : bytes
    }

    /// The blocks of a track that lie inside the volume.
    func blocks(ofTrack track: UInt32) -> UInt16 {
        let all = Geometry.blocks(covering: capacity)
        let first = Int(track) * Geometry.blocksPerTrack
        return UInt16(blocks: 0..<min(max(all - first, 0), Geometry.blocksPerTrack))
    }

    /// The file, opened when it is first wanted: a store may have more volumes than busy ones.
    func file() throws(TrackStoreError) -> Int32 {
        let known = descriptor.load(ordering: .acquiring)
        if known >= 0 { return known }
        return try opened.withLock { (opened) throws(TrackStoreError) in
            if let opened { return opened.descriptor }
            let file = try OpenFile(path, .existing)
            opened = file
            descriptor.store(file.descriptor, ordering: .releasing)
            return file.descriptor
        }
    }

    /// Something has been written to the file.
    func noteWrite() { writes.add(1, ordering: .sequentiallyConsistent) }

    /// What a sync that begins now will cover; nil where everything is covered.
    var unsynced: UInt64? {
        let written = writes.load(ordering: .sequentiallyConsistent)
        return synced.load(ordering: .sequentiallyConsistent) < written ? written : nil
    }

    /// A sync has covered so much.
    func noteSync(_ written: UInt64) { synced.max(written, ordering: .sequentiallyConsistent) }

    /// True where some track may have to be read through a relationship.
    @inline(__always)
    var presentsPoint: Bool { presents.load(ordering: .sequentiallyConsistent) }

    /// The relationship whose target this volume is.
    var inbound: Relationship? { presented.withLock { $0 } }

    /// Makes the volume the target of a relationship, or of none: tracks become pending, or are taken
    /// back, for every operation that begins afterwards. The volume's monitor is held meanwhile, so
    /// that no write is decided half before and half after.
    func present(_ relationship: Relationship?) {
        state.withLock { _ in
            presented.withLock { presented in
                presented = relationship
                presents.store(
                    relationship.map { !$0.drained } ?? false, ordering: .sequentiallyConsistent)
                inhibitsWrites.store(
                    relationship?.inhibitsTargetWrites ?? false, ordering: .releasing)
            }
        }
    }

    /// Waits while a relationship into this volume is marked as withdrawn and still presented: a transaction
    /// is about to decide it. A hundredth of a second at most, since whoever marked it may take that back.
    func waitWhileReplacing(_ relationship: Relationship) {
        _ = state.withLock(
            waitingWhile: { _ in relationship.withdrawn && self.inbound === relationship },
            milliseconds: 10, { _ in })
    }

    /// The store is closed: volumes and relationships, which know each other, let go, so that their
    /// memory and files are given back.
    func letGo() {
        present(nil)
        state.withLock { state in
            state.readers = []
            state.recorders = []
        }
    }

    /// The relationship is drained: it stays, but nothing is read through it any more.
    func stopPresenting(_ relationship: Relationship) {
        presented.withLock { presented in
            if presented === relationship {
                presents.store(false, ordering: .sequentiallyConsistent)
            }
        }
    }
}

/// What a volume's monitor protects.
///
/// Whoever changes a track's blocks (a host's write, a background copy) has the track in
/// `lockedTracks` from before it reads the old blocks until its write is done. So nobody overwrites
/// a block between its being read to be saved and its being saved, and two writes of a block are
/// saved and done in order.
struct VolumeState {
    /// Points from oldest to newest, those included whose removal is not durable yet: writers save
    /// for them until it is.
    var points: [Point]
    /// A point that begins when its group is committed.
    var prepared: PreparedPoint?
    /// Who needs points that are not safeguarded.
    var readers: [PointReader] = []
    /// What has to hear of every change of content.
    var recorders: [ChangeRecorder] = []
    /// Which regions the index knows to be changing, for the recorders.
    var intents = ChangeIntents()
    var saved: SavedMap
    var lockedTracks: Set<UInt32> = []
    /// What it presents is being replaced, so that nothing of it may lie in the journal.
    var writesDirectly = false

    init(points: [Point]) {
        self.points = points
        saved = SavedMap(sequence: points.last?.sequence ?? 0, asksIndex: true)
    }

    /// Lets a prepared point begin if its instant has come. Whoever decides anything about the
    /// volume does this first, so that the decision falls on the right side of the instant.
    mutating func materialise() {
        guard let prepared, prepared.group.isCommitted else { return }
        self.prepared = nil
        points.append(prepared.point)
        saved.startOver(prepared.point.sequence, asksIndex: !prepared.point.isSafeguarded)
        for swap in prepared.swaps { replace(swap.old, by: swap.new) }
    }

    /// One recorder goes, another comes; either may be none.
    mutating func replace(_ old: ChangeRecorder?, by new: ChangeRecorder?) {
        recorders.removeAll { $0 === old }
        if let new { recorders.append(new) }
    }

    func point(_ tag: String) -> Point? {
        points.first { $0.tag == tag && $0.live && $0.isSafeguarded }
    }

    /// The sequence before which nothing saved is needed any more.
    var oldestNeeded: UInt64 { points.first?.sequence ?? .max }

    /// The newest point for which a track would have to be saved, were it changed now, among those
    /// older than `end` and newer than `start`; nil where nobody needs it.
    ///
    /// It is enough to save for that one: an entry at or after it serves every older point too.
    func newestNeeding(_ track: UInt32, before end: UInt64) -> Point? {
        Self.newestNeeding(track, points, readers, before: end)
    }

    static func newestNeeding(
        _ track: UInt32, _ points: [Point], _ readers: [PointReader], after start: UInt64 = 0,
        before end: UInt64 = .max
    ) -> Point? {
        points.last { point in
            point.sequence > start && point.sequence < end
                && (point.isSafeguarded
                    || readers.contains { $0.point === point && $0.needs(track) })
        }
    }
}

/// A point that begins when its group is committed, and the recorders that change places then.
struct PreparedPoint {
    var point: Point
    var group: InstantGroup
    var swaps: [(old: ChangeRecorder?, new: ChangeRecorder?)] = []
}

/// A relationship, or one that is being made, that may read a point.
struct PointReader {
    var point: Point
    /// Its target, by which it is taken out again.
    var target: UInt16
    /// The tracks that it has not got, as far as is durable; nil: all, since it is being made.
    var stored: TrackBitmap?

    func needs(_ track: UInt32) -> Bool { stored?.contains(Int(track)) ?? true }
}
