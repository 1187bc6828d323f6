import CopyModel
import StoragePort

/// A relationship without content: how many tracks are left, and which hosts have written to since.
struct SimulatedRelationship {
    var source: VolumeID
    var presents: Presented
    var terms: RelationshipTerms
    /// Tracks in all, to be copied when it began, and left.
    var tracks: UInt64
    var began: UInt64
    var remaining: UInt64
    /// Of both sides, since the instant that the target presents.
    var changed: Set<UInt64> = []
    var number: UInt64 = 0
    var established = Timestamp(milliseconds: 0)
    var refreshed = Timestamp(milliseconds: 0)
    var isFastReverse = false
    var isReverting = false
    /// What it was before a refresh that is neither committed nor wholly reverted: none or one.
    var former: [SimulatedRelationship] = []

    init(
        from source: VolumeID, presenting presents: Presented, terms: RelationshipTerms,
        tracks: UInt64
    ) {
        self.source = source
        self.presents = presents
        self.terms = terms
        self.tracks = tracks
        began = tracks
        remaining = tracks
    }

    var isRevertible: Bool { !former.isEmpty && !isReverting }

    /// Tracks come over by themselves.
    var isCopied: Bool { terms.backgroundCopy || isReverting || isFastReverse }

    /// Tracks that a refresh would copy now.
    var outOfSync: UInt64 {
        terms.incremental ? min(tracks, remaining + UInt64(changed.count)) : tracks
    }

    var report: RelationshipReport {
        var attributes = RelationshipAttributes()
        attributes.persistent = terms.persistent
        attributes.incremental = terms.incremental
        attributes.inhibitTargetWrites = terms.inhibitTargetWrites
        attributes.revertible = isRevertible
        attributes.reverting = isReverting
        attributes.fastReverse = isFastReverse
        attributes.tracksOutOfSync = terms.incremental ? outOfSync : nil
        attributes.copyRateMiBps = terms.copyRateMiBps
        attributes.number = number
        attributes.established = established
        attributes.refreshed = refreshed
        return RelationshipReport(
            source: source, presents: presents, tracksRemaining: remaining, tracks: tracks,
            backgroundCopy: terms.backgroundCopy && (presents.tag == nil || remaining > 0),
            attributes: attributes)
    }

    /// It goes on at another instant, with so many tracks to copy.
    mutating func goOn(_ number: UInt64, at time: Timestamp, copying tracks: UInt64) {
        presents = .instant(number)
        self.number = number
        refreshed = time
        began = tracks
        remaining = tracks
        changed = []
        former = []
    }
}

// What ends relationships, and what decides about refreshes.
extension SimulatedSystems {
    /// Targets that one source can have.
    static let mostTargets = 12

    /// The relationships of which a volume is the source, by their targets.
    func relationships(from source: VolumeID) -> [(VolumeID, SimulatedRelationship)] {
        volumes.compactMap { id, volume in
            volume.inbound.flatMap { $0.source == source ? (id, $0) : nil }
        }
    }

    func targets(of source: VolumeID) -> [VolumeID] {
        relationships(from: source).map(\.0).filter { $0 != source }.sorted()
    }

    static func noRelationship(_ target: VolumeID) -> StorageFailure {
        failure(.noRelationship, "\(target) presents nothing", target)
    }

    /// What keeps a relationship from anything else.
    func checkAtRest(
        _ relationship: SimulatedRelationship, into target: VolumeID
    ) throws(StorageFailure) {
        if relationship.isRevertible {
            throw Self.failure(
                .notCommitted, "The last refresh of \(target) is not decided about", target)
        }
        let feeds = volumes[relationship.source]?.inbound.map {
            $0.isFastReverse && $0.source == target
        }
        try checkNotReverting(relationship, target)
        if relationship.isFastReverse || feeds ?? false {
            throw Self.failure(.copyIncomplete, "Tracks are on their way back", target)
        }
    }

    private func checkNotReverting(
        _ relationship: SimulatedRelationship, _ target: VolumeID
    ) throws(StorageFailure) {
        if relationship.isReverting {
            throw Self.failure(.copyIncomplete, "\(target) is being reverted", target)
        }
    }

