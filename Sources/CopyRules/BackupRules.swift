import CopyModel

// Taking backups and giving them up.

extension CopyRules {
    static func decideBackup(_ session: Session, _ facts: Facts, _ ladder: Ladder) -> Decision {
        var ladder = ladder
        ladder.require(!session.copySets.isEmpty, Reasons.noCopySets(session))
        for h1 in session.copySets.map(\.h1) {
            guard let volume = facts.storage.volumes[h1] else {
                ladder.require(
                    false,
                    Reasons.missingVolume(h1, role: "H1", of: session, in: facts.storage))
                continue
            }
            ladder.require(
                volume.safeguardedMultiplier > 0,
                Refusal(
                    .noSafeguardedCapacity, "\(h1) has no safeguarded capacity.",
                    subject: "H1 \(h1)",
                    remedy:
                        "SetSafeguardedCapacity \(h1.local) on \(h1.storage), e.g. multiplier 4."))
        }
        ladder.add(tooSoon(session, facts.now))
        return ladder.decide(backupPlan(session, facts))
    }

    private static func tooSoon(_ session: Session, _ now: Timestamp) -> [Refusal] {
        let minutes = session.safeguarded?.options.minimumMinutesBetweenBackups ?? 0
        guard minutes > 0, let last = session.safeguarded?.lastBackupID else { return [] }
        let earliest = last.time.adding(minutes: Int64(minutes))
        guard now < earliest else { return [] }
        return [
            Refusal(
                .minimumInterval,
                "The last backup was taken at \(last.time.shortDescription), and \(minutes) minutes "
                    + "must lie between backups.",
                subject: session.name.text,
                remedy: "Send Backup at \(earliest.shortDescription) or later, or ModifySession "
                    + "minimumMinutesBetweenBackups.")
        ]
    }

    /// The id is the second, or the next one free: ids rise whatever the clock does, and above what
    /// an earlier session of the name left on the volumes.
    private static func backupPlan(_ session: Session, _ facts: Facts) -> Plan {
        let second = UInt64(max(0, facts.now.seconds))
        let left = session.copySets.flatMap { facts.storage.volumes[$0.h1]?.points ?? [] }
            .filter { $0.tag.session == session.name }.map(\.tag.backup)
        let last = (left + [session.safeguarded?.lastBackupID].compactMap { $0 }).max()
        let id = BackupID(seconds: max(second, (last?.seconds ?? 0) + 1))
        let tag = PointTag(session: session.name, backup: id)
        let sources = session.copySets.map(\.h1)
        return Plan(
            steps: [
                Step(
                    effect: .takePoints(tag, sources: sources),
                    change: .backupTaken(id, tag, at: id.time, sources: sources),
                    undo: .dropPoints([tag], sources: sources)),
                Step(effect: .verifyPoints(tag, sources: sources), change: .backupVerified(id)),
            ],
            result: .backup(id, copySets: sources.count))
    }

    static func decideExpire(_ id: BackupID, _ session: Session, _ ladder: Ladder) -> Decision {
        var ladder = ladder
        ladder.require(session.backup(id) != nil, Reasons.unknownBackup(id, in: session))
        if let recovery = session.recovery, session.backup(id) != nil {
            ladder.require(
                recovery.backup > id,
                Refusal(
                    .backupInUse,
                    "A recovery stands on backup \(recovery.backup), which would expire with \(id).",
                    subject: recovery.backup.description,
                    remedy: "TerminateH1R1 \(session.name) first, or expire an earlier backup."))
        }
        let expired = session.backups.filter { $0.id <= id }
        return ladder.decide(
            Plan(steps: [expiry(of: expired)], result: .expired(expired.map(\.id))))
    }

    /// The step that gives backups up. Later ones never depend on earlier ones.
    static func expiry(of backups: [Backup]) -> Step {
        let sources = Set(backups.flatMap(\.sources)).sorted()
        return Step(
            effect: .dropPoints(backups.map(\.tag), sources: sources),
            change: .backupsExpired(backups.map(\.id)))
    }

    /// What the session owes by its own options, after whatever happened: steps to take without being
    /// asked. Empty once they are taken.
    public static func owed(by session: Session) -> [Step] {
        switch session.services {
        case .safeguarded(let services): owed(by: services)
        case .flash(let services): owed(by: session, services)
        }
    }

    /// Backups that are due to be given up.
    ///
    /// Retention counts back from the newest recoverable backup, not from now, so that the last one
    /// never expires by age; with auto-roll expiry, a backup that one volume lost goes for all. What a
    /// recovery stands on, and everything later, stays. A backup whose last volume is lost is gone.
    /// Source: Copy Services Manager, Safeguarded Copy session properties.
    private static func owed(by services: SafeguardedServices) -> [Step] {
        var doomed: [Backup] = services.backups.filter { backup in
            backup.lost.count == backup.sources.count
                || (services.options.expireBackupOnAutoRoll && !backup.lost.isEmpty)
        }
        if services.options.retentionMinutes > 0, let newest = services.newestRecoverableBackup {
            let limit = newest.time.adding(minutes: -Int64(services.options.retentionMinutes))
            doomed += services.backups.filter { $0.time < limit && !doomed.contains($0) }
        }
        if let standing = services.recovery?.backup { doomed.removeAll { $0.id >= standing } }
        doomed.sort { $0.id < $1.id }
        return doomed.isEmpty ? [] : [expiry(of: doomed)]
    }
}
