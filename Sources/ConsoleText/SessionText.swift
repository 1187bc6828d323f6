import CommandSchema
import CopyModel

/// A session's document, as people read it: what is not in the document is left out.
public enum SessionText {
    /// The lines of the document: the summary, then a table for each list, empty ones where wanted.
    public static func lines(
        _ document: JSONNode, _ painter: Painter, withEmptyLists: Bool = true
    ) -> [String] {
        var lines = heading(document, painter)
        lines += summary(document).lines(painter)
        if let options = document["options"] {
            lines += section("Options", optionList(options).lines(painter), painter)
        }
        let recovered = document["recoveredBackup"]?.text
        for (title, table, key) in [
            ("Copy sets", copySets(document["copySets"]), "copySets"),
            ("Role pairs", rolePairs(document["rolePairs"]), "rolePairs"),
            ("Pairs", pairs(document["pairs"]), "pairs"),
            (
                "Backups, oldest first", backups(document["backups"], recovered: recovered),
                "backups"
            ),
        ] {
            guard let list = document[key], withEmptyLists || !table.isEmpty else { continue }
            let body = table.isEmpty ? ["  none"] : table.lines(painter, indent: 2)
            lines += section("\(title) (\(list.items.count))", body, painter)
        }
        return lines
    }

    /// One row a session, in the order given.
    public static func table(ofSummaries summaries: [JSONNode], _ painter: Painter) -> [String] {
        var table = TextTable(
            "SESSION", "TYPE", "STATE", "STATUS", "RECOVERABLE", "COPYING", "ERROR", ">COPY SETS",
            "NEWEST BACKUP", "TAKEN")
        for summary in summaries {
            let newest = summary["newestRecoverableBackup"]?.text
            table.add(
                Cell(summary["session"].shown, .strong), Cell(summary["type"].shown),
                Cell(summary["state"].shown), Tones.status(summary["status"]),
                Tones.yes(summary["recoverable"], good: true), Tones.yes(summary["copying"]),
                Tones.yes(summary["error"], good: false), Cell(summary["copySets"].shown),
                Cell(newest ?? "-"),
                Cell(newest.flatMap(taken) ?? summary["flashTime"]?.text ?? "-"))
        }
        return table.lines(painter)
    }

    private static func taken(_ backup: String) -> String? {
        guard let id = BackupID(backup), id.seconds <= 253_402_300_799 else { return nil }
        return id.time.shortDescription
    }

    private static func heading(_ document: JSONNode, _ painter: Painter) -> [String] {
        let name = painter.paint(SafeText.escaped(document["session"].shown), .strong)
        let type = SafeText.escaped(document["type"].shown)
        return ["\(name)  \(type)"]
    }

    private static func summary(_ document: JSONNode) -> FactList {
        var facts = FactList()
        guard document["state"] != nil else { return facts }
        if let text = document["description"]?.text, !text.isEmpty {
            facts.add("Description", text)
        }
        facts.add("State", document["state"].shown)
        let status = Tones.status(document["status"])
        facts.add("Status", document["status"].shown, status.tone)
        for (name, key, good) in [
            ("Recoverable", "recoverable", true), ("Copying", "copying", nil),
            ("Error", "error", false),
        ] {
            let cell = Tones.yes(document[key], good: good)
            facts.add(name, cell.text, cell.tone)
        }
        if let backup = document["recoveredBackup"]?.text { facts.add("Recovered backup", backup) }
        if document["flashTime"] != nil { addFlash(document, to: &facts) }
        facts.add("Revision", document["revision"].shown)
        if let commands = document["availableCommands"] {
            facts.add("Available commands", commands.items.map(\.shown).joined(separator: ", "))
        }
        return facts
    }

    /// When a FlashCopy session was flashed, and whether its pairs fit each other.
    private static func addFlash(_ document: JSONNode, to facts: inout FactList) {
        facts.add("Flash time", document["flashTime"].shown)
        guard document["discovered"]?.bool == true else { return }
        var words = "found on the storage, whether they fit each other was not verified"
        if let spread = document["flashTimeSpread"]?.integer {
            words += "; their times differ by \(Amounts.count(spread, "second"))"
        }
        facts.add("Pairs", words, .attention)
    }

    private static func optionList(_ options: JSONNode) -> FactList {
        var facts = FactList()
        for option in options.members {
            let isMinutes = option.key.lowercased().contains("minutes")
            let value = option.value.integer
            if isMinutes, value == 0 {
                facts.add(option.key, "0 (off)")
            } else if isMinutes, let value, value >= 60, value <= .max / 60_000 {
                let time = Amounts.duration(milliseconds: value * 60_000)
                facts.add(option.key, "\(value) (\(time))")
            } else {
                facts.add(option.key, option.value.shown)
            }
        }
        return facts
    }
}

// MARK: The lists

