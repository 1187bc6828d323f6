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
        if before.isCopying == after.isCopying, before.hasError == after.hasError {
            switch (before.services, quiet.services) {
            case (.safeguarded(let old), .safeguarded(var new)):
                if let recovery = old.recovery, new.recovery?.backup == recovery.backup {
                    new.recovery = recovery
                    quiet.services = .safeguarded(new)
                }
            case (.flash(let old), .flash(var new)):
                new.pairs =
                    old.pairs.elementsEqual(new.pairs, by: { $0.h1 == $1.h1 })
                    ? new.pairs.keepingProgress(of: old.pairs) : new.pairs
                quiet.services = .flash(new)
            case (.safeguarded, .flash), (.flash, .safeguarded): break
            }
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
        guard let copy = after.backgroundCopy, copy.view.tracksRemaining == 0 else { return [] }
        if let old = before.backgroundCopy, old.identity == copy.identity,
            old.view.tracksRemaining == 0
        {
            return []
        }
        return [
            .copyProgress(
                CopyProgress(
                    rolePair: copy.view.rolePair, percent: 100, tracksRemaining: 0,
                    bytesPerSecond: 0, estimatedCompletion: nil))
        ]
    }

    private static func pairEvents(_ before: Session, _ after: Session) -> [EventBody] {
        let old = Dictionary(
            before.pairViews.map { ($0.copySet, $0) }, uniquingKeysWith: { first, _ in first })
        let views = after.pairViews
        var events: [EventBody] = []
        for view in views {
            guard let earlier = old[view.copySet], earlier.tells(theSameAs: view) else {
                events.append(.pairChanged(view))
                continue
            }
        }
        let present = Set(views.map(\.copySet))
        for view in before.pairViews where !present.contains(view.copySet) {
            let isMember = after.copySets.contains { $0.h1 == view.copySet }
            events.append(.pairChanged(isMember ? view.withdrawn : view.left))
        }
        return events
    }
}

extension PairView {
    /// Nothing but progress differs: that is told at its own pace.
    fileprivate func tells(theSameAs other: PairView) -> Bool {
        pair.source == other.pair.source && pair.target == other.pair.target
            && pair.state == other.pair.state && recoverable == other.recoverable
            && copying == other.copying && pair.lastResult == other.pair.lastResult
            && flash?.number == other.flash?.number && flash?.stage == other.flash?.stage
            && flash?.terms == other.flash?.terms && flash?.since == other.flash?.since
            && flash?.isRevertible == other.flash?.isRevertible
    }

    /// The last that is told of it where its copy set left the session and nothing was withdrawn: a
    /// relationship goes on without the session.
    fileprivate var left: PairView {
        guard let flash, flash.stage != .ended else { return withdrawn }
        var view = self
        view.pair.state = .withdrawn
        view.copying = false
        view.pair.lastResult = "The copy set was removed from the session."
        return view
    }

    /// The last that is told of it. A target that does not hold every track of its source is worth nothing
    /// without the relationship.
    fileprivate var withdrawn: PairView {
        var view = self
        view.pair.state = .withdrawn
        view.copying = false
        view.recoverable = false
        if let flash {
            let isWhole = flash.isRecoverable && pair.tracksRemaining == 0
            view.recoverable = isWhole
            if flash.isRecoverable, !isWhole {
                view.pair.lastResult =
                    "Withdrawn with \(pair.tracksRemaining) tracks not copied: the target is "
                    + "inconsistent."
            }
        }
        return view
    }
}

extension [FlashPair] {
    /// The pairs as far along as the others, which are of the same copy sets.
    fileprivate func keepingProgress(of others: [FlashPair]) -> [FlashPair] {
        zip(self, others).map { pair, other in
            var pair = pair
            pair.pair.tracksRemaining = other.pair.tracksRemaining
            pair.pair.tracks = other.pair.tracks
            return pair
        }
    }
}
