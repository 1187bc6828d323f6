import CopyModel

// Recovering, copying in the background, and withdrawing.

extension CopyRules {
    static func decideRecover(
        _ id: BackupID, _ backgroundCopy: Bool, _ session: Session, _ facts: Facts, _ ladder: Ladder
    ) -> Decision {
        var ladder = ladder
        let backup = session.backup(id)
        ladder.require(backup != nil, Reasons.unknownBackup(id, in: session))
        if let backup {
            let seen = backup.observed(facts.storage)
            ladder.require(seen.isRecoverable, notRecoverable(seen, session))
        }
        if let recovery = session.recovery {
            ladder.require(
                false,
                Refusal(
                    .recoveryInPlace, "The recovery of backup \(recovery.backup) is in place.",
                    subject: recovery.backup.description,
                    remedy: "TerminateH1R1 \(session.name) first."))
        }
        let members = Set(backup?.sources ?? [])
        let sets = session.copySets.filter { members.contains($0.h1) }
        for set in sets { ladder.add(recoveryVolumeReasons(set, backup, session, facts.storage)) }
        let terms = sets.compactMap { set in set.r1.map { PairTerms(source: set.h1, target: $0) } }
        return ladder.decide(
            recoveryPlan(session, backup: backup, terms, backgroundCopy, facts.storage))
    }

    private static func notRecoverable(_ backup: Backup, _ session: Session) -> Refusal {
        guard backup.verified else {
            return Refusal(
                .backupNotRecoverable, "Backup \(backup.id) has not been read back yet.",
                subject: backup.id.description,
                remedy: "RefreshStates \(session.name), or choose another backup.")
        }
        let lost = backup.lost.map(\.description).joined(separator: ", ")
        var reasons = lost.isEmpty ? [] : ["is no longer on \(lost)"]
        reasons += backup.damages.map { "is damaged on \($0.volume) (\($0.place))" }
        let volumes = backup.spoiled.map(\.description).joined(separator: ", ")
        var remedy =
            "RemoveCopySets \(volumes) with keepOnStorage to recover the others, or choose another backup."
        if let damage = backup.damages.first {
            remedy +=
                " All but what is damaged can be read over NBD: \(backup.tag)/\(damage.volume)."
        }
        return Refusal(
            .backupNotRecoverable,
            "Backup \(backup.id) \(reasons.joined(separator: ", and ")).",
            subject: backup.id.description, remedy: remedy)
    }

    private static func recoveryVolumeReasons(
        _ set: CopySet, _ backup: Backup?, _ session: Session, _ report: StorageReport
    ) -> [Refusal] {
        var ladder = Ladder()
        guard let r1 = set.r1 else {
            ladder.require(
                false,
                Refusal(
                    .noRecoveryVolume, "Copy set \(set.h1) has no R1.", subject: "H1 \(set.h1)",
                    remedy:
                        "RemoveCopySets \(set.h1) with keepOnStorage, AddCopySets it with an R1, "
                        + "then RefreshStates."))
            return ladder.reasons
        }
        guard let target = report.volumes[r1] else {
            ladder.require(
                false, Reasons.missingVolume(r1, role: "R1", of: session, in: report))
            return ladder.reasons
        }
        let point = report.volumes[set.h1]?.points.first { $0.tag == backup?.tag }
        if let size = point?.capacity {
            ladder.require(
                target.capacity >= size,
                Refusal(
                    .targetSmaller, "R1 \(r1) has \(target.capacity), and the backup has \(size).",
                    subject: "R1 \(r1)",
                    remedy: "ExpandVolumes \(r1.local) on \(r1.storage) to \(size)."))
        }
        if let inbound = target.inbound {
            ladder.require(false, Reasons.hasSource(r1, role: "R1", inbound))
        }
        ladder.require(
            target.points.isEmpty,
            Refusal(
                .volumeInUse, "R1 \(r1) has backups of its own, which its new content would spoil.",
                subject: "R1 \(r1)",
                remedy: "Give the copy set another R1, or expire the backups of \(r1)."))
        return ladder.reasons
    }

