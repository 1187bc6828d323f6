import CommandSchema

/// One thing that `check` has found.
public struct Finding: Sendable, Hashable {
    /// How grave it is.
    public enum Level: Sendable, Hashable, CaseIterable {
        /// As it should be.
        case ok
        /// Works, but somebody should look.
        case warning
        /// Does not work.
        case failed
        /// The broker cannot be reached: nothing works.
        case brokerUnreachable
    }

    /// How grave it is.
    public let level: Level
    /// What was looked at: `broker`.
    public let place: String
    /// What was found: one sentence without a full stop.
    public let sentence: String
    /// What clears it; empty where nothing has to be done.
    public let remedy: String

    /// States a finding.
    public init(_ level: Level, _ place: String, _ sentence: String, remedy: String = "") {
        self.level = level
        self.place = place
        self.sentence = sentence
        self.remedy = remedy
    }
}

/// Findings as lines, and the exit status that follows from them.
public enum CheckText {
    /// A line a finding, and one more for its remedy.
    public static func lines(_ findings: [Finding], _ painter: Painter) -> [String] {
        let width = findings.reduce(0) { max($0, SafeText.escaped($1.place).displayWidth) }
        return findings.flatMap { finding in
            let (word, tone) = label(finding.level)
            let space = String(repeating: " ", count: 7 - word.count)
            let place = SafeText.escaped(finding.place).padded(to: width)
            var lines = [
                painter.paint(word, tone) + space + "  \(place)  "
                    + SafeText.escaped(finding.sentence)
            ]
            if !finding.remedy.isEmpty {
                let indent = String(repeating: " ", count: 9)
                let remedy = SafeText.escaped(finding.remedy)
                lines.append(indent + painter.paint("Remedy:", .faint) + " " + remedy)
            }
            return lines
        }
    }

    /// `{"findings": [{"level", "place", "sentence", "remedy"}]}`, for programs.
    public static func json(_ findings: [Finding]) -> [UInt8] {
        var writer = JSONWriter()
        writer.openObject()
        writer.key("findings")
        writer.openArray()
        for finding in findings {
            writer.openObject()
            writer.member("level", label(finding.level).0)
            writer.member("place", finding.place)
            writer.member("sentence", finding.sentence)
            writer.member("remedy", finding.remedy)
            writer.closeObject()
        }
        writer.closeArray()
        writer.closeObject()
        return writer.bytes
    }

    private static func label(_ level: Finding.Level) -> (String, Tone) {
        switch level {
        case .ok: ("ok", .good)
        case .warning: ("warning", .attention)
        case .failed, .brokerUnreachable: ("failed", .bad)
        }
    }

    /// 69 where the broker cannot be reached, else 4 where something failed, else 0.
    public static func status(_ findings: [Finding]) -> ExitStatus {
        if findings.contains(where: { $0.level == .brokerUnreachable }) {
            return .brokerUnreachable
        }
        return findings.contains { $0.level == .failed } ? .failed : .completed
    }
}
