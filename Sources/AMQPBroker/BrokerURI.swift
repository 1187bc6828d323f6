// Taking an AMQP URI apart (the form that RabbitMQ's URI specification describes).

/// The parts of an `amqp://` or `amqps://` URI; nil where a part is absent.
struct BrokerURI: Hashable {
    var secure = false
    var user: String?
    var password: String?
    var host = ""
    var port: UInt16?
    var virtualHost: String?
    var heartbeatSeconds: Int?
    var connectTimeout: Duration?

    init(_ text: String) throws(BrokerError) {
        var rest = try Self.afterScheme(text, secure: &secure)
        if let mark = rest.firstIndex(of: "?") {
            try readQuery(rest[rest.index(after: mark)...])
            rest = rest[..<mark]
        }
        guard !rest.contains("#") else {
            throw Self.fault("a fragment (#…) means nothing to a broker; write # as %23")
        }
        if let slash = rest.firstIndex(of: "/") {
            let path = rest[rest.index(after: slash)...]
            guard !path.isEmpty else {
                throw Self.fault("an empty virtual host: leave the last slash out, or write %2f")
            }
            guard !path.contains("/") else {
                throw Self.fault("a slash inside the virtual host is written %2f")
            }
            virtualHost = try Self.decoded(path, "virtual host")
            rest = rest[..<slash]
        }
        if let at = rest.lastIndex(of: "@") {
            try readLogin(rest[..<at])
            rest = rest[rest.index(after: at)...]
        }
        try readAddress(rest)
    }

    private static func afterScheme(
        _ text: String, secure: inout Bool
    ) throws(BrokerError) -> Substring {
        for (scheme, isSecure) in [("amqp://", false), ("amqps://", true)]
        where text.lowercased().hasPrefix(scheme) {
            secure = isSecure
            return text.dropFirst(scheme.count)
        }
        throw fault("a broker's URI begins with amqp:// or amqps://")
    }

    private mutating func readLogin(_ text: Substring) throws(BrokerError) {
        guard let colon = text.firstIndex(of: ":") else {
            user = try Self.decoded(text, "user")
            return
        }
        user = try Self.decoded(text[..<colon], "user")
        password = try Self.decoded(text[text.index(after: colon)...], "password")
    }

    private mutating func readAddress(_ text: Substring) throws(BrokerError) {
        var portText: Substring?
        if text.hasPrefix("[") {
            guard let end = text.firstIndex(of: "]") else {
                throw Self.fault("an IPv6 address ends with ]")
            }
            host = String(text[text.index(after: text.startIndex)..<end])
            let after = text[text.index(after: end)...]
            guard after.isEmpty || after.hasPrefix(":") else {
                throw Self.fault("only :port may follow an IPv6 address")
            }
            portText = after.isEmpty ? nil : after.dropFirst()
        } else if let colon = text.firstIndex(of: ":") {
            host = try Self.decoded(text[..<colon], "host")
            portText = text[text.index(after: colon)...]
        } else {
            host = try Self.decoded(text, "host")
        }
        guard !host.isEmpty else { throw Self.fault("the host is missing") }
        guard let portText else { return }
        guard portText.utf8.allSatisfy({ (48...57).contains($0) }), let number = UInt16(portText),
            number > 0
        else { throw Self.fault("the port must be 1 to 65535") }
        port = number
    }

    private mutating func readQuery(_ text: Substring) throws(BrokerError) {
        for item in text.split(separator: "&") {
            let pair = item.split(separator: "=", maxSplits: 1)
            let name = String(pair[0])
            let number = pair.count == 2 ? Int(pair[1]) : nil
            switch name {
            case "heartbeat":
                guard let number else { throw Self.fault("heartbeat takes whole seconds") }
                heartbeatSeconds = number
            case "connection_timeout":
                guard let number else {
                    throw Self.fault("connection_timeout takes whole milliseconds")
                }
                connectTimeout = .milliseconds(number)
            default:
                throw Self.fault("unknown option \(name); known are heartbeat, connection_timeout")
            }
        }
    }

    private static func decoded(_ text: Substring, _ part: String) throws(BrokerError) -> String {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = rest.popFirst().flatMap(hexValue),
                let low = rest.popFirst().flatMap(hexValue)
            else { throw fault("the \(part) has a % that two hexadecimal digits do not follow") }
            bytes.append(high << 4 | low)
        }
        guard !bytes.contains(0), let string = String(validating: bytes, as: UTF8.self) else {
            throw fault("the \(part) is not valid UTF-8 text")
        }
        return string
    }

    private static func hexValue(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    private static func fault(_ sentence: String) -> BrokerError {
        BrokerError(.invalidEndpoint, sentence, at: "broker URI")
    }
}
