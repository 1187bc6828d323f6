import CopyModel
import Logging
import MessagePort
import SessionStore

/// Publishes the outbox in order with confirms, then forgets it.
///
/// Order for a subject: rows are published in the order of their commits. Where one is not confirmed,
/// it and everything after it of the same routing subject is published again, in order, so a consumer
/// can see a repeat but never a gap that stays.
final class Relay: Sendable {
    private let store: any SessionStore
    private let publisher: any MessagePublisher
    private let clock: any RuntimeClock
    private let meters: Meters
    private let log: Logger
    private let wakeup = Wakeup()
    private let ending = Ending()
    private static let batch = 512

    init(
        store: any SessionStore, publisher: any MessagePublisher, clock: any RuntimeClock,
        meters: Meters, log: Logger
    ) {
        self.store = store
        self.publisher = publisher
        self.clock = clock
        self.meters = meters
        self.log = log
    }

    /// Says that something is owed.
    func wake() { wakeup.wake() }

    /// Ends `run` once nothing is owed, or after one more attempt fails: what is owed then stays owed,
    /// and is published at the next start.
    func finish() {
        ending.begin()
        wakeup.close()
    }

    /// Publishes what is owed until `finish`.
    func run() async {
        var failures: Int64 = 0
        while true {
            do {
                let rows = try await store.outbox(after: 0, limit: Self.batch)
                meters.count { $0.owed = UInt64(rows.count) }
                if rows.isEmpty {
                    failures = 0
                    if ending.hasBegun { return }
                    await wakeup.wait()
                    continue
                }
                let all = try await publish(rows)
                failures = all ? 0 : failures + 1
            } catch {
                failures += 1
                log.error("the outbox could not be read or forgotten", metadata: ["error": "\(error)"])
            }
            if failures > 0 {
                if ending.hasBegun { return }
                await clock.sleep(milliseconds: min(5000, 50 << min(failures, 7)))
            }
        }
    }

    /// Publishes rows and forgets those that need not be published again; true if that is all of them.
    private func publish(_ rows: [OutboxRecord]) async throws(StoreFailure) -> Bool {
        let verdicts = await publisher.publish(rows.map { OutgoingMessage($0.message) })
        var settled: [Int64] = []
        var stalled: Set<String> = []
        for (row, verdict) in zip(rows, verdicts) {
            let subject = row.message.orderingKey
            if isSettled(row.message, verdict), !stalled.contains(subject) {
                settled.append(row.position)
            } else {
                stalled.insert(subject)
            }
        }
        let repeats = rows.count - settled.count
        meters.count {
            $0.published += UInt64(settled.count)
            $0.republished += UInt64(repeats)
        }
        if !settled.isEmpty { try await store.forget(settled) }
        return repeats == 0
    }

    /// A reply whose queue is gone has nobody left to read it; an event that no queue takes is a fault
    /// of the topology, and stays owed until that is mended.
    private func isSettled(_ message: OutboxMessage, _ verdict: PublishVerdict) -> Bool {
        switch verdict {
        case .confirmed: return true
        case .returned(let code, let text):
            if message.exchange.isEmpty { return true }
            log.error(
                "an event was returned: nothing is bound to the event exchange",
                metadata: ["key": "\(message.routingKey)", "code": "\(code)", "text": "\(text)"])
            return false
        case .unconfirmed(let reason):
            log.warning(
                "a message was not confirmed and will be published again",
                metadata: ["key": "\(message.routingKey)", "reason": "\(reason)"])
            return false
        }
    }
}

extension OutboxMessage {
    /// What must stay in order: the subject of an event, the queue of a reply.
    fileprivate var orderingKey: String {
        guard !exchange.isEmpty else { return "reply \(routingKey)" }
        return String(routingKey.prefix { $0 != "." })
    }
}

extension OutgoingMessage {
    fileprivate init(_ message: OutboxMessage) {
        var properties = MessageProperties()
        properties.messageID = message.messageID
        properties.correlationID = message.correlationID
        properties.contentType = message.contentType
        properties.traceparent = message.traceparent
        self.init(
            exchange: message.exchange, routingKey: message.routingKey, properties: properties,
            body: message.body)
    }
}
