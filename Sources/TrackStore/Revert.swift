import Synchronization
import TrackBitmap

// A refresh that can be taken back: what the target held before it is kept, as a point of the target,
// until somebody decides.
//
//     refresh, revertible  →  the target presents its source anew; a point holds what it was before
//       commit             →  the point goes
//       revert             →  the target presents the held point, in place; once every track is back,
//                             the relationship is what it was before the refresh
extension TrackStore {
    /// Keeps what refreshes have brought, by target, all or none: what the targets held before is let go
    /// of. Where `number` is given, the relationships must have it. Takes a time that does not depend on
    /// sizes.
    ///
    /// Errors: `unknownVolume`, `noRelationship`, `notRevertible` where no refresh waits for it or the
    /// number is another one, `revertUnderWay`, `instantInProgress`, `inputOutput`.
    public func commit(_ targets: [String], number: UInt64? = nil) throws(TrackStoreError) {
        let numbers = try enterRevertible(targets, number)
        defer { leave(numbers) }
        try parts.control.withLock { (_) throws(TrackStoreError) in
            try checkOpen()
            let relationships = try revertible(targets, number)
            let points = relationships.compactMap { relationship in
                relationship.held.map { (volume: relationship.target, point: $0) }
            }.filter { !$0.point.isSafeguarded && $0.point.pins.load(ordering: .acquiring) == 1 }
            try catalogue.write { (transaction) throws(TrackStoreError) in
                for relationship in relationships {
                    var record = relationship.presentRecord
                    record.held = nil
                    try transaction.put(
                        .relationships, Key.volume(relationship.target.number), record.bytes)
                }
                try StoreParts.deleteRows(of: points, transaction)
            }
            for relationship in relationships { relationship.letGoOfHeld() }
            for (volume, point) in points { parts.retire(point, of: volume) }
        }
    }

    /// Takes refreshes back, by target, all or none: the targets show at once what they held before,
    /// and what hosts have written to them since is lost. The relationships stay, and are again what
    /// they were before the refresh as soon as the last track has been put back, behind the caller's
    /// back. Where `number` is given, the relationships must have it. Where points of a target have come
    /// since the refresh, what it has not got yet for them is copied first, which takes its time.
    ///
    /// Errors: as `commit`.
    public func revert(_ targets: [String], number: UInt64? = nil) throws(TrackStoreError) {
        let numbers = try enterRevertible(targets, number)
        defer { leave(numbers) }
        // What hosts have overwritten is known from what was saved for it, so it must be saved.
        try takeOutOfJournal(try volumes(targets))
        while true {
            let rest = try parts.control.withLock {
                (control) throws(TrackStoreError) -> [Relationship] in
                try checkOpen()
                let relationships = try revertible(targets, number)
                let needed = relationships.filter { parts.isNeeded($0) }
                guard needed.isEmpty else { return needed }
                try revert(relationships, &control)
                return []
            }
            guard !rest.isEmpty else { return }
            for relationship in rest { try complete(relationship) }
        }
    }

    private func enterRevertible(
        _ targets: [String], _ number: UInt64?
    ) throws(TrackStoreError) -> [UInt16] {
        try enter { () throws(TrackStoreError) in
            Set(try revertible(targets, number).flatMap { [$0.source.number, $0.target.number] })
                .sorted()
        }
    }

    /// The relationships into targets, every one with a refresh that is neither committed nor reverted.
    private func revertible(
        _ targets: [String], _ number: UInt64?
    ) throws(TrackStoreError) -> [Relationship] {
        var found: [Relationship] = []
        for target in try volumes(targets) {
            guard let inbound = target.inbound else { throw Self.noRelationship(target.name) }
            guard inbound.successor == nil else {
                throw TrackStoreError(
                    .revertUnderWay, "the last refresh is being reverted", place: target.name)
            }
            guard inbound.uncommitted else {
                throw TrackStoreError(
                    .notRevertible, "no refresh waits to be committed or reverted",
                    place: target.name)
            }
            guard number ?? inbound.record.number == inbound.record.number else {
                throw TrackStoreError(
                    .notRevertible, "the relationship has number \(inbound.record.number)",
                    place: target.name)
            }
            found.append(inbound)
        }
        return found
    }

    private func revert(
        _ relationships: [Relationship], _ control: inout ControlState
    ) throws(TrackStoreError) {
        // What the targets' own points read from the files from now on.
        for relationship in relationships where !relationship.drained {
            try relationship.persist(in: catalogue, through: parts.makeControlIO())
        }
        let base = control.nextSequence
        var reverts: [Revert] = []
        for relationship in relationships {
            let reader = IndexReader(catalogue: catalogue, index: parts.index)
            defer { reader.end() }
            reverts.append(try Revert(of: relationship, base: base, reader))
        }
        let idle = parts.idle(without: relationships)
        try store(reverts, idle, nextSequence: base + 1)
        control.nextSequence = base + 1
        enter(reverts, idle)
    }

