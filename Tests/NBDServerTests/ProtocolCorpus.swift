@testable import NBDServer

/// A stream that no client should send, and what the protocol's text (doc/proto.md of the NBD project)
/// asks of the server that gets it.
struct CorpusEntry: Sendable {
    /// Where in a session the bytes come.
    enum Phase: Sendable {
        /// In place of the client's flags.
        case flags
        /// Among the options.
        case options
        /// Among the options, structured replies having been agreed.
        case contexts
        /// Requests, structured replies and `base:allocation` having been agreed.
        case requests
        /// Requests of a client that has agreed to neither.
        case plainRequests
        /// Requests to an export that is read-only.
        case readOnly
    }

    enum Demand: Sendable {
        /// The server drops the connection.
        case closed
        /// The bytes do not end the option or request: the server waits for the rest.
        case waits
        /// The last reply to the option is one of these.
        case reply([OptionReply])
        /// The request fails with one of these, and the next one is understood.
        case error([WireError])
        /// The request succeeds, and the next one is understood.
        case success
    }

    let name: String
    let phase: Phase
    let bytes: [UInt8]
    let demand: Demand
    /// What the text says.
    let rule: String

    init(
        _ name: String, _ phase: Phase, _ bytes: [UInt8], _ demand: Demand, _ rule: String
    ) {
        self.name = name
        self.phase = phase
        self.bytes = bytes
        self.demand = demand
        self.rule = rule
    }

    static let all: [CorpusEntry] = [
        handshake, options, information(.go), information(.inform), contexts, ignoredFlags,
        wrongFlags, unknownFlags, unknownCommands, plain, wrongRanges, emptyRanges, longRanges,
        payloads, readOnly,
    ].flatMap { $0 }

    static let still = "box1:still"
    private static let disk = LiveServer.disk
    private static let end: UInt64 = 1 << 20

    // MARK: The handshake

    private static let unknownFlag = "drop the connection if the client sets an unknown flag"
    private static let mayCut = "a denial of service, or no protocol: a hard disconnect"

    static let handshake: [CorpusEntry] = [
        CorpusEntry(
            "flag 2, which is not defined", .flags, Message.flags(4), .closed, unknownFlag),
        CorpusEntry(
            "flag 31 beside the two that are", .flags, Message.flags(0x8000_0003), .closed,
            unknownFlag),
        CorpusEntry(
            "the flags in the other byte order", .flags, [3, 0, 0, 0], .closed, unknownFlag),
        CorpusEntry(
            "three bytes of flags", .flags, [0, 0, 0], .waits, "the flags are 32 bits"),
        CorpusEntry(
            "the server's own greeting", .flags, Negotiation.greeting, .closed, unknownFlag),
        CorpusEntry(
            "an option magic that is off by one", .options,
            Message.integer(Magic.option + 1) + Message.integer(UInt32(3))
                + Message.integer(UInt32(0)), .closed, mayCut),
        CorpusEntry(
            "the magic of a reply for that of an option", .options,
            Message.integer(Magic.optionReply) + Message.integer(UInt32(3))
                + Message.integer(UInt32(0)), .closed, mayCut),
        CorpusEntry(
            "a request instead of an option", .options, Message.request(.flush), .closed, mayCut),
    ]

    private static let lengths = "a syntactically invalid option fails with ERR_INVALID"
    private static let unsupported = "an option that is not known: ERR_UNSUP"

    static let options: [CorpusEntry] =
        [
            CorpusEntry(
                "an option of 2 GiB", .options, Message.option(3, length: 1 << 31), .closed, mayCut),
            CorpusEntry(
                "an option that is one byte longer than any that is skipped", .options,
                Message.option(99, length: UInt32(Size.longestSkippedOption + 1)), .closed, mayCut),
            CorpusEntry(
                "EXPORT_NAME of 4 GiB", .options, Message.option(1, length: .max), .closed, mayCut),
            CorpusEntry(
                "EXPORT_NAME of nothing", .options, Message.option(.exportName), .closed,
                "an unknown export: the session is terminated"),
            CorpusEntry(
                "15 bytes of an option", .options, Array(Message.option(.list).prefix(15)), .waits,
                "a header is 16 bytes"),
            CorpusEntry(
                "GO without the last byte of its data", .options,
                Array(Message.go(disk).dropLast()), .waits, "the data is as long as the header says"
            ),
            CorpusEntry(
                "an unknown option whose data does not all come", .options,
                Message.option(99, [UInt8](repeating: 7, count: 10), length: 1000),
                .reply([.unsupported]), unsupported),
            CorpusEntry(
                "option 0xFFFFFFFF", .options, Message.option(.max), .reply([.unsupported]),
                unsupported),
            CorpusEntry(
                "an option of an extension that is not supported", .options, Message.option(11),
                .reply([.unsupported]), unsupported),
            CorpusEntry(
                "ABORT with data", .options, Message.option(.abort, [1, 2, 3]),
                .reply([.acknowledge, .invalid]), "no data; the session ends"),
            CorpusEntry(
                "STARTTLS with data", .options, Message.option(.startTLS, Array("tls".utf8)),
                .reply([.invalid]), "data with STARTTLS: ERR_INVALID"),
            CorpusEntry(
                "LIST with data", .options, Message.option(.list, [0]), .reply([.invalid]),
                "data with LIST: ERR_INVALID"),
            CorpusEntry(
                "STRUCTURED_REPLY with data", .options, Message.option(.structuredReply, [0, 0]),
                .reply([.invalid]), "data with STRUCTURED_REPLY: ERR_INVALID"),
            CorpusEntry(
                "a flood of options", .options,
                (0..<2000).flatMap { _ in Message.option(.list) }, .closed, mayCut),
        ]

