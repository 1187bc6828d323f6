import CopyModel

// Flash: one instant for all pairs, in full or incrementally.
// Source: Copy Services Manager, "Assimilate FlashCopy pairs" and FlashCopy session properties.

extension CopyRules {
    /// Targets that one source can have, as on a DS8000.
    static let mostTargets = 12

    static func decideFlash(
        _ session: Session, _ services: FlashServices, _ facts: Facts, _ ladder: Ladder
    ) -> Decision {
        var ladder = ladder
        ladder.require(!session.copySets.isEmpty, Reasons.noCopySets(session))
        let standings = session.copySets.map { FlashStanding($0, facts.storage) }
        let parents = Parents(facts.storage, flashing: standings)
        for standing in standings {
            ladder.add(standing.missing(session, facts.storage))
            ladder.add(standing.unfinished(session))
            ladder.add(establishReasons(standing))
            ladder.require(
                !parents.hasCycle(through: standing.t1),
                Reasons.cycle(from: standing.h1, to: standing.t1, subject: "T1 \(standing.t1)"))
        }
        let choices = chooseModes(standings, services.options)
        for (standing, choice) in zip(standings, choices) {
            ladder.add(reasons(against: choice, standing, session, services.options))
        }
        return ladder.decide(flashPlan(session, services, standings, choices, facts))
    }

    /// What speaks against T1 presenting H1, whatever is copied.
    private static func establishReasons(_ standing: FlashStanding) -> [Refusal] {
        guard let host = standing.host, let copy = standing.copy else { return [] }
        var ladder = Ladder()
        if let inbound = copy.inbound,
            inbound.source != standing.h1 || inbound.presents.tag != nil
        {
            ladder.require(false, Reasons.hasSource(standing.t1, role: "T1", inbound))
        }
        ladder.require(
            copy.capacity >= host.capacity,
            Reasons.targetSmaller(
                standing.t1, copy.capacity, role: "T1", than: standing.h1, host.capacity))
        ladder.require(
            host.outbound.contains(standing.t1) || host.outbound.count < mostTargets,
            Reasons.tooManyTargets(standing.h1, subject: standing.subject))
        return ladder.reasons
    }

    /// What a Flash does to one pair.
    enum FlashChoice: Hashable {
        /// A new relationship; one of the same pair ends with it.
        case establish
        /// The relationship is refreshed.
        case refresh
        /// A reversed relationship is reversed again: T1 presents what H1 holds now.
        case reverseBack
        /// A reversed relationship is withdrawn, and a new one established.
        case renew
        /// An incremental refresh is due by the logical subsystem's rule, and there is nothing to refresh.
        case impossible
    }

    /// Incremental off: the relationship ends and a full copy begins, even where an incremental one is
    /// there. Incremental on: by logical subsystem, or each pair for itself.
    private static func chooseModes(
        _ standings: [FlashStanding], _ options: FlashOptions
    ) -> [FlashChoice] {
        let subsystems = Set(standings.filter(\.isIncremental).map(\.logicalSubsystem))
        return standings.map { standing in
            let full: FlashChoice = standing.isReversed ? .renew : .establish
            guard options.incremental, standing.isThere else { return full }
            if standing.isIncremental { return standing.isReversed ? .reverseBack : .refresh }
            switch options.incrementalScope {
            case .pair: return full
            case .logicalSubsystem:
                return subsystems.contains(standing.logicalSubsystem) ? .impossible : full
            }
        }
    }

    private static func reasons(
        against choice: FlashChoice, _ standing: FlashStanding, _ session: Session,
        _ options: FlashOptions
    ) -> [Refusal] {
        switch choice {
        case .establish, .refresh: return []
        case .renew: return standing.halfRestored(session)
        case .reverseBack:
            guard options.revertible else { return standing.halfRestored(session) }
            return standing.halfRestored(session) + [
                Refusal(
                    .notRevertible,
                    "\(standing.h1) is reversed: the Flash reverses it again, and that cannot be taken "
                        + "back.", subject: standing.subject,
                    remedy: "ModifySession \(session.name) with revertible false.")
            ]
        case .impossible:
            let what =
                standing.relationship == nil
                ? "has no relationship" : "has a relationship that is not incremental"
            return [
                Refusal(
                    .notIncremental,
                    "Logical subsystem \(standing.logicalSubsystem) has incremental relationships, so "
                        + "all its pairs are refreshed, and \(standing.h1) \(what).",
                    subject: standing.subject,
                    remedy:
                        "RemoveCopySets \(standing.h1) and flash it in a session of its own, or "
                        + "ModifySession \(session.name) with incrementalScope pair.")
            ]
        }
    }

