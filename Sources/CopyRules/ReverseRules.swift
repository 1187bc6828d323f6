import CopyModel

// Reverse restore: the published refusals, all that apply at once, each with what clears it.
// Sources: DFSMShsm, FRRECOV and FLASHCPY QUERY RELATIONS; DS8000, reverseflash.

extension CopyRules {
    static func decideReverse(
        fast: Bool, allowCascade: Bool, _ session: Session, _ services: FlashServices,
        _ facts: Facts, _ ladder: Ladder
    ) -> Decision {
        var ladder = ladder
        let standings = session.copySets.map { FlashStanding($0, facts.storage) }
        for standing in standings {
            ladder.add(standing.missing(session, facts.storage))
            ladder.add(
                reverseReasons(
                    standing, fast: fast, allowCascade: allowCascade, session, facts.storage))
        }
        let number = nextNumber(services.lastNumber, standings, facts.now)
        let instant = RelationshipInstant(
            number: number, changes: standings.map { .reverse($0.current, fast: fast) })
        let reversed = standings.map { standing in
            let tracks = standing.relationship?.tracks ?? 0
            let outOfSync = standing.relationship?.attributes.tracksOutOfSync
            return ReversedPair(
                progress: PairProgress(
                    target: standing.current.source, tracksRemaining: outOfSync ?? tracks,
                    tracks: tracks), usesUp: standing.tracksRemaining > 0)
        }
        let observed = observe(session, services, facts.storage, adopting: true)
        var steps: [Step] = []
        if observed.pairs != services.pairs {
            // What the session does not know of its pairs, it could not reverse.
            steps.append(
                Step(
                    effect: nil,
                    change: .flash(.observed(observed.pairs, unseen: observed.unseen))))
        }
        steps.append(
            Step(
                effect: .changeRelationships(instant),
                change: .flash(.reversed(number: number, reversed))))
        return ladder.decide(
            Plan(
                steps: steps, result: .reversed(pairs: standings.count, fast: fast)))
    }

    /// Every reason against reversing a pair's relationship; none where the storage does not know a volume.
    static func reverseReasons(
        _ standing: FlashStanding, fast: Bool, allowCascade: Bool, _ session: Session,
        _ report: StorageReport
    ) -> [Refusal] {
        guard standing.host != nil, standing.copy != nil else { return [] }
        guard let relationship = standing.relationship else {
            return [standing.noRelationship(session)]
        }
        var ladder = Ladder()
        ladder.add(standing.unfinished(session))
        if !fast { ladder.add(wholeCopyReasons(standing, relationship, session)) }
        ladder.add(relationReasons(standing, allowCascade: allowCascade, report))
        ladder.add(capacityReasons(standing, report))
        return ladder.reasons
    }

    /// What only a reverse restore that is not fast asks for: a recorded, complete copy.
    private static func wholeCopyReasons(
        _ standing: FlashStanding, _ relationship: RelationshipReport, _ session: Session
    ) -> [Refusal] {
        let (source, target) = (standing.current.source, standing.current.target)
        var ladder = Ladder()
        ladder.require(
            relationship.attributes.incremental,
            Refusal(
                .notIncremental, "The relationship of \(source) to \(target) is not incremental.",
                subject: standing.subject,
                remedy:
                    "ReverseRestore with fast; or ModifySession \(session.name) with incremental "
                    + "and Flash, which replaces what \(target) holds."))
        ladder.require(
            !relationship.backgroundCopy || relationship.tracksRemaining == 0,
            Refusal(
                .copyIncomplete,
                "\(relationship.tracksRemaining) tracks of \(source) are not copied to \(target) yet.",
                subject: standing.subject,
                remedy: standing.wait(session) + " Or ReverseRestore with fast."))
        ladder.require(
            relationship.backgroundCopy,
            Refusal(
                .noCopyMode, "The relationship of \(source) to \(target) copies nothing by itself.",
                subject: standing.subject,
                remedy: "InitiateBackgroundCopy \(session.name) and wait until it is done, or "
                    + "ReverseRestore with fast."))
        return ladder.reasons
    }

