import TrackBitmap

/// A reason why a relationship cannot be established, refreshed or reversed now.
public struct RelationshipObstacle: Sendable, Hashable {
    /// What to branch on.
    public var code: TrackStoreError.Code
    /// One sentence for people.
    public var message: String
    /// The volume that it is about.
    public var volume: String

    var error: TrackStoreError { TrackStoreError(code, message, place: volume) }
}

// Asking beforehand: every reason against at once.
extension TrackStore {
    /// Targets that one source can have, as on a DS8000.
    static let mostTargets = 12

    /// Every reason why a copy cannot be established now; none: it can. Changes nothing.
    ///
    /// Errors: `unknownVolume`, `closed`.
    public func obstacles(
        to copy: NewCopy
    ) throws(TrackStoreError) -> [RelationshipObstacle] {
        try checkOpen()
        let source = try volume(copy.source)
        let target = try volume(copy.target)
        return obstacles(
            from: source, capacity: source.capacity, to: target,
            replacing: replaced(by: copy, from: source, to: target))
    }

    /// Every reason why the relationship into a target cannot be reversed now; none: it can. Changes
    /// nothing.
    ///
    /// Errors: `unknownVolume`, `closed`.
    public func reverseObstacles(
        of target: String, fast: Bool
    ) throws(TrackStoreError) -> [RelationshipObstacle] {
        try checkOpen()
        return reverseObstacles(of: try volume(target), fast: fast)
    }

    func check(_ obstacles: [RelationshipObstacle]) throws(TrackStoreError) {
        if let first = obstacles.first { throw first.error }
    }

    /// The relationship that a copy ends as it begins.
    func replaced(by copy: NewCopy, from source: Volume, to target: Volume) -> Relationship? {
        guard copy.replaces, let inbound = target.inbound, inbound.shown.source === source else {
            return nil
        }
        return inbound
    }

    func obstacles(
        from source: Volume, capacity: UInt64, to target: Volume,
        replacing old: Relationship? = nil
    ) -> [RelationshipObstacle] {
        var found: [RelationshipObstacle] = []
        if source === target || isRead(source, through: target) {
            found.append(Self.obstacle(Self.cycle(target.name)))
        }
        if let old {
            found += underWay(old)
        } else if target.inbound != nil {
            found.append(
                .init(
                    code: .relationshipExists, message: "the target presents a point already",
                    volume: target.name))
        }
        if target.capacity < capacity {
            found.append(
                .init(
                    code: .targetSmaller, message: "the target is smaller than the source",
                    volume: target.name))
        }
        if old == nil, copier.targets(of: source) >= Self.mostTargets {
            found.append(Self.obstacle(Self.tooManyTargets(source.name)))
        }
        return found
    }

    func obstacles(inPlace volume: Volume) -> [RelationshipObstacle] {
        volume.inbound == nil
            ? []
            : [
                .init(
                    code: .relationshipExists, message: "the volume presents a point already",
                    volume: volume.name)
            ]
    }

    func refreshObstacles(
        of target: Volume, _ refresh: CopyRefresh
    ) -> [RelationshipObstacle] {
        guard let inbound = target.inbound else {
            return [Self.obstacle(Self.noRelationship(target.name))]
        }
        var found = common(inbound)
        if refresh.repeats(inbound) { found.removeAll { $0.code == .uncommitted } }
        let records = inbound.shown.recordsChanges && refresh.terms?.recordsChanges ?? true
        if refresh.isRevertible, !records {
            found.append(
                .init(
                    code: .notRevertible, message: "the relationship does not record changes",
                    volume: target.name))
        }
        if target.capacity < inbound.shown.source.capacity {
            found.append(
                .init(
                    code: .targetSmaller, message: "the source has outgrown the target",
                    volume: target.name))
        }
        return found
    }

    func reverseObstacles(of target: Volume, fast: Bool) -> [RelationshipObstacle] {
        guard let inbound = target.inbound else {
            return [Self.obstacle(Self.noRelationship(target.name))]
        }
        var found = common(inbound)
        let source = inbound.shown.source
        if !fast, inbound.tracksRemaining > 0 {
            found.append(
                .init(
                    code: .tracksPending, message: "the target does not hold every track yet",
                    volume: target.name))
        }
        if source.inbound != nil, source !== target {
            found.append(
                .init(
                    code: .relationshipExists, message: "the source is itself a target",
                    volume: source.name))
        }
        if copier.targets(of: target) >= Self.mostTargets {
            found.append(Self.obstacle(Self.tooManyTargets(target.name)))
        }
        if source.capacity < target.capacity {
            found.append(
                .init(
                    code: .targetSmaller, message: "the source is smaller than the target",
                    volume: source.name))
        }
        return found
    }

    /// What keeps a relationship from being refreshed or reversed, either way.
    private func common(_ inbound: Relationship) -> [RelationshipObstacle] {
        var found = underWay(inbound)
        if inbound.source === inbound.target, inbound.successor == nil {
            found.append(
                .init(
                    code: .cycle, message: "the volume is being restored in place",
                    volume: inbound.target.name))
        }
        return found
    }

    /// What keeps a relationship from being withdrawn. Tracks that are on their way back come first, unless
    /// their copy has stopped: then it may be that they never come.
    func withdrawObstacles(of inbound: Relationship) -> [RelationshipObstacle] {
        let found = underWay(inbound)
        guard !inbound.copying, !isFeeding(inbound) else { return found }
        return found.filter { $0.code == .uncommitted }
    }

    /// What a relationship has begun and not ended keeps it from anything else.
    func underWay(_ inbound: Relationship) -> [RelationshipObstacle] {
        var found: [RelationshipObstacle] = []
        if inbound.uncommitted {
            found.append(
                .init(
                    code: .uncommitted,
                    message: "the last refresh is neither committed nor reverted",
                    volume: inbound.target.name))
        }
        if inbound.successor != nil {
            found.append(
                .init(
                    code: .revertUnderWay, message: "the last refresh is being reverted",
                    volume: inbound.target.name))
        }
        if inbound.feeding != nil || isFeeding(inbound) {
            found.append(
                .init(
                    code: .reverseUnderWay, message: "a fast reverse restore is under way",
                    volume: inbound.target.name))
        }
        return found
    }

    /// True where some track of `volume` may come from `goal`.
    private func isRead(_ volume: Volume, through goal: Volume) -> Bool {
        var volume = volume
        // A fast reverse restore reads two volumes through each other, at different points.
        var seen: Set<UInt16> = []
        while let relationship = volume.inbound, !relationship.drained,
            seen.insert(volume.number).inserted
        {
            volume = relationship.source
            if volume === goal { return true }
        }
        return false
    }

    static func obstacle(_ error: TrackStoreError) -> RelationshipObstacle {
        RelationshipObstacle(code: error.code, message: error.message, volume: error.place)
    }

    static func cycle(_ volume: String) -> TrackStoreError {
        TrackStoreError(.cycle, "the target would be read through itself", place: volume)
    }

    static func noRelationship(_ volume: String) -> TrackStoreError {
        TrackStoreError(.noRelationship, "the volume presents no point", place: volume)
    }

    static func tooManyTargets(_ volume: String) -> TrackStoreError {
        TrackStoreError(
            .tooManyTargets, "a source has at most \(mostTargets) targets", place: volume)
    }
}
