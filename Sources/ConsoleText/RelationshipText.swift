import CommandSchema
import CopyModel

/// Relationships with their attributes, as people read them.
public enum RelationshipText {
    /// The lines of the result of `ListRelationships`, or of `QueryRelationships`.
    public static func lines(_ result: JSONNode, _ painter: Painter) -> [String] {
        let entries = result["relationships"]?.items ?? []
        let isQuery = entries.contains { $0["copySet"] != nil }
        guard !entries.isEmpty else { return ["  no relationships"] }
        var table = TextTable(
            headers: [
                "SOURCE", "TARGET", "PRESENTS", ">PROGRESS", ">REMAINING", ">OUT OF SYNC", "COPY",
                "ATTRIBUTES",
            ] + (isQuery ? ["REVERSE RESTORE", "FAST"] : []))
        for entry in entries {
            let relationship = isQuery ? entry["relationship"] ?? .null : entry
            var row = cells(entry, relationship)
            if isQuery {
                row += [
                    permission(entry["reverseRestore"]), permission(entry["fastReverseRestore"]),
                ]
            }
            table.add(row: row)
        }
        return table.lines(painter, indent: 2)
    }

    /// True for results that `lines` can show.
    static func reads(_ result: JSONNode) -> Bool {
        guard let entries = result["relationships"]?.items else { return false }
        return result["storage"] != nil || entries.contains { $0["copySet"] != nil }
    }

    private static func cells(_ entry: JSONNode, _ relationship: JSONNode) -> [Cell] {
        guard !relationship.isNull else {
            return [
                Cell(entry["copySet"].shown, .strong), Cell(entry["target"].shown),
                Cell("no relationship"),
            ] + Array(repeating: Cell("-"), count: 5)
        }
        let attributes = [
            ("incremental", "incremental"), ("persistent", "persistent"),
            ("inhibitTargetWrites", "target writes inhibited"), ("revertible", "revertible"),
            ("reverting", "reverting"), ("fastReverse", "fast reverse"),
        ].filter { relationship[$0.0]?.bool == true }.map(\.1)
        let copies = relationship["backgroundCopy"]?.bool == true
        return [
            Cell(relationship["source"].shown, .strong), Cell(entry["target"].shown),
            Cell(StorageText.presented(relationship)), Cell(relationship["percent"].percent),
            Cell(tracks(relationship["tracksRemaining"])),
            Cell(tracks(relationship["tracksOutOfSync"])), Cell(copies ? "background" : "no copy"),
            Cell(attributes.isEmpty ? "-" : attributes.joined(separator: ", ")),
        ]
    }

    private static func tracks(_ node: JSONNode?) -> String {
        node?.integer.flatMap(UInt64.init(exactly:)).map(Amounts.tracks) ?? "-"
    }

    /// `allowed`, or the codes against it.
    private static func permission(_ node: JSONNode?) -> Cell {
        if node?["allowed"]?.bool == true { return Cell("allowed", .good) }
        let codes = (node?["refusals"]?.items ?? []).map { $0["code"].shown }
        return Cell(codes.joined(separator: ", "), .attention)
    }
}
