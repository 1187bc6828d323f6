import TrackBitmap

// How relationships end, and points that only relationships kept with them. By the holder of the
// control monitor.
extension StoreParts {
    /// The relationship's target holds every track, durably. One that was to end then ends; another
    /// lets go of its point. False where it has ended already.
    func finish(
        _ relationship: Relationship, copier: BackgroundCopier
    ) throws(TrackStoreError) -> Bool {
        guard !relationship.withdrawn, !relationship.drained,
            relationship.pending.memberCount == 0
        else { return false }
        if let successor = relationship.successor {
            try succeed(relationship, by: successor, copier)
            return true
        }
        let feeding = relationship.feeding
        if let feeding, isNeeded(feeding, but: relationship.point) { return false }
        // One that feeds another ends with that one.
        let isFeeding = relationship.source.inbound?.feeding === relationship
        guard relationship.isPersistent || isFeeding, feeding == nil else {
            // What fed the source of a fast reverse restore ends with it: its target is worth nothing.
            let ending = [relationship] + (feeding.map { $0.withdrawn ? [] : [$0] } ?? [])
            try end(ending, completed: relationship)
            copier.remove(ending)
            return true
        }
        let points = idle(without: [relationship])
        if !points.isEmpty {
            try catalogue.write { (transaction) throws(TrackStoreError) in
                try Self.deleteRows(of: points, transaction)
            }
        }
        for (volume, point) in points { retire(point, of: volume) }
        relationship.target.stopPresenting(relationship)
        unpin(relationship)
        return true
    }

    /// Ends relationships, durably. Tracks that a target does not hold are what its file holds.
    /// `completed`: that one of them ends by itself, which is noted of its target.
    func end(
        _ ending: [Relationship], completed: Relationship? = nil
    ) throws(TrackStoreError) {
        let points = idle(without: ending)
        var note = completed?.target.note.withLock { $0 }
        note?.completed = completed?.record.number
        let noted = note
        do throws(TrackStoreError) {
            try recording.replacing(ending.map { ($0.target, $0.pending) }) {
                (transaction) throws(TrackStoreError) in
                Self.mark(ending, withdrawn: true)
                for relationship in ending {
                    try Self.deleteRows(of: relationship.target, transaction)
                }
                try Self.deleteRows(of: points, transaction)
                if let completed, let noted {
                    try transaction.put(
                        .targetNotes, Key.volume(completed.target.number), noted.bytes)
                }
            }
        } catch {
            Self.mark(ending, withdrawn: false)
            throw error
        }
        if let completed, let noted { completed.target.note.withLock { $0 = noted } }
        for relationship in ending { forget(relationship) }
        epochs.quiesce()
        for relationship in ending { unpin(relationship) }
        for (volume, point) in points { retire(point, of: volume) }
    }

    /// To be called inside the transaction that removes their rows: whoever stores bits has done so
    /// before, or finds the mark in a transaction after it.
    static func mark(_ relationships: [Relationship], withdrawn: Bool) {
        for relationship in relationships {
            relationship.isWithdrawn.store(withdrawn, ordering: .sequentiallyConsistent)
        }
    }

    /// Takes a relationship out of memory, but for its hold on its point.
    func forget(_ relationship: Relationship) {
        if relationship.target.inbound === relationship { relationship.target.present(nil) }
        // A revert keeps those of what was to follow it.
        let shown = relationship.shown
        shown.target.state.withLock { $0.replace(shown.changes?.target, by: nil) }
        shown.source.state.withLock { $0.replace(shown.changes?.source, by: nil) }
    }

    /// The relationship reads its point no more: no operation that might is under way.
    func unpin(_ relationship: Relationship) {
        guard !relationship.isDrained.exchange(true, ordering: .acquiringAndReleasing) else {
            return
        }
        relationship.point?.pins.subtract(1, ordering: .acquiringAndReleasing)
        relationship.source.state.withLock { state in
            state.readers.removeAll {
                $0.target == relationship.target.number && $0.point === relationship.point
            }
        }
    }

    /// The points that nobody needs once these relationships have let go of theirs.
    func idle(without leaving: [Relationship]) -> [(volume: Volume, point: Point)] {
        var read: [(volume: Volume, point: Point)] = []
        var holders: [ObjectIdentifier: Int] = [:]
        for relationship in leaving where !relationship.drained {
            guard let point = relationship.point, !point.isSafeguarded else { continue }
            let known = holders[ObjectIdentifier(point), default: 0]
            if known == 0 { read.append((relationship.source, point)) }
            holders[ObjectIdentifier(point)] = known + 1
        }
        return read.filter { _, point in
            point.pins.load(ordering: .acquiring) == holders[ObjectIdentifier(point)]
        }
    }

    /// Tracks that only the relationship's source holds belong to what the target showed at a point of
    /// its own, other than `point`: they must be copied before the relationship ends.
    func isNeeded(_ relationship: Relationship, but point: Point? = nil) -> Bool {
        // A point of which the relationship that is ending is the only reader goes with it.
        let leaving = point.flatMap {
            !$0.isSafeguarded && $0.pins.load(ordering: .acquiring) == 1 ? $0 : nil
        }
        return relationship.pending.memberCount > 0
            && relationship.target.state.withLock { state in
                state.prepared != nil
                    || state.points.contains {
                        $0 !== leaving && $0.sequence > relationship.base
                    }
            }
    }

    /// Its removal is durable.
    func retire(_ point: Point, of volume: Volume) {
        point.isLive.store(false, ordering: .sequentiallyConsistent)
        remove([point], from: volume)
    }

    static func deleteRows(
        of target: Volume, _ transaction: borrowing Catalogue.Transaction
    ) throws(TrackStoreError) {
        let key = Key.volume(target.number)
        try transaction.delete(.relationships, key)
        _ = try transaction.deleteAll(.pending, prefix: key)
        _ = try transaction.deleteAll(.changes, prefix: key)
    }

    static func deleteRows(
        of points: [(volume: Volume, point: Point)],
        _ transaction: borrowing Catalogue.Transaction
    ) throws(TrackStoreError) {
        for (volume, point) in points { try deleteRow(of: point, volume, transaction) }
    }
}
