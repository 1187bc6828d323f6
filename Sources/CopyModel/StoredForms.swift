// How names are kept in the store: as the text that people read. A stored text that no longer has the
// contract's form is a damaged store and is reported as such.

/// A value that is stored as its text.
public protocol StoredAsText: Codable {
    /// The text to store.
    var storedText: String { get }
    /// Reads a stored text; nil if it is damaged.
    init?(storedText: String)
}

extension StoredAsText {
    /// Decodes the text form; throws `DecodingError.dataCorrupted` where it is damaged.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let value = Self(storedText: text) else {
            throw DecodingError.dataCorruptedError(
                in: container, debugDescription: "'\(text)' is not a stored \(Self.self)")
        }
        self = value
    }

    /// Encodes the text form.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(storedText)
    }
}

extension SubjectName: StoredAsText {
    /// The name.
    public var storedText: String { text }
    /// Reads a name, the reserved one included.
    public init?(storedText: String) { self.init(stored: storedText) }
}

extension VolumeID: StoredAsText {
    /// `box1:0100`.
    public var storedText: String { description }
    /// Reads `box1:0100`.
    public init?(storedText: String) { self.init(storedText) }
}

extension LocalVolumeID: StoredAsText {
    /// Four digits.
    public var storedText: String { text }
    /// Reads four digits.
    public init?(storedText: String) { self.init(storedText) }
}

extension CommandID: StoredAsText {
    /// The key.
    public var storedText: String { text }
    /// Reads a key.
    public init?(storedText: String) { self.init(storedText) }
}

extension BackupID: StoredAsText {
    /// Decimal seconds.
    public var storedText: String { description }
    /// Reads decimal seconds.
    public init?(storedText: String) { self.init(storedText) }
}

extension PointTag: StoredAsText {
    /// `payroll/1795226400`.
    public var storedText: String { description }
    /// Reads `payroll/1795226400`.
    public init?(storedText: String) { self.init(storedText) }
}
