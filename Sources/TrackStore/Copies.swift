import Synchronization
import TrackBitmap

/// A copy to be established: a target that shall present its source as it is at an instant.
public struct NewCopy: Sendable, Hashable {
    /// The volume to be copied.
    public var source: String
    /// The volume that shall present it.
    public var target: String
    /// Tracks are copied by themselves; otherwise only when they are written to.
    public var backgroundCopy = true
    /// The relationship stays when every track has been copied.
    public var isPersistent = false
    /// Changes on both sides are recorded, so that a refresh copies only these.
    public var recordsChanges = false
    /// Hosts may not write to the target while the relationship lasts.
    public var inhibitsTargetWrites = false
    /// Limits the background copy: MiB a second, 0 = no limit.
    public var rateMiBps: UInt32 = 0
    /// A number that is kept with the relationship.
    public var number: UInt64 = 0

    /// Describes a copy to be established, with background copy and nothing else.
    public init(source: String, target: String) {
        self.source = source
        self.target = target
    }

    fileprivate var flags: RelationshipRecord.Flags {
        var flags: RelationshipRecord.Flags = []
        if backgroundCopy { flags.insert(.copying) }
        if isPersistent || recordsChanges { flags.insert(.persistent) }
        if recordsChanges { flags.insert(.recordsChanges) }
        if inhibitsTargetWrites { flags.insert(.inhibitsTargetWrites) }
        return flags
    }
}

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
            case .refresh(let target, let revertible, let number):
                change = try refreshing(target, revertible, number, sequence, time, &plan)
            case .reverse(let target, let fast):
                change = try reversing(target, fast: fast, sequence, time, &plan)
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
        try check(obstacles(from: source, capacity: source.capacity, to: target))
        let point = point(of: source, sequence, time, &plan)
        let record = RelationshipRecord(
            source: source.number, flags: copy.flags, sequence: sequence,
            capacity: point.capacity, tag: point.tag, base: 0, rateMiBps: copy.rateMiBps,
            number: copy.number, established: time, refreshed: time)
        return planned(.establish, source, target, point, nil, record)
    }

    private func refreshing(
        _ id: String, _ revertible: Bool, _ number: UInt64?, _ sequence: UInt64, _ time: Int64,
        _ plan: inout InstantPlan
    ) throws(TrackStoreError) -> PlannedRelationship {
        let target = try volume(id)
        try check(refreshObstacles(of: target, revertible: revertible))
        guard let old = target.inbound else { throw Self.noRelationship(id) }
        let point = point(of: old.source, sequence, time, &plan)
        let held = revertible ? self.point(of: target, sequence, time, &plan) : nil
        var record = old.presentRecord
        record.goOn(at: point, time: time)
        record.held = held.map { .init(sequence: $0.sequence, former: old.record.former) }
        if let number { record.number = number }
        var change = planned(.refresh, old.source, target, point, old, record)
        change.held = held
        return change
    }

    private func reversing(
        _ id: String, fast: Bool, _ sequence: UInt64, _ time: Int64, _ plan: inout InstantPlan
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
        record.goOn(at: point, time: time)
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

    /// What several actions of one instant would do to each other.
    private func checkAgainst(
        _ plan: InstantPlan, _ change: PlannedRelationship
    ) throws(TrackStoreError) {
        guard plan.change(into: change.target) == nil, change.old.map(plan.goesOn) != true else {
            throw TrackStoreError(
                .invalidArgument, "the target is named twice", place: change.target.name)
        }
        var volume = change.source
        while let other = plan.change(into: volume) {
            volume = other.source
            guard volume !== change.target else {
                throw Self.cycle(change.target.name)
            }
        }
        guard change.kind == .establish else { return }
        let more = plan.changes(from: change.source).count { $0.kind == .establish }
        guard copier.targets(of: change.source) + more < Self.mostTargets else {
            throw Self.tooManyTargets(change.source.name)
        }
    }
}
