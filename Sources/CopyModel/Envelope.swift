/// A command as it came: read strictly, attributed, not yet decided.
public struct CommandEnvelope: Hashable, Sendable {
    /// The idempotency key.
    public var id: CommandID
    /// The session or storage system it is for.
    public var subject: SubjectName
    /// What is asked.
    public var command: Command
    /// Not started after it.
    public var notAfter: Timestamp?
    /// Decide only.
    public var dryRun: Bool
    /// The request in canonical form: two messages ask the same if and only if these are equal.
    public var canonical: [UInt8]

    /// Gathers a command.
    public init(
        id: CommandID, subject: SubjectName, command: Command, notAfter: Timestamp?, dryRun: Bool,
        canonical: [UInt8]
    ) {
        self.id = id
        self.subject = subject
        self.command = command
        self.notAfter = notAfter
        self.dryRun = dryRun
        self.canonical = canonical
    }
}

/// Where an answer goes and what is carried on: the honoured properties of a command's message.
public struct ReplyContext: Hashable, Sendable, Codable {
    /// The queue to answer on, where one was given.
    public var replyTo: String?
    /// The correlation id the asker gave.
    public var correlationID: String?
    /// W3C trace context, carried on to the events.
    public var traceparent: String?
    /// W3C trace state, carried on with it.
    public var tracestate: String?

    /// Gathers what an answer needs.
    public init(
        replyTo: String? = nil, correlationID: String? = nil, traceparent: String? = nil,
        tracestate: String? = nil
    ) {
        self.replyTo = replyTo
        self.correlationID = correlationID
        self.traceparent = traceparent
        self.tracestate = tracestate
    }
}
