import CopyModel

/// Writes events as section 5 of the contract has them: CloudEvents 1.0, structured JSON.
public enum EventWriter {
    /// The AMQP `content_type` of every event.
    public static let contentType = "application/cloudevents+json"

    /// The event's JSON, told by the worker of that instance name.
    ///
    /// `outcomeBytes` are the data of a `stillpoint.command.*` event where they have been encoded
    /// already; they are put in as they are. `availableCommands` is for an outcome without them
    /// that describes a session.
    public static func bytes(
        _ event: Event, instance: String, outcomeBytes: [UInt8]? = nil,
        availableCommands: [CommandName] = []
    ) -> [UInt8] {
        var writer = JSONWriter(capacity: 512 + (outcomeBytes?.count ?? 256))
        writer.openObject()
        writer.attributes(event, instance)
        if let commandID = event.commandID { writer.member("commandid", commandID.text) }
        if let traceparent = event.traceparent { writer.member("traceparent", traceparent) }
        writer.key("data")
        writer.data(of: event.body, outcomeBytes, availableCommands)
        writer.closeObject()
        return writer.bytes
    }

    fileprivate static func shortType(_ type: String) -> String {
        String(decoding: type.utf8.dropFirst("stillpoint.".utf8.count), as: UTF8.self)
    }

    /// The routing key on the events exchange, as `payroll.backup.recoverable`.
    public static func routingKey(_ event: Event) -> String {
        event.subject.text + "." + shortType(event.body.type)
    }

    /// The event's id, also its AMQP `message_id`, as `payroll/00000000000000000042`: the number
    /// has 20 digits, so that texts sort as the numbers do.
    public static func id(_ event: Event) -> String {
        var writer = JSONWriter(capacity: event.subject.text.utf8.count + 21)
        writer.append(event.subject.text)
        writer.append("/")
        writer.append(event.sequence, width: 20)
        return String(decoding: writer.bytes, as: UTF8.self)
    }
}

extension JSONWriter {
    /// Writes the attributes that every event has.
    fileprivate mutating func attributes(_ event: Event, _ instance: String) {
        let type = event.body.type
        member("specversion", "1.0")
        key("id")
        pieces { writer in
            writer.append(event.subject.text)
            writer.append("/")
            writer.append(event.sequence, width: 20)
        }
        key("source")
        pieces { writer in
            writer.append("/stillpoint/")
            writer.append(instance.percentEncoded)
        }
        member("type", type)
        member("subject", event.subject.text)
        member("time", event.time)
        key("sequence")
        pieces { $0.append(event.sequence, width: 20) }
        member("datacontenttype", "application/json")
        key("dataschema")
        pieces { writer in
            writer.append(SchemaPlace.eventBase)
            writer.append(EventWriter.shortType(type))
            writer.append(".json")
        }
    }

    /// Writes a string in pieces.
    fileprivate mutating func pieces(_ write: (inout JSONWriter) -> Void) {
        beginString()
        write(&self)
        endString()
    }

    fileprivate mutating func data(
        of body: EventBody, _ outcomeBytes: [UInt8]?, _ availableCommands: [CommandName]
    ) {
        switch body {
        case .command(let outcome):
            if let outcomeBytes {
                json(outcomeBytes)
            } else {
                self.outcome(outcome, availableCommands)
            }
        case .sessionCreated(let summary), .sessionChanged(let summary),
            .sessionDeleted(let summary):
            self.summary(summary)
        case .pairChanged(let view): pair(view)
        case .backupCreated(let view), .backupRecoverable(let view), .backupUnrecoverable(let view),
            .backupExpired(let view):
            backup(view)
        case .copyProgress(let progress): self.progress(progress)
        case .storageCapacity(let volume, let usedPercent, let level):
            openObject()
            member("volume", volume.description)
            member("usedPercent", usedPercent)
            member("level", level.rawValue)
            closeObject()
        }
    }

    private mutating func summary(_ summary: SessionSummary) {
        openObject()
        member("session", summary.session.text)
        member("type", summary.type.rawValue)
        member("state", summary.state.rawValue)
        member("status", summary.status.rawValue)
        member("recoverable", summary.recoverable)
        member("copying", summary.copying)
        member("error", summary.error)
        member("copySets", summary.copySets)
        member("newestRecoverableBackup", orNull: summary.newestRecoverableBackup?.description)
        if summary.type == .flashCopy {
            member("flashTime", orNull: summary.flashTime?.shortDescription)
        }
        member("revision", summary.revision)
        closeObject()
    }

    private mutating func pair(_ view: PairView) {
        openObject()
        pairHead(view)
        member("progress", view.pair.percent)
        member("lastResult", orNull: view.pair.lastResult)
        if let flash = view.flash {
            member("tracksRemaining", view.pair.tracksRemaining)
            self.flash(flash)
        }
        closeObject()
    }

    private mutating func backup(_ view: BackupView) {
        openObject()
        member("backupId", view.id.description)
        member("time", view.time.shortDescription)
        member("copySets", view.copySets)
        member("recoverableCopySets", view.recoverableCopySets)
        member("reason", orNull: view.reason)
        closeObject()
    }

    private mutating func progress(_ progress: CopyProgress) {
        openObject()
        member("rolePair", progress.rolePair.rawValue)
        member("percent", progress.percent)
        member("tracksRemaining", progress.tracksRemaining)
        member("bytesPerSecond", progress.bytesPerSecond)
        member("estimatedCompletion", orNull: progress.estimatedCompletion?.shortDescription)
        closeObject()
    }
}

extension String {
    /// The text as one segment of a URI's path (RFC 3986): everything but unreserved characters
    /// encoded.
    fileprivate var percentEncoded: String {
        guard !utf8.allSatisfy(\.isUnreserved) else { return self }
        var text = ""
        for byte in utf8 {
            if byte.isUnreserved {
                text.unicodeScalars.append(Unicode.Scalar(byte))
            } else {
                text += (byte < 0x10 ? "%0" : "%") + String(byte, radix: 16, uppercase: true)
            }
        }
        return text
    }
}

extension UInt8 {
    fileprivate var isUnreserved: Bool {
        switch self {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "-"), UInt8(ascii: "."),
            UInt8(ascii: "_"), UInt8(ascii: "~"):
            true
        default: false
        }
    }
}
