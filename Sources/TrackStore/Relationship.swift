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
    /// A background copy is wanted.
    let isCopying: Atomic<Bool>
    /// The target holds every track, durably.
    let isDrained = Atomic<Bool>(false)
    let isWithdrawn = Atomic<Bool>(false)
    /// One at a time makes bits durable, so that an older copy of a page never overwrites a newer
    /// one.
    let persisting = Monitor<Void>(())

    init(source: Volume, target: Volume, point: Point?, record: RelationshipRecord) {
        self.source = source
        self.target = target
        self.point = point
        self.record = record
        pending = TrackBitmap(count: Geometry.tracks(covering: record.capacity), full: true)
        isCopying = Atomic(record.copying)
    }

    var drained: Bool { isDrained.load(ordering: .acquiring) }
    var copying: Bool { isCopying.load(ordering: .acquiring) }
    var withdrawn: Bool { isWithdrawn.load(ordering: .acquiring) }

    /// Tracks that only the source holds, as far as is durable: 0 only once the relationship is
    /// drained.
    var tracksRemaining: Int { drained ? 0 : max(pending.memberCount, 1) }
}
