import CopyModel

/// The single values of commands, each with its form and bounds.
///
/// Pointers are made only for a fault.
enum Values {
    /// Entries that one list of a command may have.
    static let longestList = 20_000
    /// Scalars that a description may have.
    static let longestDescription = 1024
    static let smallestVolume = Capacity(bytes: 4096)
    static let largestVolume = Capacity(bytes: 1 << 47)
    static let multipliers = 0...10_000
    /// MiB a second that a background copy can be limited to.
    static let largestRate = 1_000_000
    /// Seconds since 1970 that stay below the year 33,658, so that times can be made of them.
    static let largestBackupID: UInt64 = 999_999_999_999

    static func text(_ node: JSONNode, at pointer: @autoclosure () -> String) throws(Malformed)
        -> String
    {
        guard case .string(let text) = node else {
            throw Malformed(pointer(), "A string is due here, not \(node.kind).")
        }
        return text
    }

    static func bool(_ node: JSONNode, at pointer: @autoclosure () -> String) throws(Malformed)
        -> Bool
    {
        guard case .bool(let value) = node else {
            throw Malformed(pointer(), "true or false is due here, not \(node.kind).")
        }
        return value
    }

    static func integer(_ node: JSONNode, at pointer: @autoclosure () -> String) throws(Malformed)
        -> Int
    {
        guard case .integer(let value) = node else {
            throw Malformed(pointer(), "A whole number is due here, not \(node.kind).")
        }
        return Int(value)
    }

    static func list(
        _ node: JSONNode, at pointer: @autoclosure () -> String
    ) throws(Malformed) -> [JSONNode] {
        guard case .array(let items) = node else {
            throw Malformed(pointer(), "An array is due here, not \(node.kind).")
        }
        guard !items.isEmpty else {
            throw Malformed(pointer(), "The list is empty.", lackingIn: pointer())
        }
        guard items.count <= longestList else {
            throw Malformed(
                "\(pointer())/\(longestList)", "The list has more than \(longestList) entries.")
        }
        return items
    }

    static func object(
        _ node: JSONNode, at pointer: @autoclosure () -> String
    ) throws(Malformed) -> [JSONMember] {
        guard case .object(let members) = node else {
            throw Malformed(pointer(), "An object is due here, not \(node.kind).")
        }
        return members
    }

    static func subject(
        _ node: JSONNode, at pointer: @autoclosure () -> String
    ) throws(Malformed) -> SubjectName {
        guard let name = SubjectName(try text(node, at: pointer())) else {
            throw Malformed(
                pointer(),
                "A name is a letter or digit, then up to 63 letters, digits, _ or -."
            )
        }
        return name
    }

    static func time(
        _ node: JSONNode, at pointer: @autoclosure () -> String
    ) throws(Malformed) -> Timestamp {
        guard let time = Timestamp(rfc3339: try text(node, at: pointer())) else {
            throw Malformed(
                pointer(), "A time is written as RFC 3339 says, like 2026-11-21T02:00:00Z.")
        }
        return time
    }

    static func description(
        _ node: JSONNode, at pointer: @autoclosure () -> String
    ) throws(Malformed) -> String {
        let text = try text(node, at: pointer())
        guard text.unicodeScalars.count <= longestDescription else {
            throw Malformed(
                pointer(), "A description has at most \(longestDescription) characters.")
        }
        guard !text.unicodeScalars.contains(where: \.isControl) else {
            throw Malformed(pointer(), "A description has no control characters.")
        }
        return text
    }

    static func volume(
        _ node: JSONNode, at pointer: @autoclosure () -> String
    ) throws(Malformed) -> VolumeID {
        guard let volume = VolumeID(try text(node, at: pointer())) else {
            throw Malformed(
                pointer(),
                "A volume is a storage system and four hexadecimal digits, like box1:0100.")
        }
        return volume
    }

    static func localVolume(
        _ node: JSONNode, at pointer: @autoclosure () -> String
    ) throws(Malformed) -> LocalVolumeID {
        guard let volume = LocalVolumeID(try text(node, at: pointer())) else {
            throw Malformed(pointer(), "A volume's id is four hexadecimal digits, like 0100.")
        }
        return volume
    }

    static func capacity(
        _ node: JSONNode, at pointer: @autoclosure () -> String
    ) throws(Malformed) -> Capacity {
        guard let capacity = Capacity(try text(node, at: pointer())) else {
            throw Malformed(
                pointer(), "A capacity is a whole number with B, KiB, MiB, GiB or TiB, like 10GiB.")
        }
        guard (smallestVolume...largestVolume).contains(capacity), capacity.bytes % 512 == 0 else {
            throw Malformed(
                pointer(),
                "A volume has \(smallestVolume) to \(largestVolume), in whole blocks of 512 bytes.")
        }
        return capacity
    }

    static func multiplier(
        _ node: JSONNode, at pointer: @autoclosure () -> String
    ) throws(Malformed) -> Int {
        let value = try integer(node, at: pointer())
        guard multipliers.contains(value) else {
            throw Malformed(
                pointer(), "A multiplier is \(multipliers.lowerBound) to \(multipliers.upperBound)."
            )
        }
        return value
    }

    static func rate(
        _ node: JSONNode, at pointer: @autoclosure () -> String
    ) throws(Malformed) -> Int {
        let value = try integer(node, at: pointer())
        guard (0...largestRate).contains(value) else {
            throw Malformed(pointer(), "A rate is 0 to \(largestRate) MiB a second; 0 is no limit.")
        }
        return value
    }

    static func backup(
        _ node: JSONNode, at pointer: @autoclosure () -> String
    ) throws(Malformed) -> BackupID {
        guard let id = BackupID(try text(node, at: pointer())), id.seconds <= largestBackupID else {
            throw Malformed(
                pointer(), "A backup id is seconds since 1970 in decimal, like 1795226400.")
        }
        return id
    }
}
