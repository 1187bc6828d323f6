import CopyModel

/// The outer object of a command, as it is read: member by member in the order of the document, so
/// that the first fault is the first one; the rest is still read, to know whose message it is.
struct EnvelopeReading {
    private let messageID: String?
    private var id: CommandID?
    private var idIsInDoubt = false
    private var subject: SubjectName?
    private var isForStorage = false
    private var subjectMembers = 0
    private var commandText: String?
    private var name: CommandName?
    private var command: Command?
    private var notAfter: Timestamp?
    private var dryRun = false
    private var parameters = ParameterReading()
    private var firstFault: Malformed?

    init(messageID: String?) { self.messageID = messageID }

    /// Reads the outer object.
    mutating func read(_ root: JSONNode) {
        guard case .object(let members) = root else {
            note(Malformed("", "A command is an object, not \(root.kind)."))
            readMessageID()
            return
        }
        commandText = root["command"]?.text
        name = commandText.flatMap(CommandName.init(rawValue:))
        for member in members {
            do throws(Malformed) { try readMember(member) } catch { note(error) }
        }
        readMessageID()
        do throws(Malformed) { try completeEnvelope(root) } catch { note(error) }
    }

    private mutating func note(_ fault: Malformed) {
        if firstFault == nil { firstFault = fault }
    }

    private mutating func readMember(_ member: JSONMember) throws(Malformed) {
        switch member.key {
        case "id": try readID(member.value)
        case "command":
            guard commandText != nil else {
                throw Malformed("/command", "The command is a string, not \(member.value.kind).")
            }
        case "session": try readSubject(member, isForStorage: false)
        case "storage": try readSubject(member, isForStorage: true)
        case "parameters": try readParameters(member.value)
        case "notAfter": notAfter = try Values.time(member.value, at: "/notAfter")
        case "dryRun": dryRun = try Values.bool(member.value, at: "/dryRun")
        default:
            throw Malformed(JSONPointer.token(member.key), "A command has no member of this name.")
        }
    }

    private mutating func readID(_ node: JSONNode) throws(Malformed) {
        idIsInDoubt = true
        let text = try Values.text(node, at: "/id")
        guard let read = CommandID(text) else {
            throw Malformed("/id", "An id is 1 to 128 characters of printable ASCII.")
        }
        guard messageID == nil || messageID == text else {
            throw Malformed(
                "/id",
                "The body says \(text.quoted), and message_id says \((messageID ?? "").quoted).")
        }
        id = read
        idIsInDoubt = false
    }

    /// Takes the id of the message's properties where the body has none.
    private mutating func readMessageID() {
        guard let messageID, id == nil, !idIsInDoubt else { return }
        id = CommandID(messageID)
        if id == nil {
            note(Malformed("/id", "The message_id is not 1 to 128 characters of printable ASCII."))
        }
    }

    private mutating func readSubject(
        _ member: JSONMember, isForStorage: Bool
    ) throws(Malformed) {
        let pointer = isForStorage ? "/storage" : "/session"
        subjectMembers += 1
        if let name, name.isForStorage != isForStorage {
            subject = member.value.text.flatMap { SubjectName($0) }
            self.isForStorage = isForStorage
            throw Malformed(
                pointer,
                name.isForStorage
                    ? "\(name.rawValue) is for a storage system, not a session."
                    : "\(name.rawValue) is for a session, not a storage system.")
        }
        guard subjectMembers == 1 || name != nil else {
            throw Malformed(pointer, "A command names a session or a storage system, not both.")
        }
        subject = try Values.subject(member.value, at: pointer)
        self.isForStorage = isForStorage
    }

    private mutating func readParameters(_ node: JSONNode) throws(Malformed) {
        guard case .object(let members) = node else {
            throw Malformed("/parameters", "Parameters are an object, not \(node.kind).")
        }
        guard let name else { return }
        command = try parameters.command(name, members)
    }

    /// What can only be said at the end of the object: what is not there.
    private mutating func completeEnvelope(_ root: JSONNode) throws(Malformed) {
        guard root["command"] != nil else {
            throw Malformed("/command", "The command is missing.", lackingIn: "")
        }
        guard subjectMembers > 0 else {
            let isForStorage = name?.isForStorage ?? false
            throw Malformed(
                isForStorage ? "/storage" : "/session",
                "The \(isForStorage ? "storage system" : "session") is missing.", lackingIn: "")
        }
        if let name, root["parameters"] == nil { command = try parameters.command(name, []) }
    }

    // MARK: What came of it

    /// The result for a body that is strict JSON.
    func result(of root: JSONNode) -> ReadResult {
        guard let id, let subject, subjectMembers == 1 else {
            return .unattributable(
                UnattributableCommand(
                    id: id, commandName: commandText?.shortened,
                    refusal: refusals.first ?? Self.idMissing))
        }
        guard refusals.isEmpty, let command else {
            return .refused(
                RefusedCommand(
                    id: id, subject: subject, isForStorage: isForStorage,
                    commandName: commandText?.shortened, refusals: refusals,
                    canonical: CanonicalRequest.bytes(refused: root)))
        }
        return .command(
            CommandEnvelope(
                id: id, subject: subject, command: command, notAfter: notAfter, dryRun: dryRun,
                canonical: CanonicalRequest.bytes(
                    command, subject: subject, notAfter: notAfter, dryRun: dryRun)))
    }

    /// The result for a body that is not strict JSON, of which the start was read.
    ///
    /// A fault of content before the fault of form comes first. What an open container lacks is
    /// none: it may have been still to come.
    func unattributable(for fault: JSONFault, open: [String]) -> UnattributableCommand {
        var first = Malformed(fault.pointer, "\(fault.sentence.dropLast()) (byte \(fault.offset)).")
        if let earlier = firstFault, earlier.lackingContainer.map({ !open.contains($0) }) ?? true {
            first = earlier
        }
        return UnattributableCommand(
            id: id, commandName: commandText?.shortened, refusal: first.refusal)
    }

    /// The first fault of content; else what the version does not know or the options do not allow.
    private var refusals: [Refusal] {
        if let firstFault { return [firstFault.refusal] }
        guard name != nil else { return [unknownCommand] }
        return parameters.optionRefusals
    }

    private var unknownCommand: Refusal {
        let known = CommandName.allCases.map(\.rawValue).joined(separator: ", ")
        return Refusal(
            .unknownCommand, "This version has no command \((commandText ?? "").quoted).",
            subject: "/command", remedy: "Send one of \(known).")
    }

    private static let idMissing = Refusal(
        .commandIDMissing, "The command has no id, neither in its body nor as message_id.",
        subject: "/id",
        remedy: "Give each command an id of its own, and repeat it only with the command.")
}

extension String {
    /// At most 64 characters of it, none of them a control character.
    fileprivate var shortened: String { String(quoted.dropFirst().dropLast()) }
}
