import CommandSchema

/// The sessions as the event log tells of them: each event carries a whole summary, the last one
/// counts.
public struct SessionFold: Sendable {
    private var summaries: [String: JSONNode] = [:]
    private var ledger = SequenceLedger()

    /// Nothing read so far.
    public init() {}

    /// Takes the next event of the log, of any kind; repeats change nothing.
    public mutating func take(_ event: JSONNode) {
        guard let line = EventLine(event), ledger.enter(line) != .repeated,
            line.type.hasPrefix("session.")
        else { return }
        summaries[line.subject] = line.type == "session.deleted" ? nil : event["data"]
    }

    /// The summaries of the sessions that exist, by name.
    public var sessions: [JSONNode] {
        summaries.sorted { $0.key < $1.key }.map(\.value)
    }
}
