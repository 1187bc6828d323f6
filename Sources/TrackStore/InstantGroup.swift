import Synchronization

/// One instant for many volumes, on one store or on several.
///
/// Points are prepared on every volume first; `commit` then makes all of them begin at once, by one
/// store to memory. A host's write looks at that memory when it decides what must be saved, so it
/// falls on one side of the instant for good. A write that begins after another was acknowledged
/// cannot fall on the earlier side alone: it looks later, and what one thread saw set stays set for
/// the next. No writer is stopped, and the instant takes as long for ten thousand volumes as for
/// one.
public final class InstantGroup: Sendable {
    private let committed = Atomic<Bool>(false)

    /// An instant that has not come yet.
    public init() {}

    /// Lets the instant come. Call it once, after `prepare` on every store, then `settle` each of
    /// them.
    public func commit() { committed.store(true, ordering: .sequentiallyConsistent) }

    /// True once the instant has come.
    public var isCommitted: Bool { committed.load(ordering: .sequentiallyConsistent) }
}
