import CopyModel

/// The session store port: what must survive, in one transaction a commit.
///
/// The store keeps bytes and knows nothing of their meaning but for the keys; who writes them
/// (`SessionRuntime`) reads them. Every member may be called from any task. Commits of different
/// subjects that are ready together share a transaction, so that they share its sync.
public protocol SessionStore: Sendable {
    /// Every subject that has parts (that is: a session), in order.
    func subjects() async throws(StoreFailure) -> [SubjectName]
    /// What is kept of a subject; an empty record for one never seen.
    func load(_ subject: SubjectName) async throws(StoreFailure) -> SubjectRecord
    /// The kept outcome of a command; nil where it was never executed (or its time is over).
    func outcome(of id: CommandID, subject: SubjectName) async throws(StoreFailure) -> InboxRecord?
    /// Every intent that was committed and not yet cleared, oldest first.
    func openIntents() async throws(StoreFailure) -> [IntentRecord]
    /// Makes one unit of work durable: all of it or nothing. Returns after the sync.
    ///
    /// Throws `.conflict` where the subject's `expectedSequence` is not the stored one: another worker
    /// has written meanwhile, and the caller's memory is stale.
    func commit(_ unit: UnitOfWork) async throws(StoreFailure)
    /// The messages that are owed, in the order of their commits, from after `position` on.
    func outbox(after position: Int64, limit: Int) async throws(StoreFailure) -> [OutboxRecord]
    /// Forgets messages that the broker has. Need not be synced: forgetting late only repeats them.
    func forget(_ positions: [Int64]) async throws(StoreFailure)
    /// Forgets the outcomes of commands received before a time; returns how many.
    func purgeOutcomes(receivedBefore time: Timestamp) async throws(StoreFailure) -> Int
    /// Closes the store after what is under way.
    func close() async throws(StoreFailure)
}

/// What is kept of a subject.
public struct SubjectRecord: Hashable, Sendable {
    /// The parts of the session document, by key; empty where there is no session.
    public var parts: [SessionPart]
    /// The sequence number of the last event, 0 before the first.
    public var lastSequence: UInt64
    /// A 64-bit hash (`InboxRecord.hash`) of every kept command id: what is not among them is new, so
    /// that the usual case needs no look-up.
    public var knownCommands: Set<UInt64>

    /// Gathers a record.
    public init(parts: [SessionPart], lastSequence: UInt64, knownCommands: Set<UInt64>) {
        self.parts = parts
        self.lastSequence = lastSequence
        self.knownCommands = knownCommands
    }
}

/// One part of a session as stored.
public struct SessionPart: Hashable, Sendable {
    /// Which part, e.g. `summary`, `copySets`, `backup/1795226400`.
    public var key: String
    /// Its content.
    public var bytes: [UInt8]

    /// Gathers a part.
    public init(key: String, bytes: [UInt8]) {
        self.key = key
        self.bytes = bytes
    }
}

/// A kept command and its outcome.
public struct InboxRecord: Hashable, Sendable {
    /// The command's key.
    public var id: CommandID
    /// The request in canonical form, to tell a repeat from a reuse of the key.
    public var request: [UInt8]
    /// The outcome as it was sent.
    public var outcome: [UInt8]
    /// When it was received.
    public var receivedAt: Timestamp

    /// Gathers a record.
    public init(id: CommandID, request: [UInt8], outcome: [UInt8], receivedAt: Timestamp) {
        self.id = id
        self.request = request
        self.outcome = outcome
        self.receivedAt = receivedAt
    }

    /// FNV-1a over the key: stable over processes and versions, since it is compared with stored ids.
    public static func hash(_ id: CommandID) -> UInt64 {
        id.text.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01b3 }
    }
}

/// A plan that was decided and may have been begun: rolled forward after a crash.
public struct IntentRecord: Hashable, Sendable {
    /// Whose.
    public var subject: SubjectName
    /// The plan.
    public var bytes: [UInt8]

    /// Gathers an intent.
    public init(subject: SubjectName, bytes: [UInt8]) {
        self.subject = subject
        self.bytes = bytes
    }
}

/// A message that is owed, before it has a position.
public struct OutboxMessage: Hashable, Sendable {
    /// The exchange; empty for the default exchange.
    public var exchange: String
    /// The routing key.
    public var routingKey: String
    /// The message's id (an event's CloudEvents id; nil for replies).
    public var messageID: String?
    /// The correlation id (replies).
    public var correlationID: String?
    /// The content type.
    public var contentType: String
    /// W3C trace context.
    public var traceparent: String?
    /// The body.
    public var body: [UInt8]

    /// Gathers a message.
    public init(
        exchange: String, routingKey: String, messageID: String?, correlationID: String?,
        contentType: String, traceparent: String?, body: [UInt8]
    ) {
        self.exchange = exchange
        self.routingKey = routingKey
        self.messageID = messageID
        self.correlationID = correlationID
        self.contentType = contentType
        self.traceparent = traceparent
        self.body = body
    }
}

/// A message that is owed, with its place in the order of commits.
public struct OutboxRecord: Hashable, Sendable {
    /// Rising with the order of commits; unique for ever.
    public var position: Int64
    /// The message.
    public var message: OutboxMessage

    /// Gathers a record.
    public init(position: Int64, message: OutboxMessage) {
        self.position = position
        self.message = message
    }
}

/// What one commit makes durable, all or nothing.
public struct UnitOfWork: Hashable, Sendable {
    /// What happens to the subject's intent.
    public enum IntentChange: Hashable, Sendable {
        /// Nothing.
        case keep
        /// This plan is about to be performed.
        case put([UInt8])
        /// The plan is through.
        case clear
    }

    /// Whose.
    public var subject: SubjectName
    /// The subject's last sequence number that this unit builds on.
    public var expectedSequence: UInt64
    /// The subject's last sequence number afterwards.
    public var lastSequence: UInt64
    /// Parts to write.
    public var putParts: [SessionPart] = []
    /// Keys of parts to delete.
    public var deleteParts: [String] = []
    /// A command that is through.
    public var inbox: InboxRecord?
    /// What happens to the intent.
    public var intent: IntentChange = .keep
    /// Messages owed from now on, in order.
    public var outbox: [OutboxMessage] = []

    /// A unit that changes nothing yet.
    public init(subject: SubjectName, expectedSequence: UInt64, lastSequence: UInt64) {
        self.subject = subject
        self.expectedSequence = expectedSequence
        self.lastSequence = lastSequence
    }
}

/// The store could not.
public struct StoreFailure: Error, Hashable, Sendable {
    /// What to branch on.
    public enum Code: String, Sendable {
        /// The subject was written by somebody else meanwhile.
        case conflict
        /// The store is full.
        case full
        /// The store's schema is newer than this program.
        case schemaNewer
        /// Another process has the store.
        case locked
        /// Anything else: reading, writing, or the content is damaged.
        case failed
    }

    /// What to branch on.
    public var code: Code
    /// One sentence for people.
    public var message: String
    /// The file or table.
    public var place: String

    /// States a failure.
    public init(_ code: Code, _ message: String, place: String) {
        self.code = code
        self.message = message
        self.place = place
    }
}
