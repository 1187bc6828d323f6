import Synchronization
import TrackBitmap

// Points that are there: reading them back, and letting them go.
extension TrackStore {
    /// Reads a point of each volume back: its record from the index as it is on disk, and its first
    /// block through everything that a recovery would go through.
    ///
    /// Errors: `unknownPoint` where one is missing, `damaged` or `inputOutput` where one cannot be
    /// read; `damaged`, too, where one needs a saved block that is known to be damaged: what a target
    /// has not got yet may be.
    public func verify(tag: String, volumes ids: [String]) throws(TrackStoreError) {
        try checkOpen()
        let slot = parts.epochs.register()
        defer { parts.epochs.unregister(slot) }
        let reader = IndexReader(catalogue: catalogue, index: parts.index)
        let resolver = Resolver(
            stamps: parts.stamps, index: reader, io: parts.makeControlIO())
        let memory = AlignedMemory(count: 64 * Geometry.block)
        var rest = try volumes(ids)[...]
        while !rest.isEmpty {
            parts.epochs.enter(slot)
            defer {
                reader.end()
                parts.epochs.leave(slot)
            }
            guard isOpen else { throw TrackStoreError(.closed, "the store is closed") }
            let some = rest.prefix(64)
            rest = rest.dropFirst(64)
            try verify(tag, Array(some), resolver, memory)
        }
        try checkDamage(tag, ids)
    }

    private func checkDamage(_ tag: String, _ ids: [String]) throws(TrackStoreError) {
        try parts.damages.refresh(self.volumes.withLock { $0 })
        for volume in try volumes(ids) {
            guard let point = volume.state.withLock({ $0.point(tag) }),
                let place = parts.damages.place(of: point, volume)
            else { continue }
            throw TrackStoreError(
                .damaged, "point '\(tag)' needs a damaged block: \(place)", place: volume.name)
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
        try parts.control.withLock { (_) throws(TrackStoreError) in
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
                            try StoreParts.deleteRow(of: point, volume, transaction)
                        }
                    }
                }
            } catch {
                for point in dropped.flatMap(\.points) {
                    point.isLive.store(true, ordering: .sequentiallyConsistent)
                }
                throw error
            }
            for (volume, points) in dropped { parts.remove(points, from: volume) }
        }
    }

    /// Makes a volume's settled points with these tags unreadable; all or none.
    private func retire(
        _ tags: Set<String>, of volume: Volume
    ) throws(TrackStoreError) -> [Point] {
        try volume.state.withLock { (state) throws(TrackStoreError) in
            let points = state.points.filter {
                $0.isSafeguarded && tags.contains($0.tag) && $0.live && $0.settled
            }
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
