import CopyModel

/// What the storage has of one copy set of a FlashCopy session: the ground of every decision on it.
struct FlashStanding {
    let h1: VolumeID
    let t1: VolumeID
    /// What the storage says of H1 and T1; nil where it does not know the volume.
    let host: VolumeReport?
    let copy: VolumeReport?
    /// The relationship between the two, whichever way it goes; nil where there is none. That of a recovery
    /// is none of ours.
    let relationship: RelationshipReport?
    /// It goes from T1 to H1.
    let isReversed: Bool

    init(_ set: CopySet, _ report: StorageReport) {
        h1 = set.h1
        // A copy set of such a session has a T1 (`CopyRules.decideAdd`).
        t1 = set.t1 ?? set.h1
        host = report.volumes[h1]
        copy = report.volumes[t1]
        let forward = Self.inbound(of: copy, from: h1)
        let backward = Self.inbound(of: host, from: t1)
        // A fast reverse restore is fed by the relationship that it came from.
        isReversed = backward != nil && (forward == nil || backward?.attributes.fastReverse == true)
        relationship = isReversed ? backward : forward
    }

    private static func inbound(
        of volume: VolumeReport?, from source: VolumeID
    ) -> RelationshipReport? {
        guard let inbound = volume?.inbound, inbound.source == source, inbound.presents.tag == nil
        else { return nil }
        return inbound
    }

    /// Source and target of the relationship as it is.
    var current: PairTerms {
        isReversed ? PairTerms(source: t1, target: h1) : PairTerms(source: h1, target: t1)
    }

    var isIncremental: Bool { relationship?.attributes.incremental == true }

    /// The volume's part of a sentence.
    var subject: String { "H1 \(h1)" }

    /// The logical subsystem that H1 belongs to: its storage and the first two digits of its id.
    var logicalSubsystem: String { "\(h1.storage):\(h1.local.text.prefix(2))" }

    /// Both volumes are there.
    var isThere: Bool { host != nil && copy != nil }

    /// What a refresh follows on: as the session knows it where it does, else as the storage has it.
    func before(_ known: FlashPair?) -> FlashPair? {
        guard let relationship else { return nil }
        var pair = pair(relationship)
        if let known, known.number == pair.number { pair.since = known.since ?? pair.since }
        return pair
    }

    /// The pair as the storage has it.
    func pair(_ relationship: RelationshipReport) -> FlashPair {
        let attributes = relationship.attributes
        var terms = RelationshipTerms()
        terms.backgroundCopy = relationship.backgroundCopy
        terms.persistent = attributes.persistent
        terms.incremental = attributes.incremental
        terms.inhibitTargetWrites = attributes.inhibitTargetWrites
        terms.copyRateMiBps = attributes.copyRateMiBps
        let refreshed = attributes.refreshed
        let source = current.source
        var pair = FlashPair(
            h1: h1,
            pair: Pair(
                source: source, target: current.target, state: .targetAvailable,
                tracksRemaining: relationship.tracksRemaining, tracks: relationship.tracks),
            terms: terms, number: attributes.number,
            since: refreshed.milliseconds == 0 ? nil : refreshed,
            stage: attributes.fastReverse ? .fastReverse : .related)
        pair.isRevertible = attributes.revertible
        return pair
    }
}

// Reasons that several commands share.
extension FlashStanding {
    /// A volume of the copy set is not there.
    func missing(_ session: Session, _ report: StorageReport) -> [Refusal] {
        var reasons: [Refusal] = []
        if host == nil {
            reasons.append(Reasons.missingVolume(h1, role: "H1", of: session, in: report))
        }
        if copy == nil {
            reasons.append(Reasons.missingVolume(t1, role: "T1", of: session, in: report))
        }
        return reasons
    }

    /// What was begun and has to be ended before anything else.
    func unfinished(_ session: Session) -> [Refusal] {
        guard let attributes = relationship?.attributes else { return [] }
        var reasons: [Refusal] = []
        if attributes.revertible {
            reasons.append(
                Refusal(
                    .notCommitted,
                    "The last refresh of \(h1) to \(t1) is neither committed nor reverted.",
                    subject: subject, remedy: "Commit \(session.name), or Revert \(session.name)."))
        }
        if attributes.reverting {
            reasons.append(
                Refusal(
                    .copyIncomplete, "The last refresh of \(h1) to \(t1) is being reverted.",
                    subject: subject, remedy: wait(session)))
        }
        if attributes.fastReverse {
            reasons.append(
                Refusal(
                    .copyIncomplete,
                    "The fast reverse restore of \(t1) to \(h1) has \(tracksRemaining) tracks to go.",
                    subject: subject, remedy: wait(session)))
        }
        return reasons
    }

    /// Ending a reverse restore now would leave the host volume neither as it was nor as it is to be.
    func halfRestored(_ session: Session) -> [Refusal] {
        guard isReversed, let relationship, relationship.tracksRemaining > 0,
            !relationship.attributes.fastReverse
        else { return [] }
        return [
            Refusal(
                .copyIncomplete,
                "The reverse restore of \(t1) to \(h1) has \(tracksRemaining) tracks to go, and the host "
                    + "volume would be left inconsistent.",
                subject: subject, remedy: wait(session))
        ]
    }

    var tracksRemaining: UInt64 { relationship?.tracksRemaining ?? 0 }

    func wait(_ session: Session) -> String {
        "Wait until copy.progress of \(session.name) says 100, or DescribeSession 0 tracks."
    }

    func noRelationship(_ session: Session) -> Refusal {
        Refusal(
            .noRelationship, "The storage has no relationship between \(h1) and \(t1).",
            subject: subject,
            remedy: "Flash \(session.name) with the option incremental (a relationship that is not "
                + "persistent ends when it is copied), or RemoveCopySets \(h1).")
    }
}
