import CopyModel
import StoragePort
import TrackStore

// Relationships of an instant as calls of the engines.
extension Effects {
    /// What several relationships do at one instant: nothing where each pair's target was last changed
    /// by the instant of that number.
    ///
    /// The systems make it durable one after the other. Where a crash, or a failure, has left it on
    /// some of them only, what was established and refreshed there is so once more, at the new
    /// instant; what was reversed stays, since the way back would be another one.
    func change(_ instant: RelationshipInstant, at time: Timestamp) throws(StorageFailure) {
        for change in instant.changes { try checkOneSystem(change.pair) }
        var parts: [(SubjectName, [InstantAction])] = []
        // One without a number is nobody's that could be asked for again.
        var isDone = instant.number != 0
        for (system, changes) in grouped(instant.changes, by: \.pair.target.storage) {
            let targets = try known(changes.map(\.pair.target.local.text), on: system)
            var actions: [InstantAction] = []
            for change in changes {
                let target = targets[change.pair.target.local.text]
                let isThere =
                    instant.number != 0 && target?.volume.lastNumber == instant.number
                if !isThere { isDone = false }
                actions += try action(change, instant.number, target?.inbound, again: isThere)
            }
            if !actions.isEmpty { parts.append((system, actions)) }
        }
        if !isDone { try atOneInstant(parts, at: time) }
    }

    /// What a change asks of the engine; none where it is a reverse that has been made.
    private func action(
        _ change: RelationshipChange, _ number: UInt64, _ inbound: RelationshipDescription?,
        again: Bool
    ) throws(StorageFailure) -> [InstantAction] {
        let pair = change.pair
        let isPair = inbound?.source == pair.source.local.text
        switch change {
        case .establish(_, let terms): return [.establish(NewCopy(pair, terms, number))]
        case .refresh(_, let terms, let revertible):
            guard isPair else {
                // One that is not to stay has ended since.
                guard again, inbound == nil else { throw noRelationship(pair) }
                return [.establish(NewCopy(pair, terms, number))]
            }
            var refresh = CopyRefresh(
                target: pair.target.local.text, revertible: revertible, number: number)
            refresh.terms = CopyTerms(terms)
            return [.refresh(refresh)]
        case .reverse(_, let fast):
            guard !again else { return [] }
            guard isPair else { throw noRelationship(pair) }
            return [.reverse(target: pair.target.local.text, fast: fast, number: number)]
        }
    }

    /// Ends relationships of pairs where they have the number, or any of them.
    func withdraw(_ pairs: [PairTerms], number: UInt64?) throws(StorageFailure) {
        try eachSystem(pairs) { (store, pairs) throws(TrackStoreError) in
            try store.withdraw(
                pairs: pairs.map { ($0.source.local.text, $0.target.local.text) }, number: number)
        }
    }

    /// What has the number and waits for no decision has been committed.
    func commit(_ pairs: [PairTerms], _ number: UInt64) throws(StorageFailure) {
        try eachSystem(pairs) { (store, pairs) throws(TrackStoreError) in
            let open = try standing(pairs, in: store).filter {
                $0.number != number || $0.isRevertible
            }
            if !open.isEmpty { try store.commit(open.map(\.target), number: number) }
        }
    }

    /// What has another number has been reverted: it is what it was before.
    func revert(_ pairs: [PairTerms], _ number: UInt64) throws(StorageFailure) {
        try eachSystem(pairs) { (store, pairs) throws(TrackStoreError) in
            let open = try standing(pairs, in: store).filter { $0.number == number }
            if !open.isEmpty { try store.revert(open.map(\.target), number: number) }
        }
    }

    /// The relationships of pairs, all of which are there.
    private func standing(
        _ pairs: [PairTerms], in store: TrackStore
    ) throws(TrackStoreError) -> [RelationshipDescription] {
        var found: [RelationshipDescription] = []
        for pair in pairs {
            let target = pair.target.local.text
            guard let inbound = try store.relationship(into: target),
                inbound.source == pair.source.local.text
            else {
                throw TrackStoreError(
                    .noRelationship, "the volume does not present \(pair.source.local)",
                    place: target)
            }
            found.append(inbound)
        }
        return found
    }

    /// What a system knows of volumes, by name.
    private func known(
        _ volumes: [String], on system: SubjectName
    ) throws(StorageFailure) -> [String: (
        volume: VolumeDescription, inbound: RelationshipDescription?
    )] {
        var found: [String: (volume: VolumeDescription, inbound: RelationshipDescription?)] = [:]
        try on(system) { (store) throws(TrackStoreError) in
            for known in try store.describe(volumes) { found[known.volume.id] = known }
        }
        return found
    }

    /// Calls `body` once a system with its pairs, in the order of the systems' names.
    private func eachSystem(
        _ pairs: [PairTerms],
        _ body: (TrackStore, [PairTerms]) throws(TrackStoreError) -> Void
    ) throws(StorageFailure) {
        for pair in pairs { try checkOneSystem(pair) }
        for (system, pairs) in grouped(pairs, by: \.target.storage) {
            try on(system) { (store) throws(TrackStoreError) in try body(store, pairs) }
        }
    }

    /// A relationship stays within one system.
    func checkOneSystem(_ pair: PairTerms) throws(StorageFailure) {
        guard pair.source.storage == pair.target.storage else {
            throw StorageFailure(
                .storageMismatch,
                "\(pair.target) is on another storage system than \(pair.source), and a "
                    + "relationship stays within one.",
                subject: "\(pair.target)", remedy: "Give a target on \(pair.source.storage).")
        }
    }

    private func noRelationship(_ pair: PairTerms) -> StorageFailure {
        StorageFailure(
            TrackStoreError(
                .noRelationship, "the volume does not present \(pair.source.local)",
                place: pair.target.local.text), system: pair.target.storage)
    }
}

extension NewCopy {
    /// In place of a relationship of the same pair, where there is one.
    fileprivate init(_ pair: PairTerms, _ terms: RelationshipTerms, _ number: UInt64) {
        self.init(source: pair.source.local.text, target: pair.target.local.text)
        self.terms = CopyTerms(terms)
        self.number = number
        replaces = true
    }
}

extension CopyTerms {
    fileprivate init(_ terms: RelationshipTerms) {
        self.init()
        backgroundCopy = terms.backgroundCopy
        isPersistent = terms.persistent
        recordsChanges = terms.incremental
        inhibitsTargetWrites = terms.inhibitTargetWrites
        rateMiBps = UInt32(clamping: terms.copyRateMiBps)
    }
}
