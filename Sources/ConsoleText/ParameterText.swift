import CommandSchema
import CopyModel

/// Parameters as they are written on a command line.
///
/// Besides JSON, which always works, the lists of the contract have a short form: entries with
/// commas between them, `=` between the parts of one, and a range of volumes as `0100-010f`.
///
///     AddCopySets             copySets=box1:0100=box1:0200,box1:0101=box1:0201
///                             copySets=box1:0100-010f=box1:0200-020f
///     RemoveCopySets          copySets=box1:0100,box1:0101
///     CreateVolumes           volumes=0100=10GiBx4,0101=10GiB        (x4: safeguarded capacity)
///     ExpandVolumes           volumes=0100-010f=20GiB
///     SetSafeguardedCapacity  volumes=0100=x16
///     DeleteVolumes           volumes=0100-010f
///     EstablishRelationships  relationships=0100=0200,0101-010f=0201-020f
///     WithdrawRelationships   relationships=0100=0200
///
/// A copy set's second volume is its R1; another role is named: `box1:0100=T1=box1:0200`.
public enum ParameterText {
    /// Takes `name=value` apart at the first `=`.
    public static func split(_ text: String) throws(UsageFault) -> (key: String, value: String) {
        guard let equals = text.firstIndex(of: "="), equals != text.startIndex else {
            throw UsageFault(
                "--parameter \(text): a name, = and a value are due, like backupId=1795226400")
        }
        return (String(text[..<equals]), String(text[text.index(after: equals)...]))
    }

    /// The value as `CommandWriter` takes it: a short form is spelled out as JSON, anything else
    /// stays.
    public static func spelledOut(
        _ value: String, of key: String, command: CommandName?
    ) throws(UsageFault) -> String {
        if let first = value.first(where: { !$0.isWhitespace }), "[{\"".contains(first) {
            return value
        }
        let nodes: [JSONNode]
        switch (command, key) {
        case (.addCopySets, "copySets"): nodes = try entries(value, copySets)
        case (.establishRelationships, "relationships"), (.withdrawRelationships, "relationships"):
            nodes = try entries(value, relationships)
        case (.removeCopySets, "copySets"): nodes = try entries(value, volumes)
        case (.createVolumes, "volumes"): nodes = try entries(value, specifications)
        case (.expandVolumes, "volumes"): nodes = try entries(value, expansions)
        case (.setSafeguardedCapacity, "volumes"): nodes = try entries(value, multipliers)
        case (.deleteVolumes, "volumes"): nodes = try entries(value, localVolumes)
        default: return value
        }
        return String(decoding: JSONNode.array(nodes).compact(), as: UTF8.self)
    }

    private static func entries(
        _ text: String, _ read: (String) throws(UsageFault) -> [JSONNode]
    ) throws(UsageFault) -> [JSONNode] {
        var nodes: [JSONNode] = []
        for entry in text.split(separator: ",", omittingEmptySubsequences: false) {
            nodes += try read(String(entry.drop { $0 == " " }))
        }
        return nodes
    }

    // MARK: The entries of each list

    private static func copySets(_ entry: String) throws(UsageFault) -> [JSONNode] {
        let roles = entry.split(separator: "=", omittingEmptySubsequences: false).map(String.init)
        guard (1...3).contains(roles.count) else {
            throw UsageFault(
                "'\(entry)' is not H1=R1, like box1:0100=box1:0200, nor H1=T1=volume")
        }
        let hosts = try VolumeRange.global(roles[0])
        guard let last = roles.dropFirst().last else {
            return hosts.map { .object([member("H1", $0)]) }
        }
        let role = roles.count == 3 ? roles[1] : "R1"
        let others = try VolumeRange.global(last)
        guard hosts.count == others.count else {
            throw UsageFault(
                "'\(entry)' has \(hosts.count) H1 and \(others.count) \(role): as many are due")
        }
        return zip(hosts, others).map { .object([member("H1", $0), member(role, $1)]) }
    }

