import CopyModel
import CopyRules
import SessionStore
import StoragePort

// Plans: begun only once they are kept, rolled forward after a crash.

extension Lane {
    /// Takes a plan's steps and ends its command.
    ///
    ///     keep the plan ─▶ effect ─▶ apply ─▶ commit (plan: next step) ─▶ … ─▶ commit with the outcome
    ///                        └ fails ─▶ undo ─▶ commit the failed outcome
    ///
    /// A crash before the first commit leaves nothing; after it, `resume` starts at the step that was
    /// last kept, and effects answer "already so" where they were done.
    func perform(_ begun: Intent) async -> Bool {
        var intent = begun
        let cause = Cause(id: intent.id, reply: intent.reply)
        if intent.plan.hasEffects, intent.next == 0 {
            guard await keep(intent, session, cause) else { return false }
        }
        var pending = session
        while intent.next < intent.plan.steps.count {
            let step = intent.plan.steps[intent.next]
            if let failure = await attempt(step) {
                guard step.mayFail else { return await fail(intent, failure, pending) }
                note(failure, &intent.plan.result)
            } else {
                pending = CopyRules.apply(step.change, to: pending, named: name)
            }
            intent.next += 1
            if intent.next < intent.plan.steps.count {
                guard await keep(intent, pending, cause) else { return false }
                pending = session
            }
        }
        return await complete(intent, pending)
    }

    private func keep(_ intent: Intent, _ next: Session?, _ cause: Cause) async -> Bool {
        do {
            let change: UnitOfWork.IntentChange =
                intent.plan.hasEffects ? .put(try Archive.encode(intent)) : .keep
            return await commit(next, Telling(cause: cause, intent: change))
        } catch {
            services.halt("A plan of \(name) could not be written: \(error)")
            return false
        }
    }

    /// A step that may fail has failed: people hear of it, and the plan goes on.
    private func note(_ failure: StorageFailure, _ result: inout PlannedResult) {
        services.log.warning(
            "the storage could not do a step", metadata: ["error": "\(failure.message)"])
        if case .refreshed(let changes) = result {
            result = .refreshed(changes: changes + [failure.message])
        }
    }

    func attempt(_ step: Step) async -> StorageFailure? {
        guard let effect = step.effect else { return nil }
        do {
            try await services.storage.perform(effect, at: effect.time ?? services.clock.now())
            return nil
        } catch {
            if let undo = step.undo { await tryUndo(undo) }
            return error
        }
    }

    /// What cannot be undone now is found and repaired by RefreshStates, and by the next start.
    private func tryUndo(_ undo: Effect) async {
        do {
            try await services.storage.perform(undo, at: services.clock.now())
        } catch {
            services.log.error(
                "a failed step could not be undone; RefreshStates will find what is left",
                metadata: ["subject": "\(name)", "error": "\(error.message)"])
        }
    }

    private func fail(_ intent: Intent, _ failure: StorageFailure, _ next: Session?) async -> Bool {
        let next = await observed(next, after: intent.plan)
        return await commit(
            next,
            Telling(
                cause: Cause(id: intent.id, reply: intent.reply),
                outcome: outcome(of: intent, .failed, error: failure.refusal),
                request: intent.request, intent: .clear))
    }

    /// What relationships are once they were changed is the storage's to say: how much is to be copied, what
    /// has ended already, and what of a plan that failed was done all the same.
    private func observed(_ next: Session?, after plan: Plan) async -> Session? {
        guard let session = next, session.flash != nil, plan.changesRelationships else {
            return next
        }
        do {
            var facts = Facts(now: services.clock.now())
            facts.storage = try await services.storage.report(
                on: session.copySets.flatMap(\.volumes))
            return CopyRules.repairs(of: session, facts: facts).reduce(next) { session, step in
                CopyRules.apply(step.change, to: session, named: name)
            }
        } catch {
            services.log.warning(
                "the storage could not be asked what came of a plan; RefreshStates asks again",
                metadata: ["session": "\(name)", "error": "\(error.message)"])
            return next
        }
    }

    private func complete(_ intent: Intent, _ next: Session?) async -> Bool {
        let next = await observed(next, after: intent.plan)
        let result: CommandResult
        do {
            result = try await self.result(of: intent.plan, next)
        } catch {
            return await fail(intent, error, next)
        }
        return await commit(
            next,
            Telling(
                cause: Cause(id: intent.id, reply: intent.reply),
                outcome: outcome(of: intent, .completed, result: result), request: intent.request,
                intent: intent.plan.hasEffects ? .clear : .keep))
    }

