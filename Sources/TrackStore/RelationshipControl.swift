import Synchronization
import TrackBitmap

// Relationships that are there: their background copies, and their end.
extension TrackStore {
    /// Starts the background copy of relationships, by target. It goes on after a restart.
    ///
    /// Errors: `unknownVolume`, `noRelationship`, `inputOutput`.
    public func startBackgroundCopy(_ targets: [String]) throws(TrackStoreError) {
        try parts.control.withLock { (_) throws(TrackStoreError) in
            try checkOpen()
            let relationships = try inbound(targets)
            try storeRecords(of: relationships, copying: true)
            for relationship in relationships {
                relationship.isCopying.store(true, ordering: .releasing)
                relationship.successor?.isCopying.store(true, ordering: .releasing)
            }
            copier.wake()
        }
    }

    /// Limits the background copies of relationships, by target: MiB a second, 0 = no limit. The limit
    /// stays after a restart.
    ///
    /// Errors: `unknownVolume`, `noRelationship`, `inputOutput`.
    public func setCopyRate(
        _ rateMiBps: UInt32, of targets: [String]
    ) throws(TrackStoreError) {
        try parts.control.withLock { (_) throws(TrackStoreError) in
            try checkOpen()
            let relationships = try inbound(targets)
            for relationship in relationships {
                relationship.rateMiBps.store(rateMiBps, ordering: .relaxed)
            }
            try storeRecords(of: relationships)
            copier.wake()
        }
    }

    /// Limits all background copies of the store together: MiB a second, 0 = no limit. Holds until the
    /// store is closed. From any thread.
    public func limitCopies(toMiBps rate: UInt32) {
        copier.rateMiBps.store(rate, ordering: .relaxed)
        copier.wake()
    }

