// What was asked to be published and what is known of it. A value: it decides, the publisher
// performs.

import MessagePort

/// One message to put on the wire.
struct NumberedMessage {
    var sequence: UInt64
    var message: OutgoingMessage
}

/// A call whose every verdict is known.
struct SettledCall<Ticket> {
    var ticket: Ticket
    var verdicts: [PublishVerdict]
}

/// All calls of `publish` that have not been answered, in the order they came.
///
/// Each call has a deadline, and later calls have later ones. A failure (the connection lost, a
/// deadline passed) also fails whatever stands behind it and has not been sent, and whatever is yet
/// to come of the same run: a caller that publishes its failures again, in order and in a new run,
/// then never overtakes itself.
struct PublishBook<Ticket> {
    private struct Call {
        var ticket: Ticket
        var run: PublishRun?
        var messages: [OutgoingMessage]
        var verdicts: [PublishVerdict?]
        var open: Int
        var sent = 0
        var deadline: Moment
    }

    private struct Entry {
        var call: UInt64
        var index: Int
    }

    private static var refused: String { "the broker did not take it (basic.nack)" }

    private let window: Int
    private let probes: Bool
    /// On a new connection, until the broker has confirmed something on it: one message at a time.
    private var isProbing: Bool
    /// False while even a confirm does not tell that the next message will not be overtaken.
    var isCalm = true
    private var calls = FIFO<Call?>()
    private var firstCall: UInt64 = 0
    private var sendCursor: UInt64 = 0
    private var ledger = ConfirmLedger<Entry>()
    private var settled: [SettledCall<Ticket>] = []
    /// The newest run in which a message failed: nothing more of it, and of earlier ones, is sent.
    private var broken: UInt64?

    /// `window` is how many messages may be on the way without a confirm; with `probes`, the first
    /// message of each connection goes alone.
    ///
    /// A broker that has just come back takes messages before its streams are led again, and may change
    /// their leader once more soon after. RabbitMQ 3.10 keeps those that the last leader did not write
    /// for the next one, and may write later ones before them; one alone has nothing to be overtaken
    /// by.
    init(window: Int, probes: Bool = false) {
        self.window = window
        self.probes = probes
        isProbing = probes
    }

    /// True where no call is unanswered.
    var isEmpty: Bool { calls.isEmpty }

    /// The earliest deadline of an unanswered call.
    var deadline: Moment? { calls.first.flatMap { $0 }?.deadline }

    /// True where a message waits that the window has room for.
    var canSend: Bool { ledger.outstanding < (isProbing ? 1 : window) && hasUnsent }

    private var hasUnsent: Bool { sendCursor < firstCall + UInt64(calls.count) }

    /// Takes one call in.
    ///
    /// An empty one is answered at once, and so is one of a run that has failed.
    mutating func accept(
        _ messages: [OutgoingMessage], in run: PublishRun? = nil, ticket: Ticket, deadline: Moment
    ) {
        guard !messages.isEmpty, !isBroken(run) else {
            let verdict = PublishVerdict.unconfirmed(
                reason: "an earlier message was not confirmed")
            let verdicts = Array(repeating: verdict, count: messages.count)
            settled.append(SettledCall(ticket: ticket, verdicts: verdicts))
            return
        }
        calls.append(
            Call(
                ticket: ticket, run: run, messages: messages,
                verdicts: Array(repeating: nil, count: messages.count), open: messages.count,
                deadline: deadline))
    }

