import Glibc
import MessagePort
import PrivateBroker
import Testing

@testable import AMQPBroker

extension LiveBrokerTests {
    @Test("a session's deliveries come in the order they were published")
    func deliveriesInOrder() async throws {
        let topology = try await declared("order")
        let sessions = ["a", "b", "c", "d", "e"]
        try await send((0..<200).flatMap { n in sessions.map { command(topology, $0, n) } })
        let source = try await source(topology)
        var seen: [String: [Int]] = [:]
        for _ in 0..<1000 {
            guard let delivery = await source.next() else { break }
            seen[delivery.routingKey, default: []].append(number(delivery))
            #expect(delivery.properties.contentType == "application/json")
            source.settle(delivery.tag, .acknowledge)
        }
        for session in sessions { #expect(seen[session] == Array(0..<200)) }
        await source.close()
        #expect(try await left(in: topology).values.allSatisfy(\.isEmpty))
    }

    @Test("a rejected delivery lands in the dead letters, untouched, with its origin")
    func deadLetter() async throws {
        let topology = try await declared("dead", partitions: 1)
        var message = command(topology, "s", 7)
        message.properties.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        message.properties.tracestate = "a=b"
        message.properties.replyTo = "somewhere"
        message.properties.correlationID = "c1"
        message.properties.timestamp = 1_795_226_400
        try await send([message])
        let source = try await source(topology)
        let delivery = try #require(await source.next())
        #expect(delivery.properties == message.properties)
        source.settle(delivery.tag, .deadLetter)
        let letter = try #require(try takeAll(from: topology.deadLetters, atLeast: 1).first)
        #expect(letter.body == message.body)
        #expect(letter.properties == message.properties)
        #expect(letter.brokerHeaders["x-first-death-queue"] == "dead.commands.0")
        #expect(letter.brokerHeaders["x-first-death-reason"] == "rejected")
        await source.close()
    }

    @Test(
        "after a kill of the broker nothing is lost, and what was not settled comes in order again")
    func survivesKill() async throws {
        let topology = try await declared("kill", partitions: 1)
        try await send((0..<50).map { command(topology, "s", $0) })
        let source = try await source(topology)
        let first = await take(20, from: source)
        #expect(first.map(number) == Array(0..<20))
        for delivery in first.prefix(10) { source.settle(delivery.tag, .acknowledge) }
        // The broker's own count: what it has counted is on disk, and its queues are old enough to
        // survive.
        let acknowledged = try await eventually {
            try await broker.control(
                "list_queues", "--quiet", "--no-table-headers", "name", "messages"
            ).contains("kill.commands.0\t40")
        }
        #expect(acknowledged)
        try await broker.kill()
        #expect(await eventually { !source.health.connected })
        #expect(source.health.lastError != nil)
        try await broker.restart()
        let again = await take(40, from: source, within: .seconds(40))
        #expect(again.map(number) == Array(10..<50))
        #expect(again.allSatisfy { $0.tag.epoch > first[0].tag.epoch })
        #expect(again.first?.redelivered == true)
        // A tag of the lost connection is without effect, though the number exists anew.
        source.settle(first[19].tag, .acknowledge)
        for delivery in again.dropLast() { source.settle(delivery.tag, .acknowledge) }
        await source.close()
        let rest = try await left(in: topology)["kill.commands.0"]
        #expect(rest?.map { String(decoding: $0.body, as: UTF8.self) } == ["49"])
    }

    @Test("a delivery settled twice does not cost the channel")
    func settledTwice() async throws {
        let topology = try await declared("twice", partitions: 1)
        try await send((0..<3).map { command(topology, "s", $0) })
        let source = try await source(topology)
        let deliveries = await take(2, from: source)
        for _ in 0..<3 { source.settle(deliveries[0].tag, .acknowledge) }
        source.settle(deliveries[0].tag, .deadLetter)
        source.settle(DeliveryTag(epoch: deliveries[0].tag.epoch, number: 999), .acknowledge)
        source.settle(deliveries[1].tag, .acknowledge)
        let third = await take(1, from: source)
        #expect(third.map(number) == [2])
        for delivery in third { source.settle(delivery.tag, .acknowledge) }
        try await send([command(topology, "s", 3)])
        #expect(await take(1, from: source).map(number) == [3])
        #expect(source.health.connections == 1)
        await source.close()
    }

    @Test("a drained source hands nothing on, still settles, and leaves the rest in order")
    func drain() async throws {
        let topology = try await declared("drain", partitions: 1)
        try await send((0..<10).map { command(topology, "s", $0) })
        let source = try await source(topology)
        let taken = await take(3, from: source)
        source.drain()
        #expect(await source.next() == nil)
        for delivery in taken { source.settle(delivery.tag, .acknowledge) }
        await source.close()
        let rest = try takeAll(from: "drain.commands.0", atLeast: 7)
        #expect(rest.map { String(decoding: $0.body, as: UTF8.self) } == (3..<10).map(String.init))
    }

    @Test("a waiting next returns nil when its task is cancelled, and loses nothing")
    func cancelledWait() async throws {
        let topology = try await declared("cancel", partitions: 1)
        let source = try await source(topology)
        #expect(await take(1, from: source, within: .milliseconds(100)).isEmpty)
        try await send([command(topology, "s", 1)])
        #expect(await take(1, from: source).map(number) == [1])
        await source.close()
    }

    @Test("two workers share the partitions, and a closed one's move over in order")
    func singleActiveConsumer() async throws {
        let topology = try await declared("pair", partitions: 1)
        let first = try await source(topology)
        let second = try await source(topology)
        try await send((0..<6).map { command(topology, "s", $0) })
        let taken = await take(6, from: first)
        #expect(taken.map(number) == Array(0..<6))
        first.settle(taken[0].tag, .acknowledge)
        await first.close()
        let moved = await take(5, from: second)
        #expect(moved.map(number) == Array(1..<6))
        await second.close()
    }

    @Test("a queue that is deleted under the consumer is noticed and declared again")
    func deletedQueue() async throws {
        let topology = try await declared("deleted", partitions: 1)
        let source = try await source(topology)
        try await broker.control("delete_queue", "deleted.commands.0")
        #expect(await eventually { source.health.connections > 1 && source.health.connected })
        #expect(source.health.lastError?.contains("deleted.commands.0") == true)
        try await send([command(topology, "s", 1)])
        #expect(await take(1, from: source).map(number) == [1])
        await source.close()
    }

    @Test("heartbeats keep an idle connection")
    func idle() async throws {
        var endpoint = endpoint
        endpoint.heartbeatSeconds = 1
        let topology = try await declared("idle", partitions: 1)
        let source = try AMQPCommandSource(
            endpoint: endpoint, topology: topology, random: { 0.5 })
        let publisher = try AMQPPublisher(endpoint: endpoint, random: { 0.5 })
        try await source.started()
        try await publisher.started()
        // The broker would close after two silent seconds, and so would the library.
        let lost = await eventually(within: .seconds(5)) {
            !source.health.connected || !publisher.health.connected
        }
        #expect(!lost)
        #expect(source.health.connections == 1 && publisher.health.connections == 1)
        await source.close()
        await publisher.close()
    }

    @Test("a broker that falls silent with its sockets open is noticed by its missing heartbeats")
    func silentBroker() async throws {
        var endpoint = endpoint
        endpoint.heartbeatSeconds = 1
        let topology = try await declared("silent", partitions: 1)
        let source = try AMQPCommandSource(
            endpoint: endpoint, topology: topology, random: { 0.5 })
        try await source.started()
        try broker.signal(SIGSTOP)
        #expect(await eventually(within: .seconds(6)) { !source.health.connected })
        try broker.signal(SIGCONT)
        #expect(await eventually { source.health.connected })
        await source.close()
    }

    @Test("a source that starts before its broker connects when the broker comes")
    func lateBroker() async throws {
        let topology = try await declared("late", partitions: 1)
        try await broker.halt()
        let source = try AMQPCommandSource(
            endpoint: endpoint, topology: topology, random: { 0.5 })
        let error = await #expect(throws: BrokerError.self) { try await source.started() }
        #expect(error?.code == .unreachable)
        #expect(!source.health.connected && source.health.connections == 0)
        try await broker.restart()
        #expect(await eventually { source.health.connected })
        await source.close()
    }

    @Test("closing does not wait for a broker that is away")
    func closeWithoutBroker() async throws {
        let nobody = try BrokerEndpoint(uri: "amqp://127.0.0.1:1")
        let source = try AMQPCommandSource(
            endpoint: nobody, topology: BrokerTopology(), random: { 0.5 })
        _ = try? await source.started()
        await source.close()
        #expect(await source.next() == nil)
    }
}
