/// What happened to a connection.
public enum NBDServerEvent: Sendable, Equatable {
    /// It was taken in; the number is its own for the life of the server.
    case opened(NBDAddress, connection: Int)
    /// It ended.
    case closed(NBDAddress, connection: Int, NBDClosing)
    /// It was closed on arrival, for the reason given.
    case refused(NBDAddress, String)
}

/// Why a connection ended.
public enum NBDClosing: String, Sendable, CaseIterable {
    /// The client took its leave: ABORT, DISC, or an end of stream between two requests.
    case clientLeft
    /// The stream ended or broke in the middle of something.
    case connectionLost
    /// Negotiation took longer than the limit.
    case handshakeTimedOut
    /// A request was begun and not completed within the limit.
    case requestTimedOut
    /// The client did not take its replies within the limit.
    case repliesNotTaken
    /// Nothing was asked for longer than the limit.
    case idle
    /// The client broke the protocol in a way after which the stream cannot be followed.
    case protocolViolation
    /// An old client asked for an export that does not exist, which can only be answered by closing.
    case unknownExport
    /// The export was there, but its channel could not be made.
    case exportUnavailable
    /// The server is closing.
    case serverClosing

    /// One sentence for people.
    public var sentence: String {
        switch self {
        case .clientLeft: "The client took its leave."
        case .connectionLost: "The connection broke in the middle of a message."
        case .handshakeTimedOut: "The client did not finish negotiation in time."
        case .requestTimedOut: "The client began a request and did not complete it in time."
        case .repliesNotTaken: "The client did not take its replies in time."
        case .idle: "The client asked for nothing for longer than the limit."
        case .protocolViolation: "The client sent what the protocol does not allow."
        case .unknownExport: "The client asked for an export that does not exist."
        case .exportUnavailable: "The export could not be opened."
        case .serverClosing: "The server is closing."
        }
    }
}
