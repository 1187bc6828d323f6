import CopyModel

// Commands to storage systems.

extension CopyRules {
    /// Decides a storage command on a system's inventory; nil where there is no such system.
    public static func decideStorage(
        _ envelope: CommandEnvelope, inventory: [VolumeReport]?, facts: Facts
    ) -> Decision {
        let system = envelope.subject
        var ladder = Ladder()
        if let notAfter = envelope.notAfter, facts.now > notAfter {
            ladder.require(
                false,
                Refusal(
                    .commandExpired, "The command was not to be started after \(notAfter).",
                    subject: envelope.id.text,
                    remedy: "Send it again with a later notAfter and a new id."))
        }
        guard let inventory else {
            ladder.require(
                false,
                Refusal(
                    .unknownStorage, "There is no storage system \(system).", subject: system.text,
                    remedy: "Name one of: "
                        + facts.storage.systems.sorted().map(\.text).joined(separator: ", ") + "."))
            return .refused(ladder.reasons)
        }
        let volumes = Dictionary(
            inventory.map { ($0.volume.local, $0) }, uniquingKeysWith: { first, _ in first })
        switch envelope.command {
        case .createVolumes(let asked): return create(asked, system, volumes, facts, ladder)
        case .deleteVolumes(let asked): return delete(asked, system, volumes, facts, ladder)
        case .expandVolumes(let asked): return expand(asked, system, volumes, ladder)
        case .setSafeguardedCapacity(let asked): return safeguard(asked, system, volumes, ladder)
        case .describeStorage: return ladder.decide(Plan(steps: [], result: .storage))
        case .establishRelationships(let asked):
            return establish(asked, system, volumes, facts, ladder)
        case .withdrawRelationships(let asked): return withdraw(asked, system, volumes, ladder)
        case .listRelationships:
            return ladder.decide(Plan(steps: [], result: .relationshipList))
        case .createSession, .modifySession, .deleteSession, .addCopySets, .removeCopySets,
            .describeSession, .refreshStates, .terminate, .backup, .recover,
            .initiateBackgroundCopy, .expireBackup, .terminateH1R1, .flash, .discover,
            .reverseRestore, .queryRelationships, .commit, .revert:
            preconditionFailure("\(envelope.command.name) is not for a storage system")
        }
    }

    private static func create(
        _ asked: [VolumeSpecification], _ system: SubjectName,
        _ volumes: [LocalVolumeID: VolumeReport], _ facts: Facts, _ ladder: Ladder
    ) -> Decision {
        var ladder = ladder
        for volume in asked {
            // One that a session has and the storage has not: the storage is not there. A new volume
            // would be taken for the old one, and everything that the old one holds for lost.
            let name = VolumeID(storage: system, local: volume.id)
            let users = facts.sessionsUsing[name, default: []].sorted().map(\.text)
            ladder.require(
                volumes[volume.id] != nil || users.isEmpty,
                Refusal(
                    .volumeInUse,
                    "\(name) belongs to \(users.joined(separator: ", ")), and its storage is not there.",
                    subject: name.description,
                    remedy: "Mount or restore the directory of \(system). If it is lost for good, "
                        + "RemoveCopySets \(name) with keepOnStorage first."))
            ladder.require(
                volumes[volume.id] == nil,
                Refusal(
                    .volumeExists, "Storage system \(system) has a volume \(volume.id) already.",
                    subject: "\(system):\(volume.id)",
                    remedy: "Choose another id, or ExpandVolumes it."))
        }
        return ladder.decide(
            one(.createVolumes(system, asked), .volumes(asked.map(\.id)), undo: nil))
    }

    private static func delete(
        _ asked: [LocalVolumeID], _ system: SubjectName, _ volumes: [LocalVolumeID: VolumeReport],
        _ facts: Facts, _ ladder: Ladder
    ) -> Decision {
        var ladder = ladder
        for id in asked {
            let name = VolumeID(storage: system, local: id)
            guard let volume = volumes[id] else {
                ladder.require(false, unknown(name))
                continue
            }
            let users = facts.sessionsUsing[name, default: []].sorted().map(\.text)
            ladder.require(
                users.isEmpty,
                Refusal(
                    .volumeInUse, "\(name) is in session \(users.joined(separator: ", ")).",
                    subject: name.description,
                    remedy: "RemoveCopySets \(name) from \(users.joined(separator: ", ")) first."))
            let sources = volumes.values.filter { $0.inbound?.source == name }
            ladder.require(
                volume.points.isEmpty && volume.inbound == nil && sources.isEmpty,
                Refusal(
                    .volumeInUse, "\(name) has backups or a relationship on the storage.",
                    subject: name.description,
                    remedy: "ExpireBackup or Terminate in the session that made them, or add the "
                        + "volume to a session and RefreshStates to find them."))
        }
        return ladder.decide(one(.deleteVolumes(system, asked), .volumes(asked), undo: nil))
    }

    private static func expand(
        _ asked: [VolumeExpansion], _ system: SubjectName,
        _ volumes: [LocalVolumeID: VolumeReport], _ ladder: Ladder
    ) -> Decision {
        var ladder = ladder
        for expansion in asked {
            let name = VolumeID(storage: system, local: expansion.id)
            guard let volume = volumes[expansion.id] else {
                ladder.require(false, unknown(name))
                continue
            }
            ladder.require(
                expansion.capacity >= volume.capacity,
                Refusal(
                    .volumeWouldShrink,
                    "\(name) has \(volume.capacity) and would shrink to \(expansion.capacity).",
                    subject: name.description,
                    remedy: "Give a capacity of \(volume.capacity) or more."))
        }
        return ladder.decide(
            one(.expandVolumes(system, asked), .volumes(asked.map(\.id)), undo: nil))
    }

    private static func safeguard(
        _ asked: [SafeguardedMultiplier], _ system: SubjectName,
        _ volumes: [LocalVolumeID: VolumeReport], _ ladder: Ladder
    ) -> Decision {
        var ladder = ladder
        for total in asked {
            let name = VolumeID(storage: system, local: total.id)
            guard let volume = volumes[total.id] else {
                ladder.require(false, unknown(name))
                continue
            }
            let (bytes, overflow) = volume.capacity.bytes.multipliedReportingOverflow(
                by: UInt64(total.multiplier))
            ladder.require(
                overflow || bytes >= volume.safeguardedUsed.bytes,
                Refusal(
                    .notEnoughSpace,
                    "\(name) holds \(volume.safeguardedUsed) of backups, more than "
                        + "\(total.multiplier) times its size.",
                    subject: name.description,
                    remedy: "ExpireBackup first, or give a larger multiplier."))
        }
        return ladder.decide(
            one(.setSafeguardedCapacity(system, asked), .volumes(asked.map(\.id)), undo: nil))
    }

    static func unknown(_ name: VolumeID) -> Refusal {
        Refusal(
            .unknownVolume, "Storage system \(name.storage) has no volume \(name.local).",
            subject: name.description, remedy: "DescribeStorage \(name.storage) lists them.")
    }

    static func one(_ effect: Effect, _ result: PlannedResult, undo: Effect?) -> Plan {
        Plan(steps: [Step(effect: effect, change: .nothing, undo: undo)], result: result)
    }
}
