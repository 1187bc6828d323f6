import CopyModel

/// The parameters of each command, strictly typed, read in the order of the document.
struct ParameterReading {
    /// Options that are unknown or out of range, in order: reasons of the session, not of the
    /// message.
    private(set) var optionRefusals: [Refusal] = []

    /// Reads the parameters of a command; throws the first fault.
    mutating func command(_ name: CommandName, _ members: [JSONMember]) throws(Malformed) -> Command
    {
        switch name {
        case .createSession: return try createSession(members)
        case .modifySession: return try modifySession(members)
        case .deleteSession: return try plain(.deleteSession, members)
        case .addCopySets: return .addCopySets(try only("copySets", members, Lists.copySets))
        case .removeCopySets: return try removeCopySets(members)
        case .describeSession: return try describeSession(members)
        case .refreshStates: return try plain(.refreshStates, members)
        case .terminate: return try terminate(members)
        case .backup: return try plain(.backup, members)
        case .recover: return try recover(members)
        case .initiateBackgroundCopy: return try plain(.initiateBackgroundCopy, members)
        case .expireBackup:
            return .expireBackup(
                try only("backupId", members) { node throws(Malformed) in
                    try Values.backup(node, at: "/parameters/backupId")
                })
        case .terminateH1R1: return try plain(.terminateH1R1, members)
        case .createVolumes:
            return .createVolumes(try only("volumes", members, Lists.specifications))
        case .deleteVolumes: return .deleteVolumes(try only("volumes", members, Lists.localVolumes))
        case .expandVolumes: return .expandVolumes(try only("volumes", members, Lists.expansions))
        case .setSafeguardedCapacity:
            return .setSafeguardedCapacity(try only("volumes", members, Lists.multipliers))
        case .describeStorage: return try plain(.describeStorage, members)
        case .flash: return try plain(.flash, members)
        case .discover: return try plain(.discover, members)
        case .reverseRestore: return try reverseRestore(members)
        case .queryRelationships: return try plain(.queryRelationships, members)
        case .commit: return try plain(.commit, members)
        case .revert: return try plain(.revert, members)
        case .establishRelationships:
            return .establishRelationships(
                try only("relationships", members, Lists.relationships))
        case .withdrawRelationships:
            return .withdrawRelationships(try only("relationships", members, Lists.localPairs))
        case .listRelationships: return try plain(.listRelationships, members)
        }
    }

    // MARK: Shapes

    private func plain(_ command: Command, _ members: [JSONMember]) throws(Malformed) -> Command {
        if let member = members.first { throw unknown(member) }
        return command
    }

    /// Reads parameters that are one required member.
    private func only<Value>(
        _ key: String, _ members: [JSONMember], _ read: (JSONNode) throws(Malformed) -> Value
    ) throws(Malformed) -> Value {
        var value: Value?
        for member in members {
            guard member.key == key else { throw unknown(member) }
            value = try read(member.value)
        }
        return try required(value, key)
    }

    private func required<Value>(_ value: Value?, _ key: String) throws(Malformed) -> Value {
        guard let value else {
            throw Malformed(
                "/parameters/\(key)", "This parameter is missing.", lackingIn: "/parameters")
        }
        return value
    }

    private func unknown(_ member: JSONMember) -> Malformed {
        Malformed(
            "/parameters" + JSONPointer.token(member.key),
            "The command has no parameter of this name.")
    }

    // MARK: Commands with several parameters

    private mutating func createSession(_ members: [JSONMember]) throws(Malformed) -> Command {
        var type: SessionType?
        var description = ""
        var options = OptionChanges()
        for member in members {
            switch member.key {
            case "type": type = try sessionType(member.value)
            case "description":
                description = try Values.description(member.value, at: "/parameters/description")
            case "options": options = try readOptions(member.value)
            default: throw unknown(member)
            }
        }
        return .createSession(
            type: try required(type, "type"), description: description, options: options)
    }

    private func sessionType(_ node: JSONNode) throws(Malformed) -> SessionType {
        let text = try Values.text(node, at: "/parameters/type")
        guard let type = SessionType(rawValue: text) else {
            let known = SessionType.allCases.map(\.rawValue).joined(separator: ", ")
            throw Malformed(
                "/parameters/type",
                "This version has no sessions of type \(text.quoted), only \(known).")
        }
        return type
    }

    private mutating func modifySession(_ members: [JSONMember]) throws(Malformed) -> Command {
        var description: String?
        var options = OptionChanges()
        for member in members {
            switch member.key {
            case "description":
                description = try Values.description(member.value, at: "/parameters/description")
            case "options": options = try readOptions(member.value)
            default: throw unknown(member)
            }
        }
        return .modifySession(description: description, options: options)
    }

    private func removeCopySets(_ members: [JSONMember]) throws(Malformed) -> Command {
        var volumes: [VolumeID]?
        var keepOnStorage = false
        for member in members {
            switch member.key {
            case "copySets": volumes = try Lists.volumes(member.value)
            case "keepOnStorage":
                keepOnStorage = try Values.bool(member.value, at: "/parameters/keepOnStorage")
            default: throw unknown(member)
            }
        }
        return .removeCopySets(try required(volumes, "copySets"), keepOnStorage: keepOnStorage)
    }

    private func describeSession(_ members: [JSONMember]) throws(Malformed) -> Command {
        var parts = Set(DocumentPart.allCases)
        for member in members {
            guard member.key == "parts" else { throw unknown(member) }
            parts = try Lists.parts(member.value)
        }
        return .describeSession(parts: parts)
    }

    private func recover(_ members: [JSONMember]) throws(Malformed) -> Command {
        var backup: BackupID?
        var backgroundCopy = false
        for member in members {
            switch member.key {
            case "backupId": backup = try Values.backup(member.value, at: "/parameters/backupId")
            case "backgroundCopy":
                backgroundCopy = try Values.bool(member.value, at: "/parameters/backgroundCopy")
            default: throw unknown(member)
            }
        }
        return .recover(try required(backup, "backupId"), backgroundCopy: backgroundCopy)
    }

    private func terminate(_ members: [JSONMember]) throws(Malformed) -> Command {
        var whenCopied = false
        for member in members {
            guard member.key == "whenCopied" else { throw unknown(member) }
            whenCopied = try Values.bool(member.value, at: "/parameters/whenCopied")
        }
        return .terminate(whenCopied: whenCopied)
    }

    private func reverseRestore(_ members: [JSONMember]) throws(Malformed) -> Command {
        var fast = false
        var allowCascade = false
        for member in members {
            switch member.key {
            case "fast": fast = try Values.bool(member.value, at: "/parameters/fast")
            case "allowCascade":
                allowCascade = try Values.bool(member.value, at: "/parameters/allowCascade")
            default: throw unknown(member)
            }
        }
        return .reverseRestore(fast: fast, allowCascade: allowCascade)
    }

    // MARK: Options

    private mutating func readOptions(_ node: JSONNode) throws(Malformed) -> OptionChanges {
        var reading = OptionReading()
        for member in try Values.object(node, at: "/parameters/options") {
            try reading.read(member)
        }
        optionRefusals += reading.refusals
        return reading.changes
    }
}
