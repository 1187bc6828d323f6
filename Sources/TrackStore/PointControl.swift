import Synchronization
import TrackBitmap

// Points: one instant for many volumes, its durability, and its end.
//
//     prepare (every store)  →  group.commit()  →  settle (every store)  →  verify
//
// What is prepared lives in memory only. Until `settle` has returned, a crash leaves none of a
// store's points; afterwards it leaves all of them.
extension TrackStore {
    /// Prepares a point named `tag` on volumes of this store, to begin when `group` is committed.
    ///
    /// `time` is kept with the point: milliseconds since 1970. Waits up to 30 s for other instants
    /// on the same volumes to be settled or abandoned; who takes instants over several stores at
    /// once should prepare them in one order. A group is prepared once a store.
    ///
    /// Errors: `unknownVolume`, `pointExists`, `noSafeguardedCapacity`, `instantInProgress`,
    /// `closed`; nothing is prepared then.
    public func prepare(
        _ group: InstantGroup, tag: String, time: Int64, volumes ids: [String]
    ) throws(TrackStoreError) {
        let volumes = try volumes(ids)
        let numbers = volumes.map(\.number)
        let entered: Void? = busy.withLock(
            waitingWhile: { busy in numbers.contains { busy.contains($0) } },
            milliseconds: 30_000, { $0.formUnion(numbers) })
        guard entered != nil else {
            throw TrackStoreError(
                .instantInProgress, "another instant on the same volumes has not ended", place: tag)
        }
        do throws(TrackStoreError) {
            try control.withLock { (control) throws(TrackStoreError) in
                try checkOpen()
                guard !group.isCommitted, control.instants[ObjectIdentifier(group)] == nil else {
                    throw TrackStoreError(
                        .noInstant, "the instant has come, or was prepared here before", place: tag)
                }
                try checkPreparable(volumes, tag)
                let sequence = control.nextSequence
                control.nextSequence += 1
                var points: [(volume: Volume, point: Point)] = []
                points.reserveCapacity(volumes.count)
                for volume in volumes {
                    let point = Point(
                        sequence: sequence, tag: tag, time: time, capacity: volume.capacity,
                        settled: false)
                    volume.state.withLock { $0.prepared = (point, group) }
                    points.append((volume, point))
                }
                control.instants[ObjectIdentifier(group)] = .init(group: group, points: points)
            }
        } catch {
            leave(numbers)
            throw error
        }
    }

    private func checkPreparable(_ volumes: [Volume], _ tag: String) throws(TrackStoreError) {
        for volume in volumes {
            guard !volume.isDeleted.load(ordering: .acquiring) else {
                throw TrackStoreError(
                    .unknownVolume, "the volume was deleted", place: volume.name)
            }
            guard volume.multiplier > 0 else {
                throw TrackStoreError(
                    .noSafeguardedCapacity, "the volume has no safeguarded capacity",
                    place: volume.name)
            }
            let exists = volume.state.withLock { state in state.points.contains { $0.tag == tag } }
            guard !exists else {
                throw TrackStoreError(
                    .pointExists, "the volume has a point '\(tag)' already", place: volume.name)
            }
        }
    }

    private func leave(_ numbers: [UInt16]) {
        busy.withLock { $0.subtract(numbers) }
        busy.notifyAll()
    }

    /// Takes back what was prepared for an instant that is not going to come, or that came but
    /// shall not be kept. Does nothing where nothing is prepared.
    public func abandon(_ group: InstantGroup) {
        control.withLock { control in
            guard let instant = control.instants.removeValue(forKey: ObjectIdentifier(group))
            else { return }
            discard(instant)
        }
    }

    private func discard(_ instant: ControlState.Instant) {
        for (volume, point) in instant.points {
            point.isLive.store(false, ordering: .sequentiallyConsistent)
            volume.state.withLock { state in
                if state.prepared?.point === point { state.prepared = nil }
            }
            remove([point], from: volume)
        }
        leave(instant.points.map(\.volume.number))
    }

    /// Makes the points of a committed group durable on this store: waits for host operations from
    /// before the instant, syncs what they wrote, and commits all points at once.
    ///
    /// Errors: `noInstant`, `noSpace`, `inputOutput`; none of this store's points of the group
    /// exists then.
    public func settle(_ group: InstantGroup) throws(TrackStoreError) {
        try control.withLock { (control) throws(TrackStoreError) in
            try checkOpen()
            guard group.isCommitted,
                let instant = control.instants.removeValue(forKey: ObjectIdentifier(group))
            else {
                throw TrackStoreError(
                    .noInstant, "the instant has not come, or was not prepared here",
                    place: directory)
            }
            for (volume, _) in instant.points { volume.state.withLock { $0.materialise() } }
            epochs.quiesce()
            do throws(TrackStoreError) {
                try makeDurable(instant.points.map(\.volume), through: PlainIO())
                try store(instant, nextSequence: control.nextSequence)
            } catch {
                discard(instant)
                throw error
            }
            for (_, point) in instant.points { point.isSettled.store(true, ordering: .releasing) }
            leave(instant.points.map(\.volume.number))
        }
    }

