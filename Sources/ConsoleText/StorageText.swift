import CommandSchema
import CopyModel

/// A storage system's description, as people read it.
public enum StorageText {
    /// The lines of a `DescribeStorage` result: volumes, then their points and relationships.
    public static func lines(_ document: JSONNode, _ painter: Painter) -> [String] {
        let volumes = document["volumes"]?.items ?? []
        let name = painter.paint(SafeText.escaped(document["storage"].shown), .strong)
        var lines = ["\(name)  \(Amounts.count(Int64(volumes.count), "volume"))"]
        guard !volumes.isEmpty else { return lines }
        lines += [""] + volumeTable(volumes).lines(painter, indent: 2)
        lines += section("Relationships", relationshipTable(volumes), painter)
        lines += section("Points, oldest first", pointTable(volumes), painter)
        return lines
    }

    private static func section(_ title: String, _ table: TextTable, _ painter: Painter) -> [String]
    {
        guard !table.isEmpty else { return [] }
        return ["", painter.paint(title, .strong)] + table.lines(painter, indent: 2)
    }

    private static func volumeTable(_ volumes: [JSONNode]) -> TextTable {
        var table = TextTable(
            "VOLUME", ">CAPACITY", ">ALLOCATED", ">SAFEGUARDED", ">IN USE", ">USED", ">POINTS")
        for volume in volumes {
            let multiplier = volume["safeguardedMultiplier"]?.integer ?? 0
            let percent = volume["usedPercent"]?.integer ?? 0
            table.add(
                Cell(volume["id"].shown, .strong), Cell(amount(volume["capacityBytes"])),
                Cell(amount(volume["allocatedBytes"])),
                Cell(multiplier == 0 ? "none" : "x\(multiplier)"),
                Cell(multiplier == 0 ? "-" : amount(volume["safeguardedUsedBytes"])),
                Cell(multiplier == 0 ? "-" : "\(percent) %", tone(ofPercent: percent)),
                Cell(String(volume["points"]?.items.count ?? 0)))
        }
        return table
    }

    private static func tone(ofPercent percent: Int64) -> Tone {
        percent >= 95 ? .bad : percent >= 80 ? .attention : .plain
    }

    private static func relationshipTable(_ volumes: [JSONNode]) -> TextTable {
        var table = TextTable(
            "TARGET", "SOURCE", "POINT", "BACKGROUND COPY", ">PROGRESS", ">REMAINING")
        for volume in volumes {
            guard let relationship = volume["relationship"], !relationship.isNull else { continue }
            let remaining = relationship["tracksRemaining"]?.integer.flatMap(UInt64.init(exactly:))
            table.add(
                Cell(volume["id"].shown, .strong), Cell(relationship["source"].shown),
                Cell(presented(relationship)), Tones.yes(relationship["backgroundCopy"]),
                Cell(relationship["percent"].percent), Cell(remaining.map(Amounts.tracks) ?? "-"))
        }
        return table
    }

    /// The backup that a relationship presents, or since when it presents its source.
    static func presented(_ relationship: JSONNode) -> String {
        relationship["tag"]?.text ?? relationship["flashTime"].shown
    }

    private static func pointTable(_ volumes: [JSONNode]) -> TextTable {
        var table = TextTable("VOLUME", "SESSION", "BACKUP", "TIME", ">CAPACITY")
        for volume in volumes {
            for point in volume["points"]?.items ?? [] {
                table.add(
                    Cell(volume["id"].shown), Cell(point["session"].shown),
                    Cell(point["backupId"].shown), Cell(point["time"].shown),
                    Cell(capacity(point["capacity"])))
            }
        }
        return table
    }

    private static func amount(_ node: JSONNode?) -> String {
        node?.integer.flatMap(UInt64.init(exactly:)).map(Amounts.bytes) ?? node.shown
    }

    private static func capacity(_ node: JSONNode?) -> String {
        node?.text.flatMap { Capacity($0) }.map { Amounts.bytes($0.bytes) } ?? node.shown
    }
}
