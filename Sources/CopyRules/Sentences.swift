import CopyModel

// What a dry run says: one sentence an effect.

extension Plan {
    /// What would be done, one sentence each; empty where only the session's record would change.
    public var sentences: [String] { steps.compactMap { $0.effect?.sentence } }
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
        case .withdraw(let targets): "\(targets.count) relationships would be withdrawn."
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
