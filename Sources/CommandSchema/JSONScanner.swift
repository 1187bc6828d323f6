/// Which numbers a text may hold.
enum NumberRule {
    /// Whole numbers that every reader holds exactly: -(2^53 - 1) to 2^53 - 1.
    case safeIntegers
    /// Whatever RFC 8259 allows.
    case any
}

/// Reads strict JSON: RFC 8259 less everything in which two readers of the same bytes could
/// disagree.
///
/// Refused beyond the grammar: byte-order marks and encodings other than UTF-8, names that are
/// there twice (after unescaping), lone surrogates, nesting deeper than 32, and, where `NumberRule`
/// says so, numbers that some readers round. Depth costs no stack: open containers are kept in an
/// array.
struct JSONScanner {
    /// Containers that may be open at once.
    static let deepest = 32

    let bytes: [UInt8]
    let numbers: NumberRule
    var position = 0
    private var open: [OpenContainer] = []
    private var root: JSONNode?

    init(_ bytes: [UInt8], numbers: NumberRule) {
        self.bytes = bytes
        self.numbers = numbers
    }

    /// Reads the whole text as one value; throws the first fault.
    mutating func scan() throws(JSONFault) -> JSONNode {
        try refuseOtherEncodings()
        while true {
            skipSpace()
            guard var finished = try openOrRead() else { continue }
            while !open.isEmpty {
                open[open.count - 1].take(finished)
                skipSpace()
                if try anotherIsDue() { break }
                finished = open.removeLast().node
            }
            guard open.isEmpty else { continue }
            root = finished
            skipSpace()
            guard position == bytes.count else { throw fault("Nothing may follow the value.") }
            return finished
        }
    }

    /// What was read up to the fault; containers that were still open then hold what they had.
    func readSoFar() -> JSONNode? {
        var inner = root
        for container in open.reversed() {
            var container = container
            if let inner { container.take(inner) }
            inner = container.node
        }
        return inner
    }

    /// The pointers of the containers that were open at the fault, outermost first.
    var openPointers: [String] {
        var pointers: [String] = []
        var pointer = ""
        for container in open {
            pointers.append(pointer)
            pointer += container.token
        }
        return pointers
    }

    /// A fault at the present position.
    func fault(_ sentence: String) -> JSONFault {
        JSONFault(
            pointer: open.reduce("") { $0 + $1.token }, sentence: sentence, offset: position)
    }

    // MARK: Structure

    /// Reads a value that is due: whole, or nil where it is a container whose first element is due.
    private mutating func openOrRead() throws(JSONFault) -> JSONNode? {
        guard position < bytes.count else { throw fault("The text ends where a value is due.") }
        switch bytes[position] {
        case UInt8(ascii: "{"): return try openContainer(.object([]), end: UInt8(ascii: "}"))
        case UInt8(ascii: "["): return try openContainer(.array([]), end: UInt8(ascii: "]"))
        case UInt8(ascii: "\""): return .string(try scanString())
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try scanNumber()
        case UInt8(ascii: "t"): return try scanWord("true", .bool(true))
        case UInt8(ascii: "f"): return try scanWord("false", .bool(false))
        case UInt8(ascii: "n"): return try scanWord("null", .null)
        default: throw fault("This is not the start of a JSON value.")
        }
    }

    private mutating func openContainer(_ empty: JSONNode, end: UInt8) throws(JSONFault)
        -> JSONNode?
    {
        guard open.count < Self.deepest else {
            throw fault("The text nests deeper than \(Self.deepest).")
        }
        position += 1
        skipSpace()
        if position < bytes.count, bytes[position] == end {
            position += 1
            return empty
        }
        open.append(OpenContainer(isObject: end == UInt8(ascii: "}")))
        if end == UInt8(ascii: "}") { try scanName() }
        return nil
    }

