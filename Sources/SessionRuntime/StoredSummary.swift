import CommandSchema
import CopyModel

/// The part of a session that changes often, as it is kept.
struct StoredSummary: Hashable, Decodable {
    var type: SessionType
    var description: String
    var state: SessionState
    var revision: UInt64
    var options: SafeguardedOptions
    var lastBackupID: BackupID?
    var unseen: [VolumeID]?

    /// What is kept of a session.
    init(_ session: Session) {
        description = session.description
        state = session.state
        revision = session.revision
        unseen = session.unseen.isEmpty ? nil : session.unseen
        type = session.type
        switch session.services {
        case .safeguarded(let services):
            options = services.options
            lastBackupID = services.lastBackupID
        }
    }

    /// The services, without what is kept in parts of its own.
    var services: CopyServices {
        switch type {
        case .safeguardedCopy:
            var services = SafeguardedServices(options: options)
            services.lastBackupID = lastBackupID
            return .safeguarded(services)
        }
    }

    /// As `Decodable` reads it. Written by hand, since it is written with every command.
    var bytes: [UInt8] {
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
