import CopyModel

// What a dry run says: one sentence a step.

extension Plan {
    /// What would be done, one sentence each; empty where nothing would change.
    public var sentences: [String] {
        steps.compactMap { $0.effect?.sentence ?? $0.change.sentence }
    }
}

extension Change {
    /// What would become of the session; nil where the effect says it, or there is nothing to say.
    fileprivate var sentence: String? {
        switch self {
        case .created(_, let options):
            "A session of type \(options.services.type.rawValue) would be created."
        case .modified: "The session's description and options would be changed."
        case .deleted: "The session would be deleted."
        case .copySetsAdded(let sets): "\(sets.count) copy sets would be added."
        case .copySetsRemoved(let sets): "\(sets.count) copy sets would be removed."
        case .observed, .flash(.observed), .flash(.discovered):
            "The session would be brought to what the storage has."
        case .flash(.endsWhenCopied): "The session would end once every track is copied."
        case .backupTaken, .backupVerified, .backupsExpired, .recovered, .backgroundCopyStarted,
            .recoveryWithdrawn, .terminated, .nothing, .terminating, .progressed, .copyFailed,
            .rolledOff, .damaged, .flash(.flashed), .flash(.reversed), .flash(.progressed),
            .flash(.committed), .flash(.reverted), .flash(.withdrawn):
            nil
        }
    }
}

extension Effect {
    fileprivate var sentence: String {
        switch self {
        case .takePoints(let tag, let sources):
            "Backup \(tag.backup) of \(sources.count) volumes would be taken at one instant."
        case .verifyPoints(let tag, _): "Backup \(tag.backup) would be read back."
        case .dropPoints(let tags, let sources):
            "\(tags.count) backups would be given up on \(sources.count) volumes."
        case .establish(let terms, let tag, let copy):
            "\(terms.count) targets would present backup \(tag.backup)"
                + (copy ? " and be copied in the background." : ".")
        case .startBackgroundCopy(let targets): "\(targets.count) targets would be copied."
        case .withdraw(let terms, _), .withdrawRelationships(let terms, _):
            "\(terms.count) relationships would be withdrawn."
        case .changeRelationships(let instant):
            "\(instant.changes.count) relationships would be changed at one instant: "
                + instant.kinds + "."
        case .commitRelationships(let terms, _): "\(terms.count) refreshes would be committed."
        case .revertRelationships(let terms, _): "\(terms.count) refreshes would be taken back."
        case .createVolumes(let system, let volumes):
            "\(volumes.count) volumes would be created on \(system)."
        case .deleteVolumes(let system, let volumes):
            "\(volumes.count) volumes would be deleted from \(system)."
        case .expandVolumes(let system, let volumes):
            "\(volumes.count) volumes would be enlarged on \(system)."
        case .setSafeguardedCapacity(let system, let volumes):
            "\(volumes.count) volumes would be given safeguarded capacity on \(system)."
        }
    }
}

extension RelationshipInstant {
    /// What it does, counted by kind.
    fileprivate var kinds: String {
        var counts = (established: 0, refreshed: 0, reversed: 0)
        for change in changes {
            switch change {
            case .establish: counts.established += 1
            case .refresh: counts.refreshed += 1
            case .reverse: counts.reversed += 1
            }
        }
        return [
            (counts.established, "established"), (counts.refreshed, "refreshed"),
            (counts.reversed, "reversed"),
        ].filter { $0.0 > 0 }.map { "\($0.0) \($0.1)" }.joined(separator: ", ")
    }
}
