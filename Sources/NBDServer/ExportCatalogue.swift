// The seam between the protocol and whatever holds the data. The server asks a catalogue for names
// and shapes while it negotiates, opens one export when negotiation ends, and from then on talks to
// that export through a channel that belongs to one connection's thread alone.

/// Where the server learns which exports there are, and opens one of them.
public protocol ExportCatalogue: Sendable {
    /// The names on offer, in the order in which a client is to see them. Any thread.
    func exportNames() -> [String]

    /// What is known of an export without opening it, or nil where there is none of that name.
    ///
    /// Must be cheap: anybody who can connect may ask. Any thread.
    func shape(of name: String) -> ExportShape?

    /// Opens an export for one connection. Any thread.
    func open(_ name: String) throws(ExportRefusal) -> any Export
}

/// What a client is told of an export before it uses it.
public struct ExportShape: Sendable, Equatable {
    /// Bytes.
    public var capacity: UInt64
    /// Whether every write is refused.
    public var isReadOnly: Bool
    /// The unit, in bytes and a power of two, in which ranges can become holes: zeroing whole units
    /// with leave to punch costs less than writing zeroes.
    ///
    /// 0 where there are no holes.
    public var holeSize: UInt32
    /// One line for people.
    public var description: String
    /// The backups against which changes can be asked, as clients name them.
    public var changeBases: [String]

    /// Makes a shape; `capacity` and `holeSize` in bytes.
    public init(
        capacity: UInt64, isReadOnly: Bool, holeSize: UInt32, description: String,
        changeBases: [String] = []
    ) {
        self.capacity = capacity
        self.isReadOnly = isReadOnly
        self.holeSize = holeSize
        self.description = description
        self.changeBases = changeBases
    }
}

/// Why an export cannot be opened.
public enum ExportRefusal: Error, Sendable, Equatable {
    /// There is no export of this name.
    case unknown
    /// There is one, but it cannot be used now; the sentence says why and is shown to the client.
    case unavailable(String)
}

/// An export that a connection has opened.
public protocol Export: Sendable {
    /// The shape as it was when the export was opened.
    var shape: ExportShape { get }

    /// Makes the channel of the calling thread; every other call on it comes from that thread.
    func makeChannel() throws(ExportRefusal) -> any ExportChannel
}

/// One connection's way to the data of its export: used by one thread, never shared.
public protocol ExportChannel: AnyObject {
    /// Performs a batch as it was received, in any order, and returns when all of it is done.
    ///
    /// Every request lies within the export's capacity. For a write, `data` points to the caller's
    /// bytes, at any alignment, during the call. For a read that succeeds the channel sets `data`,
    /// and leaves it valid until the next `perform`. What failed carries its `failure`.
    func perform(_ requests: inout [BlockRequest])

    /// The extents that cover a range from `offset` on, at most `limit` of them.
    ///
    /// They may end before the range does, but there is at least one.
    func allocation(offset: UInt64, length: UInt64, limit: Int) -> [BlockExtent]

    /// The extents that cover a range from `offset` on, at most `limit` of them, by whether they have
    /// changed since a backup that the shape names; nil where that cannot be told any more.
    ///
    /// They may end before the range does, but there is at least one.
    func changes(
        since backup: String, offset: UInt64, length: UInt64, limit: Int
    ) -> [ChangedExtent]?
}

/// One thing that a client asks of an export's data.
public struct BlockRequest {
    /// What is asked.
    public enum Kind: Sendable { case read, write, zero, flush }

    /// What is asked.
    public var kind: Kind
    /// Bytes from the start of the export; 0 for a flush.
    public var offset: UInt64
    /// Bytes; 0 for a flush.
    public var length: Int
    /// Whether the request may be answered only when what it changed is durable.
    public var forceUnitAccess: Bool
    /// Whether a zeroed range may become a hole.
    public var mayPunch: Bool
    /// The bytes to write, or those that were read.
    public var data: UnsafeMutableRawPointer?
    /// Why it failed; nil for success.
    public var failure: BlockFailure?

    /// Makes a request that has not failed yet.
    public init(
        kind: Kind, offset: UInt64, length: Int, forceUnitAccess: Bool = false,
        mayPunch: Bool = false, data: UnsafeMutableRawPointer? = nil
    ) {
        self.kind = kind
        self.offset = offset
        self.length = length
        self.forceUnitAccess = forceUnitAccess
        self.mayPunch = mayPunch
        self.data = data
        self.failure = nil
    }
}

/// Why a request could not be performed.
public enum BlockFailure: Sendable, Equatable {
    /// There is no space left to hold it.
    case noSpace
    /// The medium failed.
    case inputOutput
    /// The export was withdrawn while it was open.
    case gone
    /// The export takes no writes.
    case readOnly
    /// The range reaches beyond the end of the export.
    case outOfRange
}

/// A run of bytes of one allocation status.
public struct BlockExtent: Sendable, Equatable {
    /// Bytes.
    public var length: UInt64
    /// Whether nothing is stored for it, so that it reads as zeroes.
    public var isHole: Bool

    /// Makes an extent; `length` in bytes.
    public init(length: UInt64, isHole: Bool) {
        self.length = length
        self.isHole = isHole
    }
}

/// A run of bytes that have changed since a backup, or have not.
public struct ChangedExtent: Sendable, Equatable {
    /// Bytes.
    public var length: UInt64
    /// Whether they may differ.
    public var isChanged: Bool

    /// Makes an extent; `length` in bytes.
    public init(length: UInt64, isChanged: Bool) {
        self.length = length
        self.isChanged = isChanged
    }
}
