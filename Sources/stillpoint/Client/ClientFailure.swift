import AMQPBroker
import ConsoleText

/// Why a client ends without what was asked for: its exit status and one sentence.
struct ClientFailure: Error, CustomStringConvertible {
    /// What the process ends with.
    let status: ExitStatus
    /// What standard error says.
    let description: String
    /// True where a command may be with the broker, so that its outcome is open.
    let outcomeIsOpen: Bool

    /// States a failure.
    init(_ status: ExitStatus, _ sentence: String, outcomeIsOpen: Bool = false) {
        self.status = status
        self.outcomeIsOpen = outcomeIsOpen
        description = SafeText.escaped(sentence)
    }

    /// States what the broker, or the way to it, has against it.
    init(_ error: BrokerError) {
        switch error.code {
        case .invalidEndpoint, .invalidTopology:
            self.init(.usage, error.description)
        case .unreachable, .closedByBroker:
            self.init(
                .brokerUnreachable, "the broker cannot be reached: \(error)", outcomeIsOpen: true)
        case .tlsFailed, .accessRefused:
            self.init(.brokerUnreachable, "the broker cannot be used: \(error)")
        case .timedOut:
            self.init(.timedOut, error.description, outcomeIsOpen: true)
        case .notFound:
            self.init(
                .failed, "\(error); start a worker, or import deploy/rabbitmq/definitions.json")
        case .conflict, .unsupported, .locked, .protocolViolation, .notTaken, .returned,
            .systemLimit:
            self.init(.failed, error.description)
        }
    }
}
