import CopyModel
import StoragePort

// What several simulated relationships do at one instant.
extension SimulatedSystems {
    mutating func change(
        _ instant: RelationshipInstant, at time: Timestamp
    ) throws(StorageFailure) {
        var isDone = instant.number != 0
        for change in instant.changes {
            try checkOneSystem(change.pair)
            _ = try volume(change.pair.source)
            if try volume(change.pair.target).lastNumber != instant.number { isDone = false }
        }
        guard !isDone else { return }
        var targets: Set<VolumeID> = []
        for change in instant.changes {
            let pair = change.pair
            guard targets.insert(pair.target).inserted else {
                throw Self.failure(.storageFailed, "\(pair.target) is named twice", pair.target)
            }
            switch change {
            case .establish(_, let terms): try establish(pair, terms, instant.number, time)
            case .refresh(_, let terms, let revertible):
                try refresh(pair, terms, instant.number, time, revertible: revertible)
            case .reverse(_, let fast): try reverse(pair, instant.number, time, fast: fast)
            }
            volumes[pair.target]?.lastNumber = instant.number
        }
    }

    private mutating func establish(
        _ pair: PairTerms, _ terms: RelationshipTerms, _ number: UInt64, _ time: Timestamp
    ) throws(StorageFailure) {
        guard pair.source != pair.target else { throw Self.cycle(pair.target) }
        let source = try volume(pair.source)
        if let old = try volume(pair.target).inbound, old.source == pair.source {
            try checkAtRest(old, into: pair.target)
            volumes[pair.target]?.inbound = nil
        }
        try checkPlace(for: pair, source.capacity)
        var made = SimulatedRelationship(
            from: pair.source, presenting: .instant(number), terms: terms.whole,
            tracks: source.capacity.tracks)
        made.number = number
        made.established = time
        made.refreshed = time
        volumes[pair.target]?.present(made)
    }

    private mutating func refresh(
        _ pair: PairTerms, _ terms: RelationshipTerms, _ number: UInt64, _ time: Timestamp,
        revertible: Bool
    ) throws(StorageFailure) {
        guard let old = try volume(pair.target).inbound, old.source == pair.source else {
            throw Self.noRelationship(pair.target)
        }
        try checkAtRest(old, into: pair.target)
        guard !revertible || old.terms.incremental && terms.incremental else {
            throw Self.failure(.notRevertible, "\(pair.target) records no changes", pair.target)
        }
        let capacity = try volume(pair.source).capacity
        guard capacity <= (try volume(pair.target).capacity) else {
            throw Self.failure(.targetSmaller, "\(pair.source) has outgrown it", pair.target)
        }
        var made = old
        made.tracks = capacity.tracks
        made.goOn(number, at: time, copying: old.outOfSync)
        made.terms = terms.whole
        if revertible {
            made.former = [old]
            // What is to be kept is there as a whole.
            made.former[0].remaining = 0
        }
        volumes[pair.target]?.present(made)
    }

    private mutating func reverse(
        _ pair: PairTerms, _ number: UInt64, _ time: Timestamp, fast: Bool
    ) throws(StorageFailure) {
        guard let old = try volume(pair.target).inbound, old.source == pair.source else {
            throw Self.noRelationship(pair.target)
        }
        try checkAtRest(old, into: pair.target)
        let source = try volume(pair.source)
        guard fast || old.remaining == 0 else {
            throw Self.failure(
                .copyIncomplete, "\(pair.target) does not hold every track yet", pair.target)
        }
        guard source.inbound == nil else {
            throw Self.failure(.targetHasSource, "\(pair.source) is itself a target", pair.source)
        }
        guard try volume(pair.target).capacity <= source.capacity else {
            throw Self.failure(.targetSmaller, "\(pair.source) is smaller", pair.source)
        }
        var made = old
        made.source = pair.target
        made.tracks = try volume(pair.target).capacity.tracks
        made.terms.backgroundCopy = true
        made.terms.inhibitTargetWrites = false
        made.goOn(number, at: time, copying: min(made.tracks, old.outOfSync))
        if old.remaining > 0 {
            made.isFastReverse = true
            made.terms.persistent = false
            made.terms.incremental = false
        } else {
            volumes[pair.target]?.inbound = nil
        }
        volumes[pair.source]?.present(made)
        volumes[pair.source]?.lastNumber = number
    }

    func checkOneSystem(_ pair: PairTerms) throws(StorageFailure) {
        guard pair.source.storage == pair.target.storage else {
            throw StorageFailure(
                .storageMismatch,
                "\(pair.target) is on another storage system than \(pair.source), and a "
                    + "relationship stays within one.",
                subject: "\(pair.target)", remedy: "Give a target on \(pair.source.storage).")
        }
    }

    /// The target can be given so much of the source.
    func checkPlace(for pair: PairTerms, _ capacity: Capacity) throws(StorageFailure) {
        let target = try volume(pair.target)
        let isInPlace = pair.source == pair.target
        guard target.inbound == nil else {
            throw Self.failure(
                .targetHasSource, "\(pair.target) presents something already", pair.target)
        }
        guard isInPlace || target.capacity >= capacity else {
            throw Self.failure(
                .targetSmaller, "\(pair.target) is smaller than the source", pair.target)
        }
        guard isInPlace || targets(of: pair.source).count < Self.mostTargets else {
            throw Self.failure(.tooManyTargets, "\(pair.source) has too many targets", pair.source)
        }
        var volume = pair.source
        var seen: Set<VolumeID> = []
        while let inbound = volumes[volume]?.inbound, inbound.remaining > 0,
            seen.insert(volume).inserted
        {
            volume = inbound.source
            guard volume != pair.target else { throw Self.cycle(pair.target) }
        }
    }

    private static func cycle(_ target: VolumeID) -> StorageFailure {
        failure(.cycle, "\(target) would be read through itself", target)
    }
}

extension RelationshipTerms {
    /// With what follows from it.
    fileprivate var whole: RelationshipTerms {
        var terms = self
        if incremental { terms.persistent = true }
        return terms
    }
}
