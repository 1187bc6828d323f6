import Glibc
import MessagePort
import Testing

@testable import AMQPBroker

extension LiveBrokerTests {
    private func timed<Value>(_ work: () async -> Value) async -> (Value, Duration) {
        let began = ContinuousClock.now
        let value = await work()
        return (value, ContinuousClock.now - began)
    }

    private func isUnconfirmed(_ verdict: PublishVerdict) -> Bool {
        if case .unconfirmed = verdict { true } else { false }
    }

    @Test("verdicts come in order, with the unroutable messages in their places")
    func verdictsInOrder() async throws {
        let topology = try await declared("verdicts")
        let publisher = try await publisher(window: 16)
        var messages: [OutgoingMessage] = []
        for number in 0..<300 {
            let isLost = number % 7 == 3
            messages.append(
                isLost
                    ? event("", "no-such-queue", number)
                    : event(topology.eventExchange, "k", number))
        }
        let verdicts = await publisher.publish(messages)
        #expect(verdicts.count == 300)
        for (number, verdict) in verdicts.enumerated() {
            let expected: PublishVerdict =
                number % 7 == 3 ? .returned(code: 312, text: "NO_ROUTE") : .confirmed
            #expect(verdict == expected, "message \(number)")
        }
        await publisher.close()
    }

    @Test("messages that are alike but for their ids are told apart when one is returned")
    func alike() async throws {
        let publisher = try await publisher()
        let verdicts = await publisher.publish((0..<20).map { _ in event("", "no-such-queue", 1) })
        #expect(verdicts.allSatisfy { $0 == .returned(code: 312, text: "NO_ROUTE") })
        await publisher.close()
    }

    @Test("overlapping calls are each answered, and keep their order on the wire")
    func overlapping() async throws {
        let topology = try await declared("overlap", partitions: 1)
        let publisher = try await publisher(window: 8)
        let confirmed = await withTaskGroup(of: Int.self) { group in
            for sender in 0..<10 {
                group.addTask {
                    var confirmed = 0
                    for call in 0..<10 {
                        let messages = (0..<10).map {
                            command(topology, "s\(sender)", call * 10 + $0)
                        }
                        confirmed += await publisher.publish(messages).count { $0 == .confirmed }
                    }
                    return confirmed
                }
            }
            return await group.reduce(0, +)
        }
        #expect(confirmed == 1000)
        await publisher.close()
        var seen: [String: [Int]] = [:]
        for message in try takeAll(from: "overlap.commands.0", atLeast: 1000) {
            seen[message.routingKey, default: []].append(
                Int(String(decoding: message.body, as: UTF8.self)) ?? -1)
        }
        #expect(seen.count == 10)
        #expect(seen.values.allSatisfy { $0 == Array(0..<100) })
    }

