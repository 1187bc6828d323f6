// Reading: from frames to whole messages and the broker's other words.

import CRabbitMQ
import MessagePort

/// A whole message, copied out.
struct IncomingMessage {
    var exchange: String
    var routingKey: String
    var properties = MessageProperties()
    /// Header `x-stream-offset`, on deliveries of a stream.
    var streamOffset: UInt64?
    /// The other `x-…` headers that are text: what the broker says of a dead letter's origin.
    var brokerHeaders: [String: String] = [:]
    var body: [UInt8] = []
    /// The body's size in bytes as announced; more than `body` has where that was cut short.
    var size: UInt64 = 0
}

/// What the broker said.
enum AMQPEvent {
    case delivery(number: UInt64, redelivered: Bool, IncomingMessage)
    case returned(code: Int, text: String, IncomingMessage)
    case confirmed(UInt64, multiple: Bool, accepted: Bool)
    /// The broker ended a consumer, as it does when the queue is deleted.
    case consumerCancelled(String)
    case blocked(String)
    case unblocked
}

/// A message while its frames arrive.
struct PartialMessage {
    enum Origin {
        case delivery(number: UInt64, redelivered: Bool)
        case returned(code: Int, text: String)
    }

    var origin: Origin
    var message: IncomingMessage
    /// Bytes still to come; nil before the header frame.
    var missing: UInt64?

    /// The finished event.
    var event: AMQPEvent {
        switch origin {
        case .delivery(let number, let redelivered):
            .delivery(number: number, redelivered: redelivered, message)
        case .returned(let code, let text):
            .returned(code: code, text: text, message)
        }
    }
}

extension AMQPConnection {
    /// The next event that is there already; nil when only waiting would bring more.
    ///
    /// Sends a heartbeat where one is due. Throws when the connection is lost or the broker closes
    /// it or the channel (which is answered first).
    mutating func nextEvent() throws(BrokerError) -> AMQPEvent? {
        // Frees the frames of earlier events. The library itself keeps what is still in use.
        amqp_maybe_release_buffers(state)
        var frame = amqp_frame_t()
        var now = timeval(tv_sec: 0, tv_usec: 0)
        while true {
            let status = amqp_simple_wait_frame_noblock(state, &frame, &now)
            if status == AMQP_STATUS_TIMEOUT.rawValue { return nil }
            guard status == AMQP_STATUS_OK.rawValue else { throw Self.failure(status, at: place) }
            if let event = try absorb(&frame) { return event }
        }
    }

    private mutating func absorb(_ frame: inout amqp_frame_t) throws(BrokerError) -> AMQPEvent? {
        let kind = rmq_frame_kind(&frame)
        switch kind {
        case RMQ_FRAME_HEARTBEAT:
            return nil
        case RMQ_FRAME_HEADER:
            return try absorbHeader(frame.payload.properties)
        case RMQ_FRAME_BODY:
            return try absorbBody(frame.payload.body_fragment)
        default:
            guard partial == nil || frame.channel != Self.channel else {
                throw violation("a method came in the middle of a message")
            }
            return try absorbMethod(kind, frame.payload.method, frame.channel)
        }
    }

    private mutating func absorbMethod(
        _ kind: rmq_frame, _ method: amqp_method_t, _ channel: amqp_channel_t
    ) throws(BrokerError) -> AMQPEvent? {
        guard let decoded = method.decoded else { throw violation("a method without content") }
        switch kind {
        case RMQ_FRAME_DELIVER:
            begin(decoded.assumingMemoryBound(to: amqp_basic_deliver_t.self).pointee)
            return nil
        case RMQ_FRAME_RETURN:
            begin(decoded.assumingMemoryBound(to: amqp_basic_return_t.self).pointee)
            return nil
        case RMQ_FRAME_ACK:
            let ack = decoded.assumingMemoryBound(to: amqp_basic_ack_t.self).pointee
            return .confirmed(ack.delivery_tag, multiple: ack.multiple != 0, accepted: true)
        case RMQ_FRAME_NACK:
            let nack = decoded.assumingMemoryBound(to: amqp_basic_nack_t.self).pointee
            return .confirmed(nack.delivery_tag, multiple: nack.multiple != 0, accepted: false)
        case RMQ_FRAME_CANCEL:
            let cancel = decoded.assumingMemoryBound(to: amqp_basic_cancel_t.self).pointee
            return .consumerCancelled(Self.text(cancel.consumer_tag))
        case RMQ_FRAME_BLOCKED:
            let blocked = decoded.assumingMemoryBound(to: amqp_connection_blocked_t.self).pointee
            return .blocked(Self.text(blocked.reason))
        case RMQ_FRAME_UNBLOCKED:
            return .unblocked
        case RMQ_FRAME_CHANNEL_CLOSE, RMQ_FRAME_CONNECTION_CLOSE:
            // Both begin with a code and a text.
            let close = decoded.assumingMemoryBound(to: amqp_channel_close_t.self).pointee
            let error = BrokerError.closed(
                replyCode: Int(close.reply_code), text: Self.text(close.reply_text), at: place)
            rmq_send_close_ok(state, channel)
            throw error
        default:
            throw violation("the broker sent method \(method.id >> 16).\(method.id & 0xFFFF)")
        }
    }