    /// The next messages to send, within the window and these limits; they count as sent from now
    /// on.
    mutating func take(atMost count: Int, bytes: Int) -> [NumberedMessage] {
        var taken: [NumberedMessage] = []
        var size = 0
        while taken.count < count, size < bytes, canSend {
            let position = Int(sendCursor - firstCall)
            guard let call = calls[position], call.sent < call.messages.count else {
                sendCursor += 1
                continue
            }
            let index = call.sent
            calls[position]!.sent += 1
            if index + 1 == call.messages.count { sendCursor += 1 }
            guard call.verdicts[index] == nil else { continue }
            if let fault = Self.fault(of: call.messages[index]) {
                give(
                    .returned(code: 502, text: fault),
                    to: Entry(call: sendCall(position), index: index))
                continue
            }
            let sequence = ledger.append(Entry(call: sendCall(position), index: index))
            taken.append(NumberedMessage(sequence: sequence, message: call.messages[index]))
            size += call.messages[index].body.count
        }
        trim()
        return taken
    }

    /// The broker's answer: `accepted` is an ack, else a nack.
    mutating func confirm(_ sequence: UInt64, multiple: Bool, accepted: Bool) {
        for entry in ledger.settle(sequence, multiple: multiple) {
            guard accepted else {
                give(.rejected, to: entry)
                continue
            }
            // An acknowledgement behind a return says nothing.
            if give(.confirmed, to: entry), isCalm { isProbing = false }
        }
        failUnsent(reason: Self.refused)
        trim()
    }

    /// The broker could not route a message.
    ///
    /// A return comes before its confirm and carries no number, so that the message itself tells
    /// which one it was.
    mutating func returned(_ returned: OutgoingMessage, code: Int, text: String) {
        let entry = ledger.first { entry in
            guard entry.call >= firstCall, let call = calls[Int(entry.call - firstCall)] else {
                return false
            }
            return call.verdicts[entry.index] == nil
                && Self.isSame(call.messages[entry.index], returned)
        }
        guard let entry else { return }
        let run = calls[Int(entry.call - firstCall)]?.run
        give(.returned(code: code, text: text), to: entry)
        // A broker that has just come back may not know its queues yet: what follows would be taken.
        if isProbing || !isCalm, !returned.exchange.isEmpty {
            breakRun(run)
            failUnsent(reason: "an earlier message was returned")
        }
        trim()
    }

    /// The connection is gone, and with it everything that was on the way; the next one numbers
    /// anew.
    ///
    /// `culprit` picks the message for which the broker closed it, where that can be told.
    mutating func lost(reason: String, culprit: ((OutgoingMessage) -> PublishVerdict?)? = nil) {
        if let culprit { blame(culprit) }
        ledger = ConfirmLedger()
        isProbing = probes
        failCalls(through: firstCall + UInt64(calls.count), reason: reason)
    }

    /// Gives up every call whose deadline has come, and whatever stands behind it unsent.
    mutating func expire(at now: Moment, reason: String) {
        var end = firstCall
        for position in 0..<calls.count {
            guard let call = calls[position] else { continue }
            guard call.deadline <= now else { break }
            end = firstCall + UInt64(position) + 1
        }
        guard end > firstCall else { return }
        failCalls(through: end, reason: reason)
        for position in 0..<calls.count {
            guard let call = calls[position], call.sent < call.messages.count else { continue }
            fail(position, reason: reason)
        }
        trim()
        let first = firstCall
        let gone = (0..<calls.count).filter { calls[$0] == nil }.map { first + UInt64($0) }
        ledger.forget { $0.call < first || gone.contains($0.call) }
    }

    /// The calls that have been settled since this was last asked.
    mutating func takeSettled() -> [SettledCall<Ticket>] {
        guard !settled.isEmpty else { return [] }
        defer { settled.removeAll() }
        return settled
    }

    private func sendCall(_ position: Int) -> UInt64 { firstCall + UInt64(position) }

    /// False where the message had its verdict already.
    @discardableResult
    private mutating func give(_ verdict: PublishVerdict, to entry: Entry) -> Bool {
        guard entry.call >= firstCall else { return false }
        let position = Int(entry.call - firstCall)
        guard calls[position] != nil, calls[position]!.verdicts[entry.index] == nil else {
            return false
        }
        calls[position]!.verdicts[entry.index] = verdict
        if breaksRun(verdict, of: calls[position]!.messages[entry.index]) {
            breakRun(calls[position]!.run)
        }
        calls[position]!.open -= 1
        if calls[position]!.open == 0 { finish(position) }
        return true
    }

