// The life of a consuming connection: connect, consume, settle, and again after a loss, for ever.

import MessagePort
import Synchronization

/// The work of a consuming connection's thread.
///
/// The methods before the first mark are for any thread.
final class ConsumerLoop: Sendable {
    /// What other threads have asked for since the last turn.
    private struct Mailbox {
        var settlements: [(tag: DeliveryTag, settlement: Settlement)] = []
        var draining = false
        var closing = false
    }

    let buffer = DeliveryBuffer()
    let health: HealthBoard
    private let endpoint: BrokerEndpoint
    private let name: String
    private let subscription: Subscription
    private let prefetch: UInt16
    private let random: @Sendable () -> Double
    private let wakeUp: WakeUp
    private let mailbox = Mutex(Mailbox())
    private let firstAttempt = FirstAttempt()
    private let ending = Ending()

    init(
        endpoint: BrokerEndpoint, name: String, subscription: Subscription, prefetch: UInt16,
        random: @escaping @Sendable () -> Double,
        healthChanged: (@Sendable (BrokerHealth) -> Void)?
    ) throws(BrokerError) {
        self.endpoint = endpoint
        self.name = name
        self.subscription = subscription
        self.prefetch = prefetch
        self.random = random
        health = HealthBoard(changed: healthChanged)
        wakeUp = try WakeUp()
        try BrokerThread.start("amqp consume") { [self] in run() }
    }

    /// Asks for a settlement to be sent.
    func settle(_ tag: DeliveryTag, _ settlement: Settlement) {
        let wasEmpty = mailbox.withLock { mailbox in
            mailbox.settlements.append((tag, settlement))
            return mailbox.settlements.count == 1
        }
        if wasEmpty { wakeUp.signal() }
    }

    /// Hands nothing on any more; settlements still go out.
    func drain() {
        mailbox.withLock { $0.draining = true }
        buffer.finish()
        wakeUp.signal()
    }

    /// Asks the thread to send what it has and to end.
    func requestClose() {
        mailbox.withLock {
            $0.draining = true
            $0.closing = true
        }
        buffer.finish()
        wakeUp.signal()
    }

    /// Returns once the thread has ended.
    func ended() async { await ending.wait() }

    /// The first attempt to connect: nil where it succeeded.
    func firstFailure() async -> BrokerError? { await firstAttempt.result() }

    // MARK: - On the thread

    private func run() {
        var backoff = Backoff(random: random)
        var place = StreamPlace()
        var failure: BrokerError?
        while true {
            let (draining, closing) = mailbox.withLock { ($0.draining, $0.closing) }
            // A tag of a lost connection cannot be settled: after a drain there is nothing left to
            // do.
            if closing || draining { break }
            let began = Moment.now
            do throws(BrokerError) {
                if failure?.code == .notFound { try declareAgain() }
                try live(&place)
                failure = nil
                break
            } catch {
                failure = error
                health.down(error)
                buffer.discard()
                firstAttempt.done(error)
            }
            if Moment.now - began > .seconds(5) { backoff.reset() }
            pause(backoff.next())
        }
        health.down(nil)
        buffer.finish()
        firstAttempt.done(failure)
        awaitClose()
        ending.reached()
    }

    // The queue is gone: deleted under the consumer, or never declared.
    private func declareAgain() throws(BrokerError) {
        guard case .commands(let topology, declares: true) = subscription else { return }
        try topology.declareBlocking(on: endpoint)
    }

    /// One connection from its opening to its end.
    ///
    /// Returns when it was closed on request.
    private func live(_ place: inout StreamPlace) throws(BrokerError) {
        var connection = try AMQPConnection(to: endpoint, name: name)
        connection.bodyLimit = subscription.bodyLimit
        try subscription.begin(on: connection, prefetch: prefetch, resumeOffset: place.resumeOffset)
        let epoch = health.opened()
        firstAttempt.done(nil)
        place.forgetOpen()
        var ledger = SettlementLedger()
        while true {
            let mail = takeMail()
            let requests = mail.settlements.filter { $0.tag.epoch == epoch }
                .map { (number: $0.tag.number, settlement: $0.settlement) }
            place.settled(requests.map(\.number))
            try connection.settle(
                ledger.settle(requests, at: .now, holding: !mail.closing && !mail.draining))
            if mail.closing {
                connection.close()
                return
            }
            // Sleep only when the library has nothing more: bytes that TLS has decrypted already do
            // not make the socket readable again.
            guard try takeEvents(&connection, epoch, &ledger, &place) else { continue }
            let held = ledger.deadline.map { $0 - Moment.now } ?? connection.tick
            _ = Readiness.wait(
                socket: connection.descriptor, wakeUp: wakeUp, atMost: min(held, connection.tick))
        }
    }

