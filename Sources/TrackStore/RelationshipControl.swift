import Synchronization
import TrackBitmap

/// A recovery to be made: a target that shall present a point of a source.
public struct NewRelationship: Sendable, Hashable {
    /// The volume that has the point.
    public var source: String
    /// The point.
    public var tag: String
    /// The volume that shall present it.
    public var target: String

    /// Describes a recovery to be made.
    public init(source: String, tag: String, target: String) {
        self.source = source
        self.tag = tag
        self.target = target
    }
}

extension TrackStore {
    /// Makes targets present points, all or none, in a time that does not depend on their sizes.
    /// What the targets held before is lost, but for whole tracks behind the point's end. A target
    /// that presents the same point of the same source does so already.
    ///
    /// Errors: `unknownVolume`, `unknownPoint`, `targetSmaller`, `targetHasPoints`,
    /// `relationshipExists`, `cycle`, `invalidArgument` where a target is named twice.
    public func establish(
        _ wanted: [NewRelationship], backgroundCopy: Bool
    ) throws(TrackStoreError) {
        try control.withLock { (_) throws(TrackStoreError) in
            try checkOpen()
            var fresh: [Relationship] = []
            var pinned: [Point] = []
            do throws(TrackStoreError) {
                for new in wanted {
                    guard let relationship = try relationshipToMake(new, copying: backgroundCopy)
                    else { continue }
                    guard !fresh.contains(where: { $0.target === relationship.target }) else {
                        throw TrackStoreError(
                            .invalidArgument, "the target is named twice", place: new.target)
                    }
                    if let point = relationship.point {
                        try pin(point, of: relationship.source)
                        pinned.append(point)
                    }
                    fresh.append(relationship)
                }
                try store(fresh)
            } catch {
                for point in pinned { point.pins.subtract(1, ordering: .acquiringAndReleasing) }
                throw error
            }
            for relationship in fresh {
                copier.add(relationship)
                relationship.target.inbound = relationship
            }
            epochs.quiesce()
            copier.wake()
        }
    }

    /// Nil where there is such a relationship.
    private func relationshipToMake(
        _ new: NewRelationship, copying: Bool
    ) throws(TrackStoreError) -> Relationship? {
        let source = try volume(new.source)
        let target = try volume(new.target)
        if let inbound = target.inbound {
            guard inbound.source === source, inbound.record.tag == new.tag else {
                throw TrackStoreError(
                    .relationshipExists, "the target presents another point", place: new.target)
            }
            return nil
        }
        guard let point = source.state.withLock({ $0.point(new.tag) }), point.settled else {
            throw TrackStoreError(
                .unknownPoint, "the volume has no point '\(new.tag)'", place: new.source)
        }
        guard source !== target, !isRead(source, through: target) else {
            throw TrackStoreError(
                .cycle, "the target would be read through itself", place: new.target)
        }
        guard target.state.withLock({ $0.points.isEmpty && $0.prepared == nil }) else {
            throw TrackStoreError(
                .targetHasPoints, "the target has points of its own", place: new.target)
        }
        guard target.capacity >= point.capacity else {
            throw TrackStoreError(
                .targetSmaller, "the target is smaller than the point", place: new.target)
        }
        let record = RelationshipRecord(
            source: source.number, copying: copying, sequence: point.sequence,
            capacity: point.capacity, tag: point.tag)
        return Relationship(source: source, target: target, point: point, record: record)
    }

    /// True where some track of `volume` may come from `goal`.
    private func isRead(_ volume: Volume, through goal: Volume) -> Bool {
        var volume = volume
        while let relationship = volume.inbound, !relationship.drained {
            volume = relationship.source
            if volume === goal { return true }
        }
        return false
    }

    private func pin(_ point: Point, of source: Volume) throws(TrackStoreError) {
        try source.state.withLock { (_) throws(TrackStoreError) in
            guard point.live else {
                throw TrackStoreError(
                    .unknownPoint, "the point has just rolled off", place: source.name)
            }
            point.pins.add(1, ordering: .acquiringAndReleasing)
        }
    }

