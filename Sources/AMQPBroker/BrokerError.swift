// One error type for everything that can go wrong between this process and the broker.

/// A failure of the broker, of the way to it, or of what was asked of it.
public struct BrokerError: Error, Hashable, Sendable {
    /// What kind of failure it is: the part to branch on.
    public enum Code: String, Hashable, Sendable, CaseIterable {
        /// The address or an option of the connection is not usable as written.
        case invalidEndpoint
        /// The names or sizes of the broker's objects are not usable as written.
        case invalidTopology
        /// Nobody answers there, or the connection broke.
        case unreachable
        /// TLS could not be agreed: an untrusted certificate, a wrong host name, an unreadable
        /// file.
        case tlsFailed
        /// Wrong user, password or virtual host, or a permission is missing.
        case accessRefused
        /// The exchange or queue does not exist.
        case notFound
        /// The object exists with other properties than these.
        case conflict
        /// The broker lacks a plugin or a feature.
        case unsupported
        /// Another connection holds the exclusive queue.
        case locked
        /// The broker closed the channel or the connection for another reason.
        case closedByBroker
        /// The broker said something that the protocol does not allow here.
        case protocolViolation
        /// The broker answered a publish with basic.nack: a full queue, or a fault of its own.
        case notTaken
        /// No queue is bound for the message: no such exchange or queue.
        case returned
        /// No answer within the time given.
        case timedOut
        /// This process ran out of something: threads, descriptors, memory.
        case systemLimit
    }

    /// What kind of failure it is.
    public var code: Code
    /// One sentence for people.
    public var message: String
    /// Where it happened: `host:port`, or the object concerned.
    public var place: String
    /// AMQP's own reply code, where the broker gave one.
    public var replyCode: Int?

    /// States a failure.
    public init(_ code: Code, _ message: String, at place: String, replyCode: Int? = nil) {
        self.code = code
        self.message = message
        self.place = place
        self.replyCode = replyCode
    }

    /// True where the same attempt may succeed later without anybody changing anything.
    public var isRetriable: Bool {
        switch code {
        case .unreachable, .closedByBroker, .notTaken, .timedOut, .systemLimit, .locked: true
        case .invalidEndpoint, .invalidTopology, .tlsFailed, .accessRefused, .notFound, .conflict,
            .unsupported,
            .protocolViolation, .returned:
            false
        }
    }

    /// The failure that an AMQP reply code means, with the broker's text as the sentence.
    static func closed(replyCode: Int, text: String, at place: String) -> BrokerError {
        let code: Code =
            switch replyCode {
            case 312, 313: .returned
            case 402, 403, 530: .accessRefused
            case 404: .notFound
            case 405: .locked
            case 406: .conflict
            case 503, 540: .unsupported
            case 501, 502, 504, 505: .protocolViolation
            default: .closedByBroker
            }
        return BrokerError(code, text, at: place, replyCode: replyCode)
    }
}

extension BrokerError: CustomStringConvertible {
    /// The sentence and the place.
    public var description: String { "\(place): \(message)" }
}
