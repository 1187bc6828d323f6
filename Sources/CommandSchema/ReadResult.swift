import CopyModel

/// What a message turned out to be.
public enum ReadResult: Hashable, Sendable {
    /// A command that its subject's lane can decide.
    case command(CommandEnvelope)
    /// Refused, but it is known whose it is: its subject's lane keeps and tells the refusal.
    case refused(RefusedCommand)
    /// Refused, and nobody's: answered where that can be done, told under `_`, and set aside
    /// untouched.
    case unattributable(UnattributableCommand)
}

/// A command that was refused as it was read, with a readable id and subject.
public struct RefusedCommand: Hashable, Sendable {
    /// The idempotency key.
    public var id: CommandID
    /// The session or storage system that it names.
    public var subject: SubjectName
    /// True where it names it as a storage system.
    public var isForStorage: Bool
    /// The command as it was written, cut at 64 characters; nil where there was no readable one.
    public var commandName: String?
    /// The first fault of the message; or every option that is unknown or out of range, in order.
    public var refusals: [Refusal]
    /// The request in canonical form, comparable with `CommandEnvelope.canonical`.
    public var canonical: [UInt8]

    /// Gathers a refused command.
    public init(
        id: CommandID, subject: SubjectName, isForStorage: Bool, commandName: String?,
        refusals: [Refusal], canonical: [UInt8]
    ) {
        self.id = id
        self.subject = subject
        self.isForStorage = isForStorage
        self.commandName = commandName
        self.refusals = refusals
        self.canonical = canonical
    }

    /// The outcome to store, answer and tell.
    public func outcome(
        receivedAt: Timestamp, startedAt: Timestamp, finishedAt: Timestamp, revision: UInt64
    ) -> Outcome {
        Outcome(
            id: id, command: commandName, subject: subject, isForStorage: isForStorage,
            kind: .refused,
            refusals: refusals, revision: revision, receivedAt: receivedAt, startedAt: startedAt,
            finishedAt: finishedAt)
    }
}

/// A message that names no command id, or not exactly one session or storage system, or is not
/// JSON.
public struct UnattributableCommand: Hashable, Sendable {
    /// The idempotency key, where it could be read all the same.
    public var id: CommandID?
    /// The command as it was written, cut at 64 characters, where it could be read all the same.
    public var commandName: String?
    /// The first fault.
    public var refusal: Refusal

    /// Gathers what is known of a message.
    public init(id: CommandID?, commandName: String?, refusal: Refusal) {
        self.id = id
        self.commandName = commandName
        self.refusal = refusal
    }

    /// The outcome to answer and tell: without a subject, at revision 0.
    public func outcome(receivedAt: Timestamp, finishedAt: Timestamp) -> Outcome {
        Outcome(
            id: id, command: commandName, subject: nil, isForStorage: false, kind: .refused,
            refusals: [refusal], revision: 0, receivedAt: receivedAt, startedAt: receivedAt,
            finishedAt: finishedAt)
    }
}

extension CommandEnvelope {
    /// True where the subject is a storage system.
    public var isForStorage: Bool { command.name.isForStorage }
}
