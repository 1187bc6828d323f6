import CopyModel

// What is told of a change: derived by comparing the session before and after, so that no change can
// go untold and none can be told that did not happen.

extension CopyRules {
    /// The events of a change, in the order in which they are told: backups, pairs, then the session,
    /// whose summary is true once all of them are.
    public static func events(from old: Session?, to new: Session?) -> [EventBody] {
        switch (old, new) {
        case (nil, nil): return []
        case (nil, .some(let created)): return [.sessionCreated(created.summary)]
        case (.some(let deleted), nil): return [.sessionDeleted(deleted.summary)]
        case (.some(let before), .some(let after)):
            guard before != after else { return [] }
            var events =
                backupEvents(before, after) + pairEvents(before, after)
                + completion(before, after)
            if isWorthTelling(before, after) { events.append(.sessionChanged(after.summary)) }
            return events
        }
    }

    /// Progress alone is told by `copy.progress`, at its own pace, not as a change of the session.
    private static func isWorthTelling(_ before: Session, _ after: Session) -> Bool {
        var quiet = after
        quiet.revision = before.revision
        if let recovery = before.recovery, quiet.recovery?.backup == recovery.backup,
            before.isCopying == after.isCopying, before.hasError == after.hasError
        {
            quiet.safeguarded?.recovery = recovery
        }
        return quiet != before
    }

    private static func backupEvents(_ before: Session, _ after: Session) -> [EventBody] {
        let known = Dictionary(before.backups.map { ($0.id, $0) }, uniquingKeysWith: { a, _ in a })
        let kept = Set(after.backups.map(\.id))
        var events: [EventBody] = []
        for backup in after.backups {
            let old = known[backup.id]
            if old == nil { events.append(.backupCreated(BackupView(backup))) }
            if backup.isRecoverable, old?.isRecoverable != true {
                events.append(.backupRecoverable(BackupView(backup)))
            }
            if let reason = newReason(backup, old) {
                events.append(.backupUnrecoverable(BackupView(backup, reason: reason)))
            }
        }
        let members = Set(after.copySets.map(\.h1))
        for backup in before.backups where !kept.contains(backup.id) {
            let left = backup.sources.filter { !members.contains($0) }
            events.append(
                .backupExpired(
                    BackupView(
                        backup,
                        reason: left == backup.sources
                            ? "Its copy sets were removed from the session." : nil)))
        }
        return events
    }

    /// Why a backup can be recovered less than before; nil where it can be as well as before.
    private static func newReason(_ backup: Backup, _ old: Backup?) -> String? {
        let lost = backup.lost.filter { old?.lost.contains($0) != true }
        var reasons: [String] = []
        if !lost.isEmpty {
            reasons.append("No longer on \(lost.map(\.description).joined(separator: ", ")).")
        }
        for damage in backup.damages
        where old?.damages.contains(where: { $0.volume == damage.volume }) != true {
            reasons.append("Damaged on \(damage.volume): \(damage.place).")
        }
        return reasons.isEmpty ? nil : reasons.joined(separator: " ")
    }

    /// The end of a background copy, however it became known: by a fact, by a look at the storage, or
    /// because hosts had written everything when the copy was asked for.
    private static func completion(_ before: Session, _ after: Session) -> [EventBody] {
        guard let recovery = after.recovery, isCopied(recovery),
            before.recovery.map({ $0.backup == recovery.backup && isCopied($0) }) != true
        else { return [] }
        return [
            .copyProgress(
                CopyProgress(
                    rolePair: .h1r1, percent: 100, tracksRemaining: 0, bytesPerSecond: 0,
                    estimatedCompletion: nil))
        ]
    }

    private static func isCopied(_ recovery: Recovery) -> Bool {
        recovery.backgroundCopy && recovery.pairs.allSatisfy { $0.tracksRemaining == 0 }
    }

    private static func pairEvents(_ before: Session, _ after: Session) -> [EventBody] {
        let copiedBefore = before.recovery?.backgroundCopy ?? false
        let copied = after.recovery?.backgroundCopy ?? false
        let old = Dictionary(
            (before.recovery?.pairs ?? []).map {
                ($0.target, PairView($0, backgroundCopy: copiedBefore))
            },
            uniquingKeysWith: { first, _ in first })
        var events: [EventBody] = []
        for pair in after.recovery?.pairs ?? [] {
            let view = PairView(pair, backgroundCopy: copied)
            guard let earlier = old[pair.target], earlier.pair.state == pair.state,
                earlier.recoverable == view.recoverable, earlier.copying == view.copying,
                earlier.pair.lastResult == pair.lastResult
            else {
                events.append(.pairChanged(view))
                continue
            }
        }
        let present = Set((after.recovery?.pairs ?? []).map(\.target))
        for pair in before.recovery?.pairs ?? [] where !present.contains(pair.target) {
            var withdrawn = pair
            withdrawn.state = .withdrawn
            events.append(.pairChanged(PairView(withdrawn, backgroundCopy: false)))
        }
        return events
    }
}
