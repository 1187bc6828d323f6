import CopyModel

// Adding and removing copy sets.

extension CopyRules {
    static func decideAdd(
        _ sets: [CopySet], _ session: Session, _ facts: Facts, _ ladder: Ladder
    ) -> Decision {
        var ladder = ladder
        let known = Set(session.copySets.map(\.h1))
        let asked = Set(sets.map(\.h1))
        var recoveryVolumes = Set(session.copySets.compactMap(\.r1))
        for set in sets {
            ladder.require(
                !known.contains(set.h1),
                Refusal(
                    .copySetExists, "Session \(session.name) has a copy set \(set.h1) already.",
                    subject: "H1 \(set.h1)", remedy: "Leave it out, or RemoveCopySets it first."))
            ladder.require(
                !session.copySets.contains { $0.r1 == set.h1 },
                Refusal(
                    .volumeInUse, "\(set.h1) is a recovery volume (R1) of this session.",
                    subject: "H1 \(set.h1)",
                    remedy: "Give another host volume, or RemoveCopySets the set it recovers."))
            ladder.add(unknownVolumes(of: set, facts.storage))
            guard let r1 = set.r1 else { continue }
            ladder.require(
                !known.contains(r1) && !asked.contains(r1),
                Refusal(
                    .volumeInUse, "\(r1) is a host volume (H1) of this session.",
                    subject: "R1 \(r1)",
                    remedy: "Give another volume of the same size as R1."))
            ladder.require(
                r1.storage == set.h1.storage,
                Refusal(
                    .noRecoveryVolume,
                    "R1 \(r1) is on another storage system than H1 \(set.h1), and a relationship "
                        + "stays within one.",
                    subject: "R1 \(r1)", remedy: "Give an R1 on \(set.h1.storage)."))
            ladder.require(
                recoveryVolumes.insert(r1).inserted,
                Refusal(
                    .volumeInUse, "\(r1) is the R1 of another copy set of this session.",
                    subject: "R1 \(r1)", remedy: "Give each copy set an R1 of its own."))
            ladder.add(tooSmall(set.h1, r1, facts.storage))
        }
        return ladder.decide(
            Plan(
                steps: [Step(effect: nil, change: .copySetsAdded(sets))],
                result: .copySetsAdded(sets)))
    }

    private static func unknownVolumes(of set: CopySet, _ report: StorageReport) -> [Refusal] {
        var reasons: [Refusal] = []
        if report.volumes[set.h1] == nil {
            reasons.append(Reasons.unknownVolume(set.h1, role: "H1", in: report))
        }
        if let r1 = set.r1, report.volumes[r1] == nil {
            reasons.append(Reasons.unknownVolume(r1, role: "R1", in: report))
        }
        return reasons
    }

    private static func tooSmall(
        _ h1: VolumeID, _ r1: VolumeID, _ report: StorageReport
    ) -> [Refusal] {
        guard let source = report.volumes[h1]?.capacity, let target = report.volumes[r1]?.capacity,
            target < source
        else { return [] }
        return [
            Refusal(
                .targetSmaller, "R1 \(r1) has \(target), less than H1 \(h1) with \(source).",
                subject: "R1 \(r1)",
                remedy: "ExpandVolumes \(r1.local) on \(r1.storage) to \(source).")
        ]
    }

    static func decideRemove(
        _ removed: [VolumeID], _ keepOnStorage: Bool, _ session: Session, _ ladder: Ladder
    ) -> Decision {
        var ladder = ladder
        let known = Set(session.copySets.map(\.h1))
        let recovered = Set(session.recovery?.pairs.map(\.source) ?? [])
        for h1 in removed {
            ladder.require(
                known.contains(h1),
                Refusal(
                    .unknownCopySet, "Session \(session.name) has no copy set \(h1).",
                    subject: "H1 \(h1)", remedy: "DescribeSession lists the copy sets."))
            ladder.require(
                !recovered.contains(h1),
                Refusal(
                    .recoveryInPlace, "A recovery of \(h1) is in place.", subject: "H1 \(h1)",
                    remedy: "TerminateH1R1 \(session.name) first."))
        }
        let gone = Set(removed)
        let tags = session.backups.filter { !gone.isDisjoint(with: $0.sources) }.map(\.tag)
        let effect =
            keepOnStorage || tags.isEmpty ? nil : Effect.dropPoints(tags, sources: removed)
        return ladder.decide(
            Plan(
                steps: [Step(effect: effect, change: .copySetsRemoved(removed))],
                result: .copySetsRemoved(removed)))
    }
}
