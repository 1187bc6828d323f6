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
                        try transaction.delete(.points, Key.point(volume.number, point.sequence))
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
    func usage(of volume: Volume) -> UInt64? {
        let (first, safeguarded) = volume.state.withLock { state in
            state.materialise()
            return (state.points.first, state.points.first(where: \.isSafeguarded))
        }
        guard let safeguarded else { return nil }
        let blocks =
            first === safeguarded
            ? volume.log.liveBlocks : volume.log.liveBlocks(from: safeguarded.sequence)
        return UInt64(blocks) * UInt64(Geometry.block)
    }

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
        noteUsage(of: volume)
    }

    /// Tells when a volume's use of its safeguarded capacity passes a level.
    func noteUsage(of volume: Volume) {
        let capacity = volume.safeguardedCapacity
        guard capacity > 0 else { return }
        let used = usage(of: volume) ?? 0
        let level = CapacityLevel(used: used, of: capacity)
        let before = volume.level.exchange(level.rawValue, ordering: .acquiringAndReleasing)
        guard before != level.rawValue else { return }
        tell(
            .capacity(
                volume: volume.name,
                usedPercent: CapacityLevel.percent(used: used, of: capacity), level: level))
    }
}

extension TrackStore {
    /// Waits until the space of everything dropped so far has been given back; for tests.
    package func drainReclaimer() { parts.reclaimer.drain() }
}
