import CommandSchema
import CopyModel

/// An outcome, as people read it: how it ended, then what came of it or every reason against it.
public enum OutcomeText {
    /// The lines of an outcome.
    public static func lines(_ outcome: JSONNode, _ painter: Painter) -> [String] {
        var lines = [headline(outcome, painter)]
        for refusal in outcome["refusals"]?.items ?? [] { lines += reason(refusal, painter) }
        if let error = outcome["error"], !error.isNull { lines += reason(error, painter) }
        lines += result(outcome["result"], painter)
        return lines
    }

    /// `Backup payroll: completed in 16 ms`.
    static func headline(_ outcome: JSONNode, _ painter: Painter) -> String {
        let subject = outcome["session"]?.text ?? outcome["storage"]?.text
        let asked = [outcome["command"]?.text ?? "Command", subject].compactMap { $0 }
            .joined(separator: " ")
        var text = painter.paint(SafeText.escaped(asked), .strong) + ": "
        switch OutcomeKind(rawValue: outcome["outcome"]?.text ?? "") {
        case .completed: text += painter.paint("completed", .good)
        case .refused:
            let reasons = outcome["refusals"]?.items.count ?? 0
            text += painter.paint("refused", .attention)
            text += reasons > 1 ? " for \(reasons) reasons" : ""
        case .failed: text += painter.paint("failed", .bad)
        case nil: text += SafeText.escaped(outcome["outcome"].shown)
        }
        if outcome["duplicate"]?.bool == true {
            text += " (a repeat: this is the outcome of the first time)"
        } else if let time = elapsed(outcome) {
            text += " in \(Amounts.duration(milliseconds: time))"
        }
        return text
    }

    private static func elapsed(_ outcome: JSONNode) -> Int64? {
        guard let start = outcome["receivedAt"]?.text.flatMap({ Timestamp(rfc3339: $0) }),
            let end = outcome["finishedAt"]?.text.flatMap({ Timestamp(rfc3339: $0) })
        else { return nil }
        return end.milliseconds - start.milliseconds
    }

    private static func reason(_ reason: JSONNode, _ painter: Painter) -> [String] {
        var head = "  " + painter.paint(SafeText.escaped(reason["code"].shown), .bad)
        if let subject = reason["subject"]?.text, !subject.isEmpty {
            head += "  " + SafeText.escaped(subject)
        }
        var lines = [head, "    " + SafeText.escaped(reason["message"].shown)]
        if let remedy = reason["remedy"]?.text, !remedy.isEmpty {
            lines.append("    " + painter.paint("Remedy:", .faint) + " " + SafeText.escaped(remedy))
        }
        return lines
    }

    private static func result(_ result: JSONNode?, _ painter: Painter) -> [String] {
        guard let result, !result.members.isEmpty else { return [] }
        if result["session"] != nil, result["type"] != nil {
            return [""] + SessionText.lines(result, painter, withEmptyLists: false)
        }
        if result["storage"] != nil, result["volumes"] != nil {
            return [""] + StorageText.lines(result, painter)
        }
        if RelationshipText.reads(result) {
            return [""] + RelationshipText.lines(result, painter)
        }
        var facts = FactList()
        var lists: [String] = []
        for member in result.members {
            if member.value.isTable {
                let table = SessionText.copySets(member.value)
                let title = painter.paint(SafeText.escaped(Words.apart(member.key)), .faint)
                lists += ["  \(title)"] + table.lines(painter, indent: 4)
            } else if member.value.isSentences {
                let title = painter.paint(SafeText.escaped(Words.apart(member.key)), .faint)
                lists += ["  \(title)"]
                lists += member.value.items.map { "    " + SafeText.escaped($0.shown) }
            } else {
                facts.add(Words.apart(member.key), member.value.shown)
            }
        }
        return facts.lines(painter) + lists
    }
}

extension JSONNode {
    /// A list of objects: shown as a table.
    fileprivate var isTable: Bool {
        !items.isEmpty && items.allSatisfy { if case .object = $0 { true } else { false } }
    }

    /// A list of sentences: shown one a line.
    fileprivate var isSentences: Bool { items.contains { $0.text?.contains(" ") ?? false } }
}

/// Names of members as words.
enum Words {
    /// `backgroundCopy` as `Background copy`; `backupId` as `Backup id`.
    static func apart(_ name: String) -> String {
        var words = ""
        for character in name {
            if words.isEmpty {
                words += character.uppercased()
            } else if character.isUppercase, words.last?.isLowercase ?? false {
                words += " " + character.lowercased()
            } else {
                words.append(character)
            }
        }
        return words
    }
}
