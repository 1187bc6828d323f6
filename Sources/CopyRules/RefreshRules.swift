import CopyModel

// Refresh States: what the storage says is so. The session is repaired to it, in both directions.

extension CopyRules {
    static func decideRefresh(_ session: Session, _ facts: Facts, _ ladder: Ladder) -> Decision {
        if case .flash(let services) = session.services {
            return decideRefresh(session, services, facts, ladder)
        }
        let observed = observe(session, facts)
        var repaired = session
        repaired.safeguarded?.backups = observed.backups
        repaired.safeguarded?.recovery = observed.recovery
        repaired.unseen = observed.unseen
        return ladder.decide(
            Plan(
                steps: repairs(of: session, facts: facts),
                result: .refreshed(changes: differences(from: session, to: repaired))))
    }

    /// The steps that bring the session to what the storage says; empty where they agree.
    public static func repairs(of session: Session, facts: Facts) -> [Step] {
        if case .flash(let services) = session.services {
            return repairs(of: session, services, facts)
        }
        let observed = observe(session, facts)
        var steps: [Step] = []
        if observed.backups != session.backups || observed.recovery != session.recovery
            || observed.unseen != session.unseen
        {
            let change = Change.observed(
                backups: observed.backups, recovery: observed.recovery, unseen: observed.unseen)
            steps.append(Step(effect: nil, change: change))
        }
        for backup in observed.backups where !backup.verified {
            let present = backup.sources.filter { !backup.lost.contains($0) }
            guard !present.isEmpty, !present.contains(where: observed.unseen.contains) else {
                continue
            }
            // One that cannot be read stays as it is, not recoverable, and holds up no other.
            steps.append(
                Step(
                    effect: .verifyPoints(backup.tag, sources: present),
                    change: .backupVerified(backup.id), mayFail: true))
        }
        return steps
    }

    /// The volumes of a session that the storage does not answer for, in order.
    static func unseen(of session: Session, in report: StorageReport) -> [VolumeID] {
        session.copySets.flatMap(\.volumes).filter { report.volumes[$0] == nil }.sorted()
    }

    /// What the storage has of this session: its backups and its recovery, and the volumes that it
    /// does not answer for.
    ///
    /// A point is lost only where its volume is there without it. Where the volume is not there,
    /// nothing is known, and what was known stays: a directory that is not mounted must not expire a
    /// single backup.
    private static func observe(
        _ session: Session, _ facts: Facts
    ) -> (backups: [Backup], recovery: Recovery?, unseen: [VolumeID]) {
        let report = facts.storage
        let unseen = unseen(of: session, in: report)
        var holders: [PointTag: [VolumeID]] = [:]
        for h1 in session.copySets.map(\.h1) {
            for point in report.volumes[h1]?.points ?? []
            where mayAdopt(point.tag, session, facts.liveSessions) {
                holders[point.tag, default: []].append(h1)
            }
        }
        var backups: [Backup] = session.backups.map { backup in
            var backup = backup
            let present = Set(holders.removeValue(forKey: backup.tag) ?? [])
            let missing = backup.sources.filter { source in
                unseen.contains(source) ? backup.lost.contains(source) : !present.contains(source)
            }
            backup.sources += present.subtracting(backup.sources).sorted()
            backup.lost = missing
            return backup.observed(report)
        }
        let taken = Set(backups.map(\.id))
        for (tag, sources) in holders.sorted(by: { $0.key < $1.key })
        where !taken.contains(tag.backup) {
            let found = Backup(
                id: tag.backup, tag: tag, time: tag.backup.time, sources: sources.sorted())
            backups.append(found.observed(report))
        }
        backups.sort { $0.id < $1.id }
        return (backups, observeRecovery(session, backups, report), unseen)
    }

    /// Points belong to the session that took them, or to whoever has the volume once it is gone.
    private static func mayAdopt(
        _ tag: PointTag, _ session: Session, _ liveSessions: Set<SubjectName>
    ) -> Bool {
        tag.session == session.name || !liveSessions.contains(tag.session)
            || session.backups.contains { $0.tag == tag }
    }