    private func store(_ relationships: [Relationship]) throws(TrackStoreError) {
        guard !relationships.isEmpty else { return }
        try catalogue.write { (transaction) throws(TrackStoreError) in
            for relationship in relationships {
                let key = Key.volume(relationship.target.number)
                _ = try transaction.deleteAll(.pending, prefix: key)
                try transaction.put(.relationships, key, relationship.record.bytes)
            }
        }
    }

    /// Starts the background copy of relationships, by target. It goes on after a restart.
    ///
    /// Errors: `unknownVolume`, `noRelationship`, `inputOutput`.
    public func startBackgroundCopy(_ targets: [String]) throws(TrackStoreError) {
        try control.withLock { (_) throws(TrackStoreError) in
            try checkOpen()
            let relationships = try inbound(targets)
            try catalogue.write { (transaction) throws(TrackStoreError) in
                for relationship in relationships {
                    var record = relationship.record
                    record.copying = true
                    try transaction.put(
                        .relationships, Key.volume(relationship.target.number), record.bytes)
                }
            }
            for relationship in relationships {
                relationship.isCopying.store(true, ordering: .releasing)
            }
            copier.wake()
        }
    }

    private func inbound(_ targets: [String]) throws(TrackStoreError) -> [Relationship] {
        var found: [Relationship] = []
        for target in try volumes(targets) {
            guard let relationship = target.inbound else {
                throw TrackStoreError(
                    .noRelationship, "the volume presents no point", place: target.name)
            }
            found.append(relationship)
        }
        return found
    }

    /// Ends relationships, by target, all or none. Tracks that a target does not hold yet become
    /// whatever its file held before the relationship. A volume that presents nothing is done
    /// already.
    ///
    /// Errors: `unknownVolume`; `tracksPending` where the target's own points need tracks that only
    /// the source holds; `inputOutput`.
    public func withdraw(_ targets: [String]) throws(TrackStoreError) {
        try control.withLock { (_) throws(TrackStoreError) in
            try checkOpen()
            try end(try volumes(targets).compactMap(\.inbound))
        }
    }

    /// Ends these relationships, as `withdraw` by target does, and no others: a target that presents
    /// another point by now is left alone.
    ///
    /// Errors: as `withdraw` by target.
    public func withdraw(_ relationships: [NewRelationship]) throws(TrackStoreError) {
        try control.withLock { (_) throws(TrackStoreError) in
            try checkOpen()
            var leaving: [Relationship] = []
            for ending in relationships {
                if let inbound = try volume(ending.target).inbound,
                    inbound.source.name == ending.source, inbound.record.tag == ending.tag
                {
                    leaving.append(inbound)
                }
            }
            try end(leaving)
        }
    }

    private func end(_ leaving: [Relationship]) throws(TrackStoreError) {
        for relationship in leaving where !relationship.drained {
            let hasPoints = relationship.target.state.withLock {
                !$0.points.isEmpty || $0.prepared != nil
            }
            guard !hasPoints || relationship.pending.memberCount == 0 else {
                throw TrackStoreError(
                    .tracksPending, "the target's points need tracks not copied yet",
                    place: relationship.target.name)
            }
            try relationship.persist(in: catalogue, through: PlainIO())
        }
        for relationship in leaving {
            relationship.isWithdrawn.store(true, ordering: .sequentiallyConsistent)
        }
        do throws(TrackStoreError) {
            try catalogue.write { (transaction) throws(TrackStoreError) in
                for relationship in leaving {
                    let key = Key.volume(relationship.target.number)
                    try transaction.delete(.relationships, key)
                    _ = try transaction.deleteAll(.pending, prefix: key)
                }
            }
        } catch {
            for relationship in leaving {
                relationship.isWithdrawn.store(false, ordering: .sequentiallyConsistent)
            }
            throw error
        }
        for relationship in leaving {
            copier.remove(relationship)
            relationship.target.inbound = nil
        }
        epochs.quiesce()
        for relationship in leaving { copier.unpin(relationship) }
    }
}
