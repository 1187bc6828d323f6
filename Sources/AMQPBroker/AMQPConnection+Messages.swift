// Writing: publishes and settlements. Both only hand bytes to the socket; the broker's answer is an
// event.

import CRabbitMQ
import MessagePort

extension AMQPConnection {
    /// Asks for confirms on the channel; publishes are numbered from 1 after it.
    func selectConfirms() throws(BrokerError) {
        amqp_confirm_select(state, Self.channel)
        try Self.check(amqp_get_rpc_reply(state), at: place)
    }

    /// Publishes one message, persistent and mandatory.
    ///
    /// Blocks where the socket is full, without a deadline: another thread may end that by shutting
    /// the socket down. Throws when the connection is lost.
    mutating func publish(_ message: OutgoingMessage) throws(BrokerError) {
        let layout = Layout(of: message, in: &scratch)
        let state = state
        let status = scratch.withUnsafeMutableBytes { strings -> Int32 in
            message.body.withUnsafeBytes { body -> Int32 in
                withUnsafeTemporaryAllocation(of: amqp_table_entry_t.self, capacity: 2) { entries in
                    var properties = layout.properties(message.properties, strings, entries)
                    let content = amqp_bytes_t(
                        len: body.count, bytes: UnsafeMutableRawPointer(mutating: body.baseAddress))
                    return amqp_basic_publish(
                        state, Self.channel, layout.exchange.bytes(strings),
                        layout.routingKey.bytes(strings), 1, 0, &properties, content)
                }
            }
        }
        guard status == AMQP_STATUS_OK.rawValue else { throw Self.failure(status, at: place) }
    }

    /// Sends settlements in one go.
    func settle(_ frames: [SettlementFrame]) throws(BrokerError) {
        guard !frames.isEmpty else { return }
        if frames.count > 1 { cork(true) }
        for frame in frames {
            let status =
                switch frame {
                case .acknowledge(let number, let multiple):
                    amqp_basic_ack(state, Self.channel, number, multiple ? 1 : 0)
                case .reject(let number):
                    amqp_basic_nack(state, Self.channel, number, 0, 0)
                }
            guard status == AMQP_STATUS_OK.rawValue else { throw Self.failure(status, at: place) }
        }
        if frames.count > 1 { cork(false) }
    }
}

/// A stretch of the scratch bytes.
private struct Stretch {
    var offset: Int
    var count: Int

    func bytes(_ strings: UnsafeMutableRawBufferPointer) -> amqp_bytes_t {
        guard count > 0, let base = strings.baseAddress else { return amqp_empty_bytes }
        return amqp_bytes_t(len: count, bytes: base + offset)
    }
}

/// Where each string of a message stands in the scratch bytes.
private struct Layout {
    private static let names: StaticString = "traceparenttracestate"
    private static let parentName = Stretch(offset: 0, count: 11)
    private static let stateName = Stretch(offset: 11, count: 10)

    var exchange: Stretch
    var routingKey: Stretch
    private var messageID: Stretch?
    private var correlationID: Stretch?
    private var replyTo: Stretch?
    private var userID: Stretch?
    private var contentType: Stretch?
    private var contentEncoding: Stretch?
    private var expiration: Stretch?
    private var traceparent: Stretch?
    private var tracestate: Stretch?

    init(of message: OutgoingMessage, in scratch: inout [UInt8]) {
        func lay(_ text: String, _ scratch: inout [UInt8]) -> Stretch {
            let offset = scratch.count
            scratch.append(contentsOf: text.utf8)
            return Stretch(offset: offset, count: scratch.count - offset)
        }
        let properties = message.properties
        scratch.removeAll(keepingCapacity: true)
        Self.names.withUTF8Buffer { scratch.append(contentsOf: $0) }
        exchange = lay(message.exchange, &scratch)
        routingKey = lay(message.routingKey, &scratch)
        messageID = properties.messageID.map { lay($0, &scratch) }
        correlationID = properties.correlationID.map { lay($0, &scratch) }
        replyTo = properties.replyTo.map { lay($0, &scratch) }
        userID = properties.userID.map { lay($0, &scratch) }
        contentType = properties.contentType.map { lay($0, &scratch) }
        contentEncoding = properties.contentEncoding.map { lay($0, &scratch) }
        expiration = properties.expiration.map { lay($0, &scratch) }
        traceparent = properties.traceparent.map { lay($0, &scratch) }
        tracestate = properties.tracestate.map { lay($0, &scratch) }
    }

    func properties(
        _ from: MessageProperties, _ strings: UnsafeMutableRawBufferPointer,
        _ entries: UnsafeMutableBufferPointer<amqp_table_entry_t>
    ) -> amqp_basic_properties_t {
        var properties = amqp_basic_properties_t()
        var flags = AMQP_BASIC_DELIVERY_MODE_FLAG
        properties.delivery_mode = 2
        func put(_ stretch: Stretch?, _ flag: Int32, _ field: inout amqp_bytes_t) {
            guard let stretch else { return }
            field = stretch.bytes(strings)
            flags |= flag
        }
        put(messageID, AMQP_BASIC_MESSAGE_ID_FLAG, &properties.message_id)
        put(correlationID, AMQP_BASIC_CORRELATION_ID_FLAG, &properties.correlation_id)
        put(replyTo, AMQP_BASIC_REPLY_TO_FLAG, &properties.reply_to)
        put(userID, AMQP_BASIC_USER_ID_FLAG, &properties.user_id)
        put(contentType, AMQP_BASIC_CONTENT_TYPE_FLAG, &properties.content_type)
        put(contentEncoding, AMQP_BASIC_CONTENT_ENCODING_FLAG, &properties.content_encoding)
        put(expiration, AMQP_BASIC_EXPIRATION_FLAG, &properties.expiration)
        if let timestamp = from.timestamp {
            properties.timestamp = timestamp
            flags |= AMQP_BASIC_TIMESTAMP_FLAG
        }
        var count = 0
        for (name, value) in [(Self.parentName, traceparent), (Self.stateName, tracestate)] {
            guard let value else { continue }
            entries[count] = rmq_entry_text(name.bytes(strings), value.bytes(strings))
            count += 1
        }
        if count > 0 {
            properties.headers = amqp_table_t(
                num_entries: Int32(count), entries: entries.baseAddress)
            flags |= AMQP_BASIC_HEADERS_FLAG
        }
        properties._flags = UInt32(flags)
        return properties
    }
}
