/// A JSON text, read: members in the order in which they were written, whole numbers as numbers.
public enum JSONNode: Hashable, Sendable {
    /// `null`.
    case null
    /// `true` or `false`.
    case bool(Bool)
    /// A whole number that 64 bits hold.
    case integer(Int64)
    /// Any other number, as it was written; never in a command.
    case number(String)
    /// A string, unescaped.
    case string(String)
    /// An array.
    case array([JSONNode])
    /// An object, its members in order, each name once.
    case object([JSONMember])
}

/// One member of an object.
public struct JSONMember: Hashable, Sendable {
    /// Its name, unescaped.
    public let key: String
    /// Its value.
    public let value: JSONNode

    /// Gathers a member.
    public init(key: String, value: JSONNode) {
        self.key = key
        self.value = value
    }
}

extension JSONNode {
    /// Reads a document that a worker sent; throws the first fault.
    ///
    /// As strict as for a command, except that numbers may have fractions and any size, since a
    /// newer worker may send them.
    public init(document bytes: [UInt8]) throws(JSONFault) {
        var scanner = JSONScanner(bytes, numbers: .any)
        self = try scanner.scan()
    }

    /// The member of that name; nil where there is none or this is not an object.
    public subscript(_ key: String) -> JSONNode? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.key.hasSameBytes(as: key) }?.value
    }

    /// The element at that place; nil where there is none or this is not an array.
    public subscript(_ index: Int) -> JSONNode? {
        guard case .array(let items) = self, items.indices.contains(index) else { return nil }
        return items[index]
    }

    /// The string, if it is one.
    public var text: String? {
        guard case .string(let text) = self else { return nil }
        return text
    }

    /// The whole number, if it is one.
    public var integer: Int64? {
        guard case .integer(let value) = self else { return nil }
        return value
    }

    /// The truth value, if it is one.
    public var bool: Bool? {
        guard case .bool(let value) = self else { return nil }
        return value
    }

    /// The elements of an array; none where this is not one.
    public var items: [JSONNode] {
        guard case .array(let items) = self else { return [] }
        return items
    }

    /// The members of an object; none where this is not one.
    public var members: [JSONMember] {
        guard case .object(let members) = self else { return [] }
        return members
    }

    /// True for `null`.
    public var isNull: Bool { self == .null }

    /// What it is, in the words of a sentence: `a string`.
    var kind: String {
        switch self {
        case .null: "null"
        case .bool: "a boolean"
        case .integer, .number: "a number"
        case .string: "a string"
        case .array: "an array"
        case .object: "an object"
        }
    }
}

extension String {
    /// True where both are the same bytes: `==` also holds for different spellings of one
    /// character, which other readers of the same message keep apart.
    func hasSameBytes(as other: String) -> Bool {
        guard utf8.count == other.utf8.count else { return false }
        var (left, right) = (self, other)
        return left.withUTF8 { left in right.withUTF8 { right in left.elementsEqual(right) } }
    }
}
