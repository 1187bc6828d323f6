import AMQPBroker
import CommandSchema
import ConsoleText
import Glibc
import MessagePort
import Synchronization

// What the clients use of the configuration, and the broker behind two small protocols.

/// Sends one command and waits for its outcome.
protocol CommandSending: Sendable {
    /// Publishes the command and gives the bytes of the outcome that a worker answers with.
    func outcome(
        of command: CommandRequest.Assembled, within limit: Duration
    ) async throws(ClientFailure) -> [UInt8]
}

/// Events, one after the other.
protocol EventFollowing: Sendable {
    /// Waits until nothing that happens from now on can be missed.
    func started() async throws(ClientFailure)
    /// The bytes of the next event; nil after the end, and nil when the waiting task is cancelled.
    func next() async -> [UInt8]?
    /// Ends it.
    func close() async
}

/// The site as the clients see it: everything that they take from the configuration.
struct Site: Sendable {
    /// Where something is to be found, as the configuration calls it and as it is.
    struct Place: Sendable {
        var key: String
        var path: String
    }

    /// An address as the configuration has it.
    struct Address: Sendable {
        var host: String
        var port: Int
    }

    var endpoint: BrokerEndpoint
    var topology: BrokerTopology
    var storage: [Place]
    var store: Place
    var nbd: Address?
    var http: Address?

    /// Takes what is needed; throws where the broker's address cannot be used.
    init(_ configuration: Configuration) throws(ClientFailure) {
        let broker = configuration.broker
        let files = BrokerTLSFiles(
            ca: broker.tlsAuthority, certificate: broker.tlsCertificate, key: broker.tlsKey)
        do throws(BrokerError) {
            endpoint = try BrokerEndpoint(uri: broker.uri, tls: files)
        } catch {
            throw ClientFailure(.usage, "broker.uri: \(error.message)")
        }
        topology = configuration.topology
        storage = configuration.storage.map { Place(key: "storage \($0.name)", path: $0.path) }
        store = Place(key: "store", path: configuration.store.sqlite)
        nbd = configuration.nbd.map { Address(host: $0.host, port: $0.port) }
        http = configuration.http.map { Address(host: $0.host, port: $0.port) }
    }

    /// Sends commands to this site's workers.
    var sender: any CommandSending { BrokerSender(site: self) }

    /// Follows the events of one subject, or all; `from` nil is live, else the event log.
    func events(
        of subject: String?, from start: ReplayStart?
    ) throws(ClientFailure) -> any EventFollowing {
        let ending = Ending()
        do throws(BrokerError) {
            return BrokerEvents(
                tail: try EventTail(
                    endpoint: endpoint, topology: topology, from: start.map(EventLogStart.init),
                    pattern: subject.map { "\($0).#" } ?? "#",
                    random: { Double.random(in: 0..<1) },
                    healthChanged: { if !ending.hasBegun { Self.tell($0) } }),
                ending: ending)
        } catch {
            throw ClientFailure(error)
        }
    }
}

extension Site {
    /// Tells whoever watches that nothing can come just now, and when it can again.
    private static func tell(_ health: BrokerHealth) {
        if !health.connected, health.connections > 0, let error = health.lastError {
            Console.complain(
                "the connection to the broker is lost (\(SafeText.escaped(error))); trying again")
        } else if health.connected, health.connections > 1 {
            Console.complain("connected to the broker again")
        }
    }
}

/// The broker as a place to send commands to.
private struct BrokerSender: CommandSending {
    let site: Site

    func outcome(
        of command: CommandRequest.Assembled, within limit: Duration
    ) async throws(ClientFailure) -> [UInt8] {
        var properties = MessageProperties()
        properties.messageID = command.id
        properties.correlationID = command.id
        properties.contentType = "application/json"
        properties.timestamp = UInt64(max(0, time(nil)))
        let message = OutgoingMessage(
            exchange: site.topology.commandExchange, routingKey: command.target,
            properties: properties, body: command.body)
        do throws(BrokerError) {
            let client = AMQPCommandClient(endpoint: site.endpoint)
            guard let reply = try await client.send(message, replyWithin: limit) else {
                throw BrokerError(.protocolViolation, "no reply was given", at: site.endpoint.place)
            }
            return reply.body
        } catch {
            throw ClientFailure(error)
        }
    }
}

/// Whether the end has been asked for: a connection that is closed on purpose is not lost.
///
/// Any thread.
private final class Ending: Sendable {
    private let begun = Atomic(false)

    var hasBegun: Bool { begun.load(ordering: .relaxed) }

    func begin() { begun.store(true, ordering: .relaxed) }
}

/// A tail of events as bytes.
private struct BrokerEvents: EventFollowing {
    let tail: EventTail
    let ending: Ending

    func started() async throws(ClientFailure) {
        do throws(BrokerError) {
            try await tail.started()
        } catch {
            throw ClientFailure(error)
        }
    }

    func next() async -> [UInt8]? { await tail.next()?.body }

    func close() async {
        ending.begin()
        await tail.close()
    }
}

extension EventLogStart {
    fileprivate init(_ start: ReplayStart) {
        switch start {
        case .first: self = .first
        case .last: self = .last
        case .next: self = .next
        case .offset(let offset): self = .offset(offset)
        case .time(let time): self = .time(UInt64(max(0, time.seconds)))
        }
    }
}
