import Synchronization
import TrackBitmap

/// How much old content a volume may keep, and what happens when that is exceeded.
///
/// What is counted is the log's live blocks: saved blocks and batch headers that some point may
/// still need. When a save would exceed the safeguarded capacity, the volume's oldest points roll
/// off until it does not, or none is left; a point that a relationship still reads stays, and with
/// it what it needs: capacity is exceeded then rather than a recovery spoiled.
extension StoreParts {
    /// Makes room for so many more blocks. True where points have gone, so that what must be saved
    /// may have changed. By a host's thread, which has the tracks it writes.
    func makeRoom(on volume: Volume, blocks: Int) throws(TrackStoreError) -> Bool {
        guard exceeds(volume, blocks) else { return false }
        // Whatever is wanted at once, points do not roll off before somebody has been told that it is full.
        volume.noteUsage(and: blocks, tell)
        var tags: [String] = []
        defer {
            if !tags.isEmpty {
                tell(.pointsRolledOff(volume: volume.name, tags: tags))
                noteUsage(of: volume)
            }
        }
        try volume.rollingOff.withLock { (_: inout Void) throws(TrackStoreError) in
            while exceeds(volume, blocks), let point = oldestUnpinned(of: volume) {
                do throws(TrackStoreError) {
                    try catalogue.write { (transaction) throws(TrackStoreError) in
                        try Self.deleteRow(of: point, volume, transaction)
                    }
                } catch {
                    point.isLive.store(true, ordering: .sequentiallyConsistent)
                    throw error
                }
                remove([point], from: volume)
                tags.append(point.tag)
            }
        }
        return true
    }

    private func exceeds(_ volume: Volume, _ blocks: Int) -> Bool {
        guard let used = usage(of: volume) else { return false }
        return used + UInt64(blocks * Geometry.block) > volume.safeguardedCapacity
    }

    /// Bytes of safeguarded capacity in use: what is saved at or after the oldest safeguarded point.
    /// Nil without one: what relationships need takes no safeguarded capacity.
    func usage(of volume: Volume) -> UInt64? { volume.usage }

    /// The point that goes next, no longer readable; nil where it may not go or there is none.
    private func oldestUnpinned(of volume: Volume) -> Point? {
        volume.state.withLock { state in
            state.materialise()
            guard let oldest = state.points.first(where: \.isSafeguarded), !oldest.isPinned else {
                return nil
            }
            oldest.isLive.store(false, ordering: .sequentiallyConsistent)
            return oldest
        }
    }

    /// Takes points whose removal is durable out of memory; nothing is saved for them from now on,
    /// and what only they needed is given back.
    func remove(_ points: [Point], from volume: Volume) {
        let oldest = volume.state.withLock { state in
            state.points.removeAll { point in points.contains { $0 === point } }
            return state.oldestNeeded
        }
        reclaimer.add(volume, volume.log.release(before: oldest))
        if points.contains(where: { $0.sequence > oldest }) { reclaimer.sweep(volume) }
        noteUsage(of: volume)
    }

    /// Removes a point's row. Where an older point stays, what only this one needed lies between what is
    /// needed still, and a sweep is owed.
    static func deleteRow(
        of point: Point, _ volume: Volume, _ transaction: borrowing Catalogue.Transaction
    ) throws(TrackStoreError) {
        try transaction.delete(.points, Key.point(volume.number, point.sequence))
        let hasOlder = volume.state.withLock { state in
            state.points.contains { $0.live && $0.sequence < point.sequence }
        }
        guard hasOlder else { return }
        try transaction.put(
            .sweeps, Key.volume(volume.number), NumberRecord(point.sequence).bytes)
    }

    /// Tells when a volume's use of its safeguarded capacity passes a level.
    func noteUsage(of volume: Volume) { volume.noteUsage(tell) }
}

extension Volume {
    fileprivate var usage: UInt64? {
        let (first, safeguarded) = state.withLock { state in
            state.materialise()
            return (state.points.first, state.points.first(where: \.isSafeguarded))
        }
        guard let safeguarded else { return nil }
        let blocks =
            first === safeguarded ? log.liveBlocks : log.liveBlocks(from: safeguarded.sequence)
        return UInt64(blocks) * UInt64(Geometry.block)
    }

    /// Tells when the use of the safeguarded capacity passes a level, with so many more blocks as are wanted.
    func noteUsage(and wanted: Int = 0, _ tell: (TrackStoreFact) -> Void) {
        let capacity = safeguardedCapacity
        guard capacity > 0 else { return }
        let used = min((usage ?? 0) + UInt64(wanted * Geometry.block), max(usage ?? 0, capacity))
        let reached = CapacityLevel(used: used, of: capacity)
        let before = level.exchange(reached.rawValue, ordering: .acquiringAndReleasing)
        guard before != reached.rawValue else { return }
        tell(
            .capacity(
                volume: name, usedPercent: CapacityLevel.percent(used: used, of: capacity),
                level: reached))
    }
}

extension TrackStore {
    /// Waits until the space of everything dropped so far has been given back; for tests.
    package func drainReclaimer() { parts.reclaimer.drain() }

    /// What the process before owed.
    func resumeSweeps() throws(TrackStoreError) {
        let owed = try catalogue.read { (transaction) throws(TrackStoreError) in
            var owed: [UInt16] = []
            try transaction.scan(.sweeps, prefix: []) { (key, _) throws(TrackStoreError) in
                var reader = KeyReader(key)
                owed.append(reader.take(UInt16.self))
                return true
            }
            return owed
        }
        for number in owed {
            if let volume = volumes.withLock({ $0[number] }) { parts.reclaimer.sweep(volume) }
        }
    }
}
