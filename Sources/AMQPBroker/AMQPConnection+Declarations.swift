// Declaring, binding and subscribing: calls with an answer, made while the connection is being set
// up.

import CRabbitMQ
import Glibc

/// The value of an argument of a declaration or a subscription.
enum ArgumentValue: Hashable, Sendable {
    case text(String)
    case integer(Int64)
    case flag
    /// Whole seconds since 1970.
    case time(UInt64)
}

/// Named arguments, in order of name.
typealias Arguments = [(name: String, value: ArgumentValue)]

extension AMQPConnection {
    /// Declares an exchange, or with `passive` only asks whether it is there.
    func declareExchange(
        _ name: String, kind: String, arguments: Arguments, passive: Bool
    ) throws(BrokerError) {
        Table.with(arguments) { table in
            amqp_exchange_declare(
                state, Self.channel, table.bytes(name), table.bytes(kind), passive ? 1 : 0, 1, 0, 0,
                table.value)
        }
        try Self.check(amqp_get_rpc_reply(state), at: "exchange \(name)")
    }

    /// Declares a durable queue, or with `passive` only asks whether it is there.
    func declareQueue(_ name: String, arguments: Arguments, passive: Bool) throws(BrokerError) {
        Table.with(arguments) { table in
            amqp_queue_declare(
                state, Self.channel, table.bytes(name), passive ? 1 : 0, 1, 0, 0, table.value)
        }
        try Self.check(amqp_get_rpc_reply(state), at: "queue \(name)")
    }

    /// Declares a queue that is this connection's alone and goes with it; gives the name that the
    /// broker chose.
    func declarePrivateQueue() throws(BrokerError) -> String {
        let declared = amqp_queue_declare(
            state, Self.channel, amqp_empty_bytes, 0, 0, 1, 1, amqp_empty_table)
        try Self.check(amqp_get_rpc_reply(state), at: "private queue")
        return declared.map { Self.text($0.pointee.queue) } ?? ""
    }

    /// Binds a queue to an exchange.
    func bind(queue: String, exchange: String, key: String) throws(BrokerError) {
        Table.with([]) { table in
            amqp_queue_bind(
                state, Self.channel, table.bytes(queue), table.bytes(exchange), table.bytes(key),
                amqp_empty_table)
        }
        try Self.check(amqp_get_rpc_reply(state), at: "binding of \(queue) to \(exchange)")
    }

    /// Limits the unsettled deliveries of each consumer that is started after this.
    func limitPrefetch(_ count: UInt16) throws(BrokerError) {
        amqp_basic_qos(state, Self.channel, 0, count, 0)
        try Self.check(amqp_get_rpc_reply(state), at: place)
    }

    /// Starts a consumer whose tag is the queue's name.
    func consume(
        _ queue: String, arguments: Arguments = [], settles: Bool = true
    ) throws(BrokerError) {
        Table.with(arguments) { table in
            amqp_basic_consume(
                state, Self.channel, table.bytes(queue), table.bytes(queue), 0, settles ? 0 : 1, 0,
                table.value)
        }
        try Self.check(amqp_get_rpc_reply(state), at: "queue \(queue)")
    }
}

/// A table of arguments in C's form, with the memory that it and the strings of one call need.
private struct Table: ~Copyable {
    private let pool: UnsafeMutablePointer<amqp_pool_t>
    private(set) var value: amqp_table_t

    private init(_ arguments: Arguments) {
        pool = .allocate(capacity: 1)
        init_amqp_pool(pool, 4096)
        value = amqp_empty_table
        guard !arguments.isEmpty else { return }
        let size = arguments.count * MemoryLayout<amqp_table_entry_t>.stride
        let entries = amqp_pool_alloc(pool, size)!
            .bindMemory(to: amqp_table_entry_t.self, capacity: arguments.count)
        for (position, argument) in arguments.enumerated() {
            let key = bytes(argument.name)
            entries[position] =
                switch argument.value {
                case .text(let text): rmq_entry_text(key, bytes(text))
                case .integer(let number): rmq_entry_integer(key, number)
                case .flag: rmq_entry_true(key)
                case .time(let seconds): rmq_entry_time(key, seconds)
                }
        }
        value = amqp_table_t(num_entries: Int32(arguments.count), entries: entries)
    }

    deinit {
        empty_amqp_pool(pool)
        pool.deallocate()
    }

    /// Lends a table for the length of one call.
    static func with<Result>(_ arguments: Arguments, _ body: (borrowing Table) -> Result) {
        let table = Table(arguments)
        _ = body(table)
    }

    /// A copy of the text that lives as long as the table.
    func bytes(_ text: String) -> amqp_bytes_t {
        var text = text
        return text.withUTF8 { utf8 in
            var copy = amqp_bytes_t()
            guard let base = utf8.baseAddress, !utf8.isEmpty else { return amqp_empty_bytes }
            amqp_pool_alloc_bytes(pool, utf8.count, &copy)
            memcpy(copy.bytes, base, utf8.count)
            return copy
        }
    }
}