    private func result(
        of plan: Plan, _ session: Session?
    ) async throws(StorageFailure) -> CommandResult {
        switch plan.result {
        case .session(let parts): return session.map { .session($0, parts: parts) } ?? .none
        case .copySetsAdded(let sets): return .copySetsAdded(sets)
        case .copySetsRemoved(let sets): return .copySetsRemoved(sets)
        case .backup(let id, let copySets): return .backup(id, copySets: copySets)
        case .recovered(let id, let pairs, let copy):
            return .recovered(id, pairs: pairs, backgroundCopy: copy)
        case .backgroundCopyStarted(let pairs): return .backgroundCopyStarted(pairs: pairs)
        case .expired(let ids): return .expired(ids)
        case .withdrawn(let pairs): return .withdrawn(pairs: pairs)
        case .refreshed(let changes): return .refreshed(changes: changes)
        case .volumes(let ids): return .volumes(ids)
        case .storage: return .storage(name, try await services.storage.inventory(of: name) ?? [])
        case .flashed: return plan.flash.map { .flashed($0) } ?? .none
        case .discovered(let found, let missing, let spread):
            return .discovered(found: found, missing: missing, spread: spread)
        case .reversed(let pairs, let fast): return .reversed(pairs: pairs, fast: fast)
        case .queried:
            let facts = try await facts(for: .queryRelationships)
            return .queried(session.map { CopyRules.relationships(of: $0, facts: facts) } ?? [])
        case .settled(let pairs): return .settled(pairs: pairs)
        case .withdrawnWhenCopied(let pairs, let remaining):
            return .withdrawnWhenCopied(pairs: pairs, tracksRemaining: remaining)
        case .relationships(let pairs): return .relationships(pairs)
        case .relationshipList:
            return .relationshipList(
                name, try await services.storage.inventory(of: name) ?? [])
        case .none: return .none
        }
    }

    /// Rolls a kept plan forward. A backup or a Flash whose instant was never taken is not taken now
    /// under an old time: the plan is dropped, and its command, which was not acknowledged, comes again.
    func resume(_ record: IntentRecord) async {
        defer { services.registry.endDeletion(Self.deletions(record)) }
        do {
            let intent = try Archive.decode(Intent.self, record.bytes)
            if try await isInstantNeverTaken(intent) {
                if let undo = intent.plan.steps[intent.next].undo { await tryUndo(undo) }
                _ = await commit(session, Telling(intent: .clear))
            } else {
                _ = await perform(intent)
            }
        } catch let failure as StorageFailure {
            services.halt("A plan of \(name) could not be rolled forward: \(failure.message)")
        } catch {
            services.halt("A plan of \(name) could not be read: \(error)")
        }
    }

    /// Says, before the first command is taken, what a kept plan is about to delete: no session may take
    /// these volumes while the plan waits for its turn. It was decided when nobody had them.
    nonisolated func announce(_ record: IntentRecord) {
        services.registry.beginDeletion(Self.deletions(record))
    }

    /// The volumes that a kept plan deletes; none where it cannot be read, for which `resume` halts.
    private static func deletions(_ record: IntentRecord) -> Set<VolumeID> {
        guard let intent = try? Archive.decode(Intent.self, record.bytes) else { return [] }
        return intent.plan.steps.reduce(into: []) { volumes, step in
            guard case .deleteVolumes(let system, let ids)? = step.effect else { return }
            volumes.formUnion(ids.map { VolumeID(storage: system, local: $0) })
        }
    }

    private func isInstantNeverTaken(_ intent: Intent) async throws(StorageFailure) -> Bool {
        guard intent.next < intent.plan.steps.count else { return false }
        switch intent.plan.steps[intent.next].effect {
        case .takePoints(let tag, let sources):
            let report = try await services.storage.report(on: sources)
            return !sources.allSatisfy { source in
                report.volumes[source]?.points.contains { $0.tag == tag } ?? false
            }
        case .changeRelationships(let instant):
            guard intent.plan.flash?.number == instant.number else { return false }
            let targets = instant.changes.map(\.targetAfterwards)
            let report = try await services.storage.report(on: targets)
            return !targets.contains { target in
                let volume = report.volumes[target]
                return volume?.inbound?.attributes.number == instant.number
                    || volume?.completed == instant.number
            }
        case .verifyPoints, .dropPoints, .establish, .startBackgroundCopy, .withdraw,
            .withdrawRelationships, .commitRelationships, .revertRelationships, .createVolumes,
            .deleteVolumes, .expandVolumes, .setSafeguardedCapacity, nil:
            return false
        }
    }

    /// Takes the steps that the session owes by its options, until none is owed or one cannot be taken
    /// (then they are owed still, and taken up after the next change).
    func payOwed(cause: Cause?) async {
        while let current = session, !services.isHalted() {
            let steps = CopyRules.owed(by: current)
            if steps.isEmpty { return }
            for step in steps {
                if let failure = await attempt(step) {
                    services.log.error(
                        "what the session owes could not be done",
                        metadata: ["session": "\(name)", "error": "\(failure.message)"])
                    return
                }
                let next = CopyRules.apply(step.change, to: session, named: name)
                guard next != session, await commit(next, Telling(cause: cause)) else { return }
            }
        }
    }
}

extension Plan {
    /// It changes relationships of a FlashCopy session and leaves some.
    fileprivate var changesRelationships: Bool {
        steps.contains { step in
            switch step.effect {
            case .changeRelationships, .revertRelationships, .commitRelationships,
                .withdrawRelationships:
                true
            case .takePoints, .verifyPoints, .dropPoints, .establish, .startBackgroundCopy,
                .withdraw, .createVolumes, .deleteVolumes, .expandVolumes,
                .setSafeguardedCapacity, nil:
                false
            }
        }
    }
}

extension Effect {
    /// The instant that it names itself; nil where it is labelled with the time at which it is done.
    fileprivate var time: Timestamp? {
        guard case .changeRelationships(let instant) = self else { return nil }
        return Timestamp(milliseconds: Int64(instant.number))
    }
}

extension RelationshipChange {
    /// Who presents something once it is done.
    fileprivate var targetAfterwards: VolumeID {
        switch self {
        case .establish(let pair, _), .refresh(let pair, _, _): pair.target
        case .reverse(let pair, _): pair.source
        }
    }
}