    private func takeMail() -> Mailbox {
        mailbox.withLock { mailbox in
            let taken = mailbox
            mailbox.settlements = []
            return taken
        }
    }

    /// Takes what has come, up to a bound, so that settlements do not wait behind a flood; true
    /// where that was all.
    private func takeEvents(
        _ connection: inout AMQPConnection, _ epoch: UInt64, _ ledger: inout SettlementLedger,
        _ place: inout StreamPlace
    ) throws(BrokerError) -> Bool {
        var deliveries: [Delivery] = []
        defer { if !deliveries.isEmpty { buffer.append(deliveries) } }
        for _ in 0..<256 {
            guard let event = try connection.nextEvent() else { return true }
            switch event {
            case .delivery(let number, let redelivered, let message):
                guard ledger.delivered(number) else {
                    throw BrokerError(
                        .protocolViolation, "delivery \(number) is out of turn", at: endpoint.place)
                }
                if let offset = message.streamOffset { place.delivered(number, offset) }
                deliveries.append(
                    Delivery(
                        tag: DeliveryTag(epoch: epoch, number: number),
                        routingKey: message.routingKey, redelivered: redelivered,
                        properties: message.properties, body: message.body,
                        size: Int(clamping: message.size)))
            case .consumerCancelled(let queue):
                throw BrokerError(
                    .notFound, "the broker ended the consumer: the queue was deleted or lost",
                    at: "queue \(queue)")
            case .blocked(let reason):
                health.blocked(reason)
            case .unblocked:
                health.blocked(nil)
            case .returned, .confirmed:
                throw BrokerError(
                    .protocolViolation, "an answer to a publish on a consuming connection",
                    at: endpoint.place)
            }
        }
        return false
    }

    private func pause(_ duration: Duration) {
        let end = Moment.now + duration
        while !mailbox.withLock({ $0.draining || $0.closing }) {
            let left = end - Moment.now
            guard left > .zero else { return }
            _ = Readiness.wait(socket: nil, wakeUp: wakeUp, atMost: left)
            // Settlements that come now are for a lost connection.
            mailbox.withLock { $0.settlements = [] }
        }
    }

    // After a drain without a connection the thread has nothing to do but to be closed.
    private func awaitClose() {
        while !mailbox.withLock({ $0.closing }) {
            _ = Readiness.wait(socket: nil, wakeUp: wakeUp, atMost: nil)
            mailbox.withLock { $0.settlements = [] }
        }
    }
}

/// How far a stream has been settled, so that a new connection goes on from there.
struct StreamPlace {
    private var open = FIFO<(number: UInt64, offset: UInt64)>()
    /// The first offset that has not been settled; nil where nothing has been.
    private(set) var resumeOffset: UInt64?

    mutating func delivered(_ number: UInt64, _ offset: UInt64) {
        open.append((number, offset))
    }

    /// Settlements of a stream come in order.
    mutating func settled(_ numbers: [UInt64]) {
        for number in numbers {
            while let first = open.first, first.number <= number {
                resumeOffset = first.offset + 1
                _ = open.popFirst()
            }
        }
    }

    /// A new connection numbers its deliveries anew.
    mutating func forgetOpen() { open.removeAll() }
}

/// How the first attempt to connect went.
final class FirstAttempt: Sendable {
    private struct State {
        var result: BrokerError??
        var waiters: [CheckedContinuation<BrokerError?, Never>] = []
    }

    private let state = Mutex(State())

    func done(_ error: BrokerError?) {
        let waiters = state.withLock { state in
            if state.result == nil { state.result = .some(error) }
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume(returning: error) }
    }

    func result() async -> BrokerError? {
        await withCheckedContinuation { continuation in
            let result = state.withLock { state in
                if state.result == nil { state.waiters.append(continuation) }
                return state.result
            }
            if let result { continuation.resume(returning: result) }
        }
    }
}
