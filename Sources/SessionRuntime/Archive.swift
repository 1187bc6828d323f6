import CommandSchema
import CopyModel
import CopyRules
import FoundationEssentials
import SessionStore

/// How a session is kept: parts, so that a commit writes only what changed.
///
/// `summary` is small and changes often; `copySets` and each `backup/<id>` can be large and hardly ever
/// change; `recovery` changes with progress. The pairs of a FlashCopy session change with progress too, and
/// can be many: they are kept by logical subsystem of H1, `pairs/box1:01`.
enum Archive {
    private static let summaryKey = "summary"
    private static let copySetsKey = "copySets"
    private static let recoveryKey = "recovery"
    private static let pairsKey = "pairs/"
    private static func key(_ backup: BackupID) -> String { "backup/\(backup)" }
    private static func key(_ pair: FlashPair) -> String {
        "\(pairsKey)\(pair.h1.storage):\(pair.h1.local.text.prefix(2))"
    }

    /// The changes of parts that turn the stored `old` into `new`.
    static func difference(from old: Session?, to new: Session?, in unit: inout UnitOfWork) throws {
        guard let new else {
            unit.deleteParts = old.map(keys) ?? []
            return
        }
        let summary = StoredSummary(new)
        if old.map(StoredSummary.init) != summary {
            unit.putParts.append(SessionPart(key: summaryKey, bytes: summary.bytes))
        }
        if old?.copySets != new.copySets {
            unit.putParts.append(SessionPart(key: copySetsKey, bytes: try encode(new.copySets)))
        }
        switch new.services {
        case .safeguarded(let services):
            try difference(from: old?.safeguarded, to: services, in: &unit)
        case .flash(let services):
            try difference(from: old?.flash, to: services, in: &unit)
        }
    }

    private static func difference(
        from old: FlashServices?, to new: FlashServices, in unit: inout UnitOfWork
    ) throws {
        guard old?.pairs != new.pairs else { return }
        let before = Dictionary(grouping: old?.pairs ?? [], by: key)
        let after = Dictionary(grouping: new.pairs, by: key)
        for (key, pairs) in after.sorted(by: { $0.key < $1.key }) where before[key] != pairs {
            unit.putParts.append(SessionPart(key: key, bytes: try encode(pairs)))
        }
        unit.deleteParts += before.keys.filter { after[$0] == nil }.sorted()
    }

    private static func difference(
        from old: SafeguardedServices?, to new: SafeguardedServices, in unit: inout UnitOfWork
    ) throws {
        if let recovery = new.recovery {
            if recovery != old?.recovery {
                unit.putParts.append(SessionPart(key: recoveryKey, bytes: try encode(recovery)))
            }
        } else if old?.recovery != nil {
            unit.deleteParts.append(recoveryKey)
        }
        let known = Dictionary(
            (old?.backups ?? []).map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        for backup in new.backups where known[backup.id] != backup {
            unit.putParts.append(SessionPart(key: key(backup.id), bytes: try encode(backup)))
        }
        let kept = Set(new.backups.map(\.id))
        unit.deleteParts += known.keys.filter { !kept.contains($0) }.sorted().map(key)
    }

    private static func keys(of session: Session) -> [String] {
        let own: [String] =
            switch session.services {
            case .safeguarded(let services):
                (services.recovery == nil ? [] : [recoveryKey])
                    + services.backups.map { key($0.id) }
            case .flash(let services): Set(services.pairs.map(key)).sorted()
            }
        return [summaryKey, copySetsKey] + own
    }

    /// Reads a session back; nil where nothing is stored.
    static func session(_ name: SubjectName, from parts: [SessionPart]) throws -> Session? {
        guard let stored = parts.first(where: { $0.key == summaryKey }) else { return nil }
        let summary = try decode(StoredSummary.self, stored.bytes)
        var session = Session(
            name: name, description: summary.description, services: summary.services)
        session.state = summary.state
        session.revision = summary.revision
        session.unseen = summary.unseen ?? []
        for part in parts where part.key == copySetsKey {
            session.copySets = try decode([CopySet].self, part.bytes)
        }
        switch session.services {
        case .safeguarded(var services):
            try read(parts, into: &services)
            session.services = .safeguarded(services)
        case .flash(var services):
            for part in parts where part.key.hasPrefix(pairsKey) {
                services.pairs += try decode([FlashPair].self, part.bytes)
            }
            services.pairs.sort { $0.h1 < $1.h1 }
            session.services = .flash(services)
        }
        return session
    }

    private static func read(
        _ parts: [SessionPart], into services: inout SafeguardedServices
    ) throws {
        for part in parts {
            switch part.key {
            case summaryKey, copySetsKey: break
            case recoveryKey: services.recovery = try decode(Recovery.self, part.bytes)
            default: services.backups.append(try decode(Backup.self, part.bytes))
            }
        }
        services.backups.sort { $0.id < $1.id }
    }

    static func encode(_ value: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Array(try encoder.encode(value))
    }

    static func decode<Value: Decodable>(_ type: Value.Type, _ bytes: [UInt8]) throws -> Value {
        try JSONDecoder().decode(type, from: Data(bytes))
    }
}

/// A plan on its way: what is kept so that it can be rolled forward after a crash.
struct Intent: Codable {
    /// The plan.
    var plan: Plan
    /// The next step to take.
    var next: Int
    /// The command's key.
    var id: CommandID
    /// The command's name, as it was written.
    var command: String
    /// For a storage system.
    var isForStorage: Bool
    /// The request in canonical form.
    var request: [UInt8]
    /// Where the answer goes.
    var reply: ReplyContext
    /// When the command was taken from the queue.
    var receivedAt: Timestamp
    /// When it was decided.
    var startedAt: Timestamp
}
