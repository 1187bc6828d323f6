import Foundation
import Glibc
import Synchronization
import Testing

@testable import NBDServer

extension LiveTests {
    @Suite("Limits on clients")
    struct LimitTests {
        private func limits(_ change: (inout NBDLimits) -> Void) -> NBDLimits {
            var limits = NBDLimits()
            change(&limits)
            return limits
        }

        @Test("a client that is silent in negotiation is closed at the limit, and not before")
        func silent() throws {
            let live = try LiveServer(limits: limits { $0.handshake = 0.3 })
            let started = Monotonic.now
            let clients = try (0..<20).map { _ in try live.connect() }
            for (number, client) in clients.enumerated() {
                // Some say nothing, some begin, some trickle to the very end.
                _ = try client.receive(18)
                if number % 2 == 0 { client.send(Message.flags()) }
            }
            let trickle = clients[0]
            while trickle.send([0x49]), Monotonic.now - started < 8_000_000_000 { usleep(20_000) }
            for client in clients { #expect(client.isClosed()) }
            let seconds = Double(Monotonic.now - started) / 1e9
            #expect(seconds > 0.29 && seconds < 5)
            #expect(eventually { live.server.report.handshakesFailed == 20 })
        }

        @Test("after negotiation a client may be silent for longer than negotiation may take")
        func idleIsAllowed() throws {
            let live = try LiveServer(limits: limits { $0.handshake = 0.2 })
            let host = try live.connect()
            try host.enter()
            // The next one's time-out is this test's clock.
            #expect(try live.connect().isClosed())
            #expect(host.isInStep())
        }

        @Test("where there is an idle limit, a silent client is closed")
        func idleLimit() throws {
            let live = try LiveServer(limits: limits { $0.idle = 0.2 })
            let client = try live.connect()
            try client.enter()
            #expect(client.isClosed())
            #expect(live.server.report.connectionsCut == 0)
        }

        @Test("a request that is begun and not completed is cut", arguments: [false, true])
        func partialRequest(trickles: Bool) throws {
            let live = try LiveServer(limits: limits { $0.request = 0.3 })
            let client = try live.connect()
            try client.enter()
            let started = Monotonic.now
            client.send(Message.request(.write, length: 100_000, payload: [1, 2, 3]))
            while trickles, client.send([0]), Monotonic.now - started < 8_000_000_000 {
                usleep(20_000)
            }
            #expect(client.isClosed())
            #expect(live.server.report.connectionsCut == 1)
        }

        @Test("a client that does not take its replies is cut")
        func slowReader() throws {
            let disk = MemoryExport(capacity: 32 << 20)
            let live = try LiveServer(
                [(LiveServer.disk, disk)], limits: limits { $0.replies = 0.3 })
            let client = try live.connect()
            try client.enter()
            for cookie in 0..<8 as Range<UInt64> {
                client.send(Message.request(.read, cookie: cookie, length: 4 << 20))
            }
            #expect(eventually { live.server.report.connectionsCut == 1 })
            #expect(eventually { live.server.report.connectionsOpen == 0 })
        }

        @Test("one connection too many is closed on arrival, and let in when another has left")
        func tooMany() throws {
            let live = try LiveServer(limits: limits { $0.connections = 3 })
            var clients = try (0..<3).map { _ in try live.connect() }
            for client in clients { try client.enter() }
            #expect(try live.connect().isClosed())
            #expect(live.server.report.connectionsRefused == 1)
            for client in clients { #expect(client.isInStep()) }
            clients.removeLast()
            #expect(eventually { live.server.report.connectionsOpen == 2 })
            try live.connect().enter()
        }

        @Test("a client that goes away in the middle of its replies harms nobody")
        func abort() throws {
            let disk = MemoryExport(capacity: 32 << 20)
            let live = try LiveServer([(LiveServer.disk, disk)])
            let bystander = try live.connect()
            try bystander.enter()
            for _ in 0..<20 {
                let client = try live.connect()
                try client.enter()
                for _ in 0..<8 { client.send(Message.request(.read, length: 4 << 20)) }
                _ = try client.receive(1000)
            }
            #expect(eventually { live.server.report.connectionsOpen == 1 })
            #expect(bystander.isInStep())
        }
    }

    @Suite("Starting and closing")
    struct ClosingTests {
        /// Closes on a thread of its own; what `close` answered is there when it has.
        private func closing(_ server: NBDServer) -> @Sendable () -> Int? {
            let answer = Mutex<Int?>(nil)
            let shared = Answer(answer: answer)
            Thread.detachNewThread {
                let left = server.close()
                shared.answer.withLock { $0 = left }
            }
            return { shared.answer.withLock { $0 } }
        }

        private final class Answer: Sendable {
            let answer: Mutex<Int?>
            init(answer: consuming Mutex<Int?>) { self.answer = answer }
        }

        @Test("a thousand silent clients do not keep it from closing within five seconds")
        func thousand() throws {
            var limit = rlimit()
            getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            limit.rlim_cur = min(limit.rlim_max, 8192)
            setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            let live = try LiveServer()
            let host = try live.connect()
            try host.enter()
            let clients = try (0..<1000).map { _ in try live.connect() }
            #expect(
                eventually {
                    let report = live.server.report
                    return report.connections + report.connectionsRefused == 1001
                })
            #expect(live.server.report.connectionsOpen == NBDLimits().connections)
            #expect(host.isInStep())
            let started = Monotonic.now
            #expect(live.server.close() == 0)
            #expect(Monotonic.now - started < 5_000_000_000)
            for client in clients { #expect(client.isClosed()) }
            #expect(host.isClosed())
            #expect(live.descriptors() == 0)
            #expect(live.server.report.connectionsOpen == 0)
        }

        @Test("what was received when it closes is finished and answered")
        func finishes() throws {
            let live = try LiveServer()
            let client = try live.connect()
            try client.enter()
            live.export.gate.shut()
            client.send(Message.write([9, 9, 9], at: 0, cookie: 4))
            #expect(eventually { live.export.gate.waiting.load(ordering: .relaxed) == 1 })
            let answer = closing(live.server)
            #expect(eventually { (try? live.connect()) == nil })
            #expect(answer() == nil)
            live.export.gate.open()
            #expect(try client.reply() == .init(cookie: 4))
            #expect(client.isClosed())
            #expect(eventually { answer() == 0 })
            #expect(live.export.bytes.load(as: UInt8.self) == 9)
        }

        @Test("a storage that does not answer is given up within five seconds")
        func stuck() throws {
            var limits = NBDLimits()
            limits.closing = 0.2
            let live = try LiveServer(limits: limits)
            let client = try live.connect()
            try client.enter()
            live.export.gate.shut()
            client.send(Message.write([1], at: 0))
            #expect(eventually { live.export.gate.waiting.load(ordering: .relaxed) == 1 })
            let started = Monotonic.now
            #expect(live.server.close() == 1)
            #expect(Monotonic.now - started < 5_000_000_000)
            live.export.gate.open()
            #expect(eventually { live.server.report.connectionsOpen == 0 })
            #expect(eventually { live.descriptors() == 0 })
        }

        @Test("a client that takes no replies is cut off when it closes")
        func stuckClient() throws {
            var limits = NBDLimits()
            limits.closing = 0.2
            let live = try LiveServer(
                [(LiveServer.disk, MemoryExport(capacity: 32 << 20))], limits: limits)
            let client = try live.connect()
            try client.enter()
            client.send(Message.request(.read, length: 32 << 20))
            #expect(eventually { live.server.report.reads == 1 })
            #expect(live.server.close() == 0)
        }

        @Test("closing twice, or without having started, does nothing")
        func twice() throws {
            let server = NBDServer(catalogue: MemoryCatalogue(exports: []))
            #expect(server.close() == 0)
            let live = try LiveServer()
            #expect(live.server.close() == 0)
            #expect(live.server.close() == 0)
            #expect(throws: NBDServerError.self) { try live.server.start() }
        }

        @Test(
            "an address that another server listens on is refused with its code",
            arguments: [true, false])
        func addressInUse(tcp: Bool) throws {
            let live = try LiveServer(tcp: tcp)
            let free = NBDAddress.unix(path: LiveServer.path())
            let second = NBDServer(catalogue: live.catalogue, listen: [free, live.address])
            let error = #expect(throws: NBDServerError.self) { try second.start() }
            #expect(error?.code == .addressInUse)
            #expect(error?.address == live.address)
            #expect(error?.message.contains(live.address.description) == true)
            #expect((try? WireClient(free)) == nil, "it listens on a part of its addresses")
            try live.connect().enter()
        }

        @Test("a socket that a dead server left behind is taken over, another file is not")
        func leftBehind() throws {
            let path = LiveServer.path()
            let dead = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
            var name = try #require(UnixName(path))
            #expect(name.call(bind, dead) == 0)
            close(dead)
            let catalogue = MemoryCatalogue(exports: [])
            let server = NBDServer(catalogue: catalogue, listen: [.unix(path: path)])
            try server.start()
            var status = stat()
            #expect(stat(path, &status) == 0)
            #expect(status.st_mode & 0o777 == 0o600)
            server.close()
            #expect(access(path, F_OK) != 0, "the socket file was not removed")
            try Data("precious".utf8).write(to: URL(fileURLWithPath: path))
            defer { unlink(path) }
            let other = NBDServer(catalogue: catalogue, listen: [.unix(path: path)])
            #expect(throws: NBDServerError.self) { try other.start() }
            #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == Data("precious".utf8))
        }

        @Test("addresses that cannot be used are refused with a sentence")
        func unusable() {
            let catalogue = MemoryCatalogue(exports: [])
            let cases: [(NBDAddress, NBDServerError.Code)] = [
                (.tcp(host: "no.such.host.invalid", port: 0), .addressUnusable),
                (.tcp(host: "192.0.2.1", port: 0), .addressUnusable),
                (.unix(path: "/nonexistent/directory/s"), .addressUnusable),
                (.unix(path: "/tmp/" + String(repeating: "x", count: 120)), .addressUnusable),
            ]
            for (address, code) in cases {
                let server = NBDServer(catalogue: catalogue, listen: [address])
                let error = #expect(throws: NBDServerError.self) { try server.start() }
                #expect(error?.code == code, "\(address)")
                #expect(error?.message.hasSuffix(".") == true)
            }
        }

        @Test("addresses are read as they are written")
        func addresses() {
            for text in ["127.0.0.1:10809", "[::1]:0", "localhost:1", "unix:/run/nbd.sock"] {
                #expect(NBDAddress(text)?.description == text)
            }
            for text in ["", "10809", "::1:5", "host:", "host:70000", "unix:", ":5", "off"] {
                #expect(NBDAddress(text) == nil, "\(text)")
            }
        }
    }
}
