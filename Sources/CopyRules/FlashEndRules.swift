import CopyModel

// What is done with the relationships of a FlashCopy session once they are there: copying them, settling
// their refreshes, withdrawing them.

extension CopyRules {
    static func decideBackgroundCopy(
        _ session: Session, _ services: FlashServices, _ facts: Facts, _ ladder: Ladder
    ) -> Decision {
        var ladder = ladder
        let known = services.pairsByHost
        let standings = held(session, services, facts.storage)
        for standing in standings { ladder.add(standing.missing(session, facts.storage)) }
        let related = standings.filter { $0.relationship != nil }
        ladder.require(!related.isEmpty, Reasons.noRelationships(session))
        let idle = related.filter { standing in
            standing.relationship?.backgroundCopy == false
                || known[standing.h1]?.pair.isStopped == true
        }
        ladder.require(
            related.isEmpty || !idle.isEmpty,
            Refusal(
                .alreadyCopying,
                "Every pair of \(session.name) is copied in the background already.",
                subject: session.name.text, remedy: "DescribeSession shows how far it is."))
        return ladder.decide(
            Plan(
                steps: [
                    Step(
                        effect: .startBackgroundCopy(targets: idle.map(\.current.target)),
                        change: .backgroundCopyStarted)
                ], result: .backgroundCopyStarted(pairs: idle.count)))
    }

    /// Commit or Revert, of every pair whose last refresh can be.
    static func decideSettle(
        keeping: Bool, _ session: Session, _ services: FlashServices, _ facts: Facts,
        _ ladder: Ladder
    ) -> Decision {
        var ladder = ladder
        let standings = held(session, services, facts.storage)
        ladder.require(!standings.isEmpty, Reasons.noRelationships(session))
        for standing in standings { ladder.add(standing.missing(session, facts.storage)) }
        let revertible = standings.filter { $0.relationship?.attributes.revertible == true }
        if revertible.isEmpty {
            for standing in standings {
                ladder.require(
                    false,
                    Refusal(
                        .notRevertible,
                        "The relationship of \(standing.h1) to \(standing.t1) has no refresh that "
                            + "can be committed or reverted.", subject: standing.subject,
                        remedy:
                            "Flash \(session.name) with the options incremental and revertible; "
                            + "the first Flash copies in full and cannot be reverted."))
            }
        }
        let groups = Dictionary(
            grouping: revertible, by: { $0.relationship?.attributes.number ?? 0 }
        ).sorted { $0.key < $1.key }
        var steps = repairs(of: session, services, facts)
        steps += groups.map { number, members in
            let terms = members.map(\.current)
            return Step(
                effect: keeping
                    ? .commitRelationships(terms, number: number)
                    : .revertRelationships(terms, number: number),
                change: .nothing)
        }
        steps.append(Step(effect: nil, change: .flash(keeping ? .committed : .reverted)))
        return ladder.decide(Plan(steps: steps, result: .settled(pairs: revertible.count)))
    }

    // MARK: Withdrawing

    static func decideTerminate(
        whenCopied: Bool, _ session: Session, _ services: FlashServices, _ facts: Facts,
        _ ladder: Ladder
    ) -> Decision {
        var ladder = ladder
        let standings = held(session, services, facts.storage)
        let stopped = services.stopped
        for standing in standings {
            ladder.add(standing.missing(session, facts.storage))
            ladder.add(withdrawalReasons(standing, session, stopped))
            if whenCopied { ladder.add(neverCopied(standing, session)) }
        }
        let observed = observe(session, services, facts.storage, adopting: false)
        var steps = repairs(of: session, services, to: observed)
        var after = services
        after.pairs = observed.pairs
        steps.append(Step(effect: nil, change: .terminating))
        let remaining = after.tracksToWaitFor
        if whenCopied, remaining > 0 {
            steps.append(Step(effect: nil, change: .flash(.endsWhenCopied)))
            return ladder.decide(
                Plan(
                    steps: steps,
                    result: .withdrawnWhenCopied(
                        pairs: after.pairs.count, tracksRemaining: remaining)))
        }
        steps += withdrawals(of: own(after.pairs, services))
        steps.append(Step(effect: nil, change: .terminated))
        return ladder.decide(Plan(steps: steps, result: .withdrawn(pairs: after.pairs.count)))
    }

    /// A session that was to end when its tracks are copied owes its end once they are; and one that has
    /// nothing left, whatever kept it from being told so.
    static func owed(by session: Session, _ services: FlashServices) -> [Step] {
        guard session.state == .terminating,
            services.pairs.isEmpty || (services.endsWhenCopied && services.tracksToWaitFor == 0)
        else { return [] }
        return withdrawals(of: services.pairs) + [Step(effect: nil, change: .terminated)]
    }

    /// The pairs as the storage has them now, without those that others have flashed since.
    static func own(_ pairs: [FlashPair], _ services: FlashServices) -> [FlashPair] {
        let known = services.pairsByHost
        return pairs.filter { known[$0.h1]?.number == $0.number }
    }

    /// The steps that end the pairs' relationships: what the session knows of, and nothing that others have
    /// made of the targets meanwhile.
    static func withdrawals(of pairs: [FlashPair]) -> [Step] {
        let related = pairs.filter { $0.stage != .ended && $0.isRecoverable }
        return Dictionary(grouping: related, by: \.number).sorted { $0.key < $1.key }
            .map { number, members in
                Step(
                    effect: .withdrawRelationships(
                        members.map {
                            PairTerms(source: $0.pair.source, target: $0.pair.target)
                        }, number: number), change: .flash(.withdrawn(members.map(\.h1))))
            }
    }

    /// What speaks against withdrawing a pair's relationship. A copy that has stopped for good is no reason to
    /// wait for.
    static func withdrawalReasons(
        _ standing: FlashStanding, _ session: Session, _ stopped: Set<VolumeID>
    ) -> [Refusal] {
        let reasons = standing.unfinished(session) + standing.halfRestored(session)
        return stopped.contains(standing.h1)
            ? reasons.filter { $0.code != .copyIncomplete } : reasons
    }

    private static func neverCopied(
        _ standing: FlashStanding, _ session: Session
    ) -> [Refusal] {
        guard let relationship = standing.relationship, !relationship.backgroundCopy,
            relationship.tracksRemaining > 0
        else { return [] }
        return [
            Refusal(
                .noCopyMode,
                "\(standing.h1) has \(relationship.tracksRemaining) tracks that nothing copies to "
                    + "\(standing.t1).", subject: standing.subject,
                remedy: "InitiateBackgroundCopy \(session.name) first.")
        ]
    }

    /// What the storage has of the copy sets that the session has pairs of.
    static func held(
        _ session: Session, _ services: FlashServices, _ report: StorageReport
    ) -> [FlashStanding] {
        let known = services.pairsByHost
        return session.copySets.filter { known[$0.h1] != nil }.map {
            FlashStanding($0, report)
        }
    }
}

extension FlashServices {
    /// The pairs by the H1 volumes that name their copy sets.
    var pairsByHost: [VolumeID: FlashPair] {
        Dictionary(pairs.map { ($0.h1, $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// The copy sets whose copy cannot go on by itself.
    var stopped: Set<VolumeID> { Set(pairs.filter(\.pair.isStopped).map(\.h1)) }

    /// Tracks that a background copy has still to copy, or that keep it from ending.
    var tracksToWaitFor: UInt64 {
        pairs.filter { $0.stage != .ended && $0.isRecoverable }
            .reduce(0) { $0 + $1.pair.tracksRemaining }
    }
}
