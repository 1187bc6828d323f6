import Foundation
import Glibc
import Synchronization

@testable import NBDServer

/// A server on a Unix socket of its own (or a TCP port), closed when the test is done with it.
final class LiveServer {
    static let disk = "box1:0100"
    private static let counter = Atomic(0)

    let server: NBDServer
    let address: NBDAddress
    let catalogue: MemoryCatalogue
    var export: MemoryExport { catalogue.exports[0].export }

    init(
        _ exports: [(name: String, export: MemoryExport)]? = nil, tcp: Bool = false,
        limits: NBDLimits = NBDLimits()
    ) throws {
        let exports = exports ?? [(Self.disk, MemoryExport(capacity: 1 << 20))]
        catalogue = MemoryCatalogue(exports: exports)
        let wanted = tcp ? NBDAddress.tcp(host: "127.0.0.1", port: 0) : .unix(path: Self.path())
        server = NBDServer(catalogue: catalogue, listen: [wanted], limits: limits)
        try server.start()
        address = server.boundAddresses[0]
    }

    deinit { server.close() }

    static func path() -> String {
        let number = counter.add(1, ordering: .relaxed).newValue
        return "/tmp/stillpoint-nbd-\(getpid())-\(number).sock"
    }

    /// As the tools take it.
    func uri(_ export: String = disk) -> String {
        let name = export.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? export
        return switch address {
        case .unix(let path): "nbd+unix:///\(name)?socket=\(path)"
        case .tcp(let host, let port): "nbd://\(host):\(port)/\(name)"
        }
    }

    func connect() throws -> WireClient { try WireClient(address) }

    /// How many descriptors of this process are connections that this server took in.
    func descriptors() -> Int {
        guard case .unix(let path) = address,
            let table = try? String(contentsOfFile: "/proc/net/unix", encoding: .utf8)
        else { return -1 }
        // Both the listener and what it accepted carry the path.
        let nodes = Set(
            table.split(separator: "\n").filter { $0.hasSuffix(" " + path) }
                .compactMap { $0.split(separator: " ").dropLast().last.map(String.init) })
        let links = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? []
        let open = links.compactMap {
            try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\($0)")
        }
        return open.count { nodes.contains(String($0.dropFirst("socket:[".count).dropLast())) }
    }
}

/// Waits until the condition holds; whether it did in time.
func eventually(_ seconds: Double = 10, _ condition: () -> Bool) -> Bool {
    let deadline = Monotonic.now + UInt64(seconds * 1e9)
    while !condition() {
        if Monotonic.now > deadline { return false }
        usleep(1000)
    }
    return true
}

/// A client that says exactly what it is told to.
///
/// Every wait ends after 10 seconds.
final class WireClient {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    let descriptor: Int32

