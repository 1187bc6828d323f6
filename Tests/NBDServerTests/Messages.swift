@testable import NBDServer

/// The client's side of the protocol, as bytes.
enum Message {
    static func flags(_ flags: UInt32 = 3) -> [UInt8] { integer(flags) }

    static func integer<Integer: FixedWidthInteger>(_ value: Integer) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(bigEndian: value)
        return bytes
    }

    static func option(_ code: UInt32, _ data: [UInt8] = [], length: UInt32? = nil) -> [UInt8] {
        integer(Magic.option) + integer(code) + integer(length ?? UInt32(data.count)) + data
    }

    static func option(_ code: OptionCode, _ data: [UInt8] = []) -> [UInt8] {
        option(code.rawValue, data)
    }

    static func name(_ name: String) -> [UInt8] {
        integer(UInt32(name.utf8.count)) + Array(name.utf8)
    }

    static func information(_ name: String, _ wanted: [UInt16] = []) -> [UInt8] {
        self.name(name) + integer(UInt16(wanted.count)) + wanted.flatMap { integer($0) }
    }

    static func go(_ name: String, _ wanted: [UInt16] = []) -> [UInt8] {
        option(.go, information(name, wanted))
    }

    static func contexts(_ name: String, _ queries: [String]) -> [UInt8] {
        self.name(name) + integer(UInt32(queries.count)) + queries.flatMap { self.name($0) }
    }

    static func request(
        _ code: UInt16, flags: UInt16 = 0, cookie: UInt64 = 1, offset: UInt64 = 0,
        length: UInt32 = 0, payload: [UInt8] = []
    ) -> [UInt8] {
        integer(Magic.request) + integer(flags) + integer(code) + integer(cookie)
            + integer(offset) + integer(length) + payload
    }

    static func request(
        _ code: CommandCode, flags: CommandFlags = [], cookie: UInt64 = 1, offset: UInt64 = 0,
        length: UInt32 = 0, payload: [UInt8] = []
    ) -> [UInt8] {
        request(
            code.rawValue, flags: flags.rawValue, cookie: cookie, offset: offset, length: length,
            payload: payload)
    }

    static func write(_ payload: [UInt8], at offset: UInt64, cookie: UInt64 = 1) -> [UInt8] {
        request(
            .write, cookie: cookie, offset: offset, length: UInt32(payload.count),
            payload: payload)
    }

    /// What the server answers to an option.
    static func reply(_ code: OptionCode, _ type: OptionReply, _ data: [UInt8] = []) -> [UInt8] {
        OptionAnswer.bytes(code.rawValue, type, data)
    }
}

extension Negotiation {
    /// Feeds bytes as if they had all arrived; returns every step that asks for something.
    mutating func feed(_ bytes: [UInt8]) -> [Step] {
        var rest = bytes[...]
        var steps: [Step] = []
        while true {
            let (consumed, step) = Array(rest).withUnsafeBytes { next($0) }
            rest = rest.dropFirst(consumed)
            if step == .send([]) { continue }
            steps.append(step)
            guard case .send = step else { return steps }
        }
    }

    /// A machine past the client's flags.
    static func begun(_ security: Security = .unavailable, flags: UInt32 = 3) -> Negotiation {
        var machine = Negotiation(security: security)
        _ = machine.feed(Message.flags(flags))
        return machine
    }
}

extension [Negotiation.Step] {
    /// The type of the first option reply, for tests that do not care for its sentence.
    var firstReply: OptionReply? {
        guard case .send(let bytes)? = first, bytes.count >= 20 else { return nil }
        return bytes.withUnsafeBytes { OptionReply(rawValue: $0.bigEndian(at: 12)) }
    }
}

let someShape = ExportShape(
    capacity: 1 << 20, isReadOnly: false, holeSize: 4096, description: "a volume")