    private static func flashPlan(
        _ session: Session, _ services: FlashServices, _ standings: [FlashStanding],
        _ choices: [FlashChoice], _ facts: Facts
    ) -> Plan {
        let terms = services.options.terms
        let revertible = services.options.revertible
        let number = nextNumber(services.lastNumber, standings, facts.now)
        let known = services.pairsByHost
        var changes: [RelationshipChange] = []
        var flashed: [FlashedPair] = []
        var renewed: [FlashStanding] = []
        for (standing, choice) in zip(standings, choices) {
            let pair = PairTerms(source: standing.h1, target: standing.t1)
            let tracks = standing.host?.capacity.tracks ?? 0
            var entry = FlashedPair(
                h1: standing.h1, t1: standing.t1, mode: .full, tracksToCopy: tracks, tracks: tracks)
            switch choice {
            case .establish, .renew:
                if choice == .renew { renewed.append(standing) }
                changes.append(.establish(pair, terms))
            case .refresh, .reverseBack:
                entry.mode = .incremental
                entry.before = standing.before(known[standing.h1])
                entry.tracksToCopy = standing.relationship?.attributes.tracksOutOfSync
                changes.append(
                    choice == .refresh
                        ? .refresh(pair, terms, revertible: revertible)
                        : .reverse(standing.current, fast: false))
            case .impossible: continue
            }
            flashed.append(entry)
        }
        let flash = Flash(
            number: number, terms: terms, isRevertible: revertible, pairs: flashed)
        var steps: [Step] = []
        if !renewed.isEmpty {
            steps.append(
                Step(
                    effect: .withdrawRelationships(renewed.map(\.current), number: nil),
                    change: .flash(.withdrawn(renewed.map(\.h1)))))
        }
        steps.append(
            Step(
                effect: .changeRelationships(RelationshipInstant(number: number, changes: changes)),
                change: .flash(.flashed(flash))))
        return Plan(steps: steps, result: .flashed)
    }

    /// The millisecond, or the next number free: numbers rise whatever the clock does, and above what is on
    /// the volumes.
    static func nextNumber(
        _ last: UInt64, _ standings: [FlashStanding], _ now: Timestamp
    ) -> UInt64 {
        nextNumber(last, standings.flatMap { [$0.host, $0.copy].compactMap { $0 } }, now)
    }

    /// The same for volumes.
    static func nextNumber(
        _ last: UInt64, _ volumes: [VolumeReport], _ now: Timestamp
    ) -> UInt64 {
        let there = volumes.flatMap { [$0.inbound?.attributes.number, $0.completed] }
        let newest = (there.compactMap { $0 } + [last]).max() ?? 0
        return max(UInt64(max(0, now.milliseconds)), newest + 1)
    }
}

/// Which volume each one is read through, as far as it is: the way up that must never come back.
struct Parents {
    private var sources: [VolumeID: VolumeID] = [:]

    /// As the storage has it.
    init(_ volumes: some Sequence<VolumeReport>) {
        for volume in volumes {
            if let inbound = volume.inbound, inbound.tracksRemaining > 0 {
                sources[volume.volume] = inbound.source
            }
        }
    }

    /// As it would be after a Flash of these. What it takes the place of no longer counts.
    init(_ report: StorageReport, flashing standings: [FlashStanding]) {
        self.init(report.volumes.values)
        for standing in standings {
            if standing.isReversed { sources[standing.h1] = nil }
            sources[standing.t1] = standing.h1
        }
    }

    /// A target gets another source.
    mutating func set(_ target: VolumeID, readThrough source: VolumeID) { sources[target] = source }

    /// True where the way up from a volume leads back to it.
    func hasCycle(through start: VolumeID) -> Bool {
        var seen: Set<VolumeID> = []
        var place = start
        while let source = sources[place], seen.insert(place).inserted {
            if source == start { return true }
            place = source
        }
        return false
    }
}
