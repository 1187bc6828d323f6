import Glibc

/// A socket that connections arrive on.
struct Listener: Sendable {
    let descriptor: Int32
    /// As bound: with the port that the system chose.
    let address: NBDAddress
    /// The device and number of the Unix socket's file, by which it is known at removal.
    private let file: FileIdentity?

    private struct FileIdentity: Equatable, Sendable {
        let device: UInt
        let number: UInt

        init?(_ path: String) {
            var status = stat()
            guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK else { return nil }
            device = UInt(status.st_dev)
            number = UInt(status.st_ino)
        }
    }

    /// Binds and listens.
    static func open(_ address: NBDAddress) throws(NBDServerError) -> Listener {
        switch address {
        case .tcp(let host, let port): try openTCP(host, port, address)
        case .unix(let path): try openUnix(path, address)
        }
    }

    /// Stops listening, and removes the Unix socket's file if it is still this one's.
    func close() {
        Glibc.close(descriptor)
        if case .unix(let path) = address, let file, FileIdentity(path) == file { unlink(path) }
    }

    // MARK: TCP

    private static func openTCP(
        _ host: String, _ port: UInt16, _ address: NBDAddress
    ) throws(NBDServerError) -> Listener {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV
        var found: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, String(port), &hints, &found)
        guard code == 0, let first = found else {
            let reason = String(cString: gai_strerror(code))
            throw NBDServerError(
                .addressUnusable, "The host \(host) has no address: \(reason).", address)
        }
        defer { freeaddrinfo(found) }
        let family = first.pointee.ai_family
        let descriptor = try socket(family, address)
        var yes: Int32 = 1
        let size = socklen_t(MemoryLayout<Int32>.size)
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, size)
        if family == AF_INET6 {
            setsockopt(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &yes, size)
        }
        guard bind(descriptor, first.pointee.ai_addr, first.pointee.ai_addrlen) == 0 else {
            throw failed("bind", descriptor, address)
        }
        try listen(descriptor, address)
        let bound = NBDAddress.tcp(host: host, port: boundPort(descriptor) ?? port)
        return Listener(descriptor: descriptor, address: bound, file: nil)
    }

    private static func boundPort(_ descriptor: Int32) -> UInt16? {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        return withUnsafeMutablePointer(to: &storage) { storage in
            storage.withMemoryRebound(to: sockaddr.self, capacity: 1) { name in
                guard getsockname(descriptor, name, &length) == 0 else { return nil }
                // Both families keep the port in the same place.
                return name.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
                    UInt16(bigEndian: $0.pointee.sin_port)
                }
            }
        }
    }

    // MARK: Unix

    private static func openUnix(
        _ path: String, _ address: NBDAddress
    ) throws(NBDServerError) -> Listener {
        guard var name = UnixName(path) else {
            throw NBDServerError(
                .addressUnusable, "A Unix socket's path has at most 107 bytes: \(path).", address)
        }
        let descriptor = try socket(AF_UNIX, address)
        // On Linux the file takes its mode from the descriptor, so there is no moment of leave.
        fchmod(descriptor, 0o600)
        var code = name.call(bind, descriptor)
        var number = errno
        // Connecting to a file that is no socket is refused too, so look at what it is.
        if code != 0, number == EADDRINUSE, FileIdentity(path) != nil, name.isAbandoned() {
            unlink(path)
            code = name.call(bind, descriptor)
            number = errno
        }
        guard code == 0 else {
            Glibc.close(descriptor)
            throw NBDServerError(number, call: "bind", address)
        }
        try listen(descriptor, address)
        return Listener(descriptor: descriptor, address: address, file: FileIdentity(path))
    }

    // MARK: Both

    private static func socket(
        _ family: Int32, _ address: NBDAddress
    ) throws(NBDServerError) -> Int32 {
        let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let descriptor = Glibc.socket(family, type | Int32(SOCK_NONBLOCK.rawValue), 0)
        guard descriptor >= 0 else { throw NBDServerError(errno, call: "socket", address) }
        return descriptor
    }

    private static func listen(
        _ descriptor: Int32, _ address: NBDAddress
    ) throws(NBDServerError) {
        guard Glibc.listen(descriptor, 128) == 0 else {
            throw failed("listen", descriptor, address)
        }
    }

    private static func failed(
        _ call: String, _ descriptor: Int32, _ address: NBDAddress
    ) -> NBDServerError {
        let number = errno
        Glibc.close(descriptor)
        return NBDServerError(number, call: call, address)
    }
}

/// A Unix socket's path as the system takes it.
struct UnixName {
    private var address = sockaddr_un()

    init?(_ path: String) {
        address.sun_family = sa_family_t(AF_UNIX)
        let capacity = MemoryLayout.size(ofValue: address.sun_path)
        guard path.utf8.count < capacity, !path.utf8.contains(0) else { return nil }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    }

    /// Calls `bind` or `connect`.
    mutating func call(
        _ function: (Int32, UnsafePointer<sockaddr>?, socklen_t) -> Int32, _ descriptor: Int32
    ) -> Int32 {
        let length = socklen_t(MemoryLayout<sockaddr_un>.size)
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                function(descriptor, $0, length)
            }
        }
    }

    /// Whether a socket file lies there on which nobody listens any more.
    mutating func isAbandoned() -> Bool {
        let probe = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard probe >= 0 else { return false }
        defer { close(probe) }
        return call(connect, probe) != 0 && errno == ECONNREFUSED
    }
}
