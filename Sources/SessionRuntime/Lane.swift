import CommandSchema
import CopyModel
import CopyRules
import SessionStore

/// One subject's actor: it owns the session and runs its commands and facts one at a time.
///
///     mailbox → repeat? → facts → decide → intent → effects → apply → commit → acknowledge
///
/// Invariant: `session` differs from `stored` (what the store has) only in the progress of a
/// recovery; everything else changes by `commit` alone, after the store has it. So a crash at any
/// `await` loses nothing that was told or acknowledged.
actor Lane {
    nonisolated let name: SubjectName
    nonisolated let mailbox = Mailbox()
    let services: Services
    var session: Session?
    var stored: Session?
    var progress = ProgressMeter()
    private var lastSequence: UInt64 = 0
    private var known: Set<UInt64> = []
    private var isLoaded = false

    init(name: SubjectName, services: Services) {
        self.name = name
        self.services = services
    }

    /// Takes messages until the mailbox is closed and empty, or the worker halts.
    func run() async {
        while let message = await mailbox.next() {
            if services.isHalted() { return }
            guard await load() else { return }
            switch message {
            case .command(let admitted): await take(admitted)
            case .fact(let fact): await take([fact] + mailbox.takeFacts())
            case .resume(let record): await resume(record)
            case .reconcile: await reconcile()
            case .outcomesPurged: await forgetPurged()
            case .owed: await payOwed(cause: nil)
            }
        }
    }

    /// Reads what the store has of the subject, once; false where that is impossible.
    func load() async -> Bool {
        guard !isLoaded else { return true }
        do {
            let record = try await services.store.load(name)
            session = try Archive.session(name, from: record.parts)
            stored = session
            lastSequence = record.lastSequence
            known = record.knownCommands
            isLoaded = true
            services.registry.set(session, named: name)
            return true
        } catch {
            services.halt("Session \(name) could not be read from the store: \(error)")
            return false
        }
    }

    /// Lets go of commands whose outcomes the store has forgotten; memory must not grow for ever.
    private func forgetPurged() async {
        do {
            known = try await services.store.load(name).knownCommands
        } catch {
            services.log.warning(
                "the commands known of a session could not be read again",
                metadata: ["subject": "\(name)", "error": "\(error.message)"])
        }
    }

    /// The kept record of a command that was executed before; nil for a new one.
    func earlier(_ id: CommandID) async throws(StoreFailure) -> InboxRecord? {
        guard known.contains(InboxRecord.hash(id)) else { return nil }
        return try await services.store.outcome(of: id, subject: name)
    }

    /// The session in one line; nil where there is none.
    var summary: SessionSummary? { session?.summary }

    /// What one commit says besides the session.
    struct Telling {
        var cause: Cause?
        var outcome: Outcome?
        var request: [UInt8]?
        var intent = UnitOfWork.IntentChange.keep
        var more: [EventBody] = []
    }

    /// What a change is due to.
    struct Cause {
        var id: CommandID?
        var reply: ReplyContext
    }

    /// Makes a change durable with all that must be told of it, then adopts it; false where the
    /// worker had to halt. Nothing is told before the store has it, and nothing the store has goes
    /// untold: the events are in the same transaction.
    func commit(_ next: Session?, _ telling: Telling) async -> Bool {
        var next = next
        var bodies = CopyRules.events(from: session, to: next)
        if !bodies.isEmpty, let revision = next?.revision {
            next?.revision = revision + 1
            bodies = CopyRules.events(from: session, to: next)
        }
        let unit: UnitOfWork
        do {
            unit = try assemble(next, bodies + telling.more, telling)
        } catch {
            services.halt("Session \(name) could not be written: \(error)")
            return false
        }
        guard await makeDurable(unit) else { return false }
        lastSequence = unit.lastSequence
        if let id = unit.inbox?.id { known.insert(InboxRecord.hash(id)) }
        if session?.copySets != next?.copySets || (session == nil) != (next == nil) {
            services.registry.set(next, named: name)
        }
        session = next
        stored = next
        if !unit.outbox.isEmpty { services.relay.wake() }
        return true
    }

    private func assemble(
        _ next: Session?, _ bodies: [EventBody], _ telling: Telling
    ) throws -> UnitOfWork {
        var unit = UnitOfWork(
            subject: name, expectedSequence: lastSequence, lastSequence: lastSequence)
        try Archive.difference(from: stored, to: next, in: &unit)
        unit.intent = telling.intent
        for body in bodies { append(body, nil, telling.cause, to: &unit) }
        if var outcome = telling.outcome {
            outcome.revision = next?.revision ?? session?.revision ?? 0
            if case .session(_, let parts)? = outcome.result, let next {
                outcome.result = .session(next, parts: parts)
            }
            let offered = next.map(CommandTable.availableCommands) ?? []
            let bytes = OutcomeWriter.bytes(outcome, availableCommands: offered)
            append(.command(outcome), bytes, telling.cause, to: &unit)
            appendReply(bytes, telling.cause, to: &unit)
            if let id = outcome.id, let request = telling.request {
                unit.inbox = InboxRecord(
                    id: id, request: request, outcome: bytes, receivedAt: outcome.receivedAt)
            }
        }
        return unit
    }

    private func append(
        _ body: EventBody, _ outcome: [UInt8]?, _ cause: Cause?, to unit: inout UnitOfWork
    ) {
        unit.lastSequence += 1
        let event = Event(
            subject: name, sequence: unit.lastSequence, time: services.clock.now(),
            commandID: cause?.id, traceparent: cause?.reply.traceparent, body: body)
        unit.outbox.append(
            OutboxMessage(
                exchange: services.configuration.eventExchange,
                routingKey: EventWriter.routingKey(event), messageID: EventWriter.id(event),
                correlationID: nil, contentType: EventWriter.contentType,
                traceparent: cause?.reply.traceparent,
                body: EventWriter.bytes(
                    event, instance: services.configuration.instance, outcomeBytes: outcome)))
    }

    func appendReply(_ outcome: [UInt8], _ cause: Cause?, to unit: inout UnitOfWork) {
        guard let cause, let queue = cause.reply.replyTo else { return }
        unit.outbox.append(
            OutboxMessage(
                exchange: "", routingKey: queue, messageID: nil,
                correlationID: cause.reply.correlationID ?? cause.id?.text,
                contentType: "application/json", traceparent: cause.reply.traceparent,
                body: outcome))
    }

    /// A full store is waited for, since people can mend it; anything else ends the worker, because a
    /// store that failed once cannot be trusted to have kept what it says it kept.
    private func makeDurable(_ unit: UnitOfWork) async -> Bool {
        while true {
            do {
                try await services.store.commit(unit)
                return true
            } catch {
                guard error.code == .full, !services.isHalted(), !services.isDraining() else {
                    services.halt("A commit of \(name) failed at \(error.place): \(error.message)")
                    return false
                }
                services.meters.count { $0.commitRetries += 1 }
                services.log.error(
                    "the store is full; waiting for space",
                    metadata: ["subject": "\(name)", "place": "\(error.place)"])
                await services.clock.sleep(milliseconds: 1000)
            }
        }
    }

    /// Answers a repeat from the inbox, and tells it, marked as a duplicate.
    func answerRepeat(_ outcome: [UInt8], _ cause: Cause, telling body: Outcome) async -> Bool {
        var unit = UnitOfWork(
            subject: name, expectedSequence: lastSequence, lastSequence: lastSequence)
        append(.command(body), outcome, cause, to: &unit)
        appendReply(outcome, cause, to: &unit)
        guard await makeDurable(unit) else { return false }
        lastSequence = unit.lastSequence
        services.relay.wake()
        return true
    }
}