    private static func observeRecovery(
        _ session: Session, _ backups: [Backup], _ report: StorageReport
    ) -> Recovery? {
        var found: [(Pair, RelationshipReport, BackupID)] = []
        for set in session.copySets {
            guard let r1 = set.r1, let inbound = report.volumes[r1]?.inbound,
                inbound.source == set.h1,
                let backup = backups.first(where: { $0.tag == inbound.presents.tag })
            else { continue }
            let pair = Pair(
                source: set.h1, target: r1, state: .targetAvailable,
                tracksRemaining: inbound.tracksRemaining, tracks: inbound.tracks)
            found.append((pair, inbound, backup.id))
        }
        let standing = session.recovery?.backup ?? found.map(\.2).max()
        guard let standing else { return nil }
        let matching = found.filter { $0.2 == standing }
        let usable = Dictionary(
            matching.map { ($0.0.target, $0.0) }, uniquingKeysWith: { a, _ in a })
        let known = (session.recovery?.pairs ?? []).map { old -> Pair in
            if var pair = usable[old.target] {
                pair.lastResult = old.lastResult
                return pair
            }
            guard report.volumes[old.target] != nil else { return old }
            var pair = old
            pair.state = .lost
            pair.lastResult = "The storage no longer has the relationship."
            return pair
        }
        let new = matching.map(\.0).filter { pair in !known.contains { $0.target == pair.target } }
        let pairs = known + new
        guard pairs.contains(where: { $0.state == .targetAvailable }) else { return nil }
        let copying =
            session.recovery?.backgroundCopy == true || matching.contains { $0.1.backgroundCopy }
        return Recovery(backup: standing, backgroundCopy: copying, pairs: pairs)
    }

    private static func differences(from old: Session, to new: Session) -> [String] {
        var changes = unseenDifferences(from: old.unseen, to: new.unseen)
        let known = Dictionary(old.backups.map { ($0.id, $0) }, uniquingKeysWith: { a, _ in a })
        for backup in new.backups {
            guard let before = known[backup.id] else {
                changes.append("Backup \(backup.id) was found on the storage.")
                continue
            }
            for volume in backup.lost where !before.lost.contains(volume) {
                changes.append("Backup \(backup.id) is no longer on \(volume).")
            }
            for volume in before.lost where !backup.lost.contains(volume) {
                changes.append("Backup \(backup.id) is on \(volume) again.")
            }
            changes += damageDifferences(from: before, to: backup)
        }
        switch (old.recovery, new.recovery) {
        case (nil, .some(let recovery)):
            changes.append("The recovery of backup \(recovery.backup) was found on the storage.")
        case (.some(let recovery), nil):
            changes.append("The recovery of backup \(recovery.backup) is no longer on the storage.")
        case (.some(let before), .some(let after)) where before != after:
            changes.append("The recovery of backup \(after.backup) was brought up to date.")
        case (nil, nil), (.some, .some):
            break
        }
        return changes
    }

    private static func damageDifferences(from old: Backup, to new: Backup) -> [String] {
        let (before, after) = (old.damages.map(\.volume), new.damages.map(\.volume))
        return new.damages.filter { !before.contains($0.volume) }.map {
            "Backup \(new.id) is damaged on \($0.volume): \($0.place)."
        }
            + before.filter { !after.contains($0) && new.sources.contains($0) }.map {
                "Backup \(new.id) is whole on \($0) again."
            }
    }
}

extension Backup {
    /// The backup with the damages that the storage reports. Of a volume that the storage does not answer
    /// for, what was known stays; and so does the place of a damage that was known.
    func observed(_ report: StorageReport) -> Backup {
        var backup = self
        backup.damages = sources.sorted().compactMap { source in
            let known = damages.first { $0.volume == source }
            guard let volume = report.volumes[source] else { return known }
            guard let place = volume.points.first(where: { $0.tag == tag })?.damage else {
                return nil
            }
            return known ?? Damage(volume: source, place: place)
        }
        return backup
    }
}
