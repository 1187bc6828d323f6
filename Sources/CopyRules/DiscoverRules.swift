import CopyModel

// Discover and Refresh States of FlashCopy sessions: what the storage has is so.
// Source: Copy Services Manager 6.2.9, "Assimilate FlashCopy pairs".

/// What the storage has of a FlashCopy session: its pairs, the volumes that it does not answer for, and the
/// H1 volumes of the copy sets that it has no relationship for.
typealias ObservedPairs = (pairs: [FlashPair], unseen: [VolumeID], missing: [VolumeID])

extension CopyRules {
    /// Relationships that the storage has for defined pairs become the session's: usable, without a flash
    /// time, and without a word on whether they fit each other. Pairs that it has none for stay as they are.
    static func decideDiscover(
        _ session: Session, _ services: FlashServices, _ facts: Facts, _ ladder: Ladder
    ) -> Decision {
        var ladder = ladder
        ladder.require(!session.copySets.isEmpty, Reasons.noCopySets(session))
        let observed = observe(session, services, facts.storage, adopting: true)
        var steps: [Step] = []
        if observed.pairs != services.pairs || observed.unseen != session.unseen {
            steps.append(
                Step(
                    effect: nil,
                    change: .flash(.discovered(observed.pairs, unseen: observed.unseen))))
        }
        var after = services
        after.pairs = observed.pairs
        return ladder.decide(
            Plan(
                steps: steps,
                result: .discovered(
                    found: session.copySets.count - observed.missing.count,
                    missing: observed.missing, spread: after.flashTimeSpread)))
    }

    static func decideRefresh(
        _ session: Session, _ services: FlashServices, _ facts: Facts, _ ladder: Ladder
    ) -> Decision {
        let observed = observe(session, services, facts.storage, adopting: false)
        return ladder.decide(
            Plan(
                steps: repairs(of: session, services, to: observed),
                result: .refreshed(
                    changes: unseenDifferences(from: session.unseen, to: observed.unseen)
                        + differences(from: services.pairs, to: observed.pairs))))
    }

    /// The steps that bring the session to what the storage says; empty where they agree.
    static func repairs(
        of session: Session, _ services: FlashServices, _ facts: Facts
    ) -> [Step] {
        repairs(
            of: session, services,
            to: observe(session, services, facts.storage, adopting: false))
    }

    /// The same, where that has been looked at.
    static func repairs(
        of session: Session, _ services: FlashServices, to observed: ObservedPairs
    ) -> [Step] {
        guard observed.pairs != services.pairs || observed.unseen != session.unseen else {
            return []
        }
        return [
            Step(
                effect: nil, change: .flash(.observed(observed.pairs, unseen: observed.unseen)))
        ]
    }

    /// What the storage has of the session's pairs; with `adopting`, of copy sets that had none as well.
    ///
    /// Where a volume is not there nothing is known, and what was known stays.
    static func observe(
        _ session: Session, _ services: FlashServices, _ report: StorageReport, adopting: Bool
    ) -> ObservedPairs {
        let known = services.pairsByHost
        var pairs: [FlashPair] = []
        var missing: [VolumeID] = []
        for set in session.copySets {
            let standing = FlashStanding(set, report)
            let old = known[set.h1]
            if standing.relationship == nil { missing.append(set.h1) }
            guard old != nil || adopting else { continue }
            if let pair = observed(standing, old) { pairs.append(pair) }
        }
        return (pairs, unseen(of: session, in: report), missing)
    }

    private static func observed(_ standing: FlashStanding, _ old: FlashPair?) -> FlashPair? {
        guard let host = standing.host, let copy = standing.copy else { return old }
        guard let relationship = standing.relationship else {
            return old.map { missed($0, ended: $0.isReversed ? host.completed : copy.completed) }
        }
        var pair = standing.pair(relationship)
        guard let old, old.number == pair.number, old.pair.target == pair.pair.target else {
            return pair
        }
        // The same as before: what only the session knows of it stays.
        pair.since = old.since ?? pair.since
        pair.former = pair.isRevertible ? old.former : nil
        if old.pair.state == .targetAvailable { pair.pair.lastResult = old.pair.lastResult }
        if pair.pair.tracksRemaining == 0 { pair.pair.lastResult = nil }
        return pair
    }

    /// A pair whose relationship is not there: it has ended by itself, or somebody has withdrawn it.
    private static func missed(_ old: FlashPair, ended: UInt64?) -> FlashPair {
        guard old.isRecoverable else { return old }
        var pair = old
        if ended == old.number {
            guard old.stage != .ended else { return old }
            pair.pair.tracksRemaining = 0
            pair.pair.lastResult = nil
            pair.complete()
            pair.stage = .ended
        } else {
            pair.pair.state = .lost
            pair.pair.lastResult =
                old.stage == .ended
                ? "The target was given to another relationship since."
                : "The storage no longer has the relationship."
        }
        return pair
    }

    // MARK: What has changed, in sentences

    static func unseenDifferences(from old: [VolumeID], to new: [VolumeID]) -> [String] {
        new.filter { !old.contains($0) }.map {
            "\($0) is not there: its storage system does not know it."
        } + old.filter { !new.contains($0) }.map { "\($0) is there again." }
    }

    private static func differences(from old: [FlashPair], to new: [FlashPair]) -> [String] {
        zip(old, new).compactMap { before, after in
            let name = "The relationship of \(after.pair.source) to \(after.pair.target)"
            if before == after { return nil }
            if after.pair.state == .lost {
                return before.stage == .ended
                    ? "\(after.pair.target) was given to another relationship."
                    : "\(name) is no longer on the storage."
            }
            if before.pair.state == .lost { return "\(name) is on the storage again." }
            if after.pair.state == .invalid {
                return "The fast reverse restore of \(after.pair.source) is done."
            }
            if after.stage == .ended { return "\(name) has ended: every track was copied." }
            if before.number != after.number { return "\(name) was changed outside the session." }
            return "\(name) was brought up to date."
        }
    }
}
