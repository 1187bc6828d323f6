import CopyModel

/// The law: what a command comes to, and what a change makes of a session. Pure: no clock, no I/O.
public enum CopyRules {
    /// The volumes whose report a decision on the command needs.
    public static func volumesNeeded(_ command: Command, session: Session?) -> [VolumeID] {
        switch command {
        case .addCopySets(let sets):
            return sets.flatMap(\.volumes)
        case .backup:
            return session?.copySets.map(\.h1) ?? []
        case .recover, .refreshStates, .flash, .discover, .reverseRestore, .queryRelationships,
            .commit, .revert:
            return session?.copySets.flatMap(\.volumes) ?? []
        case .initiateBackgroundCopy, .terminateH1R1, .terminate, .describeSession:
            return session.map(volumesOfPairs) ?? []
        case .removeCopySets:
            return session?.flash == nil ? [] : session.map(volumesOfPairs) ?? []
        case .createSession, .modifySession, .deleteSession, .expireBackup, .createVolumes,
            .deleteVolumes, .expandVolumes, .setSafeguardedCapacity, .describeStorage,
            .establishRelationships, .withdrawRelationships, .listRelationships:
            return []
        }
    }

    private static func volumesOfPairs(_ session: Session) -> [VolumeID] {
        switch session.services {
        case .safeguarded(let services): services.recovery?.pairs.map(\.target) ?? []
        case .flash: session.copySets.flatMap(\.volumes)
        }
    }

    /// The volumes that a report leaves open, of those that a decision on the command needs: what volumes
    /// are read through, up to the last. Empty for most commands.
    public static func volumesMissing(_ command: Command, from report: StorageReport) -> [VolumeID]
    {
        guard command == .flash else { return [] }
        let sources = report.volumes.values.compactMap { $0.inbound?.source }
        return Set(sources).filter { report.volumes[$0] == nil }.sorted()
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
        guard CommandTable.of(session.type).isOffered(name, in: session.state) else {
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
        let changed = SessionOptions(type).applying(options)
        ladder.add(optionReasons(options, changed, type))
        let step = Step(
            effect: nil,
            change: .created(
                description: description, options: changed))
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
        case .removeCopySets(let sets, let keep):
            decideRemove(sets, keep, session, facts, ladder)
        case .refreshStates: decideRefresh(session, facts, ladder)
        case .backup, .recover, .initiateBackgroundCopy, .expireBackup, .terminateH1R1, .terminate,
            .flash, .discover, .reverseRestore, .queryRelationships, .commit, .revert:
            switch session.services {
            case .safeguarded: decideSafeguarded(command, session, facts, ladder)
            case .flash(let services): decideFlashCopy(command, session, services, facts, ladder)
            }
        case .createSession, .createVolumes, .deleteVolumes, .expandVolumes,
            .setSafeguardedCapacity, .describeStorage, .establishRelationships,
            .withdrawRelationships, .listRelationships:
            preconditionFailure("\(command.name) is not decided on an existing session")
        }
    }

    private static func decideSafeguarded(
        _ command: Command, _ session: Session, _ facts: Facts, _ ladder: Ladder
    ) -> Decision {
        switch command {
        case .backup: return decideBackup(session, facts, ladder)
        case .recover(let backup, let backgroundCopy):
            return decideRecover(backup, backgroundCopy, session, facts, ladder)
        case .initiateBackgroundCopy: return decideBackgroundCopy(session, facts, ladder)
        case .expireBackup(let backup): return decideExpire(backup, session, ladder)
        case .terminateH1R1: return decideTerminateH1R1(session, facts, ladder)
        case .terminate(let whenCopied):
            var ladder = ladder
            ladder.require(
                !whenCopied,
                Refusal(
                    .sessionTypeMismatch,
                    "A session of type \(session.type.rawValue) is terminated at once.",
                    subject: "/parameters/whenCopied",
                    remedy: "Leave it out; DescribeSession shows how far a recovery is copied."))
            return decideTerminate(session, facts, ladder)
        case .createSession, .modifySession, .deleteSession, .addCopySets, .removeCopySets,
            .describeSession, .refreshStates, .flash, .discover, .reverseRestore,
            .queryRelationships, .commit, .revert, .createVolumes, .deleteVolumes, .expandVolumes,
            .setSafeguardedCapacity, .describeStorage, .establishRelationships,
            .withdrawRelationships, .listRelationships:
            preconditionFailure("\(command.name) has no row of its own for Safeguarded Copy")
        }
    }

    private static func decideFlashCopy(
        _ command: Command, _ session: Session, _ services: FlashServices, _ facts: Facts,
        _ ladder: Ladder
    ) -> Decision {
        switch command {
        case .flash: return decideFlash(session, services, facts, ladder)
        case .discover: return decideDiscover(session, services, facts, ladder)
        case .reverseRestore(let fast, let allowCascade):
            return decideReverse(
                fast: fast, allowCascade: allowCascade, session, services, facts, ladder)
        case .queryRelationships: return ladder.decide(Plan(steps: [], result: .queried))
        case .commit: return decideSettle(keeping: true, session, services, facts, ladder)
        case .revert: return decideSettle(keeping: false, session, services, facts, ladder)
        case .initiateBackgroundCopy: return decideBackgroundCopy(session, services, facts, ladder)
        case .terminate(let whenCopied):
            return decideTerminate(whenCopied: whenCopied, session, services, facts, ladder)
        case .createSession, .modifySession, .deleteSession, .addCopySets, .removeCopySets,
            .describeSession, .refreshStates, .backup, .recover, .expireBackup, .terminateH1R1,
            .createVolumes, .deleteVolumes, .expandVolumes, .setSafeguardedCapacity,
            .describeStorage, .establishRelationships, .withdrawRelationships, .listRelationships:
            preconditionFailure("\(command.name) has no row of its own for FlashCopy")
        }
    }

    private static func decideModify(
        _ session: Session, _ description: String?, _ options: OptionChanges, _ ladder: Ladder
    ) -> Decision {
        var ladder = ladder
        let changed = session.services.options.applying(options)
        ladder.add(optionReasons(options, changed, session.type))
        let change = Change.modified(
            description: description ?? session.description, options: changed)
        return ladder.decide(
            Plan(
                steps: [Step(effect: nil, change: change)],
                result: .session(parts: Set(DocumentPart.allCases))))
    }

    /// Options that the type does not have, and those that do not go together.
    private static func optionReasons(
        _ changes: OptionChanges, _ options: SessionOptions, _ type: SessionType
    ) -> [Refusal] {
        var reasons = changes.strange(to: type).map { name in
            Refusal(
                .unknownOption, "A session of type \(type.rawValue) has no option \(name).",
                subject: "/parameters/options/\(name)",
                remedy: "Leave it out; the options are "
                    + OptionChanges.names(of: type).joined(separator: ", ") + ".")
        }
        if case .flash(let options) = options, options.revertible, !options.incremental {
            reasons.append(
                Refusal(
                    .optionOutOfRange,
                    "Only refreshes can be reverted, and without incremental there are none.",
                    subject: "/parameters/options/revertible",
                    remedy: "Set incremental as well, or revertible to false."))
        }
        return reasons
    }
}
