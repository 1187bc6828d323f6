import Glibc

/// One small GET from a worker on this machine, over a plain socket.
enum HTTPGet {
    /// A response: its status and its body.
    struct Response: Sendable {
        var status: Int
        var body: [UInt8]
    }

    /// Nothing that a worker says is longer.
    private static let longest = 64 << 20

    /// Asks for a path; nil where nobody answers in HTTP.
    ///
    /// Blocks the calling thread for at most a few
    /// seconds, which a command line may.
    static func get(_ path: String, from address: Site.Address) -> Response? {
        guard let socket = LocalSocket(to: address, seconds: 3) else { return nil }
        // HTTP/1.0: the body comes in one piece and ends with the connection.
        socket.send("GET \(path) HTTP/1.0\r\nHost: \(address.host)\r\nAccept: */*\r\n\r\n")
        return response(socket.receiveAll(atMost: longest))
    }

    /// Takes a response apart; nil where it is not HTTP.
    static func response(_ bytes: [UInt8]) -> Response? {
        let end = Array("\r\n\r\n".utf8)
        guard
            let headEnd = bytes.indices.first(where: { bytes[$0...].starts(with: end) }),
            bytes.starts(with: "HTTP/1.".utf8)
        else { return nil }
        let line = String(decoding: bytes[..<headEnd].prefix { $0 != 0x0D }, as: UTF8.self)
        let words = line.split(separator: " ")
        guard words.count >= 2, let status = Int(words[1]) else { return nil }
        return Response(status: status, body: Array(bytes[(headEnd + end.count)...]))
    }
}

/// A TCP connection with time limits; closed when it goes.
final class LocalSocket {
    private let descriptor: Int32

    /// Connects; nil where nobody listens.
    init?(to address: Site.Address, seconds: Int) {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(address.host, String(address.port), &hints, &list) == 0 else {
            return nil
        }
        defer { freeaddrinfo(list) }
        var next = list
        while let entry = next?.pointee {
            if let connected = Self.connected(entry, seconds: seconds) {
                descriptor = connected
                return
            }
            next = entry.ai_next
        }
        return nil
    }

    deinit { close(descriptor) }

    private static func connected(_ entry: addrinfo, seconds: Int) -> Int32? {
        let descriptor = socket(
            entry.ai_family, entry.ai_socktype | Int32(SOCK_CLOEXEC.rawValue), entry.ai_protocol)
        guard descriptor >= 0 else { return nil }
        // On Linux the sending time-out limits `connect` as well.
        var limit = timeval(tv_sec: seconds, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, size)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, size)
        if connect(descriptor, entry.ai_addr, entry.ai_addrlen) == 0 { return descriptor }
        close(descriptor)
        return nil
    }

    /// Sends a short text; what goes wrong shows in the answer.
    func send(_ text: String) {
        let bytes = Array(text.utf8)
        _ = Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    }

    /// The next bytes; empty at the end, after an error, and when the time is over.
    func receive(atMost count: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { buffer, used in
            used = max(0, recv(descriptor, buffer.baseAddress, count, 0))
        }
    }

    /// All bytes up to the end of the connection.
    func receiveAll(atMost limit: Int) -> [UInt8] {
        var all: [UInt8] = []
        while all.count < limit {
            let bytes = receive(atMost: 65_536)
            if bytes.isEmpty { break }
            all += bytes
        }
        return all
    }
}

extension LocalSocket {
    /// Why a worker could not listen at this address; nil where it could.
    static func bindingProblem(_ address: Site.Address) -> String? {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_PASSIVE
        var list: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(address.host, String(address.port), &hints, &list)
        guard status == 0, let entry = list?.pointee else {
            return String(cString: gai_strerror(status))
        }
        defer { freeaddrinfo(list) }
        let descriptor = socket(
            entry.ai_family, entry.ai_socktype | Int32(SOCK_CLOEXEC.rawValue), entry.ai_protocol)
        guard descriptor >= 0 else { return String(cString: strerror(errno)) }
        defer { close(descriptor) }
        // As a listener does: what an earlier connection has left behind is no obstacle.
        var on: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
        let bound = bind(descriptor, entry.ai_addr, entry.ai_addrlen)
        return bound == 0 ? nil : String(cString: strerror(errno))
    }
}
