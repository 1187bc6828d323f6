import Foundation
import MessagePort
import Testing

@testable import AMQPBroker

@Suite("Topology")
struct TopologyTests {
    @Test("the definitions file for operators says what the code declares")
    func definitionsFile() throws {
        let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("../../deploy/rabbitmq/definitions.json").standardizedFileURL
        let text = try String(contentsOf: path, encoding: .utf8)
        #expect(
            text == BrokerTopology().definitions(),
            "write the file anew: it is the text of BrokerTopology().definitions()")
    }

    @Test("the definitions are JSON with every object in them")
    func definitionsAreJSON() throws {
        let topology = BrokerTopology(prefix: "a\"b\\c\n", partitions: 3)
        let json = try JSONSerialization.jsonObject(with: Data(topology.definitions().utf8))
        let root = try #require(json as? [String: [[String: any Sendable]]])
        #expect(root["exchanges"]?.count == 3)
        #expect(root["queues"]?.count == 5)
        #expect(root["bindings"]?.count == 5)
        #expect(root["queues"]?.first?["name"] as? String == topology.deadLetters)
    }

    @Test("a topology that no broker could hold is refused")
    func refused() async throws {
        let nobody = try BrokerEndpoint(uri: "amqp://127.0.0.1:1")
        for topology in [
            BrokerTopology(partitions: 0), BrokerTopology(partitions: -1),
            BrokerTopology(partitions: 257), BrokerTopology(prefix: ""),
            BrokerTopology(prefix: "amq.x"), BrokerTopology(eventLogMaxAge: .zero),
        ] {
            let error = await #expect(throws: BrokerError.self) {
                try await topology.declare(on: nobody)
            }
            #expect(error?.code == .invalidTopology)
        }
    }

    @Test("one age is always written one way")
    func age() {
        func written(_ age: Duration) -> ArgumentValue? {
            BrokerTopology(eventLogMaxAge: age).queues.last?.arguments["x-max-age"]
        }
        #expect(written(.seconds(30 * 86_400)) == .text("30D"))
        #expect(written(.seconds(3600)) == .text("3600s"))
        #expect(written(.milliseconds(1)) == .text("1s"))
    }
}

extension LiveBrokerTests {
    @Test("declaring twice, and after an import of the definitions file, changes nothing")
    func declaringIsIdempotent() async throws {
        let topology = BrokerTopology()
        let file = broker.directory + "/definitions.json"
        try Data(topology.definitions().utf8).write(to: URL(fileURLWithPath: file))
        try await broker.control("import_definitions", file)
        try await topology.declare(on: endpoint)
        try await topology.declare(on: endpoint)
        let listed = try await broker.control(
            "list_queues", "--quiet", "--no-table-headers", "name", "type")
        for queue in topology.commandQueues + [topology.deadLetters] {
            #expect(listed.contains("\(queue)\tquorum"))
        }
        #expect(listed.contains("\(topology.eventLog)\tstream"))
    }

    @Test("an object that exists with other properties is named in the error")
    func conflict() async throws {
        let original = try await declared("conflict")
        let topology = BrokerTopology(
            prefix: original.prefix, partitions: original.partitions, eventLogMaxAge: .seconds(60))
        let error = await #expect(throws: BrokerError.self) {
            try await topology.declare(on: endpoint)
        }
        #expect(error?.code == .conflict)
        #expect(error?.place == "queue conflict.events.log")
        #expect(error?.message.contains("other properties") == true)
    }

    @Test("a user who may not configure is content with what exists, and told what is missing")
    func withoutPermission() async throws {
        try await broker.control("add_user", "clerk", "secret")
        try await broker.control("set_permissions", "clerk", "^$", ".*", ".*")
        let clerk = try BrokerEndpoint(uri: "amqp://clerk:secret@127.0.0.1:\(broker.port)")
        try await declared("allowed").declare(on: clerk)
        let error = await #expect(throws: BrokerError.self) {
            try await BrokerTopology(prefix: "absent").declare(on: clerk)
        }
        #expect(error?.code == .notFound)
        #expect(error?.place == "exchange absent.dead")
        #expect(error?.message.contains("definitions.json") == true)
    }

    @Test("a wrong password and an absent virtual host are told apart from an absent broker")
    func refusedLogins() async throws {
        for uri in [
            "amqp://guest:wrong@127.0.0.1:\(broker.port)",
            "amqp://127.0.0.1:\(broker.port)/nowhere",
        ] {
            let endpoint = try BrokerEndpoint(uri: uri)
            let error = await #expect(throws: BrokerError.self) {
                try await BrokerTopology().declare(on: endpoint)
            }
            #expect(error?.code == .accessRefused, "\(uri): \(String(describing: error))")
            #expect(error?.place == endpoint.place)
        }
        let nobody = try BrokerEndpoint(uri: "amqp://127.0.0.1:1")
        let error = await #expect(throws: BrokerError.self) {
            try await BrokerTopology().declare(on: nobody)
        }
        #expect(error?.code == .unreachable)
    }

    @Test("a session's commands go to one queue, and to the same one after a restart of the broker")
    func keysStay() async throws {
        let topology = try await declared("keys", partitions: 4)
        let keys = (0..<120).map { "session-\($0)" }
        func placed() async throws -> [String: [String]] {
            try await send(
                keys.map { command(topology, $0, 0) } + keys.map { command(topology, $0, 1) })
            var queues: [String: [String]] = [:]
            for (queue, messages) in try await left(in: topology) {
                for message in messages { queues[message.routingKey, default: []].append(queue) }
            }
            return queues
        }
        let before = try await placed()
        #expect(before.count == keys.count)
        #expect(before.values.allSatisfy { $0.count == 2 && Set($0).count == 1 })
        #expect(Set(before.values.map { $0[0] }).count == 4, "every queue has a share")
        try await broker.halt()
        try await broker.restart()
        #expect(try await placed() == before)
    }
}
