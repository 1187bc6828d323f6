import CommandSchema
import CopyModel
import CopyRules
import MessagePort
import SessionStore
import StoragePort

// Commands: once each, in order.

extension Lane {
    /// Takes one command to its end: outcome and events durable, then the delivery acknowledged.
    func take(_ admitted: Admitted) async {
        let settlement: Settlement
        let ended: Bool
        switch admitted.reading {
        case .command(let envelope):
            settlement = .acknowledge
            ended = await once(envelope.id, envelope.canonical, admitted) {
                await self.run(envelope, admitted)
            }
        case .refused(let refused):
            settlement = .acknowledge
            ended = await once(refused.id, refused.canonical, admitted) {
                await self.end(refused, admitted)
            }
        case .unattributable(let message):
            settlement = .deadLetter
            ended = await end(message, admitted)
        }
        guard ended else { return }
        services.source.settle(admitted.tag, settlement)
        await payOwed(cause: admitted.cause)
    }

    /// Runs `body` for a command that is new; answers a repeat with the kept outcome, and refuses a
    /// reuse of its id.
    private func once(
        _ id: CommandID, _ request: [UInt8], _ admitted: Admitted, _ body: () async -> Bool
    ) async -> Bool {
        let record: InboxRecord?
        do {
            record = try await earlier(id)
        } catch {
            services.halt("The inbox of \(name) could not be read: \(error.message)")
            return false
        }
        guard let record else { return await body() }
        let cause = Cause(id: id, reply: admitted.reply)
        let now = services.clock.now()
        services.meters.count { $0.commands.duplicates += 1 }
        var outcome = Outcome(
            id: id, command: admitted.reading.commandName, subject: name,
            isForStorage: admitted.reading.isForStorage, kind: .refused, revision: 0,
            receivedAt: admitted.receivedAt, startedAt: now, finishedAt: now)
        if record.request == request {
            outcome.kind = OutcomeReader.kind(record.outcome) ?? .completed
            outcome.duplicate = true
            let answer = OutcomeWriter.markDuplicate(record.outcome)
            return await answerRepeat(answer, cause, telling: outcome)
        }
        outcome.revision = session?.revision ?? 0
        outcome.refusals = [
            Refusal(
                .commandIDReused, "The id \(id) was used for another command of \(name).",
                subject: id.text, remedy: "Send the command with an id of its own.")
        ]
        services.meters.ended(.refused, after: 0)
        return await answerRepeat(OutcomeWriter.bytes(outcome), cause, telling: outcome)
    }

    private func run(_ envelope: CommandEnvelope, _ admitted: Admitted) async -> Bool {
        let started = services.clock.now()
        let intent = Intent(
            plan: Plan(steps: [], result: .none), next: 0, id: envelope.id,
            command: envelope.command.name.rawValue,
            isForStorage: envelope.command.name.isForStorage, request: envelope.canonical,
            reply: admitted.reply, receivedAt: admitted.receivedAt, startedAt: started)
        let deleting = volumesToDelete(envelope)
        services.registry.beginDeletion(deleting)
        defer { services.registry.endDeletion(deleting) }
        let decision: Decision
        do {
            decision = try await decide(envelope)
        } catch {
            services.registry.set(session, named: name)
            return await end(intent, .failed, error: error.refusal)
        }
        switch decision {
        case .refused(let reasons):
            services.registry.set(session, named: name)
            return await end(intent, .refused, refusals: reasons)
        case .plan(let plan):
            if envelope.dryRun {
                services.registry.set(session, named: name)
                return await end(intent, .completed, result: .wouldDo(plan.sentences))
            }
            var begun = intent
            begun.plan = plan
            return await perform(begun)
        }
    }

    private func volumesToDelete(_ envelope: CommandEnvelope) -> Set<VolumeID> {
        guard case .deleteVolumes(let ids) = envelope.command else { return [] }
        return Set(ids.map { VolumeID(storage: name, local: $0) })
    }

    private func volumesToMakeOrDelete(_ envelope: CommandEnvelope) -> [VolumeID] {
        if case .createVolumes(let asked) = envelope.command {
            return asked.map { VolumeID(storage: name, local: $0.id) }
        }
        return Array(volumesToDelete(envelope))
    }

    /// Gathers the facts, then decides: no `await` stands between the session and its decision, since
    /// this lane alone changes the session and is waiting here.
    private func decide(_ envelope: CommandEnvelope) async throws(StorageFailure) -> Decision {
        if envelope.command.name.isForStorage {
            return try await decideStorage(envelope)
        }
        var lost: Set<VolumeID> = []
        if case .addCopySets = envelope.command {
            let wanted = Set(CopyRules.volumesNeeded(envelope.command, session: session))
            lost = services.registry.reserve(wanted, for: name)
        }
        var facts = try await facts(for: envelope.command)
        for volume in lost { facts.storage.volumes[volume] = nil }
        if case .describeSession = envelope.command { look(at: facts.storage) }
        return CopyRules.decide(envelope, session: session, facts: facts)
    }

