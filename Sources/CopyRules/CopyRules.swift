import CopyModel

/// The law: what a command comes to, and what a change makes of a session. Pure: no clock, no I/O.
public enum CopyRules {
    /// The volumes whose report a decision on the command needs.
    public static func volumesNeeded(_ command: Command, session: Session?) -> [VolumeID] {
        switch command {
        case .addCopySets(let sets):
            sets.flatMap(\.volumes)
        case .backup:
            session?.copySets.map(\.h1) ?? []
        case .recover:
            session?.copySets.flatMap(\.volumes) ?? []
        case .initiateBackgroundCopy, .terminateH1R1, .terminate, .describeSession:
            session?.recovery?.pairs.map(\.target) ?? []
        case .refreshStates:
            session?.copySets.flatMap(\.volumes) ?? []
        case .createSession, .modifySession, .deleteSession, .removeCopySets, .expireBackup,
            .createVolumes, .deleteVolumes, .expandVolumes, .setSafeguardedCapacity,
            .describeStorage:
            []
        }
    }

    /// Decides a session command: every reason against it in published precedence, or the plan.
    ///
    /// The order is: the message's time, the session's existence, its state, then the command's own
    /// ladder. A reason that makes later ones meaningless (no such session) ends the ladder.
    public static func decide(
        _ envelope: CommandEnvelope, session: Session?, facts: Facts
    ) -> Decision {
        var ladder = Ladder()
        ladder.add(expiry(envelope, now: facts.now))
        if case .createSession(let type, let description, let options) = envelope.command {
            return decideCreate(
                envelope.subject, type, description, options, existing: session, ladder: ladder)
        }
        guard let session else {
            ladder.require(false, Reasons.unknownSession(envelope.subject))
            return .refused(ladder.reasons)
        }
        let name = envelope.command.name
        guard SafeguardedTable.isOffered(name, in: session.state) else {
            ladder.require(false, Reasons.notInThisState(name, session))
            return .refused(ladder.reasons)
        }
        return decideOffered(envelope.command, session: session, facts: facts, ladder: ladder)
    }

    private static func expiry(_ envelope: CommandEnvelope, now: Timestamp) -> [Refusal] {
        guard let notAfter = envelope.notAfter, now > notAfter else { return [] }
        return [
            Refusal(
                .commandExpired,
                "The command was not to be started after \(notAfter), and it is \(now).",
                subject: envelope.id.text,
                remedy: "Send it again with a later notAfter and a new id.")
        ]
    }

    private static func decideCreate(
        _ name: SubjectName, _ type: SessionType, _ description: String, _ options: OptionChanges,
        existing: Session?, ladder: Ladder
    ) -> Decision {
        var ladder = ladder
        if let existing {
            ladder.require(
                false,
                Refusal(
                    .sessionExists, "Session \(name) exists and is \(existing.state.rawValue).",
                    subject: name.text, remedy: "ModifySession \(name), or choose another name."))
            ladder.require(
                existing.type == type,
                Refusal(
                    .sessionTypeMismatch,
                    "Session \(name) is of type \(existing.type.rawValue), which never changes.",
                    subject: name.text, remedy: "Terminate and DeleteSession \(name) first."))
        }
        let step = Step(
            effect: nil,
            change: .created(
                description: description, options: SessionOptions(type).applying(options)))
        return ladder.decide(
            Plan(steps: [step], result: .session(parts: Set(DocumentPart.allCases))))
    }

    private static func decideOffered(
        _ command: Command, session: Session, facts: Facts, ladder: Ladder
    ) -> Decision {
        switch command {
        case .modifySession(let description, let options):
            decideModify(session, description, options, ladder)
        case .deleteSession:
            ladder.decide(Plan(steps: [Step(effect: nil, change: .deleted)], result: .none))
        case .describeSession(let parts):
            ladder.decide(Plan(steps: [], result: .session(parts: parts)))
        case .addCopySets(let sets): decideAdd(sets, session, facts, ladder)
        case .removeCopySets(let sets, let keep): decideRemove(sets, keep, session, ladder)
        case .backup: decideBackup(session, facts, ladder)
        case .recover(let backup, let backgroundCopy):
            decideRecover(backup, backgroundCopy, session, facts, ladder)
        case .initiateBackgroundCopy: decideBackgroundCopy(session, facts, ladder)
        case .expireBackup(let backup): decideExpire(backup, session, ladder)
        case .terminateH1R1: decideTerminateH1R1(session, facts, ladder)
        case .terminate: decideTerminate(session, facts, ladder)
        case .refreshStates: decideRefresh(session, facts, ladder)
        case .createSession, .createVolumes, .deleteVolumes, .expandVolumes,
            .setSafeguardedCapacity, .describeStorage:
            preconditionFailure("\(command.name) is not decided on an existing session")
        }
    }

    private static func decideModify(
        _ session: Session, _ description: String?, _ options: OptionChanges, _ ladder: Ladder
    ) -> Decision {
        let change = Change.modified(
            description: description ?? session.description,
            options: session.services.options.applying(options))
        return ladder.decide(
            Plan(
                steps: [Step(effect: nil, change: change)],
                result: .session(parts: Set(DocumentPart.allCases))))
    }
}
