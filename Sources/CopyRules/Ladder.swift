import CopyModel

/// Collects every reason against a command, in the order of precedence: one line a rule.
struct Ladder {
    private(set) var reasons: [Refusal] = []

    /// States a reason unless `condition` holds.
    mutating func require(_ condition: Bool, _ reason: @autoclosure () -> Refusal) {
        if !condition { reasons.append(reason()) }
    }

    /// Adds reasons that another ladder found.
    mutating func add(_ more: [Refusal]) { reasons += more }

    /// The decision: refused with every reason, or the plan.
    func decide(_ plan: @autoclosure () -> Plan) -> Decision {
        reasons.isEmpty ? .plan(plan()) : .refused(reasons)
    }
}

/// The sentences of refusals that several ladders share.
enum Reasons {
    static func unknownSession(_ name: SubjectName) -> Refusal {
        Refusal(
            .unknownSession, "There is no session \(name).", subject: name.text,
            remedy: "CreateSession \(name), or send the command to the session that was meant.")
    }

    static func notInThisState(_ command: CommandName, _ session: Session) -> Refusal {
        let table = CommandTable.of(session.type)
        let states = table.states(offering: command).map(\.rawValue)
        let offered = CommandTable.availableCommands(session).map(\.rawValue)
        let sentence =
            states.isEmpty
            ? "\(command.rawValue) is no command of sessions of type \(session.type.rawValue)."
            : "\(command.rawValue) is offered in \(states.joined(separator: " and ")), and session "
                + "\(session.name) is \(session.state.rawValue)."
        return Refusal(
            .notInThisState, sentence,
            subject: session.name.text,
            remedy: "One of: \(offered.joined(separator: ", ")).")
    }

    static func unknownVolume(_ volume: VolumeID, role: String, in report: StorageReport) -> Refusal
    {
        guard report.systems.contains(volume.storage) else {
            return Refusal(
                .unknownStorage, "There is no storage system \(volume.storage).",
                subject: "\(role) \(volume)",
                remedy:
                    "Name one of: \(report.systems.sorted().map(\.text).joined(separator: ", ")).")
        }
        return Refusal(
            .unknownVolume, "Storage system \(volume.storage) has no volume \(volume.local).",
            subject: "\(role) \(volume)",
            remedy: "CreateVolumes \(volume.local) on \(volume.storage).")
    }

    /// A volume of a copy set is not there. It cannot have been deleted, so its storage is not: to make
    /// it anew would bury what the real one holds.
    static func missingVolume(
        _ volume: VolumeID, role: String, of session: Session, in report: StorageReport
    ) -> Refusal {
        var refusal = unknownVolume(volume, role: role, in: report)
        refusal.remedy =
            "Mount or restore the directory of storage system \(volume.storage), and start the worker "
            + "again, or RefreshStates \(session.name)."
        return refusal
    }

    /// A target has exactly one source.
    static func hasSource(
        _ target: VolumeID, role: String, _ inbound: RelationshipReport
    ) -> Refusal {
        switch inbound.presents {
        case .backup(let tag):
            Refusal(
                .targetHasSource, "\(role) \(target) already presents \(tag) of \(inbound.source).",
                subject: "\(role) \(target)",
                remedy: "TerminateH1R1 \(tag.session), or RefreshStates it where it is gone.")
        case .instant:
            Refusal(
                .targetHasSource, "\(role) \(target) is the target of \(inbound.source) already.",
                subject: "\(role) \(target)",
                remedy: "Terminate the session that flashed it, or WithdrawRelationships on "
                    + "\(target.storage).")
        }
    }

    static func unknownBackup(_ id: BackupID, in session: Session) -> Refusal {
        let known = session.backups.suffix(5).map { $0.id.description }
        return Refusal(
            .unknownBackup, "Session \(session.name) has no backup \(id).", subject: id.description,
            remedy: known.isEmpty
                ? "Backup \(session.name) makes one."
                : "DescribeSession lists them; the newest are \(known.joined(separator: ", ")).")
    }

    static func noCopySets(_ session: Session) -> Refusal {
        Refusal(
            .noCopySets, "Session \(session.name) has no copy sets.", subject: session.name.text,
            remedy: "AddCopySets \(session.name).")
    }

    static func targetSmaller(
        _ target: VolumeID, _ size: Capacity, role: String, than source: VolumeID,
        _ capacity: Capacity
    ) -> Refusal {
        Refusal(
            .targetSmaller,
            "\(role) \(target) has \(size), less than H1 \(source) with \(capacity).",
            subject: "\(role) \(target)",
            remedy: "ExpandVolumes \(target.local) on \(target.storage) to \(capacity).")
    }

    static func tooManyTargets(_ source: VolumeID, subject: String) -> Refusal {
        Refusal(
            .tooManyTargets,
            "\(source) has \(CopyRules.mostTargets) targets, as many as a source can.",
            subject: subject,
            remedy: "WithdrawRelationships of one of them on \(source.storage), or Terminate its "
                + "session.")
    }

    static func cycle(from source: VolumeID, to target: VolumeID, subject: String) -> Refusal {
        Refusal(
            .cycle, "\(source) is read through \(target): the target would be read through itself.",
            subject: subject,
            remedy:
                "Wait until the copies between them are complete, or WithdrawRelationships of one "
                + "of them on \(target.storage).")
    }

    static func noRelationships(_ session: Session) -> Refusal {
        Refusal(
            .noRelationship, "Session \(session.name) has no relationship on the storage.",
            subject: session.name.text, remedy: "Flash \(session.name).")
    }

    static func noRecovery(_ session: Session) -> Refusal {
        Refusal(
            .noRecovery, "Session \(session.name) has no recovery in place.",
            subject: session.name.text, remedy: "Recover \(session.name) with a backupId.")
    }
}
