// Where the broker is and how to log in to it.

/// Paths of the PEM files that TLS needs.
public struct BrokerTLSFiles: Hashable, Sendable {
    /// The authorities to trust; nil: the system's.
    public var ca: String?
    /// This client's certificate; given together with `key` or not at all.
    public var certificate: String?
    /// The key of that certificate.
    public var key: String?

    /// Names the files.
    public init(ca: String? = nil, certificate: String? = nil, key: String? = nil) {
        self.ca = ca
        self.certificate = certificate
        self.key = key
    }
}

/// A broker's address, the log-in, and the limits of a connection.
///
/// With `amqps`, the broker's certificate and host name are always checked and TLS is at least 1.2.
/// With a client certificate and no user in the URI, the log-in is SASL EXTERNAL, else PLAIN.
public struct BrokerEndpoint: Hashable, Sendable {
    /// How the connection proves who it is.
    enum Login: Hashable, Sendable {
        case plain(user: String, password: String)
        case external
    }

    /// Host name or address.
    public var host: String
    /// TCP port.
    public var port: UInt16
    /// The virtual host.
    public var virtualHost: String
    /// TLS, where the scheme was `amqps`.
    public var tls: BrokerTLSFiles?
    /// How often each side shows that it lives, in whole seconds, 1 to 600.
    ///
    /// Twice that long without a sign and the connection counts as lost.
    public var heartbeatSeconds: Int
    /// How long one step of opening a connection may take (not counting name resolution).
    public var connectTimeout: Duration
    var login: Login

    /// Reads `amqp://user:password@host:port/vhost` or `amqps://…`.
    ///
    /// Absent parts are `guest`, `guest`, 5672 (5671 with TLS) and `/`. The virtual host is
    /// percent- encoded (`%2f` is `/`). The query may set `heartbeat` (seconds) and
    /// `connection_timeout` (milliseconds). Throws `invalidEndpoint`, naming what is wrong without
    /// repeating the password.
    public init(
        uri: String, tls files: BrokerTLSFiles = BrokerTLSFiles(), heartbeatSeconds: Int = 10,
        connectTimeout: Duration = .seconds(5)
    ) throws(BrokerError) {
        let parts = try BrokerURI(uri)
        host = parts.host
        port = parts.port ?? (parts.secure ? 5671 : 5672)
        virtualHost = parts.virtualHost ?? "/"
        self.heartbeatSeconds = parts.heartbeatSeconds ?? heartbeatSeconds
        self.connectTimeout = parts.connectTimeout ?? connectTimeout
        if !parts.secure, files != BrokerTLSFiles() {
            throw BrokerError(
                .invalidEndpoint, "TLS files are given, but the scheme is amqp: write amqps",
                at: parts.host)
        }
        guard (files.certificate == nil) == (files.key == nil) else {
            throw BrokerError(
                .invalidEndpoint, "a client certificate needs its key, and a key its certificate",
                at: parts.host)
        }
        guard (1...600).contains(self.heartbeatSeconds) else {
            throw BrokerError(
                .invalidEndpoint, "the heartbeat must be 1 to 600 seconds", at: parts.host)
        }
        guard self.connectTimeout > .zero else {
            throw BrokerError(
                .invalidEndpoint, "the connection timeout must be positive", at: parts.host)
        }
        tls = parts.secure ? files : nil
        if parts.secure, files.certificate != nil, parts.user == nil {
            login = .external
        } else {
            login = .plain(user: parts.user ?? "guest", password: parts.password ?? "guest")
        }
    }

    /// `host:port`, as errors name it.
    public var place: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

extension BrokerEndpoint: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// The address without the password.
    public var description: String {
        let user =
            switch login {
            case .plain(let user, _): user + "@"
            case .external: ""
            }
        return "\(tls == nil ? "amqp" : "amqps")://\(user)\(place) (virtual host \(virtualHost))"
    }

    /// The same as `description`: a password is not for debuggers either.
    public var debugDescription: String { description }

    /// No children: dumping an endpoint shows no password.
    public var customMirror: Mirror { Mirror(self, children: ["address": description]) }
}