    private static func information(_ option: OptionCode) -> [CorpusEntry] {
        [
            CorpusEntry(
                "\(option) of 3 bytes", .options, Message.option(option, [0, 0, 0]),
                .reply([.invalid]), lengths),
            CorpusEntry(
                "\(option) with a name of 2^31 bytes", .options,
                Message.option(option, Message.integer(UInt32(1) << 31) + [0, 0]),
                .reply([.invalid]), lengths),
            CorpusEntry(
                "\(option) with a name one byte longer than there is", .options,
                Message.option(
                    option,
                    Message.integer(UInt32(disk.utf8.count + 3)) + Array(disk.utf8) + [0, 0]),
                .reply([.invalid]), lengths),
            CorpusEntry(
                "\(option) with a name shorter than there is", .options,
                Message.option(option, Message.integer(UInt32(2)) + Array(disk.utf8) + [0, 0]),
                .reply([.invalid]), lengths),
            CorpusEntry(
                "\(option) without a count", .options,
                Message.option(option, Message.name(disk)), .reply([.invalid]), lengths),
            CorpusEntry(
                "\(option) with half a count", .options,
                Message.option(option, Message.name(disk) + [0]), .reply([.invalid]), lengths),
            CorpusEntry(
                "\(option) that counts one question and has none", .options,
                Message.option(option, Message.name(disk) + [0, 1]), .reply([.invalid]),
                lengths),
            CorpusEntry(
                "\(option) that counts none and has one", .options,
                Message.option(option, Message.name(disk) + [0, 0, 0, 3]), .reply([.invalid]),
                lengths),
            CorpusEntry(
                "\(option) with half a question", .options,
                Message.option(option, Message.name(disk) + [0, 1, 0]), .reply([.invalid]),
                lengths),
            CorpusEntry(
                "\(option) with 65535 questions and 10", .options,
                Message.option(
                    option,
                    Message.name(disk) + [0xFF, 0xFF] + [UInt8](repeating: 0, count: 20)),
                .reply([.invalid]), lengths),
            CorpusEntry(
                "\(option) with 10,000 questions that nobody knows", .options,
                Message.option(
                    option, Message.information(disk, [UInt16](repeating: 999, count: 10_000))),
                .reply([.acknowledge]), "questions that are not known are ignored"),
            CorpusEntry(
                "\(option) of a name with a zero byte", .options,
                Message.option(option, Message.information("box1\u{0}0100")),
                .reply([.invalid, .unknown]), "strings contain no NUL"),
        ]
    }

    // MARK: Contexts

    private static func set(_ data: [UInt8]) -> [UInt8] { Message.option(.setMetaContext, data) }
    private static func list(_ data: [UInt8]) -> [UInt8] { Message.option(.listMetaContext, data) }

