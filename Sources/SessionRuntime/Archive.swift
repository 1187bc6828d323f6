import CommandSchema
import CopyModel
import CopyRules
import FoundationEssentials
import SessionStore

/// How a session is kept: parts, so that a commit writes only what changed.
///
/// `summary` is small and changes often; `copySets` and each `backup/<id>` can be large and hardly ever
/// change; `recovery` changes with progress.
enum Archive {
    fileprivate struct Summary: Hashable, Decodable {
        var type: SessionType
        var description: String
        var state: SessionState
        var revision: UInt64
        var options: SafeguardedOptions
        var lastBackupID: BackupID?
        var unseen: [VolumeID]?
    }

    private static let summaryKey = "summary"
    private static let copySetsKey = "copySets"
    private static let recoveryKey = "recovery"
    private static func key(_ backup: BackupID) -> String { "backup/\(backup)" }

    /// The changes of parts that turn the stored `old` into `new`.
    static func difference(from old: Session?, to new: Session?, in unit: inout UnitOfWork) throws {
        guard let new else {
            unit.deleteParts = old.map(keys) ?? []
            return
        }
        let summary = Summary(new)
        if old.map(Summary.init) != summary {
            unit.putParts.append(SessionPart(key: summaryKey, bytes: summary.bytes))
        }
        if old?.copySets != new.copySets {
            unit.putParts.append(SessionPart(key: copySetsKey, bytes: try encode(new.copySets)))
        }
        try recoveryDifference(from: old?.recovery, to: new.recovery, in: &unit)
        let known = Dictionary(
            (old?.backups ?? []).map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        for backup in new.backups where known[backup.id] != backup {
            unit.putParts.append(SessionPart(key: key(backup.id), bytes: try encode(backup)))
        }
        let kept = Set(new.backups.map(\.id))
        unit.deleteParts += known.keys.filter { !kept.contains($0) }.sorted().map(key)
    }

    private static func recoveryDifference(
        from old: Recovery?, to new: Recovery?, in unit: inout UnitOfWork
    ) throws {
        if let new {
            guard new != old else { return }
            unit.putParts.append(SessionPart(key: recoveryKey, bytes: try encode(new)))
        } else if old != nil {
            unit.deleteParts.append(recoveryKey)
        }
    }

    private static func keys(of session: Session) -> [String] {
        [summaryKey, copySetsKey] + (session.recovery == nil ? [] : [recoveryKey])
            + session.backups.map { key($0.id) }
    }

    /// Reads a session back; nil where nothing is stored.
    static func session(_ name: SubjectName, from parts: [SessionPart]) throws -> Session? {
        guard let stored = parts.first(where: { $0.key == summaryKey }) else { return nil }
        let summary = try decode(Summary.self, stored.bytes)
        var session = Session(
            name: name, type: summary.type, description: summary.description,
            options: summary.options)
        session.state = summary.state
        session.revision = summary.revision
        session.lastBackupID = summary.lastBackupID
        session.unseen = summary.unseen ?? []
        for part in parts {
            switch part.key {
            case summaryKey: break
            case copySetsKey: session.copySets = try decode([CopySet].self, part.bytes)
            case recoveryKey: session.recovery = try decode(Recovery.self, part.bytes)
            default: session.backups.append(try decode(Backup.self, part.bytes))
            }
        }
        session.backups.sort { $0.id < $1.id }
        return session
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

extension Archive.Summary {
    fileprivate init(_ session: Session) {
        type = session.type
        description = session.description
        state = session.state
        revision = session.revision
        options = session.options
        lastBackupID = session.lastBackupID
        unseen = session.unseen.isEmpty ? nil : session.unseen
    }

    /// As `Decodable` reads it. Written by hand, since it is written with every command.
    fileprivate var bytes: [UInt8] {
        var writer = JSONWriter(capacity: 256 + description.utf8.count)
        writer.openObject()
        writer.member("type", type.rawValue)
        writer.member("description", description)
        writer.member("state", state.rawValue)
        writer.member("revision", revision)
        writer.key("options")
        writer.openObject()
        writer.member(
            "minimumMinutesBetweenBackups", options.minimumMinutesBetweenBackups)
        writer.member("retentionMinutes", options.retentionMinutes)
        writer.member("expireBackupOnAutoRoll", options.expireBackupOnAutoRoll)
        writer.closeObject()
        if let lastBackupID { writer.member("lastBackupID", lastBackupID.description) }
        if let unseen {
            writer.key("unseen")
            writer.strings(unseen.map(\.description))
        }
        writer.closeObject()
        return writer.bytes
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
