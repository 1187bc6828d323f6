/// The server's side of the fixed newstyle handshake, as a value: it is given what was received and
/// says what to do next.
///
/// It knows no socket and no export; whoever drives it does what the step says.
///
/// ```
///   greeting → clientFlags ──▶ options ◀──┐ reply, refusal, answer
///                                │  │  └──┘
///                                │  └─▶ waiting (for the catalogue) ─▶ options, or
///                                │                                     finished: transmission
///                                └─▶ finished: closed
/// ```
/// An option that is refused is skipped to its end, so that the stream is never out of step.
struct Negotiation {
    /// Whether TLS can be had.
    enum Security: Equatable { case unavailable, offered, required, established }

    /// What the driver does next.
    ///
    /// After every step but `more`, `enter` and `close`, it asks again.
    enum Step: Equatable {
        /// Receive until at least this many bytes are there, then ask again.
        case more(Int)
        /// Send these bytes (possibly none).
        case send([UInt8])
        /// Answer with `listed`.
        case list
        /// Look at the export of this name without opening it, and answer with `looked`.
        case look(String)
        /// Open the export of this name, and answer with `opened`.
        case open(String)
        /// Send these bytes, drop everything that was received, start TLS, answer with `secured`.
        case secure([UInt8])
        /// Send these bytes; from here on requests follow.
        case enter([UInt8], TransmissionTerms)
        /// Send these bytes, and close.
        case close([UInt8], NBDClosing)
    }

    private enum Phase: Equatable {
        case clientFlags
        case options
        case waiting(Question)
        case finished
    }

    /// What the catalogue was asked for, and will be answered with.
    private enum Question: Equatable {
        case names
        case information(String, Wanted)
        case contexts(set: Bool, export: String, ContextQuery)
        case going(String, Wanted)
        case entering(String)
    }

    /// More options than any client needs; beyond it the connection is closed.
    static let mostOptions = 512

    private var phase = Phase.clientFlags
    private var security: Security
    private var client: HandshakeFlags = []
    private var structuredReplies = false
    /// The export for which contexts were selected last, and which.
    private var contextExport: String?
    private var selected: [SelectedContext] = []
    private var optionsSeen = 0
    private var toSkip = 0

    init(security: Security) { self.security = security }

    /// What the server says first.
    static var greeting: [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(bigEndian: Magic.greeting)
        bytes.append(bigEndian: Magic.option)
        let flags: HandshakeFlags = [.fixedNewstyle, .noZeroes]
        bytes.append(bigEndian: UInt16(flags.rawValue))
        return bytes
    }

    // MARK: What was received

    /// Looks at everything received and not yet consumed.
    ///
    /// `consumed` bytes are done with.
    mutating func next(_ input: UnsafeRawBufferPointer) -> (consumed: Int, step: Step) {
        if toSkip > 0 {
            let now = min(toSkip, input.count)
            toSkip -= now
            return (now, now == 0 ? .more(1) : .send([]))
        }
        switch phase {
        case .clientFlags: return clientFlags(input)
        case .options: return option(input)
        case .waiting, .finished: return (0, .close([], .protocolViolation))
        }
    }

    private mutating func clientFlags(
        _ input: UnsafeRawBufferPointer
    ) -> (consumed: Int, step: Step) {
        guard input.count >= 4 else { return (0, .more(4)) }
        client = HandshakeFlags(rawValue: input.bigEndian(at: 0))
        guard client.isSubset(of: [.fixedNewstyle, .noZeroes]) else {
            return (4, finish(.protocolViolation))
        }
        phase = .options
        return (4, .send([]))
    }

    private mutating func option(_ input: UnsafeRawBufferPointer) -> (consumed: Int, step: Step) {
        guard input.count >= Size.optionHeader else { return (0, .more(Size.optionHeader)) }
        guard input.bigEndian(at: 0) == Magic.option else {
            return (Size.optionHeader, finish(.protocolViolation))
        }
        let code = input.bigEndian(at: 8, as: UInt32.self)
        let length = Int(input.bigEndian(at: 12, as: UInt32.self))
        optionsSeen += 1
        guard optionsSeen <= Self.mostOptions else {
            return (Size.optionHeader, finish(.protocolViolation))
        }
        if let refusal = refusal(of: code, length: length) {
            toSkip = length
            return (Size.optionHeader, refusal)
        }
        let whole = Size.optionHeader + length
        guard input.count >= whole else {
            optionsSeen -= 1
            return (0, .more(whole))
        }
        let data = UnsafeRawBufferPointer(rebasing: input[Size.optionHeader..<whole])
        guard let option = OptionCode(rawValue: code) else {
            return (whole, finish(.protocolViolation))
        }
        return (whole, take(option, data, isLast: input.count == whole))
    }

