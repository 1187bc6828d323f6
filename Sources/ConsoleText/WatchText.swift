import CommandSchema

/// Turns a stream of events into lines, one an event, and warnings about what is missing.
public struct WatchText: Sendable {
    /// What to print for one event.
    public struct Output: Sendable, Hashable {
        /// The line for the event; nil where it is not to be shown (another subject's, a repeat).
        public var line: String?
        /// Something that the watcher must know, for standard error.
        public var warning: String?
    }

    private let subject: String?
    private let asJSON: Bool
    private let painter: Painter
    private let escapesJSON: Bool
    private var ledger = SequenceLedger()
    private var subjectWidth = 8
    /// How many repeats were left out so far.
    public private(set) var repeats = 0

    /// A view of the events of one subject, or of all where it is nil.
    ///
    /// `escapesJSON` is for a terminal:
    /// otherwise the bytes of an event are printed as they came.
    public init(subject: String?, asJSON: Bool, escapesJSON: Bool, painter: Painter) {
        self.subject = subject
        self.asJSON = asJSON
        self.painter = painter
        self.escapesJSON = escapesJSON
    }

    /// Takes one event as it came.
    public mutating func take(_ bytes: [UInt8]) -> Output {
        let event: JSONNode
        do {
            event = try JSONNode(document: bytes)
        } catch {
            return Output(warning: "an event that cannot be read was left out: \(error.sentence)")
        }
        guard let line = EventLine(event) else {
            return Output(warning: "an event without type, subject or sequence was left out")
        }
        guard subject == nil || subject == line.subject else { return Output() }
        var output = Output()
        switch ledger.enter(line) {
        case .first, .next: break
        case .repeated:
            repeats += 1
            return output
        case .gap(let missed): output.warning = Self.warning(line.subject, missed)
        case .restarted(let previous):
            output.warning =
                "RESTART: \(SafeText.escaped(line.subject)): counting began anew at \(line.sequence) "
                + "after \(previous); was the worker's store replaced?"
        }
        output.line = asJSON ? json(bytes, event) : table(line)
        return output
    }

    /// One event is one line, whatever the sender's layout was.
    private func json(_ bytes: [UInt8], _ event: JSONNode) -> String {
        let isOneLine = !bytes.contains(UInt8(ascii: "\n")) && !bytes.contains(UInt8(ascii: "\r"))
        let line = isOneLine ? bytes : event.compact()
        return escapesJSON ? SafeText.json(line) : String(decoding: line, as: UTF8.self)
    }

    private static func warning(_ subject: String, _ missed: ClosedRange<UInt64>) -> String {
        let name = SafeText.escaped(subject)
        let those =
            missed.count == 1
            ? "event \(missed.lowerBound) is"
            : "events \(missed.lowerBound) to \(missed.upperBound) are"
        return "GAP: \(name): \(those) missing; read again with --from first, or look with "
            + "stillpoint show \(name)"
    }

    private mutating func table(_ line: EventLine) -> String {
        let subject = SafeText.escaped(line.subject)
        subjectWidth = max(subjectWidth, subject.displayWidth)
        let number = String(line.sequence)
        let space = String(repeating: " ", count: max(0, 6 - number.count))
        return [
            painter.paint(SafeText.escaped(line.time).padded(to: 24), .faint),
            painter.paint(subject.padded(to: subjectWidth), .strong),
            space + number,
            SafeText.escaped(line.type).padded(to: 20),
            painter.paint(line.words, line.tone),
        ].joined(separator: "  ")
    }
}
