import TrackBitmap

/// What a thread copies pending tracks with: its lane, and its mark while an operation is under way.
/// Belongs to one thread.
final class CopyWorker {
    let io: any BlockIO
    private let epochs: Epochs
    private let slot: Epochs.Slot
    private let reader: IndexReader
    private let lane: CopyLane

    init(parts: StoreParts) {
        io = parts.makeIO()
        epochs = parts.epochs
        slot = epochs.register()
        reader = IndexReader(catalogue: parts.catalogue, index: parts.index)
        lane = CopyLane(
            parts: parts, io: io, index: reader,
            resolver: Resolver(stamps: parts.stamps, index: reader, io: io, longest: Geometry.track)
        )
    }

    deinit { epochs.unregister(slot) }

    /// One operation: copies the next pending tracks at or after `start`.
    func copySome(of relationship: Relationship, from start: Int) -> CopyLane.Result {
        epochs.enter(slot)
        defer {
            reader.end()
            epochs.leave(slot)
        }
        return lane.copySome(of: relationship, from: start)
    }
}
