// The names by which the field calls things. Each is valid by construction: a value of one of these
// types has passed the contract's rule for it, so nothing below has to check again.

/// The name of a session or of a storage system: `[A-Za-z0-9][A-Za-z0-9_-]{0,63}`.
///
/// Commands are routed by it, events are numbered by it, and one lane runs everything that it names.
public struct SubjectName: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// The name as written.
    public let text: String

    /// Accepts `text` if it has the contract's form; nil otherwise.
    public init?(_ text: String) {
        let bytes = text.utf8
        guard (1...64).contains(bytes.count), let first = bytes.first, first.isAlphanumeric,
            bytes.allSatisfy({
                $0.isAlphanumeric || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: "-")
            })
        else { return nil }
        self.text = text
    }

    private init(reserved: String) { self.text = reserved }

    /// The subject `_` of messages that name no session: no session can have this name.
    public static let unattributed = SubjectName(reserved: "_")

    /// Reads a stored subject, which may be the reserved one.
    public init?(stored text: String) {
        if text == Self.unattributed.text { self = .unattributed } else { self.init(text) }
    }

    /// The name as written.
    public var description: String { text }

    /// Orders by bytes, as the listings do.
    public static func < (left: SubjectName, right: SubjectName) -> Bool { left.text < right.text }
}

/// A volume of a storage system, written `box1:0100`.
///
/// The local part is four hexadecimal digits: two for the logical subsystem, two for the volume in it.
public struct VolumeID: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// The storage system.
    public let storage: SubjectName
    /// Logical subsystem and volume: four lower-case hexadecimal digits.
    public let local: LocalVolumeID

    /// Names a volume of a storage system.
    public init(storage: SubjectName, local: LocalVolumeID) {
        self.storage = storage
        self.local = local
    }

    /// Reads `box1:0100`; nil if it has another form.
    public init?(_ text: String) {
        guard let colon = text.firstIndex(of: ":"),
            let storage = SubjectName(String(text[..<colon])),
            let local = LocalVolumeID(String(text[text.index(after: colon)...]))
        else { return nil }
        self.init(storage: storage, local: local)
    }

    /// `box1:0100`.
    public var description: String { "\(storage.text):\(local.text)" }

    /// Orders by storage system, then by number.
    public static func < (left: VolumeID, right: VolumeID) -> Bool {
        (left.storage, left.local) < (right.storage, right.local)
    }
}

/// A volume's number inside its storage system: four hexadecimal digits, stored in lower case.
public struct LocalVolumeID: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// Four lower-case hexadecimal digits.
    public let text: String

    /// Accepts four hexadecimal digits of either case; nil otherwise.
    public init?(_ text: String) {
        guard text.utf8.count == 4, text.utf8.allSatisfy({ $0.isHexDigit }) else { return nil }
        self.text = text.lowercased()
    }

    /// The four digits.
    public var description: String { text }

    /// Orders by number.
    public static func < (left: LocalVolumeID, right: LocalVolumeID) -> Bool {
        left.text < right.text
    }
}

/// The idempotency key of a command: 1 to 128 characters of printable ASCII.
public struct CommandID: Hashable, Sendable, CustomStringConvertible {
    /// The key as written.
    public let text: String

    /// Accepts 1 to 128 characters between `!` and `~` or space; nil otherwise.
    public init?(_ text: String) {
        let bytes = text.utf8
        guard (1...128).contains(bytes.count), bytes.allSatisfy({ (0x20...0x7E).contains($0) })
        else { return nil }
        self.text = text
    }

    /// The key as written.
    public var description: String { text }
}

/// A backup of a session: whole seconds since 1970, unique and rising in the session.
public struct BackupID: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// Seconds since 1970.
    public let seconds: UInt64

    /// Names a backup by its second.
    public init(seconds: UInt64) { self.seconds = seconds }

    /// Reads a decimal number without sign or leading zeros; nil otherwise.
    public init?(_ text: String) {
        guard let value = UInt64(text), String(value) == text else { return nil }
        self.seconds = value
    }

    /// The decimal seconds.
    public var description: String { String(seconds) }

    /// The instant the id was derived from, for people: exact to the second.
    public var time: Timestamp { Timestamp(milliseconds: Int64(seconds) * 1000) }

    /// Orders by time.
    public static func < (left: BackupID, right: BackupID) -> Bool { left.seconds < right.seconds }
}

/// What a point on the storage is called: the session that took it, and the backup.
///
/// The storage keeps it with the point as text (`payroll/1795226400`), so that backups can be found
/// again when nothing else is left.
public struct PointTag: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// The session that took the point.
    public let session: SubjectName
    /// The backup it belongs to.
    public let backup: BackupID

    /// Names the points of one backup of one session.
    public init(session: SubjectName, backup: BackupID) {
        self.session = session
        self.backup = backup
    }

    /// Reads `payroll/1795226400`; nil if it has another form.
    public init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let session = SubjectName(String(parts[0])),
            let backup = BackupID(String(parts[1]))
        else { return nil }
        self.init(session: session, backup: backup)
    }

    /// `payroll/1795226400`.
    public var description: String { "\(session.text)/\(backup)" }

    /// Orders by backup, then by session.
    public static func < (left: PointTag, right: PointTag) -> Bool {
        (left.backup, left.session) < (right.backup, right.session)
    }
}

extension UInt8 {
    var isDigit: Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(self) }
    var isAlphanumeric: Bool {
        isDigit || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(self)
            || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(self)
    }
    var isHexDigit: Bool {
        isDigit || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(self)
            || (UInt8(ascii: "A")...UInt8(ascii: "F")).contains(self)
    }
}
