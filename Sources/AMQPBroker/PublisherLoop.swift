// The life of a publishing connection, and the watch over its deadlines.
//
// Two threads. One connects, writes and reads confirms. The other sleeps until the earliest
// deadline: it answers the calls whose time is over, whatever the first one is stuck in (a name
// look-up, a connect, a write to a broker that has stopped reading), and cuts a write that does not
// end.

import MessagePort
import Synchronization

/// The work of a publishing connection's threads.
///
/// The methods before the first mark are for any thread.
final class PublisherLoop: Sendable {
    /// Who is to hear the verdicts of a call; called once, on one of the threads.
    typealias Ticket = @Sendable ([PublishVerdict]) -> Void

    private struct State {
        var book: PublishBook<Ticket>
        var closing = false
        /// The connection's thread sleeps and must be woken for new work.
        var idle = false
        /// The watch sleeps without end and must be woken for a first deadline.
        var unwatched = false
        var ended = false
    }

    /// Messages and bytes of one batch: small enough to look at the broker's words in between.
    private static let batch = (messages: 128, bytes: 128 * 1024)

    /// So long after a connection was opened anew, one message at a time is published: some 500 a
    /// second.
    private static let unrest: Duration = .seconds(10)

    let health: HealthBoard
    private let endpoint: BrokerEndpoint
    private let name: String
    private let patience: Duration
    private let random: @Sendable () -> Double
    private let wakeUp: WakeUp
    private let watchWakeUp: WakeUp
    private let state: Mutex<State>
    private let killSwitch = KillSwitch()
    private let firstAttempt = FirstAttempt()
    private let ending = Ending()

    init(
        endpoint: BrokerEndpoint, name: String, window: Int, deadline: Duration,
        random: @escaping @Sendable () -> Double,
        healthChanged: (@Sendable (BrokerHealth) -> Void)?
    ) throws(BrokerError) {
        self.endpoint = endpoint
        self.name = name
        patience = deadline
        self.random = random
        health = HealthBoard(changed: healthChanged)
        wakeUp = try WakeUp()
        watchWakeUp = try WakeUp()
        state = Mutex(State(book: PublishBook(window: window, probes: true)))
        try BrokerThread.start("amqp publish") { [self] in run() }
        do throws(BrokerError) {
            try BrokerThread.start("amqp watch") { [self] in watch() }
        } catch {
            requestClose()
            throw error
        }
    }

    /// Takes a call in; the ticket is resumed with its verdicts by the deadline at the latest.
    func accept(
        _ messages: [OutgoingMessage], _ run: PublishRun?, _ ticket: @escaping Ticket
    ) {
        let deadline = Moment.now + patience
        let (wakesThread, wakesWatch, settled) = state.withLock { state in
            guard !state.closing else {
                let verdict = PublishVerdict.unconfirmed(reason: "the publisher is closed")
                let verdicts = Array(repeating: verdict, count: messages.count)
                return (false, false, [SettledCall(ticket: ticket, verdicts: verdicts)])
            }
            state.book.accept(messages, in: run, ticket: ticket, deadline: deadline)
            defer {
                state.idle = false
                state.unwatched = false
            }
            return (state.idle, state.unwatched, state.book.takeSettled())
        }
        if wakesThread { wakeUp.signal() }
        if wakesWatch { watchWakeUp.signal() }
        Self.answer(settled)
    }

    /// Takes no more calls and ends the threads once the open ones are answered.
    func requestClose() {
        state.withLock { $0.closing = true }
        wakeUp.signal()
    }

    /// Returns once the connection's thread has ended.
    func ended() async { await ending.wait() }

    /// The first attempt to connect: nil where it succeeded.
    func firstFailure() async -> BrokerError? { await firstAttempt.result() }

    private static func answer(_ settled: [SettledCall<Ticket>]) {
        for call in settled { call.ticket(call.verdicts) }
    }

    // MARK: - On the connection's thread

    private func run() {
        var backoff = Backoff(random: random)
        while !isDone() {
            let began = Moment.now
            do throws(BrokerError) {
                try live()
            } catch {
                health.down(error)
                firstAttempt.done(error)
                if Moment.now - began > .seconds(5) { backoff.reset() }
                pause(backoff.next())
            }
        }
        health.down(nil)
        firstAttempt.done(nil)
        state.withLock { $0.ended = true }
        watchWakeUp.signal()
        ending.reached()
    }

    private func isDone() -> Bool {
        state.withLock { $0.closing && $0.book.isEmpty }
    }

    /// One connection from its opening to its end.
    ///
    /// Returns when it was closed on request.
    private func live() throws(BrokerError) {
        var connection = try AMQPConnection(to: endpoint, name: name)
        try connection.selectConfirms()
        killSwitch.arm(connection.descriptor)
        defer { killSwitch.disarm() }
        // A connection after a loss: the broker may have been restarted.
        let calmAt = health.opened() > 1 ? Moment.now + Self.unrest : nil
        state.withLock { $0.book.isCalm = calmAt == nil }
        firstAttempt.done(nil)
        do throws(BrokerError) {
            while !isDone() {
                if let calmAt, calmAt <= Moment.now { state.withLock { $0.book.isCalm = true } }
                try turn(&connection)
            }
        } catch {
            lost(error)
            throw error
        }
        connection.close()
    }

