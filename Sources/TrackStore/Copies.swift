import TrackBitmap

// From what is asked to what an instant begins.
extension TrackStore {
    /// Checks everything that is asked and gives it sequences; changes nothing but these.
    func plan(
        _ actions: [InstantAction], _ time: Int64, _ control: inout ControlState
    ) throws(TrackStoreError) -> InstantPlan {
        var plan = InstantPlan()
        let sequence = control.nextSequence
        for action in actions {
            switch action {
            case .point(let id, let tag):
                try addPoint(try volume(id), tag, sequence, time, to: &plan)
            case .establish, .refresh, .reverse: break
            }
        }
        for action in actions {
            var change: PlannedRelationship
            switch action {
            case .point: continue
            case .establish(let copy): change = try establishing(copy, sequence, time, &plan)
            case .refresh(let refresh): change = try refreshing(refresh, sequence, time, &plan)
            case .reverse(let target, let fast, let number):
                change = try reversing(target, fast: fast, number, sequence, time, &plan)
            }
            try checkAgainst(plan, change)
            change.record.base = sequence + 1
            plan.add(change)
        }
        control.nextSequence = sequence + 2
        plan.pinPoints()
        return plan
    }

    private func addPoint(
        _ volume: Volume, _ tag: String, _ sequence: UInt64, _ time: Int64,
        to plan: inout InstantPlan
    ) throws(TrackStoreError) {
        guard !tag.isEmpty else {
            throw TrackStoreError(.invalidArgument, "a point has a tag", place: volume.name)
        }
        if let known = plan.point(of: volume) {
            guard known.tag == tag else {
                throw TrackStoreError(
                    .invalidArgument, "an instant of a volume has one tag", place: volume.name)
            }
            return
        }
        guard !volume.isDeleted.load(ordering: .acquiring) else {
            throw TrackStoreError(.unknownVolume, "the volume was deleted", place: volume.name)
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
        let point = Point(
            sequence: sequence, tag: tag, time: time, capacity: volume.capacity, settled: false)
        plan.add(point, of: volume)
    }

    /// The volume's point of this instant: a safeguarded one if it gets one, or one for relationships.
    private func point(
        of volume: Volume, _ sequence: UInt64, _ time: Int64, _ plan: inout InstantPlan
    ) -> Point {
        if let point = plan.point(of: volume) { return point }
        let point = Point(
            sequence: sequence, tag: "", time: time, capacity: volume.capacity, settled: false)
        plan.add(point, of: volume)
        return point
    }

    private func establishing(
        _ copy: NewCopy, _ sequence: UInt64, _ time: Int64, _ plan: inout InstantPlan
    ) throws(TrackStoreError) -> PlannedRelationship {
        let source = try volume(copy.source)
        let target = try volume(copy.target)
        let old = replaced(by: copy, from: source, to: target)
        try check(
            obstacles(from: source, capacity: source.capacity, to: target, replacing: old))
        let point = point(of: source, sequence, time, &plan)
        let record = RelationshipRecord(
            source: source.number, flags: copy.terms.flags, sequence: sequence,
            capacity: point.capacity, tag: "", base: 0, rateMiBps: copy.terms.rateMiBps,
            number: copy.number, established: time, refreshed: time)
        return planned(
            old == nil ? .establish : .replace, source, target, point, old, record)
    }

    private func refreshing(
        _ refresh: CopyRefresh, _ sequence: UInt64, _ time: Int64, _ plan: inout InstantPlan
    ) throws(TrackStoreError) -> PlannedRelationship {
        let target = try volume(refresh.target)
        try check(refreshObstacles(of: target, refresh))
        guard let old = target.inbound else { throw Self.noRelationship(target.name) }
        let point = point(of: old.source, sequence, time, &plan)
        let before = old.presentRecord
        var record = before
        record.goOn(at: point, time: time, refresh.number)
        if let terms = refresh.terms { record.take(terms) }
        var held: Point?
        if refresh.repeats(old) {
            held = old.held
            record.held = before.held
        } else if refresh.isRevertible {
            let kept = self.point(of: target, sequence, time, &plan)
            held = kept
            record.held = .init(sequence: kept.sequence, former: before.former)
        }
        var change = planned(.refresh, old.source, target, point, old, record)
        change.held = held
        return change
    }

    private func reversing(
        _ id: String, fast: Bool, _ number: UInt64?, _ sequence: UInt64, _ time: Int64,
        _ plan: inout InstantPlan
    ) throws(TrackStoreError) -> PlannedRelationship {
        let target = try volume(id)
        try check(reverseObstacles(of: target, fast: fast))
        guard let old = target.inbound else { throw Self.noRelationship(id) }
        let isFast = old.tracksRemaining > 0
        let point = point(of: target, sequence, time, &plan)
        var record = old.presentRecord
        record.source = target.number
        record.copying = true
        record.flags.remove(.inhibitsTargetWrites)
        record.goOn(at: point, time: time, number)
        if isFast {
            record.flags.insert(.fastReverse)
            record.flags.subtract([.persistent, .recordsChanges])
        }
        return planned(isFast ? .fastReverse : .reverse, target, old.source, point, old, record)
    }

    private func planned(
        _ kind: PlannedRelationship.Kind, _ source: Volume, _ target: Volume, _ point: Point,
        _ old: Relationship?, _ record: RelationshipRecord
    ) -> PlannedRelationship {
        let tracks = Geometry.tracks(covering: record.capacity)
        return PlannedRelationship(
            kind: kind, source: source, target: target, point: point, old: old, record: record,
            changes: record.flags.contains(.recordsChanges)
                ? RecordedChanges(tracks: tracks, target: target.number) : nil)
    }

    /// What a volume will present from the instant on: by the plan, or as it does now.
    private func source(
        of volume: Volume, _ plan: InstantPlan, but leaving: Relationship?
    ) -> Volume? {
        if let change = plan.change(into: volume) { return change.source }
        guard let inbound = volume.inbound, inbound !== leaving, !inbound.drained,
            !plan.goesOn(inbound)
        else { return nil }
        return inbound.source
    }

    /// What several actions of one instant would do to each other, and to what there is.
    private func checkAgainst(
        _ plan: InstantPlan, _ change: PlannedRelationship
    ) throws(TrackStoreError) {
        guard plan.change(into: change.target) == nil, change.old.map(plan.goesOn) != true else {
            throw TrackStoreError(
                .invalidArgument, "the target is named twice", place: change.target.name)
        }
        var volume = change.source
        var seen: Set<UInt16> = [volume.number]
        while let source = source(of: volume, plan, but: change.old) {
            volume = source
            guard volume !== change.target else {
                throw Self.cycle(change.target.name)
            }
            guard seen.insert(volume.number).inserted else { break }
        }
        guard change.kind == .establish else { return }
        let more = plan.changes(from: change.source).count { $0.kind == .establish }
        guard copier.targets(of: change.source) + more < Self.mostTargets else {
            throw Self.tooManyTargets(change.source.name)
        }
    }
}
