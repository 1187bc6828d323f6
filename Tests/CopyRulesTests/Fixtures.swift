import CopyModel
import CopyRules
import Testing

/// Short names for the tests' own world: two volumes pairs on one box, and a fixed time.
enum World {
    static let start = Timestamp(rfc3339: "2026-11-21T02:00:00Z")!
    static let payroll = SubjectName("payroll")!
    static let box = SubjectName("box1")!

    static func volume(_ local: String) -> VolumeID {
        VolumeID(storage: box, local: LocalVolumeID(local)!)
    }

    static func set(_ h1: String, _ r1: String?) -> CopySet {
        CopySet(h1: volume(h1), r1: r1.map(volume))
    }

    static func report(
        _ local: String, capacity: UInt64 = 1 << 20, multiplier: Int = 4, points: [PointTag] = [],
        inbound: RelationshipReport? = nil
    ) -> VolumeReport {
        VolumeReport(
            volume: volume(local), capacity: Capacity(bytes: capacity),
            safeguardedMultiplier: multiplier, allocated: Capacity(bytes: 0),
            safeguardedUsed: Capacity(bytes: 0),
            points: points.map {
                PointReport(tag: $0, time: $0.backup.time, capacity: Capacity(bytes: capacity))
            }, inbound: inbound)
    }

    static func storage(_ volumes: [VolumeReport]) -> StorageReport {
        StorageReport(
            systems: [box],
            volumes: Dictionary(uniqueKeysWithValues: volumes.map { ($0.volume, $0) }))
    }

    static func session(sets: [CopySet] = [], backups: [UInt64] = []) -> Session {
        var session = Session(
            name: payroll, description: "",
            services: .safeguarded(SafeguardedServices(options: SafeguardedOptions())))
        session.copySets = sets
        for seconds in backups { session = session.taking(BackupID(seconds: seconds)) }
        return session
    }

    static func envelope(_ command: Command, notAfter: Timestamp? = nil) -> CommandEnvelope {
        CommandEnvelope(
            id: CommandID("test")!, subject: payroll, command: command, notAfter: notAfter,
            dryRun: false, canonical: [])
    }

    static func decide(
        _ command: Command, _ session: Session?, _ storage: StorageReport = storage([]),
        now: Timestamp = start, notAfter: Timestamp? = nil, live: Set<SubjectName> = [payroll]
    ) -> Decision {
        CopyRules.decide(
            envelope(command, notAfter: notAfter), session: session,
            facts: Facts(now: now, storage: storage, liveSessions: live))
    }

    static func tag(_ seconds: UInt64) -> PointTag {
        PointTag(session: payroll, backup: BackupID(seconds: seconds))
    }
}

extension Session {
    /// The session after a backup was taken and read back.
    func taking(_ id: BackupID, verified: Bool = true) -> Session {
        let tag = PointTag(session: name, backup: id)
        let taken = applying(
            .backupTaken(id, tag, at: id.time, sources: copySets.map(\.h1)))
        return verified ? taken.applying(.backupVerified(id)) : taken
    }

    func applying(_ change: Change) -> Session {
        CopyRules.apply(change, to: self, named: name)!
    }

    func recovering(_ id: BackupID, copy: Bool = false, tracks: UInt64 = 16) -> Session {
        let pairs = copySets.map {
            Pair(
                source: $0.h1, target: $0.r1!, state: .targetAvailable, tracksRemaining: tracks,
                tracks: tracks)
        }
        return applying(.recovered(Recovery(backup: id, backgroundCopy: copy, pairs: pairs)))
    }
}

extension Decision {
    var codes: [RefusalCode] {
        switch self {
        case .refused(let reasons): reasons.map(\.code)
        case .plan: []
        }
    }

    var plan: Plan? {
        switch self {
        case .refused: nil
        case .plan(let plan): plan
        }
    }
}