    static let contexts: [CorpusEntry] = [
        CorpusEntry(
            "contexts before structured replies", .options, set(Message.contexts(disk, [])),
            .reply([.invalid]), "structured replies have to be negotiated first"),
        CorpusEntry("no data", .contexts, set([]), .reply([.invalid]), lengths),
        CorpusEntry(
            "no number of queries", .contexts, set(Message.name(disk)), .reply([.invalid]), lengths),
        CorpusEntry(
            "one query more than there is", .contexts,
            set(
                Message.name(disk) + Message.integer(UInt32(2)) + Message.name("base:allocation")),
            .reply([.invalid]), lengths),
        CorpusEntry(
            "one query fewer than there is", .contexts,
            set(Message.contexts(disk, ["base:allocation"]) + Message.name("base:allocation")),
            .reply([.invalid]), lengths),
        CorpusEntry(
            "a query that reaches beyond the option", .contexts,
            list(
                Message.name(disk) + Message.integer(UInt32(1)) + Message.integer(UInt32(16))
                    + Array("base:allocation".utf8)), .reply([.invalid]), lengths),
        CorpusEntry(
            "a query of 4 GiB", .contexts,
            list(
                Message.name(disk) + Message.integer(UInt32(1)) + Message.integer(UInt32.max)),
            .reply([.invalid]), lengths),
        CorpusEntry(
            "an export name that takes the queries with it", .contexts,
            set(
                Message.integer(UInt32(disk.utf8.count + 4)) + Array(disk.utf8)
                    + Message.integer(UInt32(0))), .reply([.invalid]), lengths),
        CorpusEntry(
            "a query without a colon", .contexts, set(Message.contexts(disk, ["allocation"])),
            .reply([.acknowledge, .invalid]), "semantically invalid: may be ERR_INVALID"),
        CorpusEntry(
            "an empty query", .contexts, set(Message.contexts(disk, [""])),
            .reply([.acknowledge, .invalid]), "semantically invalid: may be ERR_INVALID"),
        CorpusEntry(
            "a wildcard to be set", .contexts, set(Message.contexts(disk, ["base:"])),
            .reply([.acknowledge, .invalid]), "selects no single context: may be ignored"),
        CorpusEntry(
            "a namespace that nobody knows", .contexts,
            set(Message.contexts(disk, ["x-nobody:knows"])), .reply([.acknowledge]),
            "unknown namespaces are ignored"),
        CorpusEntry(
            "a query that is not text", .contexts,
            set(
                Message.name(disk) + Message.integer(UInt32(1)) + Message.integer(UInt32(2))
                    + [0xC3, 0x28]), .reply([.acknowledge, .invalid]), "strings are UTF-8"),
        CorpusEntry(
            "5,000 queries", .contexts,
            set(Message.contexts(disk, [String](repeating: "base:allo", count: 5000))),
            .reply([.acknowledge, .tooBig]), "too many contexts: may be ERR_TOO_BIG"),
        CorpusEntry(
            "contexts of an unknown export", .contexts, list(Message.contexts("nobody", [])),
            .reply([.unknown]), "an unknown export: ERR_UNKNOWN"),
    ]

    // MARK: Requests

    private static let ignored = "the server accepts every command with FUA, even by ignoring it"
    private static let noSuchFlag = "a flag that is not applicable to the request: EINVAL"

    private static func length(_ code: CommandCode) -> UInt32 { code == .flush ? 0 : 512 }

    static let ignoredFlags: [CorpusEntry] = [
        CommandCode.read, .flush, .cache, .trim, .blockStatus,
    ]
    .map { code in
        CorpusEntry(
            "FUA on \(code)", .requests,
            Message.request(code, flags: .forceUnitAccess, length: length(code)), .success,
            ignored)
    }

    private static let notApplicable: [(CommandCode, CommandFlags)] = [
        (.read, .noHole), (.read, .requestOne), (.read, .fastZero), (.flush, .noHole),
        (.flush, .dontFragment), (.trim, .noHole), (.trim, .fastZero), (.cache, .dontFragment),
        (.writeZeroes, .dontFragment), (.writeZeroes, .requestOne), (.blockStatus, .dontFragment),
        (.blockStatus, .noHole),
    ]

    static let wrongFlags: [CorpusEntry] = notApplicable.map { code, flag in
        CorpusEntry(
            "flag \(flag.rawValue) on \(code)", .requests,
            Message.request(code, flags: flag, length: length(code)), .error([.invalid]),
            noSuchFlag)
    }

    static let unknownFlags: [CorpusEntry] = (5..<16).map { bit in
        CorpusEntry(
            "flag bit \(bit)", .requests,
            Message.request(CommandCode.read.rawValue, flags: 1 << UInt16(bit), length: 512),
            .error([.invalid]), "an unknown command flag: EINVAL")
    }

    private static let codes: [UInt16] = [8, 9, 255, 0x8000, 0xFFFF]

    static let unknownCommands: [CorpusEntry] = codes.map { code in
        CorpusEntry(
            "command \(code)", .requests, Message.request(code, length: 512), .error([.invalid]),
            "an unknown command: EINVAL")
    }

    static let plain: [CorpusEntry] = [
        CorpusEntry(
            "DF without structured replies", .plainRequests,
            Message.request(.read, flags: .dontFragment, length: 512), .error([.invalid]),
            "DF only where SEND_DF was advertised"),
        CorpusEntry(
            "a status without structured replies", .plainRequests,
            Message.request(.blockStatus, length: 512), .error([.invalid]),
            "no context was selected: EINVAL"),
    ]

