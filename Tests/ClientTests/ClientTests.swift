import AMQPBroker
import ConsoleText
import Foundation
import Testing

@testable import stillpoint

@Suite("What a client ends with")
struct ClientFailureTests {
    @Test(
        "each failure of the broker has its exit status",
        arguments: [
            (.invalidEndpoint, .usage), (.invalidTopology, .usage),
            (.unreachable, .brokerUnreachable),
            (.tlsFailed, .brokerUnreachable), (.accessRefused, .brokerUnreachable),
            (.closedByBroker, .brokerUnreachable), (.timedOut, .timedOut), (.notFound, .failed),
            (.returned, .failed), (.notTaken, .failed), (.conflict, .failed),
        ] as [(BrokerError.Code, ConsoleText.ExitStatus)])
    func statuses(_ code: BrokerError.Code, _ status: ConsoleText.ExitStatus) {
        #expect(ClientFailure(BrokerError(code, "why", at: "here")).status == status)
    }

    @Test("only a failure after which the command may be with the broker leaves the outcome open")
    func open() {
        let open = BrokerError.Code.allCases.filter {
            ClientFailure(BrokerError($0, "why", at: "here")).outcomeIsOpen
        }
        #expect(Set(open) == [.unreachable, .closedByBroker, .timedOut])
    }

    @Test("a broker's words cannot act on the terminal")
    func escaped() {
        let failure = ClientFailure(BrokerError(.returned, "\u{1B}[2J", at: "x"))
        #expect(!failure.description.contains("\u{1B}"))
    }
}

@Suite("Answers over HTTP")
struct HTTPGetTests {
    @Test("the status and the body are taken apart")
    func response() throws {
        let text = "HTTP/1.1 200 OK\r\nContent-Type: a\r\n\r\n{}\r\n\r\n"
        let response = try #require(HTTPGet.response(Array(text.utf8)))
        #expect(response.status == 200)
        #expect(response.body == Array("{}\r\n\r\n".utf8))
    }

    @Test(
        "what is not HTTP is no answer",
        arguments: [
            "", "NBDMAGIC", "HTTP/1.1 200 OK\r\n", "HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\n\r\n",
        ])
    func garbage(_ text: String) {
        #expect(HTTPGet.response(Array(text.utf8)) == nil)
    }
}

/// A listener on loopback that greets whoever connects, until it goes.
private final class Greeter: Sendable {
    let port: Int
    private let descriptor: Int32

    init(_ greeting: String) throws {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        self.descriptor = descriptor
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let named = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) == 0 && listen(descriptor, 8) == 0
                    && getsockname(descriptor, $0, &length) == 0
            }
        }
        try #require(named)
        port = Int(UInt16(bigEndian: address.sin_port))
        Thread.detachNewThread {
            while true {
                let guest = accept(descriptor, nil, nil)
                guard guest >= 0 else { return }
                send(guest, greeting, greeting.utf8.count, Int32(MSG_NOSIGNAL))
                close(guest)
            }
        }
    }

    deinit {
        shutdown(descriptor, Int32(SHUT_RDWR))
        close(descriptor)
    }
}

@Suite("What check finds")
struct ProbeTests {
    private let directory = NSTemporaryDirectory() + "client-tests-" + UUID().uuidString

    private func findings(_ change: (inout Configuration) -> Void) async throws -> [String: Finding]
    {
        var configuration = Configuration()
        // Port 1 of loopback: nobody listens, so that the broker's probe ends at once.
        configuration.broker.uri = "amqp://guest:guest@127.0.0.1:1"
        configuration.nbd = nil
        configuration.http = nil
        configuration.store.sqlite = directory + "/deep/store.sqlite"
        change(&configuration)
        var findings: [String: Finding] = [:]
        for probe in Probes.all(try Site(configuration)) {
            for finding in await probe.look() { findings[finding.place] = finding }
        }
        return findings
    }

    @Test("what a worker would make is no fault, and a broker that is away is the gravest one")
    func beforeTheFirstStart() async throws {
        let findings = try await findings { _ in }
        #expect(findings["broker"]?.level == .brokerUnreachable)
        #expect(findings["store"]?.level == .ok)
        #expect(findings["nbd"]?.sentence == "off")
        #expect(!FileManager.default.fileExists(atPath: directory))
    }

    @Test("a file that is no SQLite file is not taken for a store")
    func store() async throws {
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let path = directory + "/store"
        try Data("not a database at all".utf8).write(to: URL(fileURLWithPath: path))
        let findings = try await findings { $0.store.sqlite = path }
        #expect(findings["store"]?.level == .failed)
        #expect(findings["store"]?.remedy.isEmpty == false)
    }

    @Test("a port where something else listens is named; one with an NBD server is in order")
    func doors() async throws {
        let stranger = try Greeter("220 mail\r\n")
        let server = try Greeter("NBDMAGICIHAVEOPT")
        let findings = try await findings {
            $0.nbd = Configuration.Address(host: "127.0.0.1", port: server.port)
            $0.http = Configuration.Address(host: "127.0.0.1", port: stranger.port)
        }
        #expect(findings["nbd"]?.level == .ok)
        #expect(findings["http"]?.level == .failed)
        withExtendedLifetime((stranger, server)) {}
    }
}