    mutating func recover(
        _ pair: PairTerms, _ tag: PointTag, backgroundCopy: Bool
    ) throws(StorageFailure) {
        try checkOneSystem(pair)
        let point = try volume(pair.source).points.first { $0.tag == tag }
        let target = try volume(pair.target)
        if let inbound = target.inbound, inbound.source == pair.source,
            inbound.presents == .backup(tag)
        {
            return
        }
        guard let point else {
            throw Self.failure(.unknownBackup, "\(pair.source) has no point \(tag)", pair.source)
        }
        try checkPlace(for: pair, point.capacity)
        var terms = RelationshipTerms()
        terms.backgroundCopy = backgroundCopy
        terms.persistent = true
        var made = SimulatedRelationship(
            from: pair.source, presenting: .backup(tag), terms: terms, tracks: point.capacity.tracks
        )
        made.established = point.time
        volumes[pair.target]?.present(made)
    }

    mutating func withdraw(
        _ terms: [PairTerms], where isMeant: (SimulatedRelationship) -> Bool
    ) throws(StorageFailure) {
        for pair in terms {
            try checkOneSystem(pair)
            guard let inbound = try volume(pair.target).inbound, inbound.source == pair.source,
                isMeant(inbound)
            else { continue }
            try checkAtRest(inbound, into: pair.target)
            volumes[pair.target]?.inbound = nil
        }
    }

    mutating func commit(_ terms: [PairTerms], _ number: UInt64) throws(StorageFailure) {
        for pair in terms {
            let inbound = try inbound(of: pair)
            try checkNotReverting(inbound, pair.target)
            guard inbound.number == number else { throw Self.notRevertible(pair.target) }
            volumes[pair.target]?.inbound?.former = []
        }
    }

    mutating func revert(_ terms: [PairTerms], _ number: UInt64) throws(StorageFailure) {
        for pair in terms {
            let inbound = try inbound(of: pair)
            guard inbound.number == number, !inbound.isReverting else { continue }
            guard var back = inbound.former.first else { throw Self.notRevertible(pair.target) }
            back.former = [back]
            back.isReverting = true
            let brought = inbound.began - inbound.remaining + UInt64(inbound.changed.count)
            back.remaining = min(inbound.tracks, brought)
            // What hosts have written to since, and what had been brought over, differs again.
            back.former[0].changed.formUnion(inbound.changed)
            back.former[0].changed.formUnion(0..<inbound.began)
            volumes[pair.target]?.inbound = back
            if back.remaining == 0 { finish(pair.target) }
        }
    }

    private func inbound(of pair: PairTerms) throws(StorageFailure) -> SimulatedRelationship {
        try checkOneSystem(pair)
        guard let inbound = try volume(pair.target).inbound, inbound.source == pair.source else {
            throw Self.noRelationship(pair.target)
        }
        return inbound
    }

    private static func notRevertible(_ target: VolumeID) -> StorageFailure {
        failure(.notRevertible, "No refresh of \(target) waits to be committed or reverted", target)
    }

    /// So many more tracks have come over. Gives what is to be told; nil where nothing is copied.
    mutating func copy(_ target: VolumeID, tracks: UInt64) -> StorageFact? {
        guard let inbound = volumes[target]?.inbound, inbound.remaining > 0 else { return nil }
        let remaining = inbound.remaining - min(tracks, inbound.remaining)
        volumes[target]?.inbound?.remaining = remaining
        if remaining == 0 { finish(target) }
        return .copyProgress(
            target: target, presents: inbound.presents, tracksRemaining: remaining,
            tracks: inbound.tracks)
    }

    mutating func write(to volume: VolumeID, _ tracks: Range<UInt64>) {
        for (id, other) in volumes {
            guard let inbound = other.inbound, id == volume || inbound.source == volume,
                inbound.terms.incremental
            else { continue }
            volumes[id]?.inbound?.changed.formUnion(tracks)
        }
    }

    /// What there is to tell of relationships for which an effect has left nothing to copy.
    func copied(by effect: Effect) -> [StorageFact] {
        guard case .changeRelationships(let instant) = effect else { return [] }
        let concerned = instant.changes.flatMap { [$0.pair.source, $0.pair.target] }
        return concerned.compactMap { id in
            guard let inbound = volumes[id]?.inbound, inbound.number == instant.number,
                inbound.remaining == 0
            else { return nil }
            return .copyProgress(
                target: id, presents: inbound.presents, tracksRemaining: 0, tracks: inbound.tracks)
        }
    }

    /// The last track has come over.
    private mutating func finish(_ target: VolumeID) {
        guard let inbound = volumes[target]?.inbound else { return }
        if inbound.isReverting {
            volumes[target]?.inbound = inbound.former.first
        } else if inbound.isFastReverse {
            volumes[target]?.inbound = nil
            volumes[target]?.completed = inbound.number
            volumes[inbound.source]?.inbound = nil
        } else if !inbound.terms.persistent {
            volumes[target]?.inbound = nil
            volumes[target]?.completed = inbound.number
        }
    }
}