    /// What can be refused from the option's header alone.
    private mutating func refusal(of code: UInt32, length: Int) -> Step? {
        let option = OptionCode(rawValue: code)
        if option == .exportName {
            let allowed = length <= Size.longestString && security != .required
            return allowed ? nil : finish(.protocolViolation)
        }
        // Without fixed newstyle nothing but EXPORT_NAME can be answered.
        guard client.contains(.fixedNewstyle), length <= Size.longestSkippedOption else {
            return finish(.protocolViolation)
        }
        if option == .abort {
            return length <= Size.longestOption ? nil : finish(.clientLeft)
        }
        if security == .required, option != .startTLS {
            return refuse(code, .securityRequired, "TLS has to be started first.")
        }
        guard option != nil else { return refuse(code, .unsupported, "This option is not known.") }
        guard length <= Size.longestOption else {
            return refuse(code, .tooBig, "The option is longer than 64 KiB.")
        }
        return nil
    }

    private mutating func take(
        _ option: OptionCode, _ data: UnsafeRawBufferPointer, isLast: Bool
    ) -> Step {
        switch option {
        case .exportName: return takeExportName(data)
        case .abort: return finish(.clientLeft, OptionAnswer.bytes(option.rawValue, .acknowledge))
        case .list: return takeList(data)
        case .startTLS: return takeStartTLS(data, isLast: isLast)
        case .inform, .go: return takeInformation(option, data)
        case .structuredReply: return takeStructuredReply(data)
        case .listMetaContext, .setMetaContext: return takeContexts(option, data)
        }
    }

    private mutating func takeExportName(_ data: UnsafeRawBufferPointer) -> Step {
        guard let name = text(data) else { return finish(.protocolViolation) }
        phase = .waiting(.entering(name))
        return .open(name)
    }

    private mutating func takeList(_ data: UnsafeRawBufferPointer) -> Step {
        guard data.isEmpty else {
            return refuse(OptionCode.list.rawValue, .invalid, "LIST takes no data.")
        }
        phase = .waiting(.names)
        return .list
    }

    private mutating func takeStructuredReply(_ data: UnsafeRawBufferPointer) -> Step {
        let code = OptionCode.structuredReply.rawValue
        guard data.isEmpty else {
            return refuse(code, .invalid, "STRUCTURED_REPLY takes no data.")
        }
        structuredReplies = true
        return .send(OptionAnswer.bytes(code, .acknowledge))
    }

    private mutating func takeStartTLS(_ data: UnsafeRawBufferPointer, isLast: Bool) -> Step {
        let code = OptionCode.startTLS.rawValue
        guard data.isEmpty else { return refuse(code, .invalid, "STARTTLS takes no data.") }
        switch security {
        case .unavailable:
            return refuse(code, .policy, "TLS is not set up on this server.")
        case .established:
            return refuse(code, .invalid, "TLS has been started already.")
        case .offered, .required:
            // What follows in plain text was not sent by who is about to prove who they are.
            guard isLast else { return finish(.protocolViolation) }
            return .secure(OptionAnswer.bytes(code, .acknowledge))
        }
    }

    private mutating func takeInformation(
        _ option: OptionCode, _ data: UnsafeRawBufferPointer
    ) -> Step {
        var reader = OptionReader(data)
        guard let length = reader.integer(UInt32.self), let name = reader.bytes(Int(length)),
            let count = reader.integer(UInt16.self), reader.remaining == Int(count) * 2
        else {
            return refuse(option.rawValue, .invalid, "The option's lengths do not add up.")
        }
        guard name.count <= Size.longestString else {
            return refuse(option.rawValue, .tooBig, "The export name is longer than 4096 bytes.")
        }
        guard let name = text(name) else {
            return refuse(option.rawValue, .invalid, "The export name is not valid text.")
        }
        var wanted: Wanted = []
        while let code = reader.integer(UInt16.self) { wanted.formUnion(Wanted(code: code)) }
        if option == .go {
            phase = .waiting(.going(name, wanted))
            return .open(name)
        }
        phase = .waiting(.information(name, wanted))
        return .look(name)
    }

    private mutating func takeContexts(_ option: OptionCode, _ data: UnsafeRawBufferPointer) -> Step
    {
        let isSet = option == .setMetaContext
        if isSet { contextExport = nil }
        guard structuredReplies else {
            return refuse(option.rawValue, .invalid, "Structured replies have to be agreed first.")
        }
        guard let query = ContextQuery(data, wildcards: !isSet) else {
            return refuse(option.rawValue, .invalid, "The option's lengths do not add up.")
        }
        guard let name = query.export.withUnsafeBytes({ text($0) }) else {
            return refuse(option.rawValue, .invalid, "The export name is not valid text.")
        }
        phase = .waiting(.contexts(set: isSet, export: name, query))
        return .look(name)
    }

    // MARK: What the catalogue answered

    /// Answers `list` with the names on offer.
    mutating func listed(_ names: [String]) -> Step {
        guard phase == .waiting(.names) else { return finish(.protocolViolation) }
        phase = .options
        var bytes: [UInt8] = []
        let code = OptionCode.list.rawValue
        for name in names where name.utf8.count <= Size.longestString {
            var data: [UInt8] = []
            data.append(bigEndian: UInt32(name.utf8.count))
            data.append(contentsOf: name.utf8)
            bytes += OptionAnswer.bytes(code, .server, data)
        }
        return .send(bytes + OptionAnswer.bytes(code, .acknowledge))
    }