    init(_ address: NBDAddress) throws {
        switch address {
        case .unix(let path):
            descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
            guard var name = UnixName(path), name.call(Glibc.connect, descriptor) == 0 else {
                throw Failure(description: "connect to \(path): errno \(errno)")
            }
        case .tcp(_, let port):
            descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            var name = sockaddr_in()
            name.sin_family = sa_family_t(AF_INET)
            name.sin_port = port.bigEndian
            name.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            let code = withUnsafePointer(to: &name) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
            guard code == 0 else {
                throw Failure(description: "connect to \(port): errno \(errno)")
            }
        }
        var limit = timeval(tv_sec: 10, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, size)
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, size)
    }

    deinit { close(descriptor) }

    /// False when the server does not take it any more.
    @discardableResult
    func send(_ bytes: [UInt8]) -> Bool {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.send(
                    descriptor, $0.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
            }
            if count < 0, errno == EINTR { continue }
            if count <= 0 { return false }
            sent += count
        }
        return true
    }

    func receive(_ count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var received = 0
        while received < count {
            let now = bytes.withUnsafeMutableBytes {
                recv(descriptor, $0.baseAddress! + received, count - received, 0)
            }
            // A receive with a time limit is interrupted when its process is stopped and goes on.
            if now < 0, errno == EINTR { continue }
            guard now > 0 else {
                let end = now == 0 ? "end of stream" : "errno \(errno)"
                throw Failure(description: "\(end) after \(received) of \(count) bytes")
            }
            received += now
        }
        return bytes
    }

    /// Whether the server closes, whatever it still sends before.
    func isClosed() -> Bool {
        var bytes = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = recv(descriptor, &bytes, bytes.count, 0)
            if count == 0 { return true }
            if count < 0, errno == EINTR { continue }
            if count < 0 { return errno == ECONNRESET }
        }
    }

    // MARK: Negotiation

    func greet(flags: UInt32 = 3) throws {
        let greeting = try receive(18)
        guard greeting == Negotiation.greeting else {
            throw Failure(description: "the greeting is \(greeting)")
        }
        send(Message.flags(flags))
    }

    func optionReply() throws -> (code: UInt32, type: OptionReply?, data: [UInt8]) {
        let header = try receive(20)
        return try header.withUnsafeBytes { header in
            guard header.bigEndian(at: 0) == Magic.optionReply else {
                throw Failure(description: "no option reply: \(Array(header))")
            }
            let data = try receive(Int(header.bigEndian(at: 16, as: UInt32.self)))
            let type = OptionReply(rawValue: header.bigEndian(at: 12))
            return (header.bigEndian(at: 8), type, data)
        }
    }

    /// Sends an option and takes its replies to the last one, which is returned.
    @discardableResult
    func option(_ bytes: [UInt8]) throws -> OptionReply? {
        send(bytes)
        while true {
            let reply = try optionReply().type
            if reply != .server, reply != .information, reply != .metaContext { return reply }
        }
    }

    /// From the greeting to transmission.
    func enter(_ name: String = LiveServer.disk, structured: Bool = true) throws {
        try greet()
        if structured {
            try option(Message.option(.structuredReply))
            let contexts = Message.contexts(name, ["base:allocation"])
            try option(Message.option(.setMetaContext, contexts))
        }
        guard try option(Message.go(name)) == .acknowledge else {
            throw Failure(description: "GO was refused")
        }
    }

    // MARK: Transmission

    struct Reply: Equatable {
        var cookie: UInt64
        var error: UInt32 = 0
        var payload: [UInt8] = []
        var chunk: ChunkType?
    }

    /// The next reply; `read` bytes are expected behind a simple one.
    func reply(read: Int = 0) throws -> Reply {
        let head = try receive(16)
        let magic = head.withUnsafeBytes { $0.bigEndian(at: 0, as: UInt32.self) }
        let cookie = head.withUnsafeBytes { $0.bigEndian(at: 8, as: UInt64.self) }
        if magic == Magic.simpleReply {
            let error = head.withUnsafeBytes { $0.bigEndian(at: 4, as: UInt32.self) }
            let payload = try receive(error == 0 ? read : 0)
            return Reply(cookie: cookie, error: error, payload: payload)
        }
        guard magic == Magic.structuredReply else {
            throw Failure(description: "no reply: \(head)")
        }
        let length = try receive(4).withUnsafeBytes { $0.bigEndian(at: 0, as: UInt32.self) }
        let type = head.withUnsafeBytes { $0.bigEndian(at: 6, as: UInt16.self) }
        let payload = try receive(Int(length))
        var reply = Reply(cookie: cookie, payload: payload, chunk: ChunkType(rawValue: type))
        if reply.chunk == .error {
            reply.error = payload.withUnsafeBytes { $0.bigEndian(at: 0) }
        }
        return reply
    }

    /// Whether a flush sent now is answered, and so both sides are in step.
    func isInStep() -> Bool {
        guard send(Message.request(.flush, cookie: 0xABCD)) else { return false }
        return (try? reply()) == Reply(cookie: 0xABCD)
    }
}