    /// Writes a batch, reads what came, and sleeps where there is nothing else to do.
    private func turn(_ connection: inout AMQPConnection) throws(BrokerError) {
        let blocked = health.current.blocked != nil
        let (messages, settled) = state.withLock { state in
            let messages =
                blocked
                ? [] : state.book.take(atMost: Self.batch.messages, bytes: Self.batch.bytes)
            return (messages, state.book.takeSettled())
        }
        Self.answer(settled)
        try write(messages, to: &connection)
        guard try takeEvents(&connection) else { return }
        let wantsWrite = state.withLock { state in
            let wantsWrite = state.book.canSend && health.current.blocked == nil
            state.idle = !wantsWrite
            return wantsWrite
        }
        // The wake-up is found at once where something was accepted, or closing was asked for,
        // meanwhile.
        _ = Readiness.wait(
            socket: connection.descriptor, forWriting: wantsWrite, wakeUp: wakeUp,
            atMost: connection.tick)
    }

    private func write(
        _ messages: [NumberedMessage], to connection: inout AMQPConnection
    ) throws(BrokerError) {
        guard !messages.isEmpty else { return }
        killSwitch.writing(true)
        defer { killSwitch.writing(false) }
        if messages.count > 1 { connection.cork(true) }
        for numbered in messages { try connection.publish(numbered.message) }
        if messages.count > 1 { connection.cork(false) }
    }

    /// Takes what has come, up to a bound; true where that was all.
    private func takeEvents(_ connection: inout AMQPConnection) throws(BrokerError) -> Bool {
        var events: [AMQPEvent] = []
        var failure: BrokerError?
        do throws(BrokerError) {
            while events.count < 256, let event = try connection.nextEvent() {
                events.append(event)
            }
        } catch {
            failure = error
        }
        // What was confirmed before the end is confirmed.
        let settled = state.withLock { state in
            for event in events { note(event, in: &state.book) }
            return state.book.takeSettled()
        }
        Self.answer(settled)
        for event in events {
            switch event {
            case .blocked(let reason): health.blocked(reason)
            case .unblocked: health.blocked(nil)
            case .delivery, .consumerCancelled:
                throw BrokerError(
                    .protocolViolation, "a delivery on a publishing connection", at: endpoint.place)
            case .returned, .confirmed: break
            }
        }
        if let failure { throw failure }
        return events.count < 256
    }

    private func note(_ event: AMQPEvent, in book: inout PublishBook<Ticket>) {
        switch event {
        case .confirmed(let sequence, let multiple, let accepted):
            book.confirm(sequence, multiple: multiple, accepted: accepted)
        case .returned(let code, let text, let message):
            let message = OutgoingMessage(
                exchange: message.exchange, routingKey: message.routingKey,
                properties: message.properties, body: message.body)
            book.returned(message, code: code, text: text)
        case .blocked, .unblocked, .delivery, .consumerCancelled:
            break
        }
    }

    private func lost(_ error: BrokerError) {
        let settled = state.withLock { state in
            state.book.lost(reason: error.description) { Self.blame($0, for: error) }
            return state.book.takeSettled()
        }
        Self.answer(settled)
    }

    // The broker closes the channel over an exchange that is missing or forbidden, and names it (the
    // default exchange by a name of its own). Only the first message to it is known to have been
    // looked at.
    private static func blame(
        _ message: OutgoingMessage, for error: BrokerError
    ) -> PublishVerdict? {
        guard let code = error.replyCode, error.code == .notFound || error.code == .accessRefused,
            error.message.contains("exchange '\(message.exchange)'")
                || (message.exchange.isEmpty && error.message.contains("'amq.default'"))
        else { return nil }
        return .returned(code: code, text: error.message)
    }

    private func pause(_ duration: Duration) {
        let end = Moment.now + duration
        while !isDone() {
            let left = end - Moment.now
            guard left > .zero else { return }
            _ = Readiness.wait(socket: nil, wakeUp: wakeUp, atMost: left)
        }
    }

    // MARK: - On the watch's thread

    private func watch() {
        while true {
            let now = Moment.now
            let reason = overdueReason()
            killSwitch.shutDown(after: patience, now: now)
            let stuck = killSwitch.stuck(after: patience)
            let (settled, next, ended, closing) = state.withLock { state in
                state.book.expire(at: now, reason: reason)
                let next = [state.book.deadline, stuck].compactMap { $0 }.min()
                state.unwatched = next == nil
                return (state.book.takeSettled(), next, state.ended, state.closing)
            }
            Self.answer(settled)
            if ended { return }
            // The connection's thread waits for the last call to be answered.
            if closing { wakeUp.signal() }
            _ = Readiness.wait(
                socket: nil, wakeUp: watchWakeUp, atMost: next.map { $0 - Moment.now })
        }
    }

    private func overdueReason() -> String {
        let health = health.current
        if let reason = health.blocked { return "the broker takes no messages: \(reason)" }
        if !health.connected { return "no connection: \(health.lastError ?? "not opened yet")" }
        return "no confirm within \(patience)"
    }
}
