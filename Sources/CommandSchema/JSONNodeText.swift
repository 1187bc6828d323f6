// A node as text again.

extension JSONNode {
    /// The node without any space, its members in their order.
    public func compact() -> [UInt8] {
        var writer = JSONWriter()
        writer.node(self)
        return writer.bytes
    }

    /// The node over several lines, two spaces a level, for people.
    public func pretty() -> String {
        var text = ""
        appendPretty(to: &text, indent: "\n")
        return text
    }

    private func appendPretty(to text: inout String, indent: String) {
        switch self {
        case .array(let items) where !items.isEmpty:
            for (index, item) in items.enumerated() {
                text += (index == 0 ? "[" : ",") + indent + "  "
                item.appendPretty(to: &text, indent: indent + "  ")
            }
            text += indent + "]"
        case .object(let members) where !members.isEmpty:
            for (index, member) in members.enumerated() {
                text += (index == 0 ? "{" : ",") + indent + "  "
                text +=
                    String(decoding: JSONNode.string(member.key).compact(), as: UTF8.self) + ": "
                member.value.appendPretty(to: &text, indent: indent + "  ")
            }
            text += indent + "}"
        case .null, .bool, .integer, .number, .string, .array, .object:
            text += String(decoding: compact(), as: UTF8.self)
        }
    }
}

extension JSONWriter {
    /// Writes a node; with `sorted`, the members of every object by the bytes of their names.
    public mutating func node(_ node: JSONNode, sorted: Bool = false) {
        switch node {
        case .null: null()
        case .bool(let value): bool(value)
        case .integer(let value): integer(value)
        case .number(let text): json(Array(text.utf8))
        case .string(let text): string(text)
        case .array(let items):
            openArray()
            for item in items { self.node(item, sorted: sorted) }
            closeArray()
        case .object(let members):
            openObject()
            for member in sorted ? members.sortedByName() : members {
                key(text: member.key)
                self.node(member.value, sorted: sorted)
            }
            closeObject()
        }
    }
}

extension [JSONMember] {
    /// The members by the bytes of their names.
    func sortedByName() -> [JSONMember] {
        sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
    }
}
