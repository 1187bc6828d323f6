import Synchronization

/// An instant of one volume that something still needs.
final class Point: Sendable {
    /// Orders the points of a store; never used again, so that an entry saved for a point that is
    /// gone can never be taken for another's.
    let sequence: UInt64
    /// The name of a safeguarded point; empty for one that only relationships keep.
    let tag: String
    /// Milliseconds since 1970, as the caller gave them.
    let time: Int64
    /// The volume's size then.
    let capacity: UInt64

    /// False from the moment the point may no longer be read. Readers look at it after they have
    /// read: writers go on saving for the point until its removal is durable, so what was read
    /// while it was still live is right.
    let isLive = Atomic<Bool>(true)
    /// True once the point is durable: only then can it be opened, or presented by a target.
    let isSettled: Atomic<Bool>
    /// Relationships that may still read it. Changed under the volume's monitor, together with the
    /// decision to let the point go.
    let pins = Atomic<Int>(0)

    init(sequence: UInt64, tag: String, time: Int64, capacity: UInt64, settled: Bool) {
        self.sequence = sequence
        self.tag = tag
        self.time = time
        self.capacity = capacity
        isSettled = Atomic(settled)
    }

    /// It is kept until somebody drops it or it rolls off; any other goes with the last relationship
    /// that may read it.
    var isSafeguarded: Bool { !tag.isEmpty }
    /// It can be recovered, or opened, under its tag.
    var isRecoverable: Bool { isSafeguarded && live && settled }
    var live: Bool { isLive.load(ordering: .sequentiallyConsistent) }
    var settled: Bool { isSettled.load(ordering: .acquiring) }
    var isPinned: Bool { pins.load(ordering: .acquiring) > 0 }
}
