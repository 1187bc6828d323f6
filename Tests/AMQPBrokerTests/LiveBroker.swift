// One private broker for the tests that need a real one, and what they share.

import Foundation
import MessagePort
import PrivateBroker
import Testing

@testable import AMQPBroker

/// Starts a broker before the suite and stops it after.
struct PrivateBrokerTrait: SuiteTrait, TestScoping {
    @TaskLocal static var broker: PrivateBroker?

    func provideScope(
        for test: Test, testCase: Test.Case?,
        performing function: @Sendable () async throws -> Void
    ) async throws {
        let broker = try await PrivateBroker()
        let result: Result<Void, any Error>
        do {
            result = .success(try await Self.$broker.withValue(broker) { try await function() })
        } catch {
            result = .failure(error)
        }
        await broker.stop()
        try result.get()
    }
}

extension Trait where Self == PrivateBrokerTrait {
    static var privateBroker: Self { Self() }
}

/// Everything against a real RabbitMQ.
///
/// Serialized: several of these stop the broker or fill it up.
@Suite("With a real broker", .serialized, .privateBroker, .timeLimit(.minutes(3)))
struct LiveBrokerTests {
    let broker: PrivateBroker
    let endpoint: BrokerEndpoint

    init() throws {
        broker = try #require(PrivateBrokerTrait.broker)
        endpoint = try BrokerEndpoint(uri: broker.uri)
    }

    /// A declared topology that no other test touches.
    func declared(_ name: String, partitions: Int = 2) async throws -> BrokerTopology {
        let topology = BrokerTopology(prefix: name, partitions: partitions)
        try await topology.declare(on: endpoint)
        return topology
    }

    func source(_ topology: BrokerTopology, prefetch: UInt16 = 100) async throws
        -> AMQPCommandSource
    {
        let source = try AMQPCommandSource(
            endpoint: endpoint, topology: topology, prefetch: prefetch, random: { 0.5 })
        try await source.started()
        return source
    }

    func publisher(
        window: Int = 512, deadline: Duration = .seconds(10)
    ) async throws -> AMQPPublisher {
        let publisher = try AMQPPublisher(
            endpoint: endpoint, window: window, deadline: deadline, random: { 0.5 })
        try await publisher.started()
        return publisher
    }

    func send(_ messages: [OutgoingMessage]) async throws {
        let publisher = try await publisher()
        let verdicts = await publisher.publish(messages)
        #expect(verdicts.allSatisfy { $0 == .confirmed })
        await publisher.close()
    }

    /// Everything that is in a queue now, taken out: at least so many, waited for, and whatever
    /// comes within a moment behind them.
    func takeAll(from queue: String, atLeast count: Int) throws -> [IncomingMessage] {
        var connection = try AMQPConnection(to: endpoint, name: "test")
        try connection.consume(queue, settles: false)
        let wakeUp = try WakeUp()
        var end = ContinuousClock.now + .seconds(10)
        var messages: [IncomingMessage] = []
        while ContinuousClock.now < end {
            while case .delivery(_, _, let message)? = try connection.nextEvent() {
                messages.append(message)
                if messages.count == max(count, 1) {
                    end = ContinuousClock.now + .milliseconds(200)
                }
            }
            _ = Readiness.wait(
                socket: connection.descriptor, wakeUp: wakeUp, atMost: .milliseconds(50))
        }
        connection.close()
        return messages
    }

    /// What is left in each queue: a marker is published behind it and not counted.
    func left(in topology: BrokerTopology) async throws -> [String: [IncomingMessage]] {
        try await send(topology.commandQueues.map { event("", $0, -1) })
        var left: [String: [IncomingMessage]] = [:]
        for queue in topology.commandQueues {
            let messages = try takeAll(from: queue, atLeast: 1)
            #expect(messages.last?.exchange == "", "the marker is the last")
            left[queue] = messages.dropLast()
        }
        return left
    }
}

func command(_ topology: BrokerTopology, _ session: String, _ number: Int) -> OutgoingMessage {
    event(topology.commandExchange, session, number)
}

func event(_ exchange: String, _ key: String, _ number: Int) -> OutgoingMessage {
    var properties = MessageProperties()
    properties.messageID = "\(key)/\(number)"
    properties.contentType = "application/json"
    return OutgoingMessage(
        exchange: exchange, routingKey: key, properties: properties, body: Array("\(number)".utf8))
}

func number(_ delivery: Delivery) -> Int {
    Int(String(decoding: delivery.body, as: UTF8.self)) ?? -1
}

/// Looks again and again until the condition holds; false where it does not within the limit.
func eventually(
    within limit: Duration = .seconds(20), _ condition: () async throws -> Bool
) async rethrows -> Bool {
    let end = ContinuousClock.now + limit
    while true {
        if try await condition() { return true }
        guard ContinuousClock.now < end else { return false }
        try? await Task.sleep(for: .milliseconds(20))
    }
}

/// The next deliveries, as many as asked for; fewer where they do not come in time.
func take(
    _ count: Int, from source: some CommandSource, within limit: Duration = .seconds(20)
) async -> [Delivery] {
    await withTaskGroup(of: [Delivery]?.self) { group in
        group.addTask {
            var taken: [Delivery] = []
            while taken.count < count, let delivery = await source.next() { taken.append(delivery) }
            return taken
        }
        group.addTask {
            try? await Task.sleep(for: limit)
            return nil
        }
        let first = await group.next().flatMap { $0 }
        group.cancelAll()
        if let first { return first }
        // Cancelled, the taker gives back what it has.
        return await group.next().flatMap { $0 } ?? []
    }
}