    private mutating func fail(_ position: Int, reason: String) {
        guard let call = calls[position] else { return }
        for index in call.verdicts.indices where call.verdicts[index] == nil {
            calls[position]!.verdicts[index] = .unconfirmed(reason: reason)
        }
        breakRun(call.run)
        finish(position)
    }

    /// A reply that its queue does not take holds up nobody.
    private func breaksRun(_ verdict: PublishVerdict, of message: OutgoingMessage) -> Bool {
        switch verdict {
        case .confirmed, .returned: false
        case .rejected: !message.exchange.isEmpty
        case .unconfirmed: true
        }
    }

    private mutating func breakRun(_ run: PublishRun?) {
        guard let run else { return }
        broken = max(broken ?? 0, run.number)
    }

    private func isBroken(_ run: PublishRun?) -> Bool {
        guard let run, let broken else { return false }
        return run.number <= broken
    }

    /// Fails what has not been sent of the runs that are broken.
    private mutating func failUnsent(reason: String) {
        guard broken != nil else { return }
        for position in 0..<calls.count {
            guard let call = calls[position], isBroken(call.run) else { continue }
            for index in call.sent..<call.messages.count where call.verdicts[index] == nil {
                calls[position]!.verdicts[index] = .unconfirmed(reason: reason)
                calls[position]!.open -= 1
            }
            calls[position]!.sent = call.messages.count
            if calls[position]!.open == 0 { finish(position) }
        }
    }

    private mutating func finish(_ position: Int) {
        guard let call = calls[position] else { return }
        settled.append(SettledCall(ticket: call.ticket, verdicts: call.verdicts.map { $0! }))
        calls[position] = nil
    }

    private mutating func failCalls(through end: UInt64, reason: String) {
        for position in 0..<calls.count where firstCall + UInt64(position) < end {
            fail(position, reason: reason)
        }
        trim()
    }

    private mutating func blame(_ culprit: (OutgoingMessage) -> PublishVerdict?) {
        for position in 0..<calls.count {
            guard let call = calls[position] else { continue }
            for index in 0..<call.sent where call.verdicts[index] == nil {
                guard let verdict = culprit(call.messages[index]) else { continue }
                give(verdict, to: Entry(call: sendCall(position), index: index))
                return
            }
        }
    }

    private mutating func trim() {
        while let front = calls.first, front == nil {
            _ = calls.popFirst()
            firstCall += 1
        }
        sendCursor = max(sendCursor, firstCall)
    }
}

extension PublishBook {
    private static func isSame(_ sent: OutgoingMessage, _ returned: OutgoingMessage) -> Bool {
        sent.routingKey == returned.routingKey && sent.exchange == returned.exchange
            && sent.properties.messageID == returned.properties.messageID
            && sent.properties.correlationID == returned.properties.correlationID
            && sent.body == returned.body
    }

    /// Why the protocol cannot carry this message, ever; nil where it can.
    static func fault(of message: OutgoingMessage) -> String? {
        let properties = message.properties
        let short: [(String, String?)] = [
            ("exchange", message.exchange), ("routing key", message.routingKey),
            ("message_id", properties.messageID), ("correlation_id", properties.correlationID),
            ("reply_to", properties.replyTo), ("user_id", properties.userID),
            ("content_type", properties.contentType),
            ("content_encoding", properties.contentEncoding), ("expiration", properties.expiration),
        ]
        for (name, value) in short {
            if let value, value.utf8.count > 255 { return "the \(name) is longer than 255 bytes" }
        }
        // The headers must fit one frame with everything else that is in it.
        let headers =
            (properties.traceparent?.utf8.count ?? 0) + (properties.tracestate?.utf8.count ?? 0)
        return headers > 65_536 ? "the trace headers are longer than 64 KiB" : nil
    }
}
