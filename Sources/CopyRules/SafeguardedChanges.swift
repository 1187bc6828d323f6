import CopyModel

// What changes make of the services of a Safeguarded Copy session.

extension SafeguardedServices {
    /// Protected means that at least one backup is known; without any, the session is Defined again.
    var restingState: SessionState { backups.isEmpty && recovery == nil ? .defined : .protected }

    mutating func apply(_ change: Change) {
        switch change {
        case .nothing, .created, .modified, .deleted, .copySetsAdded, .terminating, .flash: break
        case .copySetsRemoved(let removed): leave(Set(removed))
        case .backupTaken(let id, let tag, let time, let sources):
            guard backup(id) == nil else { break }
            backups.append(Backup(id: id, tag: tag, time: time, sources: sources))
            lastBackupID = id
        case .backupVerified(let id):
            guard let index = backups.firstIndex(where: { $0.id == id }) else { break }
            backups[index].verified = true
        case .backupsExpired(let ids): backups.removeAll { ids.contains($0.id) }
        case .recovered(let recovery): self.recovery = recovery
        case .backgroundCopyStarted: startCopy()
        case .recoveryWithdrawn: recovery = nil
        case .terminated:
            recovery = nil
            backups = []
        case .observed(let backups, let recovery, _):
            self.backups = backups
            self.recovery = recovery
            lastBackupID = [lastBackupID, backups.last?.id].compactMap { $0 }.max()
        case .progressed(let target, let remaining, let tracks):
            withPair(target) { pair in
                pair.tracksRemaining = remaining
                pair.tracks = tracks
                pair.lastResult = nil
            }
        case .copyFailed(let target, let reason): withPair(target) { $0.lastResult = reason }
        case .rolledOff(let volume, let tags): lose(volume, tags)
        case .damaged(let volume, let tags, let place):
            spoil(Damage(volume: volume, place: place), tags)
        }
    }

    private mutating func leave(_ gone: Set<VolumeID>) {
        for index in backups.indices {
            backups[index].sources.removeAll { gone.contains($0) }
            backups[index].lost.removeAll { gone.contains($0) }
            backups[index].damages.removeAll { gone.contains($0.volume) }
        }
        backups.removeAll { $0.sources.isEmpty }
    }

    /// A copy that stopped starts again, and whatever stopped it is history.
    private mutating func startCopy() {
        guard var recovery else { return }
        recovery.backgroundCopy = true
        for index in recovery.pairs.indices where recovery.pairs[index].isStopped {
            recovery.pairs[index].lastResult = nil
        }
        self.recovery = recovery
    }

    private mutating func withPair(_ target: VolumeID, _ body: (inout Pair) -> Void) {
        guard var recovery, let index = recovery.pairs.firstIndex(where: { $0.target == target })
        else { return }
        body(&recovery.pairs[index])
        self.recovery = recovery
    }

    private mutating func lose(_ volume: VolumeID, _ tags: [PointTag]) {
        for index in backups.indices {
            let backup = backups[index]
            guard tags.contains(backup.tag), backup.sources.contains(volume),
                !backup.lost.contains(volume)
            else { continue }
            backups[index].lost = (backup.lost + [volume]).sorted()
        }
    }

    /// The first place that is known of a volume stays.
    private mutating func spoil(_ damage: Damage, _ tags: [PointTag]) {
        for index in backups.indices {
            let backup = backups[index]
            guard tags.contains(backup.tag), backup.sources.contains(damage.volume),
                !backup.damages.contains(where: { $0.volume == damage.volume })
            else { continue }
            backups[index].damages.append(damage)
            backups[index].damages.sort { $0.volume < $1.volume }
        }
    }
}