extension SessionText {
    private static func section(_ title: String, _ body: [String], _ painter: Painter) -> [String] {
        ["", painter.paint(title, .strong)] + body
    }

    static func copySets(_ list: JSONNode?) -> TextTable {
        let roles = Roles.of(list?.items ?? [])
        var table = TextTable(headers: roles)
        for set in list?.items ?? [] {
            table.add(row: roles.map { Cell(set[$0].map(\.shown) ?? "-") })
        }
        return table
    }

    private static func rolePairs(_ list: JSONNode?) -> TextTable {
        var table = TextTable(
            "ROLE PAIR", "RECOVERABLE", "COPYING", ">PROGRESS", ">PAIRS", ">RECOVERABLE",
            ">COPYING",
            "RECOVERY TIME")
        for pair in list?.items ?? [] {
            table.add(
                Cell(pair["rolePair"].shown), Tones.yes(pair["recoverable"], good: true),
                Tones.yes(pair["copying"]), Cell(pair["percent"].percent),
                Cell(pair["pairs"].shown),
                Cell(pair["recoverablePairs"].shown), Cell(pair["copyingPairs"].shown),
                Cell(pair["recoveryTime"].shown))
        }
        return table
    }

    private static func pairs(_ list: JSONNode?) -> TextTable {
        let pairs = list?.items ?? []
        let flashed = pairs.contains { $0["incremental"] != nil }
        var table = TextTable(
            headers: [
                "ROLE PAIR", "SOURCE", "TARGET", "STATE", "RECOVERABLE", "COPYING", ">PROGRESS",
                ">REMAINING",
            ] + (flashed ? ["INCREMENTAL", "SINCE", "NOTE"] : []) + ["LAST RESULT"])
        for pair in pairs {
            let remaining = pair["tracksRemaining"]?.integer.flatMap(UInt64.init(exactly:))
            let row = [
                Cell(pair["rolePair"].shown), Cell(pair["source"].shown),
                Cell(pair["target"].shown), Cell(pair["state"].shown),
                Tones.yes(pair["recoverable"], good: true), Tones.yes(pair["copying"]),
                Cell(pair["percent"].percent), Cell(remaining.map(Amounts.tracks) ?? "-"),
            ]
            table.add(
                row: row + (flashed ? flashCells(pair) : [])
                    + [Cell(pair["lastResult"]?.text ?? "-", .bad)])
        }
        return table
    }

    private static func flashCells(_ pair: JSONNode) -> [Cell] {
        let notes = [
            ("reversed", "reversed"), ("revertible", "revertible"), ("relationshipEnded", "ended"),
        ].filter { pair[$0.0]?.bool == true }.map(\.1)
        return [
            Tones.yes(pair["incremental"]), Cell(pair["flashTime"].shown),
            Cell(notes.isEmpty ? "-" : notes.joined(separator: ", ")),
        ]
    }

    private static func backups(_ list: JSONNode?, recovered: String?) -> TextTable {
        var table = TextTable("BACKUP", "TIME", ">COPY SETS", "RECOVERABLE", "")
        for backup in list?.items ?? [] {
            let all = backup["copySets"]?.integer
            let usable = backup["recoverableCopySets"]?.integer
            var recoverable = Tones.yes(backup["recoverable"], good: true)
            if let all, let usable, usable > 0, usable < all {
                recoverable = Cell("\(usable) of \(all)", .bad)
            }
            let id = backup["backupId"]?.text
            let note = id != nil && id == recovered ? "recovered" : ""
            table.add(
                Cell(backup["backupId"].shown), Cell(backup["time"].shown),
                Cell(backup["copySets"].shown), recoverable, Cell(note, .attention))
        }
        return table
    }
}

/// The roles that copy sets name: H1 first, then in order of name.
private enum Roles {
    static func of(_ sets: [JSONNode]) -> [String] {
        let roles = Set(sets.flatMap { $0.members.map(\.key) })
        return (roles.contains("H1") ? ["H1"] : []) + roles.subtracting(["H1"]).sorted()
    }
}

/// The tones of facts.
enum Tones {
    /// `yes` or `no`; `good` says which of the two is as it should be, nil that neither is better.
    static func yes(_ node: JSONNode?, good: Bool? = nil) -> Cell {
        guard let value = node?.bool else { return Cell(node.shown) }
        let text = value ? "yes" : "no"
        guard let good else { return Cell(text) }
        if value == good { return Cell(text, good ? .good : .plain) }
        return Cell(text, good ? .attention : .bad)
    }

    /// A session's status.
    static func status(_ node: JSONNode?) -> Cell {
        switch SessionStatus(rawValue: node?.text ?? "") {
        case .normal: Cell(node.shown, .good)
        case .warning: Cell(node.shown, .attention)
        case .severe: Cell(node.shown, .bad)
        case .inactive, .unknown, nil: Cell(node.shown)
        }
    }
}