    /// Neither volume may be in another relationship; `allowCascade` lifts that as far as a target with two
    /// sources would not come of it.
    private static func relationReasons(
        _ standing: FlashStanding, allowCascade: Bool, _ report: StorageReport
    ) -> [Refusal] {
        let (source, target) = (standing.current.source, standing.current.target)
        var ladder = Ladder()
        if allowCascade {
            let others = report.volumes[target]?.outbound.count { $0 != source } ?? 0
            ladder.require(
                others < mostTargets,
                Reasons.tooManyTargets(target, subject: "\(standing.role(target)) \(target)"))
            if let inbound = report.volumes[source]?.inbound, inbound.source != target {
                ladder.require(
                    false,
                    Refusal(
                        .severalRelationships,
                        "\(source) is the target of \(inbound.source), and a volume has one source.",
                        subject: "\(standing.role(source)) \(source)",
                        remedy: "Terminate the session that made it, or WithdrawRelationships on "
                            + "\(source.storage)."))
            }
            return ladder.reasons
        }
        for (volume, peer) in [(source, target), (target, source)] {
            let others = standing.others(of: volume, besides: peer, report)
            ladder.require(
                others.isEmpty,
                Refusal(
                    .severalRelationships,
                    "\(volume) is in other relationships: \(others.joined(separator: ", ")).",
                    subject: "\(standing.role(volume)) \(volume)",
                    remedy: "Terminate the sessions that made them or WithdrawRelationships on "
                        + "\(volume.storage); or ReverseRestore with allowCascade."))
        }
        return ladder.reasons
    }

    private static func capacityReasons(
        _ standing: FlashStanding, _ report: StorageReport
    ) -> [Refusal] {
        let (source, target) = (standing.current.source, standing.current.target)
        guard let from = report.volumes[source]?.capacity, let to = report.volumes[target]?.capacity
        else { return [] }
        var ladder = Ladder()
        ladder.require(
            from <= to,
            Refusal(
                .sourceLarger, "\(source) has \(from), more than its target \(target) with \(to).",
                subject: "\(standing.role(source)) \(source)",
                remedy: "ExpandVolumes \(target.local) on \(target.storage) to \(from)."))
        ladder.require(
            to <= from,
            Refusal(
                .targetSmaller,
                "\(source) has \(from) and would be the target of \(target) with \(to).",
                subject: "\(standing.role(source)) \(source)",
                remedy: "ExpandVolumes \(source.local) on \(source.storage) to \(to)."))
        return ladder.reasons
    }

    // MARK: Asking beforehand

    /// What the relationships of a session's copy sets are, and every reason against reversing each.
    public static func relationships(of session: Session, facts: Facts) -> [RelationshipQuery] {
        guard session.flash != nil else { return [] }
        return session.copySets.map { set in
            let standing = FlashStanding(set, facts.storage)
            let missing = standing.missing(session, facts.storage)
            func reasons(fast: Bool) -> [Refusal] {
                missing
                    + reverseReasons(
                        standing, fast: fast, allowCascade: false, session, facts.storage)
            }
            return RelationshipQuery(
                copySet: standing.h1, target: standing.current.target,
                relationship: standing.relationship, reverseRestore: reasons(fast: false),
                fastReverseRestore: reasons(fast: true))
        }
    }
}

extension FlashStanding {
    fileprivate func role(_ volume: VolumeID) -> String { volume == h1 ? "H1" : "T1" }

    /// The relationships of a volume besides that with its peer, as `to box1:0300`.
    fileprivate func others(
        of volume: VolumeID, besides peer: VolumeID, _ report: StorageReport
    ) -> [String] {
        guard let known = report.volumes[volume] else { return [] }
        var others = known.outbound.filter { $0 != peer }.map { "to \($0)" }
        if let inbound = known.inbound, inbound.source != peer {
            others.append("from \(inbound.source)")
        }
        return others
    }
}