    /// Stores what may change of a relationship's record.
    private func storeRecords(
        of relationships: [Relationship], copying: Bool? = nil
    ) throws(TrackStoreError) {
        try catalogue.write { (transaction) throws(TrackStoreError) in
            for relationship in relationships {
                var record = relationship.presentRecord
                if let copying {
                    record.copying = copying
                    if copying { record.successor?.flags.insert(.copying) }
                }
                try transaction.put(
                    .relationships, Key.volume(relationship.target.number), record.bytes)
            }
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
    /// whatever its file held before the relationship, unless points of its own need them: then they are
    /// copied first, which takes its time. A volume that presents nothing is done already. A fast reverse
    /// and a revert are withdrawn where their copy has stopped, a fast reverse with what feeds it.
    ///
    /// Errors: `unknownVolume`, `reverseUnderWay`, `uncommitted`, `revertUnderWay`,
    /// `instantInProgress`, `inputOutput`.
    public func withdraw(_ targets: [String]) throws(TrackStoreError) {
        try withdraw { () throws(TrackStoreError) in
            try self.volumes(targets).compactMap(\.inbound)
        }
    }

    /// Ends these relationships, as `withdraw` by target does, and no others: a target that presents
    /// another point by now is left alone.
    ///
    /// Errors: as `withdraw` by target.
    public func withdraw(_ relationships: [NewRelationship]) throws(TrackStoreError) {
        try withdraw { () throws(TrackStoreError) in
            var leaving: [Relationship] = []
            for ending in relationships {
                guard let inbound = try self.volume(ending.target).inbound else { continue }
                let shown = inbound.shown
                if shown.source.name == ending.source, shown.record.tag == ending.tag {
                    leaving.append(inbound)
                }
            }
            return leaving
        }
    }

    /// Ends relationships of pairs, as `withdraw` by target does, where they have the number if one is
    /// given. A target that presents another volume, or nothing, is done already.
    ///
    /// Errors: as `withdraw` by target.
    public func withdraw(
        pairs: [(source: String, target: String)], number: UInt64?
    ) throws(TrackStoreError) {
        try withdraw { () throws(TrackStoreError) in
            var leaving: [Relationship] = []
            for pair in pairs {
                let source = try self.volume(pair.source)
                guard let inbound = try self.volume(pair.target).inbound,
                    inbound.shown.source === source,
                    number ?? inbound.record.number == inbound.record.number
                else { continue }
                leaving.append(inbound)
            }
            return leaving
        }
    }

    private func withdraw(
        _ find: () throws(TrackStoreError) -> [Relationship]
    ) throws(TrackStoreError) {
        let numbers = try enter { () throws(TrackStoreError) in
            Set(try find().flatMap { [$0.shown.source.number, $0.target.number] }).sorted()
        }
        defer { leave(numbers) }
        while true {
            let rest = try parts.control.withLock {
                (_) throws(TrackStoreError) -> [Relationship] in
                try checkOpen()
                let leaving = try find()
                for relationship in leaving { try check(withdrawObstacles(of: relationship)) }
                let feeding = leaving.compactMap { fast in
                    fast.feeding.map { (old: $0, point: fast.point) }
                }
                let needed =
                    leaving.filter { parts.isNeeded($0) }
                    + feeding.filter { parts.isNeeded($0.old, but: $0.point) }.map(\.old)
                guard needed.isEmpty else { return needed }
                let ending = leaving + feeding.map(\.old)
                for relationship in ending where !relationship.drained {
                    try relationship.persist(in: parts.catalogue, through: parts.makeControlIO())
                }
                try parts.end(ending)
                copier.remove(ending)
                // What the copier had copied when it was stopped stays.
                try makeDurable(ending.map(\.target), through: parts.makeControlIO())
                return []
            }
            guard !rest.isEmpty else { return }
            for relationship in rest { try complete(relationship) }
        }
    }

    /// It feeds the source of a fast reverse restore.
    func isFeeding(_ relationship: Relationship) -> Bool {
        relationship.source.inbound?.feeding === relationship
    }

    /// Copies what is pending, on the calling thread.
    func complete(_ relationship: Relationship) throws(TrackStoreError) {
        let worker = CopyWorker(parts: parts)
        while relationship.pending.memberCount > 0, !relationship.withdrawn {
            try checkOpen()
            let failure = worker.copySome(of: relationship, from: 0).failure
            guard failure == 0 else {
                throw .system(failure, "copy what points need", relationship.target.name)
            }
        }
        copier.wake()
    }

    /// Copies what the targets' own points need before what the targets show is replaced: points that
    /// there are, and those that begin with the same instant.
    func completeNeeded(_ actions: [InstantAction]) throws(TrackStoreError) {
        var leaving: [Relationship] = []
        var sources: Set<UInt16> = []
        for action in actions {
            // Nothing is copied for what is going to be refused.
            guard let inbound = try leftBehind(by: action) else { continue }
            leaving.append(inbound)
            sources.insert(inbound.source.number)
            if case .refresh(let refresh) = action, refresh.isRevertible {
                sources.insert(inbound.target.number)
            }
        }
        guard !leaving.isEmpty else { return }
        for action in actions {
            switch action {
            case .point(let id, _): sources.insert(try volume(id).number)
            case .establish(let copy): sources.insert(try volume(copy.source).number)
            case .refresh: break
            case .reverse(let target, _, _): sources.insert(try volume(target).number)
            }
        }
        for inbound in leaving
        where sources.contains(inbound.target.number) || parts.isNeeded(inbound) {
            try complete(inbound)
        }
    }

    /// The relationship in whose place another one into the same target is about to begin.
    private func leftBehind(by action: InstantAction) throws(TrackStoreError) -> Relationship? {
        switch action {
        case .point, .reverse: return nil
        case .establish(let copy):
            try check(try obstacles(to: copy))
            return replaced(
                by: copy, from: try volume(copy.source), to: try volume(copy.target))
        case .refresh(let refresh):
            let target = try volume(refresh.target)
            try check(refreshObstacles(of: target, refresh))
            return target.inbound
        }
    }
}
