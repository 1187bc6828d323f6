import Synchronization
import TrackBitmap

/// A recovery to be made: a target that shall present a point of a source.
public struct NewRelationship: Sendable, Hashable {
    /// The volume that has the point.
    public var source: String
    /// The point.
    public var tag: String
    /// The volume that shall present it: another one, or the source itself, to be restored in place.
    public var target: String

    /// Describes a recovery to be made.
    public init(source: String, tag: String, target: String) {
        self.source = source
        self.tag = tag
        self.target = target
    }
}

extension TrackStore {
    /// Makes targets present safeguarded points, all or none, in a time that does not depend on their
    /// sizes. What the targets held before is lost, but for what their own points need, and for whole
    /// tracks behind the point's end. A target that presents the same point of the same source does so
    /// already.
    ///
    /// Errors: `unknownVolume`, `unknownPoint`, `invalidArgument` where a target is named twice,
    /// `instantInProgress`, and those of `RelationshipObstacle`.
    public func establish(
        _ wanted: [NewRelationship], backgroundCopy: Bool
    ) throws(TrackStoreError) {
        let numbers = try enter { () throws(TrackStoreError) in
            var numbers: Set<UInt16> = []
            for new in wanted {
                numbers.insert(try volume(new.source).number)
                numbers.insert(try volume(new.target).number)
            }
            return numbers.sorted()
        }
        defer { leave(numbers) }
        try takeOutOfJournal(try volumes(wanted.map(\.target)))
        try parts.control.withLock { (control) throws(TrackStoreError) in
            try checkOpen()
            let base = control.nextSequence
            var fresh: [Relationship] = []
            var pairs = PlannedPairs()
            var pinned: [Point] = []
            var turn = Turn()
            do throws(TrackStoreError) {
                for new in wanted {
                    guard let made = try recovery(new, base, copying: backgroundCopy) else {
                        continue
                    }
                    try check(made, against: pairs)
                    pairs.add(made)
                    if let point = made.point {
                        try pin(point, of: made.source)
                        pinned.append(point)
                    }
                    fresh.append(made)
                }
                guard !fresh.isEmpty else { return }
                turn = Turn(made: fresh, notes: Self.notes(of: fresh))
                try store(turn, nextSequence: base + 1)
            } catch {
                for point in pinned { point.pins.subtract(1, ordering: .acquiringAndReleasing) }
                throw error
            }
            control.nextSequence = base + 1
            enter(turn)
        }
    }

    /// What recoveries of one call would do to each other, and to what there is.
    private func check(
        _ made: Relationship, against pairs: PlannedPairs
    ) throws(TrackStoreError) {
        guard pairs.sources[made.target.number] == nil else {
            throw TrackStoreError(
                .invalidArgument, "the target is named twice", place: made.target.name)
        }
        guard made.source !== made.target else { return }
        let more = pairs.targets[made.source.number, default: 0]
        guard copier.targets(of: made.source) + more < Self.mostTargets else {
            throw Self.tooManyTargets(made.source.name)
        }
        var volume = made.source
        var seen: Set<UInt16> = [volume.number]
        while let next = pairs.sources[volume.number]
            ?? volume.inbound.flatMap({ $0.drained ? nil : $0.source }),
            seen.insert(next.number).inserted
        {
            volume = next
            guard volume !== made.target else { throw Self.cycle(made.target.name) }
        }
    }

    /// What is noted of targets: the relationship that they were whole copies by is not the last any
    /// more.
    private static func notes(
        of fresh: [Relationship]
    ) -> [(volume: Volume, note: TargetNote)] {
        fresh.compactMap { made in
            var note = made.target.note.withLock { $0 }
            guard note.completed != nil else { return nil }
            note.completed = nil
            return (made.target, note)
        }
    }

    /// Nil where there is such a relationship.
    private func recovery(
        _ new: NewRelationship, _ base: UInt64, copying: Bool
    ) throws(TrackStoreError) -> Relationship? {
        let source = try volume(new.source)
        let target = try volume(new.target)
        let found = source.state.withLock { $0.point(new.tag) }
        if let inbound = target.inbound, inbound.successor == nil, inbound.source === source,
            inbound.record.tag == new.tag,
            found.map({ $0.sequence == inbound.record.sequence }) ?? true
        {
            return nil
        }
        guard let point = found, point.settled else {
            throw TrackStoreError(
                .unknownPoint, "the volume has no point '\(new.tag)'", place: new.source)
        }
        let isInPlace = source === target
        try check(
            isInPlace
                ? obstacles(inPlace: target)
                : obstacles(from: source, capacity: point.capacity, to: target))
        var flags: RelationshipRecord.Flags = [.persistent]
        if copying { flags.insert(.copying) }
        if isInPlace { flags.insert(.beganInPart) }
        let record = RelationshipRecord(
            source: source.number, flags: flags, sequence: point.sequence,
            capacity: point.capacity, tag: point.tag, base: base, established: point.time)
        let made = Relationship(source: source, target: target, point: point, record: record)
        if isInPlace {
            for track in try changedTracks(of: source, since: point) { made.pending.insert(track) }
            made.stored.formUnion(made.pending)
        }
        return made
    }

    /// The tracks of a volume that have been overwritten since a safeguarded point, as far as the point
    /// reaches.
    private func changedTracks(
        of volume: Volume, since point: Point
    ) throws(TrackStoreError) -> Set<Int> {
        let reader = IndexReader(catalogue: parts.catalogue, index: parts.index)
        defer { reader.end() }
        return try reader.tracks(of: volume, from: point.sequence)
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
}

/// The pairs of one call, by the numbers of volumes: there may be ten thousand.
private struct PlannedPairs {
    /// Of each target.
    private(set) var sources: [UInt16: Volume] = [:]
    /// How many each source gets, itself aside.
    private(set) var targets: [UInt16: Int] = [:]

    mutating func add(_ made: Relationship) {
        sources[made.target.number] = made.source
        if made.source !== made.target { targets[made.source.number, default: 0] += 1 }
    }
}
