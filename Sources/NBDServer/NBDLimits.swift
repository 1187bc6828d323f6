/// What the server allows its clients.
///
/// Times are in seconds.
public struct NBDLimits: Sendable, Equatable {
    /// Connections at one time; one more is closed as soon as it is accepted.
    public var connections = 256
    /// From the connection to the end of negotiation.
    public var handshake = 10.0
    /// From a request's first byte to its last.
    public var request = 60.0
    /// For the client to take the replies of one batch.
    public var replies = 30.0
    /// Without any request; nil, the default, lets a client be silent for as long as it likes, as a
    /// mounted file system may be for days.
    ///
    /// Dead peers are found by TCP keep-alive.
    public var idle: Double?
    /// For all connections to finish when the server closes, before they are cut off.
    public var closing = 3.0
    /// Bytes that all connections together may hold for large writes, beyond 512 KiB each.
    public var receiveMemory = 1 << 30

    /// The defaults.
    public init() {}
}

extension NBDLimits {
    /// Nanoseconds.
    static func nanoseconds(_ seconds: Double) -> UInt64 {
        UInt64(min(max(seconds, 0), 1e9) * 1e9)
    }

    /// How often, in nanoseconds, a waiting thread looks at its limits.
    var tick: UInt64 {
        let shortest = [handshake, request, replies, idle ?? request].min() ?? 1
        return min(Self.nanoseconds(shortest / 4), 1_000_000_000)
    }
}
