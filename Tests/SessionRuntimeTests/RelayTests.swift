import CopyModel
import CopyTestKit
import Logging
import MessagePort
import SessionStore
import StoreConformance
import Synchronization
import Testing

@testable import SessionRuntime

@Suite("The relay publishes what is owed, in order")
struct RelayTests {
    /// Confirms nothing of the first call until the second has come; then the connection it had is
    /// lost, and the next one works.
    private final class LosingPublisher: MessagePublisher {
        private struct State {
            var calls = 0
            var first: CheckedContinuation<Void, Never>?
            var broken: PublishRun?
            var arrived: [String] = []
        }

        private let state = Mutex(State())

        var arrived: [String] { state.withLock { $0.arrived } }

        func publish(
            _ messages: [OutgoingMessage], in run: PublishRun?
        ) async -> [PublishVerdict] {
            let number = state.withLock { state in
                state.calls += 1
                return state.calls
            }
            if number == 1 {
                state.withLock { $0.broken = run }
                await withCheckedContinuation { waiting in state.withLock { $0.first = waiting } }
                return messages.map { _ in .unconfirmed(reason: "lost") }
            }
            let (verdict, waiting) = state.withLock { state in
                let waiting = state.first
                state.first = nil
                guard run != state.broken else {
                    return (PublishVerdict.unconfirmed(reason: "an earlier one was"), waiting)
                }
                state.arrived += messages.map(\.routingKey)
                return (.confirmed, waiting)
            }
            waiting?.resume()
            return messages.map { _ in verdict }
        }

        func close() async {}
    }

    /// Returns every message of one subject, and takes all others.
    private final class ReturningPublisher: MessagePublisher {
        private let state = Mutex<[String]>([])

        var arrived: [String] { state.withLock { $0 } }

        func publish(
            _ messages: [OutgoingMessage], in run: PublishRun?
        ) async -> [PublishVerdict] {
            messages.map { message in
                if message.routingKey.hasPrefix("stuck.") {
                    return .returned(code: 502, text: "never")
                }
                if message.exchange.isEmpty { return .rejected }
                state.withLock { $0.append(message.routingKey) }
                return .confirmed
            }
        }

        func close() async {}
    }

    @Test("messages that come back for ever, and replies to a full queue, hold up nobody else's")
    func stuckSubject() async throws {
        let store = MemoryStore()
        var wanted: [String] = []
        for number in 1...4000 {
            var unit = UnitOfWork(
                subject: SubjectName("s")!, expectedSequence: UInt64(number - 1),
                lastSequence: UInt64(number))
            let isOthers = number % 20 == 0
            let key =
                isOthers ? "other.\(number)" : number % 20 == 1 ? "answers" : "stuck.\(number)"
            if isOthers { wanted.append(key) }
            unit.outbox = [
                OutboxMessage(
                    exchange: number % 20 == 1 ? "" : "events", routingKey: key, messageID: nil,
                    correlationID: nil, contentType: "application/json", traceparent: nil, body: [])
            ]
            try await store.commit(unit)
        }
        let publisher = ReturningPublisher()
        let relay = Relay(
            store: store, publisher: publisher,
            clock: VirtualClock(Timestamp(rfc3339: "2026-11-21T02:00:00Z")!), meters: Meters(),
            log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        await withTaskGroup { group in
            group.addTask { await relay.run() }
            while publisher.arrived.count < wanted.count { await Task.yield() }
            relay.finish()
        }
        #expect(publisher.arrived == wanted)
        let left = try await store.outbox(after: 0, limit: 10_000)
        #expect(left.count == 3600 && left.allSatisfy { $0.message.routingKey.hasPrefix("stuck.") })
    }

    /// Returns everything of the first six calls; then a queue has been bound that takes all.
    private final class MendedPublisher: MessagePublisher {
        private let state = Mutex<(calls: Int, arrived: [String])>((0, []))

        var arrived: [String] { state.withLock { $0.arrived } }

        func publish(
            _ messages: [OutgoingMessage], in run: PublishRun?
        ) async -> [PublishVerdict] {
            state.withLock { state in
                guard !messages.isEmpty else { return [] }
                state.calls += 1
                guard state.calls > 6 else {
                    return messages.map { _ in .returned(code: 312, text: "NO_ROUTE") }
                }
                state.arrived += messages.map(\.routingKey)
                return messages.map { _ in .confirmed }
            }
        }

        func close() async {}
    }

    @Test("a message that came back is not overtaken when a queue is bound meanwhile")
    func mended() async throws {
        let store = MemoryStore()
        let rows = 2000
        for number in 1...rows {
            var unit = UnitOfWork(
                subject: SubjectName("payroll")!, expectedSequence: UInt64(number - 1),
                lastSequence: UInt64(number))
            unit.outbox = [
                OutboxMessage(
                    exchange: "events", routingKey: "payroll.\(number)", messageID: nil,
                    correlationID: nil, contentType: "application/json", traceparent: nil, body: [])
            ]
            try await store.commit(unit)
        }
        let publisher = MendedPublisher()
        let relay = Relay(
            store: store, publisher: publisher,
            clock: VirtualClock(Timestamp(rfc3339: "2026-11-21T02:00:00Z")!), meters: Meters(),
            log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        await withTaskGroup { group in
            group.addTask { await relay.run() }
            while publisher.arrived.count < rows { await Task.yield() }
            relay.finish()
        }
        #expect(publisher.arrived == (1...rows).map { "payroll.\($0)" })
    }

    @Test("what follows a lost message waits for it, even on a connection that works")
    func order() async throws {
        let store = MemoryStore()
        let rows = 700
        for number in 1...rows {
            var unit = UnitOfWork(
                subject: SubjectName("payroll")!, expectedSequence: UInt64(number - 1),
                lastSequence: UInt64(number))
            unit.outbox = [
                OutboxMessage(
                    exchange: "events", routingKey: "payroll.\(number)", messageID: nil,
                    correlationID: nil, contentType: "application/json", traceparent: nil, body: [])
            ]
            try await store.commit(unit)
        }
        let publisher = LosingPublisher()
        let relay = Relay(
            store: store, publisher: publisher,
            clock: VirtualClock(Timestamp(rfc3339: "2026-11-21T02:00:00Z")!), meters: Meters(),
            log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        await withTaskGroup { group in
            group.addTask { await relay.run() }
            while publisher.arrived.count < rows { await Task.yield() }
            relay.finish()
        }
        #expect(publisher.arrived == (1...rows).map { "payroll.\($0)" })
    }
}
