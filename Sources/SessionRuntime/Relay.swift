import CopyModel
import Logging
import MessagePort
import SessionStore

/// Publishes the outbox in order with confirms, then forgets it.
///
/// Order for a subject: rows are published in the order of their commits. Where one is not confirmed,
/// nothing more of that pass is sent (a pass is one run of the publisher), and it and everything after
/// it of the same routing subject is published again, in order: a consumer can see a repeat, never a
/// gap.
final class Relay: Sendable {
    private let store: any SessionStore
    private let publisher: any MessagePublisher
    private let clock: any RuntimeClock
    private let meters: Meters
    private let log: Logger
    private let wakeup = Wakeup()
    private let ending = Ending()
    private static let batch = 256
    private static let depth = 6

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
        var ledger = Ledger()
        var failures: Int64 = 0
        while true {
            do {
                if try await publishAll(&ledger) == .everything {
                    failures = 0
                    if ending.hasBegun { return }
                    await wakeup.wait()
                    continue
                }
                failures += 1
            } catch {
                failures += 1
                log.error(
                    "the outbox could not be read or forgotten", metadata: ["error": "\(error)"])
            }
            if ending.hasBegun { return }
            // Messages that come back hold up only their own subject; the others' must not wait long.
            let longest: Int64 = ledger.isBroken ? 5000 : 200
            await clock.sleep(milliseconds: min(longest, 50 << min(failures, 7)))
        }
    }

    private enum Progress { case everything, stalled }

    /// What this run has settled. The store forgets lazily, so rows that are settled may be read once
    /// more; they must not be published again.
    private struct Ledger {
        /// Every row up to here is settled.
        var floor: Int64 = 0
        /// Settled rows beyond the first one that is not.
        var ahead: Set<Int64> = []
        /// Ordering keys with a row that is not settled, in this pass.
        var stalled: Set<String> = []
        /// Ordering keys whose messages the broker returned: until one gets through, only their first
        /// is tried in a pass, so that they hold up nobody else's.
        var returned: Set<String> = []
        /// Those of `returned` that have been tried in this pass.
        var tried: Set<String> = []
        /// Something was not confirmed: the run is over, and nothing more of it goes out.
        var isBroken = false
        /// This pass, as the publisher knows it.
        var run = PublishRun(0)

        /// Begins a pass; everything may be tried again.
        mutating func beginPass() {
            stalled = []
            tried = []
            isBroken = false
            ahead = ahead.filter { $0 > floor }
            run.number += 1
        }

        /// True where a row is to be published in this pass. One behind a message that came back in it is
        /// not: by now there may be a queue that takes it, and it would overtake that message.
        mutating func wants(_ row: OutboxRecord) -> Bool {
            let key = row.message.orderingKey
            guard !ahead.contains(row.position), !stalled.contains(key) else { return false }
            return !returned.contains(key) || tried.insert(key).inserted
        }

        mutating func settle(_ position: Int64) {
            if stalled.isEmpty {
                floor = position
                ahead.remove(position)
            } else {
                ahead.insert(position)
            }
        }
    }

    /// A batch on its way, and what became of it; rows that were settled before have no verdict.
    private struct Batch: Sendable {
        var number: Int
        var rows: [OutboxRecord]
        var verdicts: [Int64: PublishVerdict] = [:]
    }

    /// Publishes until nothing is owed, several batches at a time, or until something stalls.
    ///
    /// Batches are settled in the order in which they were read, whatever order they return in: a row
    /// is forgotten only once every earlier row of its subject is. What stalled, and everything behind
    /// it of the same subject, stays owed and is read again in the next pass.
    private func publishAll(_ ledger: inout Ledger) async throws -> Progress {
        ledger.beginPass()
        let run = ledger.run
        var position = ledger.floor
        return try await withThrowingTaskGroup(of: Batch.self) { group in
            var returned: [Int: Batch] = [:]
            var (read, settled) = (0, 0)
            while true {
                while !ledger.isBroken, read - settled < Self.depth {
                    let rows = try await store.outbox(after: position, limit: Self.batch)
                    meters.count { $0.owed = UInt64((read - settled) * Self.batch + rows.count) }
                    guard let last = rows.last else { break }
                    position = last.position
                    let batch = Batch(number: read, rows: rows)
                    let fresh = rows.filter { ledger.wants($0) }
                    // Immediate, so that batches enter the publisher in the order in which they were read.
                    group.addImmediateTask { await self.publish(fresh, of: batch, in: run) }
                    read += 1
                }
                guard let batch = try await group.next() else {
                    return ledger.stalled.isEmpty ? .everything : .stalled
                }
                returned[batch.number] = batch
                while let next = returned.removeValue(forKey: settled) {
                    try await settle(next, &ledger)
                    settled += 1
                }
            }
        }
    }

    private func publish(
        _ rows: [OutboxRecord], of batch: Batch, in run: PublishRun
    ) async -> Batch {
        var batch = batch
        let verdicts = await publisher.publish(rows.map { OutgoingMessage($0.message) }, in: run)
        for (row, verdict) in zip(rows, verdicts) { batch.verdicts[row.position] = verdict }
        return batch
    }

    /// Forgets the rows of a batch that need not be published again.
    private func settle(_ batch: Batch, _ ledger: inout Ledger) async throws(StoreFailure) {
        var forgotten: [Int64] = []
        for row in batch.rows {
            let key = row.message.orderingKey
            guard let verdict = batch.verdicts[row.position] else {
                if ledger.ahead.contains(row.position) {
                    ledger.settle(row.position)
                } else {
                    ledger.stalled.insert(key)
                }
                continue
            }
            if isSettled(row.message, verdict), !ledger.stalled.contains(key) {
                ledger.settle(row.position)
                ledger.returned.remove(key)
                forgotten.append(row.position)
            } else {
                ledger.stalled.insert(key)
                note(verdict, on: key, in: &ledger)
            }
        }
        let repeats = batch.verdicts.count - forgotten.count
        meters.count {
            $0.published += UInt64(forgotten.count)
            $0.republished += UInt64(repeats)
        }
        if !forgotten.isEmpty { try await store.forget(forgotten) }
    }

    private func note(_ verdict: PublishVerdict, on key: String, in ledger: inout Ledger) {
        switch verdict {
        case .confirmed: break
        case .returned: ledger.returned.insert(key)
        case .rejected, .unconfirmed: ledger.isBroken = true
        }
    }

    /// A reply whose queue is gone, full or forbidden has nobody to read it; an event that no queue takes is a fault
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
        case .rejected:
            log.warning(
                "the broker did not take a message", metadata: ["key": "\(message.routingKey)"])
            return message.exchange.isEmpty
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