    @Test("a missing exchange is the fault of its message, not of the others")
    func missingExchange() async throws {
        let topology = try await declared("missing")
        let publisher = try await publisher()
        let verdicts = await publisher.publish([
            event(topology.eventExchange, "k", 0), event("missing.exchange", "k", 1),
        ])
        guard case .returned(code: 404, let text) = verdicts[1] else {
            Issue.record("expected 404, got \(verdicts)")
            return
        }
        #expect(text.contains("missing.exchange"))
        #expect(
            await eventually { publisher.health.connections == 2 && publisher.health.connected })
        #expect(await publisher.publish([event(topology.eventExchange, "k", 2)]) == [.confirmed])
        await publisher.close()
    }

    @Test(
        "without a broker calls are answered at their deadline, and go out when it is back"
    )
    func brokerAway() async throws {
        let topology = try await declared("away")
        let publisher = try await publisher(deadline: .seconds(1))
        try await broker.halt()
        #expect(await eventually { !publisher.health.connected })
        let (verdicts, took) = await timed {
            await publisher.publish([event(topology.eventExchange, "k", 0)])
        }
        #expect(verdicts.allSatisfy(isUnconfirmed))
        #expect(took >= .milliseconds(900) && took < .seconds(2), "took \(took)")
        try await broker.restart()
        var last: [PublishVerdict] = []
        let published = await eventually(within: .seconds(30)) {
            last = await publisher.publish([event(topology.eventExchange, "k", 1)])
            return last == [.confirmed]
        }
        #expect(published, "\(last) \(publisher.health)")
        await publisher.close()
    }

    @Test("what is on the way when the broker dies is unconfirmed at once")
    func brokerDies() async throws {
        let topology = try await declared("dies")
        let publisher = try await publisher(deadline: .seconds(30))
        try broker.signal(SIGSTOP)
        async let answer = timed {
            await publisher.publish([event(topology.eventExchange, "k", 0)])
        }
        try await broker.kill()
        let (verdicts, took) = await answer
        #expect(verdicts.allSatisfy(isUnconfirmed))
        #expect(took < .seconds(10), "took \(took)")
        try await broker.restart()
        #expect(await eventually(within: .seconds(30)) { publisher.health.connected })
        await publisher.close()
    }

    @Test("under a memory alarm calls are answered at their deadline, and confirmed after it")
    func memoryAlarm() async throws {
        let topology = try await declared("alarm")
        let publisher = try await publisher(deadline: .seconds(1))
        try await broker.control("set_vm_memory_high_watermark", "0.000001")
        // The broker says that it is blocked on the first publish after the alarm.
        let messages = (0..<600).map { number in
            var message = event(topology.eventExchange, "k", number)
            message.body = [UInt8](repeating: 0x20, count: 64 * 1024)
            return message
        }
        for _ in 0..<2 {
            let (verdicts, took) = await timed { await publisher.publish(messages) }
            #expect(verdicts.count == 600 && verdicts.contains(where: isUnconfirmed))
            #expect(took < .seconds(2), "took \(took)")
        }
        #expect(publisher.health.blocked?.contains("memory") == true)
        try await broker.control("set_vm_memory_high_watermark", "0.4")
        #expect(await eventually { publisher.health.blocked == nil && publisher.health.connected })
        #expect(
            await eventually {
                await publisher.publish([event(topology.eventExchange, "k", 1)]) == [.confirmed]
            })
        await publisher.close()
    }

    @Test("a write that a silent broker does not take is cut, and the caller answered before")
    func stuckWrite() async throws {
        let topology = try await declared("stuck")
        let publisher = try await publisher(deadline: .seconds(1))
        try broker.signal(SIGSTOP)
        var huge = event(topology.eventExchange, "k", 0)
        // More than both sockets' buffers hold.
        huge.body = [UInt8](repeating: 0x20, count: 32 << 20)
        let (verdicts, took) = await timed { await publisher.publish([huge]) }
        #expect(verdicts.allSatisfy(isUnconfirmed))
        #expect(took >= .milliseconds(900) && took < .seconds(2), "took \(took)")
        // The heartbeat would need twenty seconds; only the switch is that quick.
        #expect(await eventually(within: .seconds(5)) { !publisher.health.connected })
        try broker.signal(SIGCONT)
        #expect(
            await eventually {
                await publisher.publish([event(topology.eventExchange, "k", 1)]) == [.confirmed]
            })
        await publisher.close()
    }

    @Test("a closed publisher refuses, and closing waits for what is open")
    func closing() async throws {
        let topology = try await declared("closing")
        let publisher = try await publisher()
        async let open = publisher.publish((0..<50).map { event(topology.eventExchange, "k", $0) })
        let early = await open
        await publisher.close()
        #expect(early.allSatisfy { $0 == .confirmed })
        #expect(!publisher.health.connected)
        #expect(
            await publisher.publish([event(topology.eventExchange, "k", 1)]).allSatisfy(
                isUnconfirmed))
    }
}
