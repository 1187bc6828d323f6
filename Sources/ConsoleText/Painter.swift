/// What a piece of text means, from which its colour follows.
public enum Tone: Sendable, Hashable, CaseIterable {
    /// Nothing special.
    case plain
    /// A heading.
    case strong
    /// Less important than its neighbours.
    case faint
    /// As it should be.
    case good
    /// Not yet as it should be.
    case attention
    /// Not as it should be.
    case bad

    /// The SGR parameter of the tone; the terminal's own colours, so that they fit its background.
    fileprivate var parameter: String? {
        switch self {
        case .plain: nil
        case .strong: "1"
        case .faint: "2"
        case .good: "32"
        case .attention: "33"
        case .bad: "31"
        }
    }
}

/// Colours text, or leaves it as it is.
public struct Painter: Sendable, Hashable {
    /// True where colours are wanted.
    public let inColour: Bool

    /// A painter with or without colours.
    public init(inColour: Bool) { self.inColour = inColour }

    /// Decides by what is known of the output: a terminal that is not a dumb one, and no `NO_COLOR`
    /// (set to anything but nothing).
    public init(isTerminal: Bool, noColor: String?, terminalType: String?) {
        inColour = isTerminal && (noColor ?? "").isEmpty && terminalType != "dumb"
    }

    /// The text in the colour of the tone.
    public func paint(_ text: String, _ tone: Tone) -> String {
        guard inColour, !text.isEmpty, let parameter = tone.parameter else { return text }
        return "\u{1B}[\(parameter)m\(text)\u{1B}[0m"
    }
}
