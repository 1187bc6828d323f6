import CommandSchema

/// The exit statuses of the contract, section 8.
public enum ExitStatus: Int32, Sendable, Hashable, CaseIterable {
    /// The command completed.
    case completed = 0
    /// The command line or the configuration cannot be used.
    case usage = 2
    /// A rule said no, and nothing changed.
    case refused = 3
    /// The storage was asked and could not, or something here went wrong.
    case failed = 4
    /// No answer within the time given.
    case timedOut = 5
    /// The broker cannot be reached.
    case brokerUnreachable = 69

    /// What an outcome means; an outcome of a kind that is not known here counts as failed.
    public init(outcome: JSONNode) {
        switch outcome["outcome"]?.text {
        case "completed": self = .completed
        case "refused": self = .refused
        default: self = .failed
        }
    }
}

/// Why a command line cannot be used: one sentence.
public struct UsageFault: Error, Sendable, Hashable, CustomStringConvertible {
    /// The sentence.
    public let description: String

    /// States a fault.
    public init(_ sentence: String) { description = SafeText.escaped(sentence) }
}
