import CommandSchema
import CopyModel

/// What a consumer reads off one event before it shows it.
public struct EventLine: Sendable, Hashable {
    /// When the change was committed, as the event says it.
    public let time: String
    /// The session or storage system.
    public let subject: String
    /// The place in the subject's sequence.
    public let sequence: UInt64
    /// The type without the leading `stillpoint.`.
    public let type: String
    /// The essentials in words; control characters spelled out.
    public let words: String
    /// What the event means for whoever watches.
    public let tone: Tone

    /// Reads an event; nil where it lacks what every event has.
    public init?(_ event: JSONNode) {
        guard let type = event["type"]?.text, let subject = event["subject"]?.text,
            let text = event["sequence"]?.text, let sequence = UInt64(text)
        else { return nil }
        self.type = type.hasPrefix("stillpoint.") ? String(type.dropFirst(11)) : type
        self.subject = subject
        self.sequence = sequence
        time = event["time"].shown
        let data = event["data"] ?? .null
        let (words, tone) = EventWords.of(self.type, data)
        self.words = SafeText.escaped(words)
        self.tone = tone
    }
}

extension SequenceLedger {
    /// Enters an event that was read.
    mutating func enter(_ line: EventLine) -> Verdict {
        enter(subject: line.subject, sequence: line.sequence, time: Timestamp(rfc3339: line.time))
    }
}

/// The essentials of each type of event.
enum EventWords {
    static func of(_ type: String, _ data: JSONNode) -> (String, Tone) {
        switch type {
        case "command.completed", "command.refused", "command.failed": command(data)
        case "session.created", "session.changed": (session(data), tone(ofSession: data))
        case "session.deleted": ("session deleted", .attention)
        case "pair.changed": pair(data)
        case "backup.created": (backup(data, "taken"), .plain)
        case "backup.recoverable": (backup(data, "recoverable"), .good)
        case "backup.unrecoverable": (backup(data, "no longer recoverable"), .bad)
        case "backup.expired": (backup(data, "expired"), .plain)
        case "copy.progress":
            (progress(data), data["percent"]?.integer == 100 ? .good : .plain)
        case "storage.capacity": capacity(data)
        default: (String(decoding: data.compact(), as: UTF8.self), .plain)
        }
    }

    private static func command(_ data: JSONNode) -> (String, Tone) {
        var words = "\(data["command"]?.text ?? "command") \(data["outcome"].shown)"
        switch OutcomeKind(rawValue: data["outcome"]?.text ?? "") {
        case .completed:
            let result = brief(data["result"])
            if data["duplicate"]?.bool == true { words += " before, answered again" }
            return (words + (result.isEmpty ? "" : ", \(result)") + id(data), .good)
        case .refused:
            let refusals = data["refusals"]?.items ?? []
            if let first = refusals.first { words += ": \(reason(first))" }
            if refusals.count > 1 {
                words += " (and \(Amounts.count(Int64(refusals.count - 1), "more reason")))"
            }
            return (words + id(data), .attention)
        case .failed:
            if let error = data["error"], !error.isNull { words += ": \(reason(error))" }
            return (words + id(data), .bad)
        case nil: return (words + id(data), .plain)
        }
    }

    private static func id(_ data: JSONNode) -> String { data["id"]?.text.map { " [\($0)]" } ?? "" }

    private static func reason(_ reason: JSONNode) -> String {
        "\(reason["code"].shown): \(reason["message"].shown)"
    }

    /// The short members of a result: a whole document is for `show`.
    private static func brief(_ result: JSONNode?) -> String {
        guard let result, result["type"] == nil, result["storage"] == nil else { return "" }
        return result.members.compactMap { member in
            switch member.value {
            case .array(let items): counted(items.count, member.key)
            case .integer(let number) where member.key == "copySets":
                Amounts.count(number, "copy set")
            case .integer(let number) where member.key == "pairs": Amounts.count(number, "pair")
            case .bool(let value):
                value ? Words.apart(member.key).lowercased() : nil
            case .string(let text) where member.key == "backupId": "backup \(text)"
            case .string(let text) where member.key == "flashTime": "at \(text)"
            case .null, .integer, .number, .string, .object: "\(member.key) \(member.value.shown)"
            }
        }.joined(separator: ", ")
    }

    /// The length of a list in words.
    private static func counted(_ number: Int, _ key: String) -> String {
        let count = Int64(number)
        switch key {
        case "expired": return Amounts.count(count, "backup") + " expired"
        case "wouldDo": return "decided only, \(Amounts.count(count, "step"))"
        default:
            let words = Words.apart(key).lowercased()
            return Amounts.count(count, words.hasSuffix("s") ? String(words.dropLast()) : words)
        }
    }

    private static func session(_ data: JSONNode) -> String {
        var words = "\(data["state"].shown), \(data["status"].shown)"
        words += data["recoverable"]?.bool == true ? ", recoverable" : ", not recoverable"
        if data["copying"]?.bool == true { words += ", copying" }
        if data["error"]?.bool == true { words += ", error" }
        if let count = data["copySets"]?.integer {
            words += ", \(Amounts.count(count, "copy set"))"
        }
        if let newest = data["newestRecoverableBackup"]?.text {
            words += ", newest backup \(newest)"
        }
        if let time = data["flashTime"]?.text { words += ", flashed at \(time)" }
        return words
    }

    private static func tone(ofSession data: JSONNode) -> Tone {
        data["error"]?.bool == true ? .bad : Tones.status(data["status"]).tone
    }

    private static func pair(_ data: JSONNode) -> (String, Tone) {
        var words = "\(data["rolePair"].shown) \(data["source"].shown) to \(data["target"].shown)"
        words += " \(data["state"].shown)"
        if data["copying"]?.bool == true { words += ", copying" }
        if let percent = data["progress"]?.integer { words += ", \(percent) %" }
        if data["incremental"]?.bool == true { words += ", incremental" }
        if data["reversed"]?.bool == true { words += ", reversed" }
        if let remaining = data["tracksRemaining"]?.integer, remaining > 0 {
            words += ", \(Amounts.count(remaining, "track")) left"
        }
        if let since = data["flashTime"]?.text { words += ", since \(since)" }
        if let last = data["lastResult"]?.text { words += ": \(last)" }
        let isLost =
            data["state"]?.text == PairState.lost.rawValue || data["lastResult"]?.text != nil
        return (words, isLost ? .bad : .plain)
    }

    private static func backup(_ data: JSONNode, _ what: String) -> String {
        var words = "backup \(data["backupId"].shown) \(what)"
        if let all = data["copySets"]?.integer {
            let usable = data["recoverableCopySets"]?.integer ?? all
            let counted = Amounts.count(all, "copy set")
            words += usable > 0 && usable < all ? ", \(usable) of \(counted)" : ", \(counted)"
        }
        if let reason = data["reason"]?.text { words += ": \(reason)" }
        return words
    }

    private static func progress(_ data: JSONNode) -> String {
        guard let progress = CopyReading(data) else { return data.shown }
        return "\(progress.rolePair) \(progress.percent) %, "
            + progress.details.joined(separator: ", ")
    }

    private static func capacity(_ data: JSONNode) -> (String, Tone) {
        let level = CapacityLevel(rawValue: data["level"]?.text ?? "")
        let words =
            "volume \(data["volume"].shown): safeguarded capacity \(data["usedPercent"].percent) used"
            + ", level \(data["level"].shown)"
        switch level {
        case .warning: return (words, .attention)
        case .critical: return (words, .bad)
        case .normal, nil: return (words, .plain)
        }
    }
}
