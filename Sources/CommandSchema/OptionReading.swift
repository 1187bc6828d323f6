import CopyModel

/// The options of sessions of all types: which of them a session has is for the law to say, since a
/// message that changes a session does not name its type.
struct OptionReading {
    /// The options that could be read.
    private(set) var changes = OptionChanges()
    /// Options that are unknown or out of range, in order.
    private(set) var refusals: [Refusal] = []

    /// Reads one option; throws where its value has the wrong type.
    mutating func read(_ member: JSONMember) throws(Malformed) {
        switch member.key {
        case "minimumMinutesBetweenBackups":
            changes.minimumMinutesBetweenBackups = try minutes(member, upTo: 525_600)
        case "retentionMinutes":
            changes.retentionMinutes = try minutes(member, upTo: 52_560_000)
        case "expireBackupOnAutoRoll": changes.expireBackupOnAutoRoll = try bool(member)
        case "incremental": changes.incremental = try bool(member)
        case "persistent": changes.persistent = try bool(member)
        case "noCopy": changes.noCopy = try bool(member)
        case "inhibitTargetWrites": changes.inhibitTargetWrites = try bool(member)
        case "revertible": changes.revertible = try bool(member)
        case "copyRateMiBps":
            changes.copyRateMiBps = try number(member, upTo: Values.largestRate, "MiB a second")
        case "incrementalScope": changes.incrementalScope = try scope(member)
        default: refuseUnknown(member.key)
        }
    }

    private func bool(_ member: JSONMember) throws(Malformed) -> Bool {
        try Values.bool(member.value, at: "/parameters/options/\(member.key)")
    }

    private mutating func minutes(_ member: JSONMember, upTo most: Int) throws(Malformed) -> Int {
        try number(member, upTo: most, "minutes")
    }

    private mutating func number(
        _ member: JSONMember, upTo most: Int, _ unit: String
    ) throws(Malformed) -> Int {
        let pointer = "/parameters/options/\(member.key)"
        let value = try Values.integer(member.value, at: pointer)
        if !(0...most).contains(value) {
            refusals.append(
                Refusal(
                    .optionOutOfRange, "\(member.key) is \(value); it may be 0 to \(most) \(unit).",
                    subject: pointer, remedy: "Give a value from 0 to \(most)."))
        }
        return value
    }

    private mutating func scope(_ member: JSONMember) throws(Malformed) -> IncrementalScope? {
        let pointer = "/parameters/options/\(member.key)"
        let text = try Values.text(member.value, at: pointer)
        let scope = IncrementalScope(rawValue: text)
        if scope == nil {
            let known = IncrementalScope.allCases.map(\.rawValue).joined(separator: " or ")
            refusals.append(
                Refusal(
                    .optionOutOfRange, "\(member.key) is \(text.quoted); it may be \(known).",
                    subject: pointer, remedy: "Give \(known)."))
        }
        return scope
    }

    private mutating func refuseUnknown(_ name: String) {
        let known = SessionType.allCases.map { type in
            "of a \(type.rawValue) session "
                + OptionChanges.names(of: type).joined(separator: ", ")
        }
        refusals.append(
            Refusal(
                .unknownOption, "No session has an option \(name.quoted).",
                subject: "/parameters/options" + JSONPointer.token(name),
                remedy: "Leave it out; the options are \(known.joined(separator: "; "))."))
    }
}
