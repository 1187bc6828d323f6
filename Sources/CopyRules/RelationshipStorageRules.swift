import CopyModel

// Relationships that are made outside of sessions: commands to storage systems.

extension CopyRules {
    static func establish(
        _ asked: [RelationshipSpecification], _ system: SubjectName,
        _ volumes: [LocalVolumeID: VolumeReport], _ facts: Facts, _ ladder: Ladder
    ) -> Decision {
        var ladder = ladder
        var parents = Parents(volumes.values)
        var targets = volumes.mapValues(\.outbound.count)
        var changes: [RelationshipChange] = []
        for relationship in asked {
            let pair = PairTerms(relationship.pair, on: system)
            parents.set(pair.target, readThrough: pair.source)
            targets[relationship.pair.source, default: 0] += 1
            changes.append(.establish(pair, relationship.terms))
        }
        for relationship in asked {
            let pair = PairTerms(relationship.pair, on: system)
            let source = volumes[relationship.pair.source]
            let target = volumes[relationship.pair.target]
            ladder.require(source != nil, unknown(pair.source))
            ladder.require(target != nil, unknown(pair.target))
            guard let source, let target else { continue }
            if let inbound = target.inbound {
                ladder.require(false, taken(pair, inbound))
            }
            ladder.require(
                target.capacity >= source.capacity,
                Refusal(
                    .targetSmaller,
                    "\(pair.target) has \(target.capacity), less than \(pair.source) with "
                        + "\(source.capacity).", subject: pair.target.description,
                    remedy: "ExpandVolumes \(pair.target.local) on \(system) to \(source.capacity)."
                ))
            ladder.require(
                targets[relationship.pair.source, default: 0] <= mostTargets,
                Reasons.tooManyTargets(pair.source, subject: pair.source.description))
            ladder.require(
                !parents.hasCycle(through: pair.target),
                Reasons.cycle(
                    from: pair.source, to: pair.target, subject: pair.target.description))
        }
        let number = nextNumber(0, Array(volumes.values), facts.now)
        return ladder.decide(
            one(
                .changeRelationships(RelationshipInstant(number: number, changes: changes)),
                .relationships(asked.map(\.pair)), undo: nil))
    }

    private static func taken(_ pair: PairTerms, _ inbound: RelationshipReport) -> Refusal {
        guard inbound.source == pair.source, inbound.presents.tag == nil else {
            var refusal = Reasons.hasSource(pair.target, role: "Volume", inbound)
            refusal.subject = pair.target.description
            return refusal
        }
        return Refusal(
            .relationshipExists,
            "There is a relationship of \(pair.source) to \(pair.target) already.",
            subject: pair.target.description,
            remedy: "WithdrawRelationships it first, or Flash it in a session.")
    }

    static func withdraw(
        _ asked: [LocalPair], _ system: SubjectName, _ volumes: [LocalVolumeID: VolumeReport],
        _ ladder: Ladder
    ) -> Decision {
        var ladder = ladder
        let pairs = asked.map { PairTerms($0, on: system) }
        for (local, pair) in zip(asked, pairs) {
            ladder.require(volumes[local.source] != nil, unknown(pair.source))
            ladder.require(volumes[local.target] != nil, unknown(pair.target))
            guard volumes[local.source] != nil, let target = volumes[local.target] else { continue }
            guard let inbound = target.inbound, inbound.source == pair.source else {
                ladder.require(
                    false,
                    Refusal(
                        .noRelationship,
                        "There is no relationship of \(pair.source) to \(pair.target).",
                        subject: pair.target.description,
                        remedy: "ListRelationships \(system) lists those that there are."))
                continue
            }
            ladder.add(withdrawalReasons(pair, inbound))
        }
        return ladder.decide(
            one(.withdrawRelationships(pairs, number: nil), .relationships(asked), undo: nil))
    }

    private static func withdrawalReasons(
        _ pair: PairTerms, _ inbound: RelationshipReport
    ) -> [Refusal] {
        var ladder = Ladder()
        let subject = pair.target.description
        if let tag = inbound.presents.tag {
            ladder.require(
                false,
                Refusal(
                    .volumeInUse,
                    "\(pair.target) presents backup \(tag): it belongs to a recovery.",
                    subject: subject, remedy: "TerminateH1R1 \(tag.session)."))
        }
        ladder.require(
            !inbound.attributes.revertible,
            Refusal(
                .notCommitted,
                "The last refresh of \(pair.target) is neither committed nor reverted.",
                subject: subject, remedy: "Commit or Revert in the session that flashed it."))
        ladder.require(
            !inbound.attributes.reverting && !inbound.attributes.fastReverse,
            Refusal(
                .copyIncomplete,
                "\(inbound.tracksRemaining) tracks are not back on \(pair.target) yet.",
                subject: subject, remedy: "Wait until ListRelationships says 0 tracks."))
        return ladder.reasons
    }
}

extension PairTerms {
    fileprivate init(_ pair: LocalPair, on system: SubjectName) {
        self.init(
            source: VolumeID(storage: system, local: pair.source),
            target: VolumeID(storage: system, local: pair.target))
    }
}
