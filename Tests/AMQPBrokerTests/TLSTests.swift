import Foundation
import Glibc
import PrivateBroker
import Testing

@testable import AMQPBroker

/// Certificates made on the spot: an authority, a server `localhost`, a client, and another
/// authority.
struct Certificates {
    let directory: String

    init() throws {
        directory = NSTemporaryDirectory() + "certificates-" + UUID().uuidString
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: true)
        let steps = """
            set -e
            authority() {
                openssl req -x509 -newkey rsa:2048 -nodes -keyout $1.key -out $1.pem -days 2 \\
                    -subj "/CN=$1" -addext basicConstraints=critical,CA:TRUE
            }
            leaf() {
                openssl req -newkey rsa:2048 -nodes -keyout $1.key -out $1.csr -subj "/CN=$2"
                printf 'subjectAltName=%s\\n' "$3" >$1.ext
                openssl x509 -req -in $1.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out $1.pem \\
                    -days 2 -extfile $1.ext
            }
            authority ca
            authority other
            leaf server localhost DNS:localhost
            leaf client worker DNS:worker
            """
        // A second of work; nothing else waits for this thread.
        let script = "cd '\(directory)' && exec >log 2>&1\n" + steps
        try #require(system(script) == 0)
    }

    func file(_ name: String) -> String { directory + "/" + name }
    func remove() { try? FileManager.default.removeItem(atPath: directory) }
}

@Suite("TLS", .serialized, .timeLimit(.minutes(2)))
struct TLSTests {
    @Test("certificates decide who is spoken to, and a broker without the plugin is told apart")
    func certificates() async throws {
        let certificates = try Certificates()
        defer { certificates.remove() }
        let broker = try await PrivateBroker(
            certificates: certificates.directory,
            configuration: """
                auth_mechanisms.1 = PLAIN
                auth_mechanisms.2 = EXTERNAL
                ssl_cert_login_from = common_name

                """, plugins: ["rabbitmq_auth_mechanism_ssl"])
        do {
            try await speak(to: broker, certificates)
        } catch {
            await broker.stop()
            throw error
        }
        await broker.stop()
    }

    private func speak(to broker: PrivateBroker, _ certificates: Certificates) async throws {
        let port = try #require(broker.tlsPort)
        func attempt(_ address: String, _ files: BrokerTLSFiles) throws -> BrokerError? {
            let endpoint = try BrokerEndpoint(uri: address, tls: files)
            do {
                let connection = try AMQPConnection(to: endpoint, name: "tls test")
                connection.close()
                return nil
            } catch {
                return error
            }
        }
        let ca = BrokerTLSFiles(ca: certificates.file("ca.pem"))
        #expect(try attempt("amqps://localhost:\(port)", ca) == nil)
        #expect(try attempt("amqps://127.0.0.1:\(port)", ca)?.code == .tlsFailed, "wrong host name")
        let other = BrokerTLSFiles(ca: certificates.file("other.pem"))
        #expect(
            try attempt("amqps://localhost:\(port)", other)?.code == .tlsFailed, "wrong authority")
        #expect(
            try attempt("amqps://localhost:\(port)", BrokerTLSFiles(ca: "/nowhere.pem"))?.place
                == "/nowhere.pem")
        var client = ca
        client.certificate = certificates.file("client.pem")
        client.key = certificates.file("client.key")
        #expect(try attempt("amqps://guest:guest@localhost:\(port)", client) == nil)
        #expect(
            try attempt("amqps://localhost:\(port)", client)?.code == .accessRefused, "no such user"
        )
        try await broker.control("add_user", "worker", "unused")
        try await broker.control("set_permissions", "worker", ".*", ".*", ".*")
        #expect(try attempt("amqps://localhost:\(port)", client) == nil, "SASL EXTERNAL")

        // This broker has no rabbitmq_sharding.
        let endpoint = try BrokerEndpoint(uri: broker.uri)
        let error = await #expect(throws: BrokerError.self) {
            try await BrokerTopology().declare(on: endpoint)
        }
        #expect(error?.code == .unsupported)
        #expect(error?.place == "exchange stillpoint.commands")
        #expect(error?.message.contains("rabbitmq-plugins enable rabbitmq_sharding") == true)
        try await roundTrip(try BrokerEndpoint(uri: "amqps://localhost:\(port)", tls: client))
    }

    // Large and many, so that TLS records end in the middle of frames.
    private func roundTrip(_ endpoint: BrokerEndpoint) async throws {
        var connection = try AMQPConnection(to: endpoint, name: "tls test")
        let queue = try connection.declarePrivateQueue()
        try connection.consume(queue, settles: false)
        let publisher = try AMQPPublisher(endpoint: endpoint, random: { 0.5 })
        let messages = (0..<300).map { number in
            var message = event("", queue, number)
            message.body = [UInt8](repeating: UInt8(number % 251), count: number * 700)
            return message
        }
        let exclusive = await publisher.publish(messages)
        #expect(exclusive.allSatisfy { $0 == .confirmed })
        await publisher.close()
        let wakeUp = try WakeUp()
        var sizes: [Int] = []
        let end = ContinuousClock.now + .seconds(20)
        while sizes.count < 300, ContinuousClock.now < end {
            while case .delivery(_, _, let message)? = try connection.nextEvent() {
                sizes.append(message.body.count)
            }
            _ = Readiness.wait(
                socket: connection.descriptor, wakeUp: wakeUp, atMost: .milliseconds(100))
        }
        #expect(sizes == (0..<300).map { $0 * 700 })
        connection.close()
    }
}
