import MessagePort
import Testing

@testable import AMQPBroker

extension LiveBrokerTests {
    private func take(_ count: Int, from tail: EventTail) async -> [Delivery] {
        var taken: [Delivery] = []
        while taken.count < count, let event = await tail.next() { taken.append(event) }
        return taken
    }

    @Test("a live tail sees what matches from now on")
    func liveTail() async throws {
        let topology = try await declared("live")
        try await send([event(topology.eventExchange, "a.x", 0)])
        let tail = try EventTail(
            endpoint: endpoint, topology: topology, from: nil, pattern: "a.*", random: { 0.5 })
        try await tail.started()
        try await send([
            event(topology.eventExchange, "b.x", 1), event(topology.eventExchange, "a.y", 2),
        ])
        #expect(await take(1, from: tail).map(number) == [2])
        await tail.close()
        #expect(await tail.next() == nil)
    }

    @Test("the event log is replayed from its first event, an offset or a pattern")
    func replay() async throws {
        let topology = try await declared("replay")
        try await send(
            (0..<500).map { event(topology.eventExchange, $0 % 2 == 0 ? "a.x" : "b.x", $0) })
        let first = try EventTail(
            endpoint: endpoint, topology: topology, from: .first, random: { 0.5 })
        #expect(await take(500, from: first).map(number) == Array(0..<500))
        await first.close()
        let offset = try EventTail(
            endpoint: endpoint, topology: topology, from: .offset(490), random: { 0.5 })
        #expect(await take(10, from: offset).map(number) == Array(490..<500))
        await offset.close()
        let pattern = try EventTail(
            endpoint: endpoint, topology: topology, from: .time(0), pattern: "b.#", random: { 0.5 })
        #expect(await take(5, from: pattern).map(number) == [1, 3, 5, 7, 9])
        await pattern.close()
    }

    @Test("a replay goes on where it was after a restart of the broker")
    func replayResumes() async throws {
        let topology = try await declared("resume")
        try await send((0..<300).map { event(topology.eventExchange, "k", $0) })
        let tail = try EventTail(
            endpoint: endpoint, topology: topology, from: .first, random: { 0.5 })
        var seen = await take(150, from: tail).map(number)
        try await broker.halt()
        #expect(await eventually { !tail.health.connected })
        try await broker.restart()
        while seen.last != 299, let event = await tail.next() { seen.append(number(event)) }
        // What was handed on just before the loss may come once more, but nothing is skipped.
        #expect(Set(seen) == Set(0..<300))
        #expect(zip(seen, seen.dropFirst()).allSatisfy { $1 == $0 + 1 || $1 <= 150 })
        await tail.close()
    }

    @Test("a sent command comes back with its reply")
    func sendAndReply() async throws {
        let topology = try await declared("rpc", partitions: 1)
        let source = try await source(topology)
        let publisher = try await publisher()
        async let worker: Void = {
            guard let delivery = await source.next() else { return }
            var properties = MessageProperties()
            properties.correlationID = delivery.properties.messageID
            let reply = OutgoingMessage(
                exchange: "", routingKey: delivery.properties.replyTo ?? "", properties: properties,
                body: Array("done".utf8))
            #expect(await publisher.publish([reply]) == [.confirmed])
            source.settle(delivery.tag, .acknowledge)
        }()
        let reply = try await AMQPCommandClient(endpoint: endpoint)
            .send(command(topology, "s", 1), replyWithin: .seconds(10))
        #expect(reply?.body == Array("done".utf8))
        await worker
        await source.close()
        await publisher.close()
    }

    @Test("a command that nobody answers times out, and one that nobody could take says so")
    func sendFailures() async throws {
        let topology = try await declared("rpcfail", partitions: 1)
        let client = AMQPCommandClient(endpoint: endpoint)
        func code(_ message: OutgoingMessage) async -> BrokerError.Code? {
            do {
                _ = try await client.send(message, replyWithin: .milliseconds(300))
                return nil
            } catch {
                return error.code
            }
        }
        #expect(await code(command(topology, "s", 1)) == .timedOut)
        #expect(await code(event("", "no-such-queue", 1)) == .returned)
        #expect(await code(event("no-such-exchange", "k", 1)) == .notFound)
        #expect(try await client.send(command(topology, "s", 2), replyWithin: nil) == nil)
        let nobody = AMQPCommandClient(endpoint: try BrokerEndpoint(uri: "amqp://127.0.0.1:1"))
        await #expect(throws: BrokerError.self) {
            try await nobody.send(command(topology, "s", 3), replyWithin: nil)
        }
    }
}
