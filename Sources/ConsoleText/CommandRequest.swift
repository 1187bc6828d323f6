import CommandSchema
import CopyModel

/// A command as it is asked for on a command line, before it has a body.
public struct CommandRequest: Sendable {
    /// The command's name, in any case; nil where a file says it.
    public var name: String?
    /// The session or storage system; nil where a file says it.
    public var target: String?
    /// The idempotency key; nil for a fresh one, or the file's.
    public var id: String?
    /// `name=value`, as they were given.
    public var parameters: [String] = []
    /// Not started after it, as RFC 3339.
    public var notAfter: String?
    /// Decide only.
    public var dryRun = false
    /// The body, or some of its members: what is missing is filled in from the rest.
    public var file: [UInt8]?

    /// A request without anything.
    public init() {}

    /// A body that can be sent, and what is needed to send it.
    public struct Assembled: Sendable, Hashable {
        /// The JSON to publish.
        public var body: [UInt8]
        /// The body, read.
        public var node: JSONNode
        /// The command's name.
        public var name: String
        /// The routing key.
        public var target: String
        /// The idempotency key.
        public var id: String
    }

    /// Puts the body together.
    ///
    /// `freshID` is called where no id was given. Throws a sentence where something is missing,
    /// cannot be read, or is said twice and differently.
    public func assembled(freshID: () -> String) throws(UsageFault) -> Assembled {
        var members = try fileMembers()
        let known = Set(members.map(\.key))
        let name = try agreed(self.name.map(Self.spelled), members, "command", "COMMAND")
        let command = CommandName(rawValue: name)
        let key = known.contains("storage") || command?.isForStorage == true ? "storage" : "session"
        let target = try agreed(self.target, members, key, "TARGET")
        guard SubjectName(target) != nil else {
            throw UsageFault(
                "'\(target)' is not a name: a letter or digit, then up to 63 letters, digits, _ or -"
            )
        }
        let given = self.id ?? (known.contains("id") ? nil : freshID())
        let id = try agreed(given, members, "id", "--id")
        guard CommandID(id) != nil else {
            throw UsageFault("'\(id)' is no id: 1 to 128 characters of printable ASCII are due")
        }
        for member in try fromTexts(name: name, target: target, id: id) {
            guard known.contains(member.key) else {
                members.append(member)
                continue
            }
            guard members.contains(member) else {
                throw UsageFault(
                    "the file and the command line both give \(member.key), and not the same")
            }
        }
        let node = JSONNode.object(members)
        return Assembled(body: node.compact(), node: node, name: name, target: target, id: id)
    }

    /// The members that the command line gives, read back from what `CommandWriter` makes of them.
    private func fromTexts(
        name: String, target: String, id: String
    ) throws(UsageFault) -> [JSONMember] {
        var time: Timestamp?
        if let notAfter {
            time = Timestamp(rfc3339: notAfter)
            guard time != nil else {
                throw UsageFault(
                    "--not-after \(notAfter): a time is written like 2026-11-21T02:00:00Z")
            }
        }
        var pairs: [(key: String, value: String)] = []
        for parameter in parameters {
            let (key, value) = try ParameterText.split(parameter)
            let command = CommandName(rawValue: name)
            pairs.append((key, try ParameterText.spelledOut(value, of: key, command: command)))
        }
        do {
            let bytes = try CommandWriter.bytes(
                name: name, subject: target, id: id, parameters: pairs, notAfter: time,
                dryRun: dryRun)
            return try JSONNode(document: bytes).members
        } catch let refusal as Refusal {
            throw UsageFault("\(refusal.message) \(refusal.remedy)")
        } catch let fault as JSONFault {
            throw UsageFault("the parameters make no JSON: \(fault.sentence)")
        } catch {
            throw UsageFault("\(error)")
        }
    }

    private func fileMembers() throws(UsageFault) -> [JSONMember] {
        guard let file else { return [] }
        do {
            guard case .object(let members) = try JSONNode(document: file) else {
                throw UsageFault("the file holds JSON, but not an object")
            }
            return members
        } catch let fault as JSONFault {
            let place = fault.pointer.isEmpty ? "" : " in \(fault.pointer)"
            throw UsageFault(
                "the file is not strict JSON: byte \(fault.offset)\(place): \(fault.sentence)")
        } catch let fault as UsageFault {
            throw fault
        } catch {
            throw UsageFault("\(error)")
        }
    }

    /// What the command line and the file say of one member, which must not differ.
    private func agreed(
        _ given: String?, _ members: [JSONMember], _ key: String, _ argument: String
    ) throws(UsageFault) -> String {
        guard let inFile = members.first(where: { $0.key == key })?.value else {
            if let given { return given }
            throw UsageFault("\(argument) is missing; stillpoint send --help shows examples")
        }
        guard let text = inFile.text else { throw UsageFault("\(key) in the file is not a string") }
        guard given == nil || given == text else {
            throw UsageFault("\(argument) is \(given ?? ""), but the file says \(key) \(text)")
        }
        return text
    }

    /// A known command's name in its own spelling, whatever the case; others as they are.
    static func spelled(_ name: String) -> String {
        CommandName.allCases.first { $0.rawValue.lowercased() == name.lowercased() }?.rawValue
            ?? name
    }
}