    private static func relationships(_ entry: String) throws(UsageFault) -> [JSONNode] {
        let sides = entry.split(separator: "=", omittingEmptySubsequences: false).map(String.init)
        guard sides.count == 2 else {
            throw UsageFault("'\(entry)' is not source=target, like 0100=0200")
        }
        let sources = try VolumeRange.local(sides[0])
        let targets = try VolumeRange.local(sides[1])
        guard sources.count == targets.count else {
            throw UsageFault(
                "'\(entry)' has \(sources.count) sources and \(targets.count) targets: as many "
                    + "are due")
        }
        return zip(sources, targets).map { .object([member("source", $0), member("target", $1)]) }
    }

    private static func volumes(_ entry: String) throws(UsageFault) -> [JSONNode] {
        try VolumeRange.global(entry).map { .string($0) }
    }

    private static func localVolumes(_ entry: String) throws(UsageFault) -> [JSONNode] {
        try VolumeRange.local(entry).map { .string($0) }
    }

    private static func specifications(_ entry: String) throws(UsageFault) -> [JSONNode] {
        let (ids, value) = try assignment(entry, "10GiBx4")
        var members: [JSONMember] = []
        if let cross = value.lastIndex(of: "x") {
            let multiplier = value[value.index(after: cross)...]
            members = [
                member("capacity", String(value[..<cross])),
                JSONMember(
                    key: "safeguardedMultiplier", value: try number(multiplier, in: entry)),
            ]
        } else {
            members = [member("capacity", value)]
        }
        return ids.map { .object([member("id", $0)] + members) }
    }

    private static func expansions(_ entry: String) throws(UsageFault) -> [JSONNode] {
        let (ids, value) = try assignment(entry, "20GiB")
        return ids.map { .object([member("id", $0), member("capacity", value)]) }
    }

    private static func multipliers(_ entry: String) throws(UsageFault) -> [JSONNode] {
        let (ids, value) = try assignment(entry, "x16")
        let multiplier = try number(
            value.hasPrefix("x") ? value.dropFirst() : value[...], in: entry)
        return ids.map {
            .object([member("id", $0), JSONMember(key: "multiplier", value: multiplier)])
        }
    }

    private static func assignment(
        _ entry: String, _ example: String
    ) throws(UsageFault) -> (ids: [String], value: String) {
        let parts = entry.split(separator: "=", omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[1].isEmpty else {
            throw UsageFault("'\(entry)' is not a volume, = and a value, like 0100=\(example)")
        }
        return (try VolumeRange.local(String(parts[0])), String(parts[1]))
    }

    private static func number(_ text: Substring, in entry: String) throws(UsageFault) -> JSONNode {
        guard let number = Int64(text), number >= 0 else {
            throw UsageFault("'\(entry)': a whole number is due after x, not '\(text)'")
        }
        return .integer(number)
    }

    private static func member(_ key: String, _ text: String) -> JSONMember {
        JSONMember(key: key, value: .string(text))
    }
}

/// Volumes written as one or as a range.
private enum VolumeRange {
    /// Reads `box1:0100` or `box1:0100-010f`; what is neither is left to the worker to judge.
    static func global(_ text: String) throws(UsageFault) -> [String] {
        guard let colon = text.firstIndex(of: ":") else { return [text] }
        let storage = text[...colon]
        return try local(String(text[text.index(after: colon)...])).map { storage + $0 }
    }

    /// Reads `0100` or `0100-010f`; the same.
    static func local(_ text: String) throws(UsageFault) -> [String] {
        let ends = text.split(separator: "-", omittingEmptySubsequences: false)
        guard ends.count == 2, let from = number(ends[0]), let to = number(ends[1]) else {
            return [text]
        }
        guard from <= to else { throw UsageFault("the range \(text) is empty") }
        return (from...to).map { number in
            let digits = String(number, radix: 16)
            return String(repeating: "0", count: 4 - digits.count) + digits
        }
    }

    private static func number(_ text: Substring) -> UInt16? {
        LocalVolumeID(String(text)).flatMap { UInt16($0.text, radix: 16) }
    }
}