    private static func recoveryPlan(
        _ session: Session, backup: Backup?, _ terms: [PairTerms], _ backgroundCopy: Bool,
        _ report: StorageReport
    ) -> Plan {
        guard let backup else { return Plan(steps: [], result: .none) }
        let pairs = terms.map { pair in
            let point = report.volumes[pair.source]?.points.first { $0.tag == backup.tag }
            let tracks = point?.capacity.tracks ?? 0
            return Pair(
                source: pair.source, target: pair.target, state: .targetAvailable,
                tracksRemaining: tracks, tracks: tracks)
        }
        let recovery = Recovery(backup: backup.id, backgroundCopy: backgroundCopy, pairs: pairs)
        let step = Step(
            effect: .establish(terms, backup.tag, backgroundCopy: backgroundCopy),
            change: .recovered(recovery), undo: .withdraw(terms, backup.tag))
        return Plan(
            steps: [step],
            result: .recovered(backup.id, pairs: pairs.count, backgroundCopy: backgroundCopy))
    }

    static func decideBackgroundCopy(
        _ session: Session, _ facts: Facts, _ ladder: Ladder
    ) -> Decision {
        var ladder = ladder
        ladder.require(session.recovery != nil, Reasons.noRecovery(session))
        let recovery = session.recovery
        ladder.require(
            recovery?.backgroundCopy != true
                || recovery?.pairs.contains(where: \.isStopped) == true,
            Refusal(
                .alreadyCopying, "The background copy of \(session.name) was started already.",
                subject: session.name.text, remedy: "DescribeSession shows how far it is."))
        let targets = recovery?.pairs.map(\.target) ?? []
        let step = Step(
            effect: .startBackgroundCopy(targets: targets), change: .backgroundCopyStarted)
        return ladder.decide(
            Plan(steps: [step], result: .backgroundCopyStarted(pairs: targets.count)))
    }

    static func decideTerminateH1R1(
        _ session: Session, _ facts: Facts, _ ladder: Ladder
    ) -> Decision {
        var ladder = ladder
        ladder.require(session.recovery != nil, Reasons.noRecovery(session))
        ladder.add(readThrough(session, facts.storage))
        let step = withdrawal(from: session)
        return ladder.decide(
            Plan(
                steps: step.map { [$0] } ?? [],
                result: .withdrawn(pairs: session.recovery?.pairs.count ?? 0)))
    }

    /// The step that ends the recovery: what the session made, and nothing that another session has
    /// made of the targets meanwhile. Nil where there is none.
    private static func withdrawal(from session: Session) -> Step? {
        guard let recovery = session.recovery else { return nil }
        let terms = recovery.pairs.map { PairTerms(source: $0.source, target: $0.target) }
        let tag =
            session.backup(recovery.backup)?.tag
            ?? PointTag(session: session.name, backup: recovery.backup)
        return Step(effect: .withdraw(terms, tag), change: .recoveryWithdrawn)
    }

    /// R1 volumes with backups of their own still read through the recovery until it is copied.
    private static func readThrough(_ session: Session, _ report: StorageReport) -> [Refusal] {
        (session.recovery?.pairs ?? []).compactMap { pair in
            guard let target = report.volumes[pair.target], !target.points.isEmpty,
                (target.inbound?.tracksRemaining ?? 0) > 0
            else { return nil }
            return Refusal(
                .volumeInUse,
                "R1 \(pair.target) has backups of its own that still read through this recovery.",
                subject: "R1 \(pair.target)",
                remedy: "InitiateBackgroundCopy \(session.name) and wait until it is done.")
        }
    }

    static func decideTerminate(_ session: Session, _ facts: Facts, _ ladder: Ladder) -> Decision {
        var ladder = ladder
        ladder.add(readThrough(session, facts.storage))
        var steps = [Step(effect: nil, change: .terminating)]
        if let step = withdrawal(from: session) { steps.append(step) }
        let sources = Set(session.backups.flatMap(\.sources)).sorted()
        steps.append(
            Step(
                effect: .dropPoints(session.backups.map(\.tag), sources: sources),
                change: .terminated))
        return ladder.decide(
            Plan(
                steps: steps, result: .withdrawn(pairs: session.recovery?.pairs.count ?? 0)))
    }
}