    /// Brings the progress of relationships up to date before they are described: without a background
    /// copy nobody reports it. The end of a copy is a fact of its own and is left to that.
    private func look(at report: StorageReport) {
        var news: [PairProgress] = []
        let present = Presence(session)
        for view in session?.pairViews ?? [] {
            let pair = view.pair
            guard let inbound = report.volumes[pair.target]?.inbound, inbound.tracksRemaining > 0,
                inbound.source == pair.source, pair.tracksRemaining > 0, !pair.isStopped,
                present.holds(inbound.presents, on: pair.target)
            else { continue }
            news.append(
                PairProgress(
                    target: pair.target, tracksRemaining: inbound.tracksRemaining,
                    tracks: inbound.tracks))
        }
        session = progressed(session, news)
    }

    func facts(for command: Command) async throws(StorageFailure) -> Facts {
        let needed = CopyRules.volumesNeeded(command, session: session)
        var facts = Facts(now: services.clock.now())
        if !needed.isEmpty { facts.storage = try await services.storage.report(on: needed) }
        while true {
            let missing = CopyRules.volumesMissing(command, from: facts.storage)
            if missing.isEmpty { break }
            let more = try await services.storage.report(on: missing)
            facts.storage.volumes.merge(more.volumes) { known, _ in known }
            // What a volume is read through is there, or the storage tells two tales.
            if more.volumes.isEmpty { break }
        }
        facts.now = services.clock.now()
        if command.name == .refreshStates { facts.liveSessions = services.registry.liveSessions }
        return facts
    }

    private func decideStorage(_ envelope: CommandEnvelope) async throws(StorageFailure) -> Decision
    {
        let inventory = try await services.storage.inventory(of: name)
        var facts = Facts(now: services.clock.now())
        if inventory == nil { facts.storage = try await services.storage.report(on: []) }
        facts.sessionsUsing = services.registry.users(of: volumesToMakeOrDelete(envelope))
        return CopyRules.decideStorage(envelope, inventory: inventory, facts: facts)
    }

    private func end(_ refused: RefusedCommand, _ admitted: Admitted) async -> Bool {
        let now = services.clock.now()
        let outcome = refused.outcome(
            receivedAt: admitted.receivedAt, startedAt: now, finishedAt: now,
            revision: session?.revision ?? 0)
        services.meters.ended(
            .refused, after: now.milliseconds - admitted.receivedAt.milliseconds)
        return await commit(
            session,
            Telling(
                cause: Cause(id: refused.id, reply: admitted.reply), outcome: outcome,
                request: refused.canonical))
    }

    private func end(_ message: UnattributableCommand, _ admitted: Admitted) async -> Bool {
        let outcome = message.outcome(
            receivedAt: admitted.receivedAt, finishedAt: services.clock.now())
        services.meters.count {
            $0.commands.deadLetters += 1
            $0.commands.refused += 1
        }
        return await commit(
            session,
            Telling(cause: Cause(id: message.id, reply: admitted.reply), outcome: outcome))
    }

    /// Ends a command that changed nothing.
    private func end(
        _ intent: Intent, _ kind: OutcomeKind, result: CommandResult? = nil,
        refusals: [Refusal] = [], error: Refusal? = nil
    ) async -> Bool {
        let outcome = outcome(of: intent, kind, result: result, refusals: refusals, error: error)
        return await commit(
            session,
            Telling(
                cause: Cause(id: intent.id, reply: intent.reply), outcome: outcome,
                request: intent.request))
    }

    func outcome(
        of intent: Intent, _ kind: OutcomeKind, result: CommandResult? = nil,
        refusals: [Refusal] = [], error: Refusal? = nil
    ) -> Outcome {
        let now = services.clock.now()
        services.meters.ended(kind, after: now.milliseconds - intent.receivedAt.milliseconds)
        return Outcome(
            id: intent.id, command: intent.command, subject: name,
            isForStorage: intent.isForStorage, kind: kind, result: result, refusals: refusals,
            error: error, revision: session?.revision ?? 0, receivedAt: intent.receivedAt,
            startedAt: intent.startedAt, finishedAt: now)
    }
}

extension ReadResult {
    fileprivate var commandName: String? {
        switch self {
        case .command(let envelope): envelope.command.name.rawValue
        case .refused(let refused): refused.commandName
        case .unattributable(let message): message.commandName
        }
    }

    fileprivate var isForStorage: Bool {
        switch self {
        case .command(let envelope): envelope.command.name.isForStorage
        case .refused(let refused): refused.isForStorage
        case .unattributable: false
        }
    }
}

/// What a kept outcome says of itself.
enum OutcomeReader {
    /// How the kept outcome ended; nil if it cannot be read.
    static func kind(_ bytes: [UInt8]) -> OutcomeKind? {
        guard let document = try? JSONNode(document: bytes) else { return nil }
        return document["outcome"]?.text.flatMap(OutcomeKind.init(rawValue:))
    }
}
