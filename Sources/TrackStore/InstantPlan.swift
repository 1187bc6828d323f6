import Synchronization
import TrackBitmap

/// What begins with an instant, once it is known that it may.
struct InstantPlan: Sendable {
    private(set) var points: [(volume: Volume, point: Point)] = []
    private(set) var changes: [PlannedRelationship] = []
    // By the numbers of volumes: an instant may begin ten thousand points.
    private var pointOfVolume: [UInt16: Point] = [:]
    private var changeOfTarget: [UInt16: Int] = [:]
    private var changesOfSource: [UInt16: [Int]] = [:]
    private var continued: Set<ObjectIdentifier> = []

    mutating func add(_ point: Point, of volume: Volume) {
        points.append((volume, point))
        pointOfVolume[volume.number] = point
    }

    mutating func add(_ change: PlannedRelationship) {
        changeOfTarget[change.target.number] = changes.count
        changesOfSource[change.source.number, default: []].append(changes.count)
        if let old = change.old { continued.insert(ObjectIdentifier(old)) }
        changes.append(change)
    }

    /// Pins what the relationships will read, or hold.
    func pinPoints() {
        for change in changes {
            change.point.pins.add(1, ordering: .acquiringAndReleasing)
            // What is kept of an earlier refresh is pinned since that.
            guard let held = change.held, held !== change.old?.held else { continue }
            held.pins.add(1, ordering: .acquiringAndReleasing)
        }
    }

    /// The point of a volume, where it has one.
    func point(of volume: Volume) -> Point? { pointOfVolume[volume.number] }

    /// What makes the volume a target.
    func change(into volume: Volume) -> PlannedRelationship? {
        changeOfTarget[volume.number].map { changes[$0] }
    }

    /// What makes the volume a source.
    func changes(from volume: Volume) -> [PlannedRelationship] {
        changesOfSource[volume.number, default: []].map { changes[$0] }
    }

    /// What is noted of the volumes that become targets, and of those that are reversed to sources.
    var notes: [(volume: Volume, note: TargetNote)] {
        changes.flatMap { change in
            var note = TargetNote()
            note.lastNumber = change.record.number
            return (change.turnsRound ? [change.target, change.source] : [change.target]).map {
                ($0, note)
            }
        }
    }

    /// True where something takes the relationship's place with the instant.
    func goesOn(_ relationship: Relationship) -> Bool {
        continued.contains(ObjectIdentifier(relationship))
    }

    /// Recorders of a volume that change places with the instant: those of the side that is copied
    /// from.
    func swaps(on volume: Volume) -> [(old: ChangeRecorder?, new: ChangeRecorder?)] {
        changes(from: volume).map(\.sourceSwap)
    }

    /// Who reads the point of a volume.
    func readers(of point: Point, on volume: Volume) -> [PointReader] {
        var readers = changes(from: volume).map {
            PointReader(point: point, target: $0.target.number, stored: nil)
        }
        if let change = change(into: volume), change.held === point {
            readers.append(PointReader(point: point, target: volume.number, stored: nil))
        }
        return readers
    }
}

/// A relationship that begins with an instant.
struct PlannedRelationship: Sendable {
    enum Kind: Sendable {
        case establish
        /// In place of a relationship of the same pair.
        case replace
        case refresh
        case reverse
        case fastReverse
    }

    var kind: Kind
    var source: Volume
    var target: Volume
    var point: Point
    /// The relationship that it replaces, refreshes or reverses.
    var old: Relationship?
    var record: RelationshipRecord
    var changes: RecordedChanges?
    /// What the target holds at the instant, kept so that a refresh can be reverted.
    var held: Point?

    /// The relationship that ends when this one begins.
    var replaced: Relationship? { kind == .fastReverse ? nil : old }

    /// Source and target change places.
    var turnsRound: Bool { kind == .reverse || kind == .fastReverse }

    var sourceSwap: (old: ChangeRecorder?, new: ChangeRecorder?) {
        swap(turnsRound ? old?.changes?.target : old?.changes?.source, changes?.source)
    }

    var targetSwap: (old: ChangeRecorder?, new: ChangeRecorder?) {
        swap(turnsRound ? old?.changes?.source : old?.changes?.target, changes?.target)
    }

    /// A recorder that none follows goes on until its relationship ends, durably: with a fast reverse
    /// that stays in force, and otherwise the instant may yet come to nothing.
    private func swap(
        _ old: ChangeRecorder?, _ new: ChangeRecorder?
    ) -> (old: ChangeRecorder?, new: ChangeRecorder?) {
        new == nil ? (nil, nil) : (old, new)
    }

    /// The relationship, with the tracks that differ pending. After the instant, when no write from
    /// before it is under way.
    ///
    /// A write to the target that is decided from here on is heard by the new recorder: it may be lost
    /// to the establish or survive it, as a write that comes at the same time as one may.
    func relationship() -> Relationship {
        let (old, new) = targetSwap
        target.state.withLock { $0.replace(old, by: new) }
        let made = Relationship(
            source: source, target: target, point: point, record: record, changes: changes,
            feeding: kind == .fastReverse ? self.old : nil, held: held)
        guard record.flags.contains(.beganInPart), let before = self.old,
            let changed = before.changes
        else { return made }
        let pending = made.pending
        // What has come over, but not durably yet, may be lost to a power cut: it comes again.
        if kind == .refresh { pending.formUnion(before.stored) }
        pending.formUnion(changed.source.bitmap)
        pending.formUnion(changed.target.bitmap)
        // What has been written to the target since it changed recorders: in the one or the other.
        if let new { pending.formUnion(new.bitmap) }
        // More is copied than was before: what is new, and the track that was the last.
        let known = Int(before.record.capacity) / Geometry.track
        if before.record.capacity != record.capacity { pending.insert(known..<pending.count) }
        made.stored.formUnion(pending)
        return made
    }
}

/// What begins and ends with one transaction of the index.
struct Turn {
    var points: [(volume: Volume, point: Point)] = []
    var made: [Relationship] = []
    /// The relationships in place of which others begin.
    var replaced: [Relationship] = []
    /// What is noted of volumes from then on.
    var notes: [(volume: Volume, note: TargetNote)] = []
    /// The points that nobody needs without these.
    var idle: [(volume: Volume, point: Point)] = []
}

extension StoreParts {
    /// Stores a relationship as it begins.
    static func put(
        _ relationship: Relationship, _ transaction: borrowing Catalogue.Transaction
    ) throws(TrackStoreError) {
        let number = relationship.target.number
        try transaction.put(.relationships, Key.volume(number), relationship.record.bytes)
        for page in relationship.pending.takeChangedPages() {
            try transaction.put(
                .pending, Key.page(number, page), relationship.pending.bytes(ofPage: page))
        }
    }
}
