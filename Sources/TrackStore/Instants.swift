import Synchronization
import TrackBitmap

/// What an instant begins.
public enum InstantAction: Sendable, Hashable {
    /// A safeguarded point of a volume, named by a tag.
    case point(volume: String, tag: String)
    /// A target that presents its source as it was at the instant.
    case establish(NewCopy)
    /// The target of a relationship presents the source anew, as it was at the instant. Only what has
    /// changed on either side is copied where the relationship records changes.
    case refresh(CopyRefresh)
    /// The source of a relationship presents what its target held at the instant. Where the target does
    /// not hold every track yet, `fast` lets the old relationship feed it until the last track is back;
    /// both end then, and the target is worth nothing. `number` becomes the relationship's, where one
    /// is given.
    case reverse(target: String, fast: Bool, number: UInt64? = nil)

    /// A refresh that changes no terms.
    public static func refresh(
        target: String, revertible: Bool = false, number: UInt64? = nil
    ) -> InstantAction {
        .refresh(CopyRefresh(target: target, revertible: revertible, number: number))
    }
}

// One instant for many volumes, and what begins with it.
//
//     prepare (every store)  →  group.commit()  →  settle (every store)  →  verify
//
// What is prepared lives in memory only. Until `settle` has returned, a crash leaves none of a
// store's points and relationships; afterwards it leaves all of them.
extension TrackStore {
    /// Prepares a point named `tag` on volumes of this store, to begin when `group` is committed.
    ///
    /// As `prepare` of `.point` for each of the volumes, which may repeat.
    public func prepare(
        _ group: InstantGroup, tag: String, time: Int64, volumes ids: [String]
    ) throws(TrackStoreError) {
        try prepare(group, ids.map { .point(volume: $0, tag: tag) }, time: time)
    }

    /// Prepares what is to begin when `group` is committed; all or nothing.
    ///
    /// `time` is kept with it: milliseconds since 1970. Waits up to 30 s for other instants
    /// on the same volumes to be settled or abandoned; who takes instants over several stores at
    /// once should prepare them in one order. A group is prepared once a store. A target that has
    /// points of its own, or is about to keep what it holds, and has tracks that it does not hold, gets
    /// these first, which takes its time.
    ///
    /// Errors: `unknownVolume`, `invalidArgument`, `pointExists`, `noSafeguardedCapacity`,
    /// `instantInProgress`, `closed`, and those of `RelationshipObstacle`; nothing is prepared then.
    public func prepare(
        _ group: InstantGroup, _ actions: [InstantAction], time: Int64
    ) throws(TrackStoreError) {
        let numbers = try enter { () throws(TrackStoreError) in try involved(actions) }
        do throws(TrackStoreError) {
            try takeOutOfJournal(try targets(of: actions))
            try completeNeeded(actions)
            try parts.control.withLock { (control) throws(TrackStoreError) in
                try checkOpen()
                guard !group.isCommitted, control.instants[ObjectIdentifier(group)] == nil else {
                    throw TrackStoreError(
                        .noInstant, "the instant has come, or was prepared here before")
                }
                let plan = try plan(actions, time, &control)
                begin(plan, group)
                control.instants[ObjectIdentifier(group)] = .init(
                    group: group, plan: plan, numbers: numbers)
            }
        } catch {
            leave(numbers)
            throw error
        }
    }

    /// The volumes that take part, in order.
    private func involved(_ actions: [InstantAction]) throws(TrackStoreError) -> [UInt16] {
        var numbers: Set<UInt16> = []
        for action in actions {
            switch action {
            case .point(let id, _): numbers.insert(try volume(id).number)
            case .establish(let copy):
                numbers.formUnion([try volume(copy.source).number, try volume(copy.target).number])
            case .refresh(let refresh): numbers.formUnion(try pair(into: refresh.target))
            case .reverse(let target, _, _): numbers.formUnion(try pair(into: target))
            }
        }
        return numbers.sorted()
    }

    /// A target, and its source where it has one.
    private func pair(into id: String) throws(TrackStoreError) -> [UInt16] {
        let target = try volume(id)
        return [target.number] + (target.inbound.map { [$0.source.number] } ?? [])
    }

    /// Keeps everybody else from beginning or ending points and relationships of some volumes, until
    /// `leave`. Waits up to 30 s for those who do. Which volumes these are may change until it has them,
    /// and not afterwards.
    ///
    /// Errors: `instantInProgress`, and those of `find`.
    func enter(_ find: () throws(TrackStoreError) -> [UInt16]) throws(TrackStoreError) -> [UInt16] {
        while true {
            let numbers = try find()
            let entered: Void? = busy.withLock(
                waitingWhile: { busy in numbers.contains { busy.contains($0) } },
                milliseconds: 30_000, { $0.formUnion(numbers) })
            guard entered != nil else {
                throw TrackStoreError(
                    .instantInProgress, "another instant on the same volumes has not ended",
                    place: numbers.first.map(Volume.name) ?? "")
            }
            do throws(TrackStoreError) {
                if try find() == numbers { return numbers }
            } catch {
                leave(numbers)
                throw error
            }
            leave(numbers)
        }
    }

    func leave(_ numbers: [UInt16]) {
        giveToJournal(numbers)
        busy.withLock { $0.subtract(numbers) }
        busy.notifyAll()
    }

