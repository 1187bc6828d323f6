import CommandSchema

/// A generator with a seed (xorshift), so that a failure can be had again.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }
}

/// One change somewhere in a JSON tree: a member left out, renamed or added, a value replaced.
///
/// Stays clear of what only the reader can tell: names listed twice in another case, capacities out
/// of bounds, days that a month does not have, numbers beyond 2^53.
struct TreeMutation {
    private static let values: [JSONNode] = [
        .null, .bool(true), .bool(false), .integer(0), .integer(1), .integer(-1), .integer(10_000),
        .integer(10_001), .integer(525_600), .integer(52_560_001), .string(""), .string("x"),
        .string("Backup"), .string("DescribeStorage"), .string("Recover"), .string("Explode"),
        .string("box9:0999"), .string("0999"), .string("12345"), .string("20GiB"),
        .string("20 GiB"),
        .string("1795226499"), .string("0179"), .string("SafeguardedCopy"), .string("FlashCopy"),
        .string("2026-11-21T02:00:00Z"), .string("2026-11-21T02:00:00.5+01:00"),
        .string("2026-11-21 02:00:00"), .string("summary"), .string("é"), .string("a.b"),
        .array([]),
        .array([.string("box9:0999")]), .array([.string("0999")]), .array([.string("pairs")]),
        .array([.object([JSONMember(key: "H1", value: .string("box9:0999"))])]), .object([]),
        .object([JSONMember(key: "retentionMinutes", value: .integer(5))]),
        .object([JSONMember(key: "backupId", value: .string("17"))]),
    ]

    private static let names = [
        "id", "command", "session", "storage", "parameters", "notAfter", "dryRun", "backupId",
        "type",
        "description", "options", "copySets", "volumes", "parts", "H1", "R1", "capacity",
        "multiplier",
        "safeguardedMultiplier", "retentionMinutes", "x", "backgroundCopy", "keepOnStorage",
    ]

    var random: SeededGenerator

    mutating func mutate(_ node: JSONNode) -> JSONNode {
        switch node {
        case .object(let members): return .object(mutate(members))
        case .array(var items) where !items.isEmpty && !chance(4):
            let place = Int.random(in: items.indices, using: &random)
            items[place] = mutate(items[place])
            return .array(items)
        case .null, .bool, .integer, .number, .string, .array: return value()
        }
    }

    private mutating func mutate(_ members: [JSONMember]) -> [JSONMember] {
        var members = members
        guard !members.isEmpty, !chance(6) else {
            let name = Self.names.randomElement(using: &random) ?? ""
            guard !members.contains(where: { $0.key == name }) else { return members }
            return members + [JSONMember(key: name, value: value())]
        }
        let place = Int.random(in: members.indices, using: &random)
        if chance(6) {
            members.remove(at: place)
        } else {
            let member = members[place]
            members[place] = JSONMember(key: member.key, value: mutate(member.value))
        }
        return members
    }

    private mutating func value() -> JSONNode { Self.values.randomElement(using: &random) ?? .null }

    private mutating func chance(_ oneIn: Int) -> Bool {
        Int.random(in: 0..<oneIn, using: &random) == 0
    }
}