    private mutating func begin(_ deliver: amqp_basic_deliver_t) {
        partial = PartialMessage(
            origin: .delivery(number: deliver.delivery_tag, redelivered: deliver.redelivered != 0),
            message: IncomingMessage(
                exchange: Self.text(deliver.exchange), routingKey: Self.text(deliver.routing_key)))
    }

    private mutating func begin(_ returned: amqp_basic_return_t) {
        partial = PartialMessage(
            origin: .returned(code: Int(returned.reply_code), text: Self.text(returned.reply_text)),
            message: IncomingMessage(
                exchange: Self.text(returned.exchange), routingKey: Self.text(returned.routing_key))
        )
    }

    private mutating func absorbHeader(
        _ header: amqp_frame_t.__Unnamed_union_payload.__Unnamed_struct_properties
    ) throws(BrokerError) -> AMQPEvent? {
        guard partial != nil, partial?.missing == nil, let decoded = header.decoded else {
            throw violation("a content header came out of turn")
        }
        let properties = decoded.assumingMemoryBound(to: amqp_basic_properties_t.self)
        Self.read(properties.pointee, into: &partial!.message)
        partial!.missing = header.body_size
        partial!.message.size = header.body_size
        // What the header promises is not believed beyond this; the array grows where it is true.
        let promised = min(header.body_size, UInt64(clamping: bodyLimit), 1 << 20)
        partial!.message.body.reserveCapacity(Int(promised))
        return finishedMessage()
    }

    private mutating func absorbBody(_ fragment: amqp_bytes_t) throws(BrokerError) -> AMQPEvent? {
        guard let missing = partial?.missing, UInt64(fragment.len) <= missing else {
            throw violation("content came out of turn")
        }
        let room = max(0, bodyLimit - partial!.message.body.count)
        if fragment.len > 0, room > 0, let base = fragment.bytes {
            partial!.message.body.append(
                contentsOf: UnsafeRawBufferPointer(start: base, count: min(fragment.len, room)))
        }
        partial!.missing = missing - UInt64(fragment.len)
        return finishedMessage()
    }

    private mutating func finishedMessage() -> AMQPEvent? {
        guard partial?.missing == 0 else { return nil }
        return partial.take()?.event
    }

    private func violation(_ sentence: String) -> BrokerError {
        BrokerError(.protocolViolation, sentence, at: place)
    }

    private static func read(_ from: amqp_basic_properties_t, into message: inout IncomingMessage) {
        func present(_ flag: Int32, _ bytes: amqp_bytes_t) -> String? {
            from._flags & UInt32(flag) != 0 ? text(bytes) : nil
        }
        message.properties.messageID = present(AMQP_BASIC_MESSAGE_ID_FLAG, from.message_id)
        message.properties.correlationID = present(
            AMQP_BASIC_CORRELATION_ID_FLAG, from.correlation_id)
        message.properties.replyTo = present(AMQP_BASIC_REPLY_TO_FLAG, from.reply_to)
        message.properties.userID = present(AMQP_BASIC_USER_ID_FLAG, from.user_id)
        message.properties.contentType = present(AMQP_BASIC_CONTENT_TYPE_FLAG, from.content_type)
        message.properties.contentEncoding = present(
            AMQP_BASIC_CONTENT_ENCODING_FLAG, from.content_encoding)
        message.properties.expiration = present(AMQP_BASIC_EXPIRATION_FLAG, from.expiration)
        if from._flags & UInt32(AMQP_BASIC_TIMESTAMP_FLAG) != 0 {
            message.properties.timestamp = from.timestamp
        }
        guard from._flags & UInt32(AMQP_BASIC_HEADERS_FLAG) != 0 else { return }
        for position in 0..<Int(from.headers.num_entries) {
            let entry = from.headers.entries[position]
            let name = text(entry.key)
            switch name {
            case "traceparent": message.properties.traceparent = headerText(entry.value)
            case "tracestate": message.properties.tracestate = headerText(entry.value)
            case "x-stream-offset":
                // RabbitMQ sends it as a signed 64-bit integer.
                if entry.value.kind == UInt8(AMQP_FIELD_KIND_I64.rawValue) {
                    message.streamOffset = UInt64(exactly: entry.value.value.i64)
                }
            default:
                guard name.hasPrefix("x-"), let value = headerText(entry.value) else { continue }
                message.brokerHeaders[name] = value
            }
        }
    }

    private static func headerText(_ value: amqp_field_value_t) -> String? {
        switch UInt32(value.kind) {
        case UInt32(AMQP_FIELD_KIND_UTF8.rawValue), UInt32(AMQP_FIELD_KIND_BYTES.rawValue):
            text(value.value.bytes)
        default: nil
        }
    }
}
