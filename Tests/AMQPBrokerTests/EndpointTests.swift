import Testing

@testable import AMQPBroker

@Suite("Broker addresses")
struct EndpointTests {
    @Test("absent parts get the protocol's defaults")
    func defaults() throws {
        let endpoint = try BrokerEndpoint(uri: "amqp://rabbit.example")
        #expect(endpoint.host == "rabbit.example")
        #expect(endpoint.port == 5672)
        #expect(endpoint.virtualHost == "/")
        #expect(endpoint.login == .plain(user: "guest", password: "guest"))
        #expect(endpoint.tls == nil)
        #expect(try BrokerEndpoint(uri: "amqps://rabbit.example").port == 5671)
    }

    @Test("every part is read, and percent escapes are undone")
    func everyPart() throws {
        let endpoint = try BrokerEndpoint(
            uri: "amqp://us%20er:p%40ss%3aw%2Ford@127.0.0.1:5673/%2fprod"
                + "?heartbeat=7&connection_timeout=1500")
        #expect(endpoint.login == .plain(user: "us er", password: "p@ss:w/ord"))
        #expect(endpoint.host == "127.0.0.1")
        #expect(endpoint.port == 5673)
        #expect(endpoint.virtualHost == "/prod")
        #expect(endpoint.heartbeatSeconds == 7)
        #expect(endpoint.connectTimeout == .milliseconds(1500))
    }

    @Test("an IPv6 address stands in brackets")
    func bracketed() throws {
        let endpoint = try BrokerEndpoint(uri: "amqp://[::1]:99/x")
        #expect(endpoint.host == "::1")
        #expect(endpoint.port == 99)
        #expect(endpoint.place == "[::1]:99")
    }

    @Test(
        "what is not an AMQP address is refused",
        arguments: [
            "http://h", "h:5672", "amqp://", "amqp://h/", "amqp://h/a/b", "amqp://h:0",
            "amqp://h:65536",
            "amqp://h:x", "amqp://h:+5", "amqp://h:", "amqp://[::1", "amqp://[::1]x", "amqp://h/%2",
            "amqp://h/%zz", "amqp://h/%ff", "amqp://h/%00", "amqp://h?heartbeat=x",
            "amqp://h?speed=9",
            "amqp://h?heartbeat=0", "amqp://h?heartbeat=601", "amqp://h?connection_timeout=0",
            "amqp://h#f",
        ])
    func refused(uri: String) {
        #expect {
            try BrokerEndpoint(uri: uri)
        } throws: { ($0 as? BrokerError)?.code == .invalidEndpoint }
    }

    @Test("neither a description, a dump nor an error shows the password")
    func passwordStaysHidden() throws {
        let endpoint = try BrokerEndpoint(uri: "amqp://u:hunter2@h")
        var dumped = ""
        dump(endpoint, to: &dumped)
        for text in ["\(endpoint)", String(reflecting: endpoint), dumped] {
            #expect(!text.contains("hunter2"))
        }
        #expect {
            try BrokerEndpoint(uri: "amqp://u:hunter2@h:99999")
        } throws: { !"\($0)".contains("hunter2") }
    }

    @Test("TLS files belong to amqps, and a certificate to its key")
    func filesNeedTLS() throws {
        #expect(throws: BrokerError.self) {
            try BrokerEndpoint(uri: "amqp://h", tls: BrokerTLSFiles(ca: "ca.pem"))
        }
        #expect(throws: BrokerError.self) {
            try BrokerEndpoint(uri: "amqps://h", tls: BrokerTLSFiles(certificate: "c.pem"))
        }
    }

    @Test("a certificate without a user means SASL EXTERNAL, with a user PLAIN")
    func externalLogin() throws {
        let files = BrokerTLSFiles(ca: "ca", certificate: "c", key: "k")
        #expect(try BrokerEndpoint(uri: "amqps://h", tls: files).login == .external)
        #expect(
            try BrokerEndpoint(uri: "amqps://u:p@h", tls: files).login
                == .plain(user: "u", password: "p"))
    }
}
