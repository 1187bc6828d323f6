import CommandSchema

extension JSONNode {
    /// A value as one piece of text: a string as it is, true as `yes`, lists with commas, objects
    /// as `name=value`.
    var shown: String {
        switch self {
        case .null: "-"
        case .bool(let value): value ? "yes" : "no"
        case .integer(let value): String(value)
        case .number(let text): text
        case .string(let text): text
        case .array(let items): items.isEmpty ? "none" : items.map(\.shown).joined(separator: ", ")
        case .object(let members):
            members.map { "\($0.key)=\($0.value.shown)" }.joined(separator: " ")
        }
    }
}

extension JSONNode? {
    /// The value's text, or a hyphen where there is none.
    var shown: String { self?.shown ?? "-" }

    /// A number of per cent: `37 %`.
    var percent: String { self?.integer.map { "\($0) %" } ?? "-" }
}