    /// Answers `look` with the export's shape, or nil where there is no such export.
    mutating func looked(_ shape: ExportShape?) -> Step {
        guard case .waiting(let question) = phase else { return finish(.protocolViolation) }
        phase = .options
        switch question {
        case .information(let name, let wanted):
            return information(name, wanted, shape)
        case .contexts(let isSet, let export, let query):
            return contexts(isSet: isSet, export: export, query, shape)
        case .names, .going, .entering:
            return finish(.protocolViolation)
        }
    }

    /// Answers `open` with the opened export's shape, or why it was not opened.
    mutating func opened(_ result: Result<ExportShape, ExportRefusal>) -> Step {
        guard case .waiting(let question) = phase else { return finish(.protocolViolation) }
        switch question {
        case .going(let name, let wanted): return going(name, wanted, result)
        case .entering(let name): return entering(name, result)
        case .names, .information, .contexts: return finish(.protocolViolation)
        }
    }

    /// Answers `secure`: TLS is up, and nothing that was agreed before counts any more.
    mutating func secured() -> Step {
        security = .established
        structuredReplies = false
        contextExport = nil
        toSkip = 0
        phase = .options
        return .send([])
    }

    private func information(_ name: String, _ wanted: Wanted, _ shape: ExportShape?) -> Step {
        let code = OptionCode.inform.rawValue
        guard let shape else { return refuse(code, .unknown, "There is no such export.") }
        return .send(
            OptionAnswer.describe(
                code, name, wanted, shape, structuredReplies: structuredReplies)
                + OptionAnswer.bytes(code, .acknowledge))
    }

    private mutating func contexts(
        isSet: Bool, export: String, _ query: ContextQuery, _ shape: ExportShape?
    ) -> Step {
        let code = (isSet ? OptionCode.setMetaContext : .listMetaContext).rawValue
        guard let shape else { return refuse(code, .unknown, "There is no such export.") }
        let asked = query.contexts(of: shape)
        if isSet {
            contextExport = asked.isEmpty ? nil : export
            selected = asked.prefix(SelectedContext.most).enumerated().map {
                SelectedContext(context: $1, identifier: UInt32($0 + 1))
            }
        }
        var bytes: [UInt8] = []
        for (number, context) in asked.enumerated() where !isSet || number < selected.count {
            var data: [UInt8] = []
            data.append(bigEndian: isSet ? selected[number].identifier : 0)
            data.append(contentsOf: context.name.utf8)
            bytes += OptionAnswer.bytes(code, .metaContext, data)
        }
        return .send(bytes + OptionAnswer.bytes(code, .acknowledge))
    }

    private mutating func going(
        _ name: String, _ wanted: Wanted, _ result: Result<ExportShape, ExportRefusal>
    ) -> Step {
        let code = OptionCode.go.rawValue
        switch result {
        case .failure(let refusal):
            phase = .options
            return refuse(code, .unknown, refusal.sentence)
        case .success(let shape):
            phase = .finished
            let bytes =
                OptionAnswer.describe(
                    code, name, wanted, shape, structuredReplies: structuredReplies)
                + OptionAnswer.bytes(code, .acknowledge)
            return .enter(bytes, terms(name, shape))
        }
    }

    private mutating func entering(
        _ name: String, _ result: Result<ExportShape, ExportRefusal>
    ) -> Step {
        switch result {
        case .failure(.unknown): return finish(.unknownExport)
        case .failure(.unavailable): return finish(.exportUnavailable)
        case .success(let shape):
            phase = .finished
            var bytes: [UInt8] = []
            bytes.append(bigEndian: shape.capacity)
            bytes.append(
                bigEndian: TransmissionFlags(shape, structuredReplies: structuredReplies).rawValue)
            if !client.contains(.noZeroes) { bytes += [UInt8](repeating: 0, count: 124) }
            return .enter(bytes, terms(name, shape))
        }
    }

    private func terms(_ name: String, _ shape: ExportShape) -> TransmissionTerms {
        TransmissionTerms(
            capacity: shape.capacity, isReadOnly: shape.isReadOnly, holeSize: shape.holeSize,
            structuredReplies: structuredReplies,
            contexts: contextExport == name ? selected : [])
    }

    private func refuse(_ code: UInt32, _ type: OptionReply, _ sentence: String) -> Step {
        .send(OptionAnswer.bytes(code, type, Array(sentence.utf8.prefix(Size.longestString))))
    }

    private mutating func finish(_ reason: NBDClosing, _ farewell: [UInt8] = []) -> Step {
        phase = .finished
        return .close(farewell, reason)
    }

    /// The protocol's strings are UTF-8 without zero bytes.
    private func text(_ bytes: UnsafeRawBufferPointer) -> String? {
        guard !bytes.contains(0) else { return nil }
        return String(validating: bytes, as: UTF8.self)
    }
}

extension ExportRefusal {
    /// One sentence for the client.
    var sentence: String {
        switch self {
        case .unknown: "There is no such export."
        case .unavailable(let sentence): sentence
        }
    }
}