    /// Makes it durable, all or nothing.
    private func store(
        _ reverts: [Revert], _ idle: [(volume: Volume, point: Point)], nextSequence: UInt64
    ) throws(TrackStoreError) {
        let replaced = reverts.map(\.old)
        var isDone = false
        defer { if !isDone { StoreParts.mark(replaced, withdrawn: false) } }
        try parts.recording.replacing(
            reverts.map { ($0.old.target, $0.changed) }, countsForTargets: true
        ) { (transaction) throws(TrackStoreError) in
            StoreParts.mark(replaced, withdrawn: true)
            try transaction.put(.meta, Key.nextSequence, NumberRecord(nextSequence).bytes)
            for revert in reverts {
                revert.addOvertaken()
                let key = Key.volume(revert.old.target.number)
                _ = try transaction.deleteAll(.pending, prefix: key)
                try StoreParts.put(revert.made, transaction)
            }
            try StoreParts.deleteRows(of: idle, transaction)
        }
        isDone = true
    }

    /// Puts reverts in force that are durable. The recorders go on: they are those of what follows.
    private func enter(_ reverts: [Revert], _ idle: [(volume: Volume, point: Point)]) {
        copier.remove(reverts.map(\.old))
        for revert in reverts {
            let made = revert.made
            made.target.present(made)
            // Only now that no write is decided any more that goes on from the refresh.
            made.target.state.withLock { state in
                for index in state.readers.indices
                where state.readers[index].point === made.point
                    && state.readers[index].target == made.target.number
                {
                    state.readers[index].stored = made.stored
                }
            }
            copier.add(made)
        }
        parts.epochs.quiesce()
        for revert in reverts { parts.unpin(revert.old) }
        for (volume, point) in idle { parts.retire(point, of: volume) }
        copier.wake()
    }
}

/// A refresh that is being taken back: which tracks, and what the relationship becomes.
private struct Revert {
    let old: Relationship
    let made: Relationship
    /// The tracks that the target had not got from its source, seen before `changed` was.
    private let before: TrackBitmap
    /// The tracks whose content is replaced: those, and those of which anything was saved since. Of
    /// the tracks that the refresh was to bring, each is among the ones or the others.
    let changed: TrackBitmap

    init(of old: Relationship, base: UInt64, _ reader: IndexReader) throws(TrackStoreError) {
        guard let held = old.held,
            let record = old.presentRecord.reverting(to: held, of: old.target.number, base: base),
            let after = record.afterRevert
        else {
            throw TrackStoreError(
                .notRevertible, "no refresh waits to be committed or reverted",
                place: old.target.name)
        }
        self.old = old
        made = Relationship(
            source: old.target, target: old.target, point: held, record: record,
            successor: .successor(after, old.source, old.target, old.changes))
        before = TrackBitmap(count: old.pending.count, full: false)
        before.formUnion(old.pending)
        for track in try reader.tracks(of: old.target, from: held.sequence) {
            made.pending.insert(track)
        }
        changed = TrackBitmap(count: made.pending.count, full: false)
        changed.formUnion(made.pending)
        changed.formUnion(before)
    }

    /// Adds the tracks that have been copied since `before`, or are being copied: the file may not hold
    /// under them what the held point has. From the mark of the old relationship on no more are.
    func addOvertaken() {
        let locked = old.target.state.withLock { $0.lockedTracks }
        for track in locked where before.contains(Int(track)) { made.pending.insert(Int(track)) }
        made.pending.formUnion(before, except: old.pending)
        made.stored.formUnion(made.pending)
    }
}

extension Relationship {
    /// What follows a revert: its target holds every track, and what was recorded stays.
    static func successor(
        _ record: RelationshipRecord, _ source: Volume, _ target: Volume,
        _ changes: RecordedChanges?
    ) -> Relationship {
        let made = Relationship(
            source: source, target: target, point: nil, record: record, changes: changes)
        made.isDrained.store(true, ordering: .releasing)
        return made
    }

    /// The refresh is committed, durably: what the target held before is needed no more.
    fileprivate func letGoOfHeld() {
        guard let held, isUncommitted.exchange(false, ordering: .acquiringAndReleasing) else {
            return
        }
        held.pins.subtract(1, ordering: .acquiringAndReleasing)
        target.state.withLock { state in
            state.readers.removeAll { $0.target == target.number && $0.point === held }
        }
    }
}

extension StoreParts {
    /// The last track has been put back, durably: the revert ends, and what it leads to begins.
    func succeed(
        _ revert: Relationship, by successor: Relationship, _ copier: BackgroundCopier
    ) throws(TrackStoreError) {
        successor.rateMiBps.store(
            revert.rateMiBps.load(ordering: .relaxed), ordering: .relaxed)
        let points = idle(without: [revert])
        let key = Key.volume(revert.target.number)
        do throws(TrackStoreError) {
            try catalogue.write { (transaction) throws(TrackStoreError) in
                Self.mark([revert], withdrawn: true)
                _ = try transaction.deleteAll(.pending, prefix: key)
                try transaction.put(.relationships, key, successor.presentRecord.bytes)
                try Self.deleteRows(of: points, transaction)
            }
        } catch {
            Self.mark([revert], withdrawn: false)
            throw error
        }
        revert.target.present(successor)
        copier.remove([revert])
        copier.add(successor)
        unpin(revert)
        for (volume, point) in points { retire(point, of: volume) }
    }
}
