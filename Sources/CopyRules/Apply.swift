import CopyModel

// The only place where a session changes.

extension CopyRules {
    /// What a change makes of a session; nil where it is gone.
    ///
    /// Facts may not be refused: a change that no longer has anything to say (progress of a recovery
    /// that was withdrawn meanwhile) leaves the session as it is.
    public static func apply(_ change: Change, to session: Session?, named name: SubjectName)
        -> Session?
    {
        if case .created(let type, let description, let options) = change {
            return Session(name: name, type: type, description: description, options: options)
        }
        guard var next = session else { return nil }
        if case .deleted = change { return nil }
        mutate(&next, by: change)
        settleState(&next, after: change)
        return next
    }

    private static func mutate(_ session: inout Session, by change: Change) {
        switch change {
        case .nothing, .created, .deleted, .terminating: break
        case .modified(let description, let options):
            session.description = description
            session.options = options
        case .copySetsAdded(let sets):
            session.copySets = (session.copySets + sets).sorted { $0.h1 < $1.h1 }
        case .copySetsRemoved(let removed): remove(removed, from: &session)
        case .backupTaken(let id, let tag, let time, let sources):
            guard session.backup(id) == nil else { break }
            session.backups.append(Backup(id: id, tag: tag, time: time, sources: sources))
            session.lastBackupID = id
        case .backupVerified(let id):
            guard let index = session.backups.firstIndex(where: { $0.id == id }) else { break }
            session.backups[index].verified = true
        case .backupsExpired(let ids): session.backups.removeAll { ids.contains($0.id) }
        case .recovered(let recovery): session.recovery = recovery
        case .backgroundCopyStarted: startCopy(&session)
        case .recoveryWithdrawn: session.recovery = nil
        case .terminated:
            session.recovery = nil
            session.backups = []
        case .observed(let backups, let recovery, let unseen):
            session.unseen = unseen
            session.backups = backups
            session.recovery = recovery
            session.lastBackupID = [session.lastBackupID, backups.last?.id].compactMap { $0 }.max()
        case .progressed(let target, let remaining, let tracks):
            withPair(target, of: &session) { pair in
                pair.tracksRemaining = remaining
                pair.tracks = tracks
                pair.lastResult = nil
            }
        case .copyFailed(let target, let reason):
            withPair(target, of: &session) { $0.lastResult = reason }
        case .rolledOff(let volume, let tags): lose(volume, tags, in: &session)
        case .damaged(let volume, let tags, let place):
            spoil(Damage(volume: volume, place: place), tags, in: &session)
        }
    }

    /// Protected means that at least one backup is known; without any, the session is Defined again.
    private static func settleState(_ session: inout Session, after change: Change) {
        switch change {
        case .terminating: session.state = .terminating
        case .recoveryWithdrawn where session.state == .terminating: break
        case .nothing, .created, .modified, .deleted, .copySetsAdded, .copySetsRemoved,
            .backupTaken,
            .backupVerified, .backupsExpired, .recovered, .backgroundCopyStarted,
            .recoveryWithdrawn, .terminated, .observed, .progressed, .copyFailed, .rolledOff,
            .damaged:
            if session.state == .terminating && change != .terminated { break }
            session.state =
                session.backups.isEmpty && session.recovery == nil ? .defined : .protected
        }
    }

    private static func remove(_ removed: [VolumeID], from session: inout Session) {
        let gone = Set(removed)
        session.unseen.removeAll { volume in
            session.copySets.contains { set in
                gone.contains(set.h1) && (set.h1 == volume || set.r1 == volume)
            }
        }
        session.copySets.removeAll { gone.contains($0.h1) }
        for index in session.backups.indices {
            session.backups[index].sources.removeAll { gone.contains($0) }
            session.backups[index].lost.removeAll { gone.contains($0) }
            session.backups[index].damages.removeAll { gone.contains($0.volume) }
        }
        session.backups.removeAll { $0.sources.isEmpty }
    }

    /// A copy that stopped starts again, and whatever stopped it is history.
    private static func startCopy(_ session: inout Session) {
        guard var recovery = session.recovery else { return }
        recovery.backgroundCopy = true
        for index in recovery.pairs.indices where recovery.pairs[index].isStopped {
            recovery.pairs[index].lastResult = nil
        }
        session.recovery = recovery
    }

    private static func withPair(
        _ target: VolumeID, of session: inout Session, _ body: (inout Pair) -> Void
    ) {
        guard let index = session.recovery?.pairs.firstIndex(where: { $0.target == target })
        else { return }
        session.recovery.map { recovery in
            var recovery = recovery
            body(&recovery.pairs[index])
            session.recovery = recovery
        }
    }

    private static func lose(_ volume: VolumeID, _ tags: [PointTag], in session: inout Session) {
        for index in session.backups.indices {
            let backup = session.backups[index]
            guard tags.contains(backup.tag), backup.sources.contains(volume),
                !backup.lost.contains(volume)
            else { continue }
            session.backups[index].lost = (backup.lost + [volume]).sorted()
        }
    }

    /// The first place that is known of a volume stays.
    private static func spoil(_ damage: Damage, _ tags: [PointTag], in session: inout Session) {
        for index in session.backups.indices {
            let backup = session.backups[index]
            guard tags.contains(backup.tag), backup.sources.contains(damage.volume),
                !backup.damages.contains(where: { $0.volume == damage.volume })
            else { continue }
            session.backups[index].damages.append(damage)
            session.backups[index].damages.sort { $0.volume < $1.volume }
        }
    }
}