    private static let beyond = "beyond the size of the device: ENOSPC of a write, EINVAL of others"

    private static let errors: [(CommandCode, WireError)] = [
        (.read, .invalid), (.trim, .invalid), (.writeZeroes, .noSpace), (.blockStatus, .invalid),
        (.cache, .invalid),
    ]

    private static let places: [(String, UInt64, UInt32)] = [
        ("of one byte too many", end - 511, 512), ("at the end", end, 1),
        ("whose end overflows", .max - 255, 512), ("at 2^63", 1 << 63, 1),
    ]

    static let wrongRanges: [CorpusEntry] = errors.flatMap { code, error in
        places.map { place, offset, length in
            CorpusEntry(
                "\(code) \(place)", .requests,
                Message.request(code, offset: offset, length: length), .error([error]), beyond)
        }
    }

    static let emptyRanges: [CorpusEntry] = [
        CommandCode.read, .write, .trim, .writeZeroes, .cache,
    ].map { code in
        CorpusEntry(
            "\(code) of nothing", .requests, Message.request(code), .success,
            "unspecified, but the server should not disconnect")
    }

    private static let tooLong = "larger than the maximum: EOVERFLOW or EINVAL"

    static let longRanges: [CorpusEntry] = [
        CorpusEntry(
            "a read of 32 MiB and one byte", .requests,
            Message.request(.read, length: UInt32(Size.largestPayload + 1)),
            .error([.overflow, .invalid]), tooLong),
        CorpusEntry(
            "a read of 32 MiB and one byte", .plainRequests,
            Message.request(.read, length: UInt32(Size.largestPayload + 1)),
            .error([.overflow, .invalid]), tooLong),
        CorpusEntry(
            "a status of nothing", .requests, Message.request(.blockStatus), .error([.invalid]),
            "unspecified, but the server should not disconnect"),
    ]

    static let payloads: [CorpusEntry] = [
        CorpusEntry(
            "a request magic that is off by one", .requests,
            Message.integer(Magic.request + 1) + [UInt8](repeating: 0, count: 24), .closed, mayCut),
        CorpusEntry(
            "the magic of a reply", .requests,
            Message.integer(Magic.simpleReply) + [UInt8](repeating: 0, count: 24), .closed, mayCut),
        CorpusEntry(
            "an option instead of a request", .requests, Message.go(disk), .closed, mayCut),
        CorpusEntry(
            "27 bytes of a request", .requests,
            Array(Message.request(.read, length: 512).dropLast()), .waits, "a header is 28 bytes"),
        CorpusEntry(
            "a write without the last byte of its payload", .requests,
            Array(Message.write([UInt8](repeating: 9, count: 4096), at: 0).dropLast()), .waits,
            "the payload is as long as the header says"),
        CorpusEntry(
            "a write of one byte too many", .requests,
            Message.write([UInt8](repeating: 9, count: 512), at: end - 511), .error([.noSpace]),
            beyond),
        CorpusEntry(
            "a write whose end overflows", .requests,
            Message.write([UInt8](repeating: 9, count: 512), at: .max - 255), .error([.noSpace]),
            beyond),
        CorpusEntry(
            "a write with a flag of reads", .requests,
            Message.request(
                .write, flags: .dontFragment, length: 65_536,
                payload: [UInt8](repeating: 9, count: 65_536)), .error([.invalid]), noSuchFlag),
        CorpusEntry(
            "a write of 4 GiB", .requests, Message.request(.write, length: .max), .closed, mayCut),
        CorpusEntry(
            "a disconnect with flags and a length", .requests,
            Message.request(.disconnect, flags: .forceUnitAccess, offset: 7, length: 9), .closed,
            "the server closes; offset and length say nothing"),
        CorpusEntry(
            "a disconnect before the replies are read", .requests,
            (0..<20).flatMap { Message.request(.read, cookie: $0, length: 65_536) }
                + Message.request(.disconnect), .closed,
            "outstanding requests are handled, then the session is closed"),
    ]

    static let readOnly: [CorpusEntry] = [
        CorpusEntry(
            "a write to a read-only export", .readOnly,
            Message.write([UInt8](repeating: 9, count: 65_536), at: 0), .error([.notPermitted]),
            "a write to a read-only export: EPERM"),
        CorpusEntry(
            "a trim of a read-only export", .readOnly, Message.request(.trim, length: 4096),
            .error([.notPermitted]), "a trim of a read-only export: EPERM"),
        CorpusEntry(
            "zeroes to a read-only export", .readOnly,
            Message.request(.writeZeroes, length: 4096), .error([.notPermitted]),
            "a write to a read-only export: EPERM"),
    ]
}