    private func store(
        _ instant: ControlState.Instant, nextSequence: UInt64
    ) throws(TrackStoreError) {
        try catalogue.write { (transaction) throws(TrackStoreError) in
            try transaction.put(.meta, Key.nextSequence, NumberRecord(nextSequence).bytes)
            // A point may have rolled off between its instant and now.
            for (volume, point) in instant.points where point.live {
                let record = PointRecord(
                    time: point.time, capacity: point.capacity, tag: point.tag)
                try transaction.put(
                    .points, Key.point(volume.number, point.sequence), record.bytes)
            }
        }
    }

    /// Reads a point of each volume back: its record from the index as it is on disk, and its first
    /// block through everything that a recovery would go through.
    ///
    /// Errors: `unknownPoint` where one is missing, `damaged` or `inputOutput` where one cannot be
    /// read.
    public func verify(tag: String, volumes ids: [String]) throws(TrackStoreError) {
        try checkOpen()
        let slot = epochs.register()
        defer { epochs.unregister(slot) }
        let reader = IndexReader(catalogue: catalogue, index: index)
        let resolver = Resolver(stamps: stamps, index: reader, io: PlainIO())
        let memory = AlignedMemory(count: 64 * Geometry.block)
        var rest = try volumes(ids)[...]
        while !rest.isEmpty {
            epochs.enter(slot)
            defer {
                reader.end()
                epochs.leave(slot)
            }
            guard isOpen else { throw TrackStoreError(.closed, "the store is closed") }
            let some = rest.prefix(64)
            rest = rest.dropFirst(64)
            try verify(tag, Array(some), resolver, memory)
        }
    }

    private func verify(
        _ tag: String, _ volumes: [Volume], _ resolver: Resolver, _ memory: AlignedMemory
    ) throws(TrackStoreError) {
        var wants: [Want] = []
        let unknown = { (volume: Volume) in
            TrackStoreError(.unknownPoint, "the volume has no point '\(tag)'", place: volume.name)
        }
        try catalogue.read { (transaction) throws(TrackStoreError) in
            for volume in volumes {
                guard let point = volume.state.withLock({ $0.point(tag) }),
                    let row = try transaction.get(
                        .points, Key.point(volume.number, point.sequence))
                else { throw unknown(volume) }
                let expected = PointRecord(
                    time: point.time, capacity: point.capacity, tag: point.tag)
                guard row == expected.bytes else {
                    throw TrackStoreError(
                        .damaged, "the record of point '\(tag)' differs", place: volume.name)
                }
                wants.append(
                    Want(
                        volume, at: point, track: 0, mask: 1,
                        into: memory.start + wants.count * Geometry.block, layout: 1))
            }
        }
        resolver.read(&wants)
        for want in wants {
            guard let failure = want.failure else { continue }
            if failure == .gone { throw unknown(want.view.volume) }
            throw TrackStoreError(
                .inputOutput, "point '\(tag)' cannot be read", place: want.view.volume.name)
        }
    }

    /// Lets points go: those with one of `tags` on the volumes, or on all volumes where none are
    /// named. Points that are not there are gone already. Their space is given back behind the
    /// caller's back.
    ///
    /// Errors: `pointInUse` where a relationship still reads one of them, `unknownVolume`; nothing
    /// is dropped then.
    public func dropPoints(
        tags: [String], volumes ids: [String]? = nil
    ) throws(TrackStoreError) {
        try control.withLock { (_) throws(TrackStoreError) in
            try checkOpen()
            let wanted = Set(tags)
            var dropped: [(volume: Volume, points: [Point])] = []
            do throws(TrackStoreError) {
                for volume in try ids.map(volumes) ?? sortedVolumes() {
                    let points = try retire(wanted, of: volume)
                    if !points.isEmpty { dropped.append((volume, points)) }
                }
                guard !dropped.isEmpty else { return }
                let rows = dropped
                try catalogue.write { (transaction) throws(TrackStoreError) in
                    for (volume, points) in rows {
                        for point in points {
                            try transaction.delete(
                                .points, Key.point(volume.number, point.sequence))
                        }
                    }
                }
            } catch {
                for point in dropped.flatMap(\.points) {
                    point.isLive.store(true, ordering: .sequentiallyConsistent)
                }
                throw error
            }
            for (volume, points) in dropped { remove(points, from: volume) }
        }
    }

    /// Makes a volume's settled points with these tags unreadable; all or none.
    private func retire(
        _ tags: Set<String>, of volume: Volume
    ) throws(TrackStoreError) -> [Point] {
        try volume.state.withLock { (state) throws(TrackStoreError) in
            let points = state.points.filter { tags.contains($0.tag) && $0.live && $0.settled }
            if let used = points.first(where: \.isPinned) {
                throw TrackStoreError(
                    .pointInUse, "a relationship still reads point '\(used.tag)'",
                    place: volume.name)
            }
            for point in points { point.isLive.store(false, ordering: .sequentiallyConsistent) }
            return points
        }
    }
}
