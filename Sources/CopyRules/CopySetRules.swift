import CopyModel

// Adding and removing copy sets.

extension CopyRules {
    static func decideAdd(
        _ sets: [CopySet], _ session: Session, _ facts: Facts, _ ladder: Ladder
    ) -> Decision {
        var ladder = ladder
        let role = TargetRole(session.type)
        let known = Set(session.copySets.map(\.h1))
        let asked = Set(sets.map(\.h1))
        var targets = Set(session.copySets.compactMap(role.volume))
        for (index, set) in sets.enumerated() {
            ladder.add(role.reasons(set, at: index, in: session))
            ladder.require(
                !known.contains(set.h1),
                Refusal(
                    .copySetExists, "Session \(session.name) has a copy set \(set.h1) already.",
                    subject: "H1 \(set.h1)", remedy: "Leave it out, or RemoveCopySets it first."))
            ladder.require(
                !session.copySets.contains { role.volume($0) == set.h1 },
                Refusal(
                    .volumeInUse,
                    "\(set.h1) is a \(role.noun) (\(role.name)) of this session.",
                    subject: "H1 \(set.h1)",
                    remedy: "Give another host volume, or RemoveCopySets the set it belongs to."))
            ladder.add(unknownVolumes(of: set, role, facts.storage))
            guard let target = role.volume(set) else { continue }
            let subject = "\(role.name) \(target)"
            ladder.require(
                !known.contains(target) && !asked.contains(target),
                Refusal(
                    .volumeInUse, "\(target) is a host volume (H1) of this session.",
                    subject: subject,
                    remedy: "Give another volume of the same size as \(role.name)."))
            ladder.require(
                target.storage == set.h1.storage,
                Refusal(
                    role.mismatch,
                    "\(role.name) \(target) is on another storage system than H1 \(set.h1), and a "
                        + "relationship stays within one.", subject: subject,
                    remedy: "Give a \(role.name) on \(set.h1.storage)."))
            ladder.require(
                targets.insert(target).inserted,
                Refusal(
                    .volumeInUse,
                    "\(target) is the \(role.name) of another copy set of this session.",
                    subject: subject, remedy: "Give each copy set a \(role.name) of its own."))
            ladder.add(tooSmall(set.h1, target, role, facts.storage))
        }
        return ladder.decide(
            Plan(
                steps: [Step(effect: nil, change: .copySetsAdded(sets))],
                result: .copySetsAdded(sets)))
    }

    private static func unknownVolumes(
        of set: CopySet, _ role: TargetRole, _ report: StorageReport
    ) -> [Refusal] {
        var reasons: [Refusal] = []
        if report.volumes[set.h1] == nil {
            reasons.append(Reasons.unknownVolume(set.h1, role: "H1", in: report))
        }
        if let target = role.volume(set), report.volumes[target] == nil {
            reasons.append(Reasons.unknownVolume(target, role: role.name, in: report))
        }
        return reasons
    }

    private static func tooSmall(
        _ h1: VolumeID, _ volume: VolumeID, _ role: TargetRole, _ report: StorageReport
    ) -> [Refusal] {
        guard let source = report.volumes[h1]?.capacity,
            let target = report.volumes[volume]?.capacity, target < source
        else { return [] }
        return [Reasons.targetSmaller(volume, target, role: role.name, than: h1, source)]
    }

    static func decideRemove(
        _ removed: [VolumeID], _ keepOnStorage: Bool, _ session: Session, _ facts: Facts,
        _ ladder: Ladder
    ) -> Decision {
        var ladder = ladder
        let known = Set(session.copySets.map(\.h1))
        for h1 in removed {
            ladder.require(
                known.contains(h1),
                Refusal(
                    .unknownCopySet, "Session \(session.name) has no copy set \(h1).",
                    subject: "H1 \(h1)", remedy: "DescribeSession lists the copy sets."))
        }
        var steps: [Step]
        switch session.services {
        case .safeguarded(let services):
            ladder.add(recovered(removed, session, services))
            steps = [
                Step(
                    effect: keepOnStorage ? nil : drop(removed, services),
                    change: .copySetsRemoved(removed))
            ]
        case .flash(let services):
            let gone = Set(removed)
            let leaving = held(session, services, facts.storage).filter { gone.contains($0.h1) }
            let stopped = services.stopped
            for standing in leaving where !keepOnStorage {
                ladder.add(withdrawalReasons(standing, session, stopped))
            }
            steps = keepOnStorage ? [] : withdrawals(gone, session, services, facts)
            steps.append(Step(effect: nil, change: .copySetsRemoved(removed)))
        }
        return ladder.decide(Plan(steps: steps, result: .copySetsRemoved(removed)))
    }

    private static func recovered(
        _ removed: [VolumeID], _ session: Session, _ services: SafeguardedServices
    ) -> [Refusal] {
        let standing = Set(services.recovery?.pairs.map(\.source) ?? [])
        return removed.filter(standing.contains).map { h1 in
            Refusal(
                .recoveryInPlace, "A recovery of \(h1) is in place.", subject: "H1 \(h1)",
                remedy: "TerminateH1R1 \(session.name) first.")
        }
    }

    private static func drop(
        _ removed: [VolumeID], _ services: SafeguardedServices
    ) -> Effect? {
        let gone = Set(removed)
        let tags = services.backups.filter { !gone.isDisjoint(with: $0.sources) }.map(\.tag)
        return tags.isEmpty ? nil : .dropPoints(tags, sources: removed)
    }

    private static func withdrawals(
        _ gone: Set<VolumeID>, _ session: Session, _ services: FlashServices, _ facts: Facts
    ) -> [Step] {
        let pairs = observe(session, services, facts.storage, adopting: false).pairs
        let steps = withdrawals(of: own(pairs.filter { gone.contains($0.h1) }, services))
        return steps.isEmpty ? [] : repairs(of: session, services, facts) + steps
    }
}

/// The role that a type's copy sets have besides H1.
struct TargetRole {
    /// Its name.
    let name: String
    /// What a volume in it is.
    let noun: String
    /// The refusal of a volume on another storage system.
    let mismatch: RefusalCode
    private let type: SessionType

    init(_ type: SessionType) {
        self.type = type
        switch type {
        case .safeguardedCopy: (name, noun, mismatch) = ("R1", "recovery volume", .noRecoveryVolume)
        case .flashCopy: (name, noun, mismatch) = ("T1", "target", .storageMismatch)
        }
    }

    /// The volume of a copy set in the role.
    func volume(_ set: CopySet) -> VolumeID? {
        switch type {
        case .safeguardedCopy: set.r1
        case .flashCopy: set.t1
        }
    }

    /// A role that the type does not have, or one that it cannot do without.
    func reasons(_ set: CopySet, at index: Int, in session: Session) -> [Refusal] {
        let pointer = "/parameters/copySets/\(index)"
        let strange =
            switch type {
            case .safeguardedCopy: ("T1", set.t1)
            case .flashCopy: ("R1", set.r1)
            }
        var ladder = Ladder()
        ladder.require(
            strange.1 == nil,
            Refusal(
                .sessionTypeMismatch,
                "Session \(session.name) is of type \(type.rawValue), whose copy sets have no "
                    + "\(strange.0).", subject: "\(pointer)/\(strange.0)", remedy: "Give \(name)."))
        ladder.require(
            type == .safeguardedCopy || set.t1 != nil,
            Refusal(
                .sessionTypeMismatch,
                "Session \(session.name) is of type \(type.rawValue), whose copy sets have a T1 each.",
                subject: "\(pointer)/T1", remedy: "Give \(set.h1) a target T1."))
        return ladder.reasons
    }
}
