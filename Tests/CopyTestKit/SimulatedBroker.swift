import CopyModel
import MessagePort
import Synchronization

/// A broker in memory: one ordered queue, redelivery of what was not settled, confirms as planned.
public final class SimulatedBroker: Sendable {
    fileprivate struct State {
        var waiting: [(OutgoingMessage, redelivered: Bool)] = []
        var unsettled: [UInt64: OutgoingMessage] = [:]
        var nextTag: UInt64 = 1
        var epoch: UInt64 = 1
        var draining = false
        var reader: CheckedContinuation<Delivery?, Never>?
        var published: [OutgoingMessage] = []
        var deadLetters: [OutgoingMessage] = []
        var brokenRun: UInt64 = 0
        var watchers:
            [(count: @Sendable ([OutgoingMessage]) -> Bool, CheckedContinuation<Void, Never>)] = []
    }

    private let state = Mutex(State())
    /// Decides on each message whether it is confirmed; counted by the fault plan.
    private let faults: Mutex<FaultPlan>

    /// An empty broker.
    public init(faults: FaultPlan = FaultPlan()) { self.faults = Mutex(faults) }

    /// Replaces the planned faults.
    public func plan(_ plan: FaultPlan) { faults.withLock { $0 = plan } }

    /// Everything published so far, repeats included, in order.
    public var published: [OutgoingMessage] { state.withLock { $0.published } }

    /// What was dead-lettered.
    public var deadLetters: [OutgoingMessage] { state.withLock { $0.deadLetters } }

    /// How many commands wait or are unsettled.
    public var pending: Int { state.withLock { $0.waiting.count + $0.unsettled.count } }

    /// Puts a command on the queue.
    public func enqueue(_ message: OutgoingMessage) {
        let handOver: (CheckedContinuation<Delivery?, Never>, Delivery)? = state.withLock { state in
            if let reader = state.reader, !state.draining {
                state.reader = nil
                return (reader, state.deliver(message, redelivered: false))
            }
            state.waiting.append((message, false))
            return nil
        }
        handOver.map { $0.0.resume(returning: $0.1) }
    }

    /// A new worker connects: what the last one left unsettled comes again, in its old order.
    public func reconnect() {
        state.withLock { state in
            let back = state.unsettled.sorted { $0.key < $1.key }.map {
                ($0.value, redelivered: true)
            }
            state.waiting = back + state.waiting
            state.unsettled = [:]
            state.epoch += 1
            state.draining = false
            state.brokenRun = 0
        }
    }

    /// Returns once what was published satisfies the condition.
    public func wait(until condition: @escaping @Sendable ([OutgoingMessage]) -> Bool) async {
        await withCheckedContinuation { continuation in
            let now = state.withLock { state in
                if condition(state.published) { return true }
                state.watchers.append((condition, continuation))
                return false
            }
            if now { continuation.resume() }
        }
    }
}

extension SimulatedBroker.State {
    fileprivate mutating func deliver(_ message: OutgoingMessage, redelivered: Bool) -> Delivery {
        let tag = DeliveryTag(epoch: epoch, number: nextTag)
        unsettled[nextTag] = message
        nextTag += 1
        return Delivery(
            tag: tag, routingKey: message.routingKey, redelivered: redelivered,
            properties: message.properties, body: message.body)
    }
}

extension SimulatedBroker: CommandSource, MessagePublisher {
    /// The next delivery, in order.
    public func next() async -> Delivery? {
        await withCheckedContinuation { continuation in
            let answer: Delivery?? = state.withLock { state in
                if state.draining { return .some(nil) }
                if state.waiting.isEmpty {
                    state.reader = continuation
                    return nil
                }
                let (message, redelivered) = state.waiting.removeFirst()
                return .some(state.deliver(message, redelivered: redelivered))
            }
            if let answer { continuation.resume(returning: answer) }
        }
    }

    /// Settles a delivery of this epoch.
    public func settle(_ tag: DeliveryTag, _ settlement: Settlement) {
        if faults.withLock({ $0 }).isDead { return }
        state.withLock { state in
            guard tag.epoch == state.epoch,
                let message = state.unsettled.removeValue(forKey: tag.number)
            else { return }
            if settlement == .deadLetter { state.deadLetters.append(message) }
        }
    }

    /// Ends the intake.
    public func drain() {
        let reader = state.withLock { state in
            state.draining = true
            defer { state.reader = nil }
            return state.reader
        }
        reader?.resume(returning: nil)
    }

    /// Takes messages; where the plan strikes, nothing from there on is confirmed, and with
    /// `deathAfter` they are there all the same.
    public func publish(
        _ messages: [OutgoingMessage], in run: PublishRun?
    ) async -> [PublishVerdict] {
        var verdicts: [PublishVerdict] = []
        var broken = state.withLock { state in
            run.map { $0.number <= state.brokenRun } ?? false
        }
        defer {
            if broken, let run {
                state.withLock { $0.brokenRun = max($0.brokenRun, run.number) }
            }
        }
        for message in messages {
            let fault = broken ? nil : faults.withLock { $0 }.strike()
            if fault != nil { broken = true }
            let arrives = !broken || fault == .deathAfter
            if arrives { arrive(message) }
            verdicts.append(broken ? .unconfirmed(reason: "planned") : .confirmed)
        }
        return verdicts
    }

    private func arrive(_ message: OutgoingMessage) {
        let satisfied = state.withLock { state in
            state.published.append(message)
            let now = state.watchers.filter { $0.count(state.published) }
            state.watchers.removeAll { $0.count(state.published) }
            return now
        }
        for watcher in satisfied { watcher.1.resume() }
    }

    /// Nothing to close.
    public func close() async {}
}
