import Synchronization
import TrackBitmap

/// A target volume that presents a point of a source.
///
/// A set bit of `pending` means: the target's own file does not hold the track yet, so it is read
/// from the source at the point. Bits are cleared in memory as soon as the track is whole in the
/// target's file, and durably later: first the bits are copied, then the target's file is synced,
/// then the copy is stored, so that no stored bit runs ahead of the data. A clear that is lost in a
/// crash costs a copy, or takes back a write that no flush had covered.
///
/// While `isDrained` is false the point is pinned: it is not let go of, since stored bits may need
/// it.
final class Relationship: Sendable {
    let source: Volume
    let target: Volume
    /// Nil only where the target held every track at a restart and the point was gone.
    let point: Point?
    let record: RelationshipRecord
    let pending: TrackBitmap
    /// `pending` as it is stored. A track of which the bit is clear here is never read from the
    /// source again, so nothing is saved for it any more.
    let stored: TrackBitmap
    /// What has changed on either side since the point; nil where changes are not recorded.
    let changes: RecordedChanges?
    /// Fast reverse restore: the relationship that feeds this one's source, and ends with it.
    let feeding: Relationship?
    /// What the target held before the last refresh, kept until that is committed or reverted: pinned,
    /// and needed as a whole.
    let held: Point?
    /// A revert: what holds between source and target again when the last track is back.
    let successor: Relationship?
    /// The last refresh is neither committed nor reverted.
    let isUncommitted: Atomic<Bool>
    /// A background copy is wanted.
    let isCopying: Atomic<Bool>
    /// MiB a second; 0 = no limit.
    let rateMiBps: Atomic<UInt32>
    /// The target holds every track, durably.
    let isDrained = Atomic<Bool>(false)
    let isWithdrawn = Atomic<Bool>(false)
    let pace = Monitor(CopyPace())
    /// One at a time makes bits durable, so that an older copy of a page never overwrites a newer
    /// one.
    let persisting = Monitor<Void>(())

    init(
        source: Volume, target: Volume, point: Point?, record: RelationshipRecord,
        changes: RecordedChanges? = nil, feeding: Relationship? = nil, held: Point? = nil,
        successor: Relationship? = nil
    ) {
        self.source = source
        self.target = target
        self.point = point
        self.record = record
        self.changes = changes
        self.feeding = feeding
        self.held = held
        self.successor = successor
        isUncommitted = Atomic(held != nil)
        let tracks = Geometry.tracks(covering: record.capacity)
        let isFull = !record.flags.contains(.beganInPart)
        pending = TrackBitmap(count: tracks, full: isFull)
        stored = TrackBitmap(count: tracks, full: isFull)
        isCopying = Atomic(record.copying)
        rateMiBps = Atomic(record.rateMiBps)
    }

    /// When the target began to present the point, in the order of points.
    var base: UInt64 { record.base }
    var drained: Bool { isDrained.load(ordering: .acquiring) }
    var copying: Bool { isCopying.load(ordering: .acquiring) }
    var withdrawn: Bool { isWithdrawn.load(ordering: .acquiring) }
    var uncommitted: Bool { isUncommitted.load(ordering: .acquiring) }
    var isPersistent: Bool { record.flags.contains(.persistent) }
    var recordsChanges: Bool { record.flags.contains(.recordsChanges) }
    var inhibitsTargetWrites: Bool { record.flags.contains(.inhibitsTargetWrites) }

    /// The record as it is to be stored now.
    var presentRecord: RelationshipRecord {
        var record = record
        record.copying = copying
        record.rateMiBps = rateMiBps.load(ordering: .relaxed)
        if !uncommitted { record.held = nil }
        if successor?.copying ?? false { record.successor?.flags.insert(.copying) }
        return record
    }

    /// What there is between source and target as others see it, a revert under way or not.
    var shown: Relationship { successor ?? self }

    /// Tracks that only the source holds, as far as is durable: 0 only once the relationship is
    /// drained.
    var tracksRemaining: Int { drained ? 0 : max(pending.memberCount, 1) }

    /// Tracks that a refresh would bring over now; nil where changes are not recorded.
    var tracksOutOfSync: Int? {
        changes.map { changes in
            let all = TrackBitmap(count: pending.count, full: false)
            all.formUnion(pending)
            all.formUnion(changes.source.bitmap)
            all.formUnion(changes.target.bitmap)
            return all.memberCount
        }
    }
}

/// The two ends of a relationship.
enum RelationshipSide: UInt8 { case source = 0, target = 1 }

/// The tracks of one side that have changed since the point. A write enters its tracks when it is
/// decided, on the same side of an instant as it falls itself.
final class ChangeRecorder: Sendable {
    let bitmap: TrackBitmap
    /// Under which the bits are stored.
    let target: UInt16
    let side: RelationshipSide
    /// The relationship is durable. Until then the rows under these keys may be another one's.
    let isSettled = Atomic<Bool>(false)

    init(tracks: Int, target: UInt16, side: RelationshipSide) {
        bitmap = TrackBitmap(count: tracks, full: false)
        self.target = target
        self.side = side
    }
}

/// Both sides' changes.
struct RecordedChanges: Sendable {
    let source: ChangeRecorder
    let target: ChangeRecorder

    init(tracks: Int, target number: UInt16) {
        source = ChangeRecorder(tracks: tracks, target: number, side: .source)
        target = ChangeRecorder(tracks: tracks, target: number, side: .target)
    }

    /// The relationship is durable.
    func settle() {
        source.isSettled.store(true, ordering: .releasing)
        target.isSettled.store(true, ordering: .releasing)
    }
}

/// What a background copy may do next, and how fast it has been: both from the number of pending
/// tracks and a clock, in milliseconds.
struct CopyPace {
    /// In microseconds: what a track takes at a high rate is less than a millisecond, and adds up.
    private var due: Int64 = 0
    /// Something did not work, and is not tried again before this moment.
    var retryAt: Int64 = 0
    private var sample: (time: Int64, remaining: Int)?
    /// Tracks a second, of the last seconds.
    private(set) var tracksPerSecond = 0.0

    /// So many bytes were copied under a limit of so many MiB a second.
    mutating func spend(_ bytes: Int, rateMiBps: UInt32, now: Int64) {
        guard rateMiBps > 0 else { return }
        due = max(due, now * 1000) + Int64(bytes) * 1_000_000 / (Int64(rateMiBps) << 20)
    }

    /// Nothing is copied before this moment.
    var notBefore: Int64 { due / 1000 }

    /// So many tracks are left.
    mutating func observe(remaining: Int, now: Int64) {
        guard let last = sample else {
            sample = (now, remaining)
            return
        }
        guard now - last.time >= 500 else { return }
        let rate = Double(max(last.remaining - remaining, 0)) * 1000 / Double(now - last.time)
        tracksPerSecond = tracksPerSecond == 0 ? rate : tracksPerSecond * 0.7 + rate * 0.3
        sample = (now, remaining)
    }

    /// Nothing is being copied.
    mutating func pause() {
        sample = nil
        tracksPerSecond = 0
    }
}