    /// Lets the prepared points wait for the instant, on volumes of which nobody else changes the
    /// relationships meanwhile.
    private func begin(_ plan: InstantPlan, _ group: InstantGroup) {
        for point in plan.points {
            point.volume.state.withLock { state in
                state.prepared = PreparedPoint(
                    point: point.point, group: group, swaps: plan.swaps(on: point.volume))
                state.readers += plan.readers(of: point.point, on: point.volume)
            }
        }
    }

    /// Takes back what was prepared for an instant that is not going to come, or that came but
    /// shall not be kept. Does nothing where nothing is prepared.
    public func abandon(_ group: InstantGroup) {
        parts.control.withLock { control in
            guard let instant = control.instants.removeValue(forKey: ObjectIdentifier(group))
            else { return }
            discard(instant)
        }
    }

    private func discard(_ instant: ControlState.Instant) {
        let plan = instant.plan
        for (volume, point) in plan.points {
            point.isLive.store(false, ordering: .sequentiallyConsistent)
            volume.state.withLock { state in
                if state.prepared?.point === point {
                    state.prepared = nil
                } else {
                    for swap in plan.swaps(on: volume) { Self.undo(swap, &state) }
                }
                state.readers.removeAll { $0.point === point }
            }
            parts.remove([point], from: volume)
        }
        for change in plan.changes {
            change.target.state.withLock { state in Self.undo(change.targetSwap, &state) }
        }
        leave(instant.numbers)
    }

    /// The old recorder counts again, with what the new one has heard.
    private static func undo(
        _ swap: (old: ChangeRecorder?, new: ChangeRecorder?), _ state: inout VolumeState
    ) {
        guard let new = swap.new, state.recorders.contains(where: { $0 === new }) else { return }
        swap.old?.bitmap.formUnion(new.bitmap)
        state.replace(new, by: swap.old)
    }

    /// Makes the points and relationships of a committed group durable on this store: waits for host
    /// operations from before the instant, syncs what they wrote, and commits everything at once.
    /// Then hosts of the targets see what these present.
    ///
    /// Errors: `noInstant`, `noSpace`, `inputOutput`; nothing of the group exists on this store then.
    public func settle(_ group: InstantGroup) throws(TrackStoreError) {
        try parts.control.withLock { (control) throws(TrackStoreError) in
            try checkOpen()
            guard group.isCommitted,
                let instant = control.instants.removeValue(forKey: ObjectIdentifier(group))
            else {
                throw TrackStoreError(
                    .noInstant, "the instant has not come, or was not prepared here")
            }
            for (volume, _) in instant.plan.points {
                volume.state.withLock { $0.materialise() }
            }
            parts.epochs.quiesce()
            let replaced = instant.plan.changes.compactMap(\.replaced)
            var turn = Turn(replaced: replaced, idle: parts.idle(without: replaced))
            do throws(TrackStoreError) {
                let io = parts.makeControlIO()
                try makeDurable(instant.plan.points.map(\.volume), through: io)
                // What the targets' own points read from the files from now on.
                for old in replaced where !old.drained {
                    try old.persist(in: catalogue, through: io)
                }
                turn.points = instant.plan.points
                turn.notes = instant.plan.notes
                turn.made = instant.plan.changes.map { $0.relationship() }
                try store(turn, nextSequence: control.nextSequence)
            } catch {
                discard(instant)
                throw error
            }
            for (_, point) in instant.plan.points {
                point.isSettled.store(true, ordering: .releasing)
            }
            enter(turn)
            leave(instant.numbers)
        }
    }

    /// Makes it durable, all or nothing.
    func store(_ turn: Turn, nextSequence: UInt64) throws(TrackStoreError) {
        var isDone = false
        defer { if !isDone { StoreParts.mark(turn.replaced, withdrawn: false) } }
        try parts.recording.replacing(turn.made.map { ($0.target, $0.pending) }) {
            (transaction) throws(TrackStoreError) in
            StoreParts.mark(turn.replaced, withdrawn: true)
            try transaction.put(.meta, Key.nextSequence, NumberRecord(nextSequence).bytes)
            // A point may have rolled off between its instant and now.
            for (volume, point) in turn.points where point.live {
                let record = PointRecord(
                    time: point.time, capacity: point.capacity, tag: point.tag)
                try transaction.put(
                    .points, Key.point(volume.number, point.sequence), record.bytes)
            }
            for relationship in turn.replaced + turn.made {
                try StoreParts.deleteRows(of: relationship.target, transaction)
            }
            for relationship in turn.made { try StoreParts.put(relationship, transaction) }
            for (volume, note) in turn.notes {
                try transaction.put(.targetNotes, Key.volume(volume.number), note.bytes)
            }
            try StoreParts.deleteRows(of: turn.idle, transaction)
        }
        isDone = true
    }

    /// Puts relationships in force that are durable, in place of others, for every operation from now
    /// on.
    func enter(_ turn: Turn) {
        copier.remove(turn.replaced)
        for relationship in turn.made {
            relationship.source.state.withLock { state in
                for index in state.readers.indices
                where state.readers[index].point === relationship.point
                    && state.readers[index].target == relationship.target.number
                {
                    state.readers[index].stored = relationship.stored
                }
            }
            relationship.changes?.settle()
            relationship.target.present(relationship)
            copier.add(relationship)
        }
        for (volume, note) in turn.notes { volume.note.withLock { $0 = note } }
        for relationship in turn.replaced { parts.forget(relationship) }
        parts.epochs.quiesce()
        for relationship in turn.replaced { parts.unpin(relationship) }
        for (volume, point) in turn.idle { parts.retire(point, of: volume) }
        copier.wake()
    }
}
