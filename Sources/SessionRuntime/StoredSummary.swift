import CommandSchema
import CopyModel

/// The part of a session that changes often, as it is kept. What a type does not have is left out.
struct StoredSummary: Hashable, Decodable {
    var type: SessionType
    var description: String
    var state: SessionState
    var revision: UInt64
    var unseen: [VolumeID]?
    private var options: StoredOptions
    private var lastBackupID: BackupID?
    private var flash: StoredFlash?

    /// What is kept of a session.
    init(_ session: Session) {
        description = session.description
        state = session.state
        revision = session.revision
        unseen = session.unseen.isEmpty ? nil : session.unseen
        type = session.type
        switch session.services {
        case .safeguarded(let services):
            options = StoredOptions(safeguarded: services.options)
            lastBackupID = services.lastBackupID
        case .flash(let services):
            options = StoredOptions(flash: services.options)
            flash = StoredFlash(services)
        }
    }

    private enum CodingKeys: String, CodingKey {
        case type, description, state, revision, unseen, options, lastBackupID, flash
    }

    /// Reads one back, of this version or an earlier one.
    init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        type = try values.decode(SessionType.self, forKey: .type)
        description = try values.decode(String.self, forKey: .description)
        state = try values.decode(SessionState.self, forKey: .state)
        revision = try values.decode(UInt64.self, forKey: .revision)
        unseen = try values.decodeIfPresent([VolumeID].self, forKey: .unseen)
        lastBackupID = try values.decodeIfPresent(BackupID.self, forKey: .lastBackupID)
        flash = try values.decodeIfPresent(StoredFlash.self, forKey: .flash)
        switch type {
        case .safeguardedCopy:
            options = StoredOptions(
                safeguarded: try values.decode(SafeguardedOptions.self, forKey: .options))
        case .flashCopy:
            options = StoredOptions(
                flash: try values.decode(FlashOptions.self, forKey: .options))
        }
    }

    /// The services, without what is kept in parts of its own.
    var services: CopyServices {
        var services = options.value.services
        switch services {
        case .safeguarded(var kept):
            kept.lastBackupID = lastBackupID
            services = .safeguarded(kept)
        case .flash(var kept):
            flash?.restore(&kept)
            services = .flash(kept)
        }
        return services
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
        options.write(to: &writer)
        writer.closeObject()
        if let lastBackupID { writer.member("lastBackupID", lastBackupID.description) }
        if let flash { flash.write(to: &writer) }
        if let unseen {
            writer.key("unseen")
            writer.strings(unseen.map(\.description))
        }
        writer.closeObject()
        return writer.bytes
    }
}

/// The options, as they are kept: by the names that people know them by.
private struct StoredOptions: Hashable {
    let value: SessionOptions

    init(safeguarded options: SafeguardedOptions) { value = .safeguarded(options) }
    init(flash options: FlashOptions) { value = .flash(options) }

    func write(to writer: inout JSONWriter) {
        switch value {
        case .safeguarded(let options):
            writer.member(
                "minimumMinutesBetweenBackups", options.minimumMinutesBetweenBackups)
            writer.member("retentionMinutes", options.retentionMinutes)
            writer.member("expireBackupOnAutoRoll", options.expireBackupOnAutoRoll)
        case .flash(let options):
            writer.member("incremental", options.incremental)
            writer.member("persistent", options.persistent)
            writer.member("noCopy", options.noCopy)
            writer.member("inhibitTargetWrites", options.inhibitTargetWrites)
            writer.member("revertible", options.revertible)
            writer.member("copyRateMiBps", options.copyRateMiBps)
            writer.member("incrementalScope", options.incrementalScope.rawValue)
        }
    }
}

/// What a FlashCopy session has besides its pairs, as it is kept.
private struct StoredFlash: Hashable, Decodable {
    var flashTime: Int64?
    var instant: UInt64?
    var lastNumber: UInt64
    var isDiscovered: Bool
    var endsWhenCopied: Bool

    init(_ services: FlashServices) {
        flashTime = services.flashTime?.milliseconds
        instant = services.instant
        lastNumber = services.lastNumber
        isDiscovered = services.isDiscovered
        endsWhenCopied = services.endsWhenCopied
    }

    func restore(_ services: inout FlashServices) {
        services.flashTime = flashTime.map { Timestamp(milliseconds: $0) }
        services.instant = instant
        services.lastNumber = lastNumber
        services.isDiscovered = isDiscovered
        services.endsWhenCopied = endsWhenCopied
    }

    func write(to writer: inout JSONWriter) {
        writer.key("flash")
        writer.openObject()
        if let flashTime { writer.member("flashTime", flashTime) }
        if let instant { writer.member("instant", instant) }
        writer.member("lastNumber", lastNumber)
        writer.member("isDiscovered", isDiscovered)
        writer.member("endsWhenCopied", endsWhenCopied)
        writer.closeObject()
    }
}