    /// After an element: true where a comma (and, in an object, a name) says that another follows.
    private mutating func anotherIsDue() throws(JSONFault) -> Bool {
        let isObject = open[open.count - 1].isObject
        guard position < bytes.count else {
            throw fault("The text ends inside \(isObject ? "an object" : "an array").")
        }
        if bytes[position] == UInt8(ascii: ",") {
            position += 1
            guard isObject else { return true }
            skipSpace()
            try scanName()
            return true
        }
        guard bytes[position] == (isObject ? UInt8(ascii: "}") : UInt8(ascii: "]")) else {
            throw fault("A comma or the end of the \(isObject ? "object" : "array") is due here.")
        }
        position += 1
        return false
    }

    private mutating func scanName() throws(JSONFault) {
        guard position < bytes.count, bytes[position] == UInt8(ascii: "\"") else {
            throw fault("A member's name is due here.")
        }
        let start = position
        let name = try scanString()
        guard open[open.count - 1].name(name) else {
            position = start
            throw fault("The member is there twice.")
        }
        skipSpace()
        guard position < bytes.count, bytes[position] == UInt8(ascii: ":") else {
            throw fault("A colon is due after a member's name.")
        }
        position += 1
    }

    private mutating func scanWord(_ word: String, _ node: JSONNode) throws(JSONFault) -> JSONNode {
        let end = position + word.utf8.count
        guard end <= bytes.count, bytes[position..<end].elementsEqual(word.utf8) else {
            throw fault("This is not the start of a JSON value.")
        }
        position = end
        return node
    }

    private mutating func skipSpace() {
        while position < bytes.count {
            switch bytes[position] {
            case 0x20, 0x0A, 0x0D, 0x09: position += 1
            default: return
            }
        }
    }

    private func refuseOtherEncodings() throws(JSONFault) {
        let start = bytes.prefix(4)
        if start.starts(with: [0xEF, 0xBB, 0xBF]) {
            throw fault("The text starts with a byte-order mark.")
        }
        if start.starts(with: [0xFE, 0xFF]) || start.starts(with: [0xFF, 0xFE])
            || start.prefix(2).contains(0)
        {
            throw fault("The text is not UTF-8 (it looks like UTF-16 or UTF-32).")
        }
    }
}

/// A container whose end has not been read.
private struct OpenContainer {
    let isObject: Bool
    private var members: [JSONMember] = []
    private var items: [JSONNode] = []
    private var pendingName: String?
    private var names: Set<MemberName> = []

    /// Up to so many names are compared one by one; beyond, they are looked up.
    private static let fewNames = 16

    init(isObject: Bool) { self.isObject = isObject }

    var node: JSONNode { isObject ? .object(members) : .array(items) }

    /// The pointer's token for the element that is being read; empty between two members.
    var token: String {
        guard isObject else { return "/\(items.count)" }
        return pendingName.map(JSONPointer.token) ?? ""
    }

    /// Takes the name of the next member; false where it is there already.
    mutating func name(_ name: String) -> Bool {
        pendingName = name
        if members.count < Self.fewNames {
            return !members.contains { $0.key.hasSameBytes(as: name) }
        }
        if names.isEmpty { names = Set(members.map { MemberName(text: $0.key) }) }
        return names.insert(MemberName(text: name)).inserted
    }

    /// Takes the element that was read; in an object it goes under the name that waits for it.
    mutating func take(_ node: JSONNode) {
        guard isObject else {
            items.append(node)
            return
        }
        if let name = pendingName { members.append(JSONMember(key: name, value: node)) }
        pendingName = nil
    }
}

/// A member's name, told apart by its bytes.
private struct MemberName: Hashable {
    let text: String

    static func == (left: MemberName, right: MemberName) -> Bool {
        left.text.hasSameBytes(as: right.text)
    }

    // Not `hasher.combine(text)`: that hashes the normal form, which many different names can
    // share.
    func hash(into hasher: inout Hasher) {
        for byte in text.utf8 { hasher.combine(byte) }
    }
}
