/// Where the server listens.
public enum NBDAddress: Sendable, Hashable, CustomStringConvertible {
    /// A TCP port on an address or host name; port 0 lets the system choose one.
    case tcp(host: String, port: UInt16)
    /// A Unix socket at a path of at most 107 bytes, which only the server's own user may use.
    case unix(path: String)

    /// 127.0.0.1:10809, the port that is registered for NBD.
    public static let loopback = NBDAddress.tcp(host: "127.0.0.1", port: 10809)

    /// Reads `host:port`, `[address]:port`, or `unix:path`; nil for anything else.
    public init?(_ text: String) {
        if text.hasPrefix("unix:") {
            let path = String(text.dropFirst(5))
            guard !path.isEmpty else { return nil }
            self = .unix(path: path)
            return
        }
        guard let colon = text.lastIndex(of: ":"),
            let port = UInt16(text[text.index(after: colon)...])
        else { return nil }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        guard !host.isEmpty else { return nil }
        self = .tcp(host: String(host), port: port)
    }

    /// The form that `init` reads.
    public var description: String {
        switch self {
        case .tcp(let host, let port):
            host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        case .unix(let path): "unix:\(path)"
        }
    }
}
