import CopyModel

/// Builds the bodies of commands: what a scheduler, or `stillpoint send`, publishes.
public enum CommandWriter {
    /// The body of a command; `CommandReader` reads the same command from it.
    public static func bytes(_ envelope: CommandEnvelope) -> [UInt8] {
        var writer = JSONWriter(capacity: 256)
        writer.request(
            envelope.command, id: envelope.id, subject: envelope.subject,
            notAfter: envelope.notAfter,
            dryRun: envelope.dryRun)
        return writer.bytes
    }

    /// The body of a command given in texts, as on a command line.
    ///
    /// A parameter's value is JSON where it can be read as such, and plain text else. `backupId`,
    /// `type` and `description` are text even where they look like numbers. `parts`, `copySets` and
    /// `volumes` may list names separated by commas. A key with dots makes members of members:
    /// `options.retentionMinutes=60`. The command's name is not checked, since a newer worker may
    /// know more. Throws `malformed-command` with the parameter as subject where a key cannot be
    /// used.
    public static func bytes(
        name: String, subject: String, id: String, parameters: [(key: String, value: String)],
        notAfter: Timestamp? = nil, dryRun: Bool = false
    ) throws(Refusal) -> [UInt8] {
        var tree = ParameterTree()
        for parameter in parameters {
            try tree.set(parameter.key, value(parameter.value, of: parameter.key))
        }
        var writer = JSONWriter(capacity: 256)
        writer.openObject()
        writer.member("id", id)
        writer.member("command", name)
        let isForStorage = CommandName(rawValue: name)?.isForStorage ?? false
        writer.member(isForStorage ? "storage" : "session", subject)
        if !tree.members.isEmpty {
            writer.key("parameters")
            writer.node(.object(tree.members))
        }
        if let notAfter { writer.member("notAfter", notAfter) }
        if dryRun { writer.member("dryRun", true) }
        writer.closeObject()
        return writer.bytes
    }

    private static func value(_ text: String, of key: String) -> JSONNode {
        let json = try? JSONNode(document: Array(text.utf8))
        switch key {
        case "backupId", "type", "description":
            if let json, case .string = json { return json }
            return .string(text)
        case "parts", "copySets", "volumes", "relationships":
            if let json, case .array = json { return json }
            return .array(text.split(separator: ",").map { .string(String($0)) })
        default: return json ?? .string(text)
        }
    }
}

/// Parameters as they are put together from dotted keys.
private struct ParameterTree {
    private(set) var members: [JSONMember] = []

    mutating func set(_ key: String, _ value: JSONNode) throws(Refusal) {
        let names = key.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        guard names.count < JSONScanner.deepest, !names.contains("") else {
            throw Self.unusable(key, "is not a parameter's name")
        }
        guard let grown = Self.adding(names[...], value, to: members) else {
            throw Self.unusable(key, "is given twice")
        }
        members = grown
    }

    /// The members with one more; nil where its place is taken.
    private static func adding(
        _ names: ArraySlice<String>, _ value: JSONNode, to members: [JSONMember]
    ) -> [JSONMember]? {
        guard let name = names.first else { return nil }
        let rest = names.dropFirst()
        var grown = members
        let place = members.firstIndex { $0.key == name }
        guard !rest.isEmpty else {
            guard place == nil else { return nil }
            grown.append(JSONMember(key: name, value: value))
            return grown
        }
        guard let place else {
            guard let inner = adding(rest, value, to: []) else { return nil }
            grown.append(JSONMember(key: name, value: .object(inner)))
            return grown
        }
        guard case .object(let present) = members[place].value,
            let inner = adding(rest, value, to: present)
        else { return nil }
        grown[place] = JSONMember(key: name, value: .object(inner))
        return grown
    }

    private static func unusable(_ key: String, _ why: String) -> Refusal {
        Refusal(
            .malformedCommand, "The parameter \(key.quoted) \(why).", subject: key,
            remedy: "Give each parameter once, as name=value or object.name=value.")
    }
}
