// The numbers of the protocol, as the NBD project's doc/proto.md defines them. All integers on the
// wire are big-endian.

enum Magic {
    static let greeting: UInt64 = 0x4e42_444d_4147_4943
    static let option: UInt64 = 0x4948_4156_454f_5054
    static let optionReply: UInt64 = 0x0003_e889_0455_65a9
    static let request: UInt32 = 0x2560_9513
    static let simpleReply: UInt32 = 0x6744_6698
    static let structuredReply: UInt32 = 0x668e_33ef
}

/// Sizes that the protocol or this server fixes, in bytes.
enum Size {
    static let optionHeader = 16
    static let requestHeader = 28
    /// The protocol's bound on every string.
    static let longestString = 4096
    /// The longest option that is read into memory.
    static let longestOption = 64 * 1024
    /// A longer option than `longestOption` is skipped up to this length, and closed beyond it.
    static let longestSkippedOption = 1024 * 1024
    /// What the protocol asks every server to take in one write, and allow in one read.
    static let largestPayload = 32 * 1024 * 1024
    /// A larger write than `largestPayload` is skipped up to this length, and closed beyond it.
    static let largestSkippedPayload = 128 * 1024 * 1024
    static let minimumBlock: UInt32 = 1
    static let preferredBlock: UInt32 = 4096
}

struct HandshakeFlags: OptionSet {
    let rawValue: UInt32
    static let fixedNewstyle = HandshakeFlags(rawValue: 1)
    static let noZeroes = HandshakeFlags(rawValue: 2)
}

struct TransmissionFlags: OptionSet {
    let rawValue: UInt16
    static let hasFlags = TransmissionFlags(rawValue: 1 << 0)
    static let readOnly = TransmissionFlags(rawValue: 1 << 1)
    static let sendFlush = TransmissionFlags(rawValue: 1 << 2)
    static let sendForceUnitAccess = TransmissionFlags(rawValue: 1 << 3)
    static let sendTrim = TransmissionFlags(rawValue: 1 << 5)
    static let sendWriteZeroes = TransmissionFlags(rawValue: 1 << 6)
    static let sendDontFragment = TransmissionFlags(rawValue: 1 << 7)
    static let canMultiConnect = TransmissionFlags(rawValue: 1 << 8)
    static let sendCache = TransmissionFlags(rawValue: 1 << 10)
    static let sendFastZero = TransmissionFlags(rawValue: 1 << 11)
}

enum OptionCode: UInt32 {
    case exportName = 1
    case abort = 2
    case list = 3
    case startTLS = 5
    case inform = 6
    case go = 7
    case structuredReply = 8
    case listMetaContext = 9
    case setMetaContext = 10
}

enum OptionReply: UInt32 {
    case acknowledge = 1
    case server = 2
    case information = 3
    case metaContext = 4
    case unsupported = 0x8000_0001
    case policy = 0x8000_0002
    case invalid = 0x8000_0003
    case securityRequired = 0x8000_0005
    case unknown = 0x8000_0006
    case tooBig = 0x8000_0009
}

/// What a client may ask to be told with INFO and GO.
struct Wanted: OptionSet, Equatable {
    let rawValue: UInt8
    static let name = Wanted(rawValue: 1)
    static let description = Wanted(rawValue: 2)
    static let blockSize = Wanted(rawValue: 4)

    init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Nothing for a code that is not known: such questions are to be ignored.
    init(code: UInt16) {
        switch code {
        case 1: self = .name
        case 2: self = .description
        case 3: self = .blockSize
        default: self = []
        }
    }
}

enum CommandCode: UInt16 {
    case read = 0
    case write = 1
    case disconnect = 2
    case flush = 3
    case trim = 4
    case cache = 5
    case writeZeroes = 6
    case blockStatus = 7
}

struct CommandFlags: OptionSet {
    let rawValue: UInt16
    static let forceUnitAccess = CommandFlags(rawValue: 1 << 0)
    static let noHole = CommandFlags(rawValue: 1 << 1)
    static let dontFragment = CommandFlags(rawValue: 1 << 2)
    static let requestOne = CommandFlags(rawValue: 1 << 3)
    static let fastZero = CommandFlags(rawValue: 1 << 4)
}

enum ChunkType: UInt16 {
    case none = 0
    case offsetData = 1
    case blockStatus = 5
    case error = 0x8001
}

enum WireError: UInt32 {
    case notPermitted = 1
    case inputOutput = 5
    case noMemory = 12
    case invalid = 22
    case noSpace = 28
    case overflow = 75
    case notSupported = 95
    case shutdown = 108
}

/// What BLOCK_STATUS can tell of a range.
enum MetaContext: Equatable, Sendable {
    /// Data and holes.
    case allocation
    /// What has changed since a backup, by the backup's id.
    case changedSince(String)

    static let allocationName = "base:allocation"
    static let changePrefix = "stillpoint:changed-since:"
    /// `base:allocation`: not stored, and reads as zeroes.
    static let holeStatus: UInt32 = 3
    /// `stillpoint:changed-since:…`: may differ.
    static let changedStatus: UInt32 = 1

    /// The name by which clients ask for it.
    var name: String {
        switch self {
        case .allocation: Self.allocationName
        case .changedSince(let backup): Self.changePrefix + backup
        }
    }
}

/// A context that a client has selected, and the number by which replies name it.
struct SelectedContext: Equatable, Sendable {
    /// More are not selected at once; who asks for more is given the first ones.
    static let most = 8

    let context: MetaContext
    let identifier: UInt32
}
