// Strings and numbers.

extension JSONScanner {
    /// Reads a string whose opening quote is at the present position.
    mutating func scanString() throws(JSONFault) -> String {
        let start = position + 1
        var end = start
        var seen: UInt8 = 0
        while end < bytes.count {
            let byte = bytes[end]
            switch byte {
            case UInt8(ascii: "\""):
                // Most strings are ASCII, which needs no validation.
                let plain = bytes[start..<end]
                let text = seen < 0x80 ? String(decoding: plain, as: UTF8.self) : try decoded(plain)
                position = end + 1
                return text
            case UInt8(ascii: "\\"): return try scanEscapedString(from: start, firstEscape: end)
            case 0x00...0x1F:
                throw fault(at: end, "A control character must be escaped in a string.")
            default:
                seen |= byte
                end += 1
            }
        }
        throw fault(at: bytes.count, "The text ends inside a string.")
    }

    private mutating func scanEscapedString(
        from start: Int, firstEscape: Int
    ) throws(JSONFault) -> String {
        var plain = Array(bytes[start..<firstEscape])
        position = firstEscape
        while position < bytes.count {
            let byte = bytes[position]
            switch byte {
            case UInt8(ascii: "\""):
                let text = try decoded(plain[...])
                position += 1
                return text
            case UInt8(ascii: "\\"): try scanEscape(into: &plain)
            case 0x00...0x1F: throw fault("A control character must be escaped in a string.")
            default:
                plain.append(byte)
                position += 1
            }
        }
        throw fault("The text ends inside a string.")
    }

    private mutating func scanEscape(into plain: inout [UInt8]) throws(JSONFault) {
        guard position + 1 < bytes.count else {
            throw fault(at: bytes.count, "The text ends inside a string.")
        }
        let letter = bytes[position + 1]
        switch letter {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): plain.append(letter)
        case UInt8(ascii: "b"): plain.append(0x08)
        case UInt8(ascii: "f"): plain.append(0x0C)
        case UInt8(ascii: "n"): plain.append(0x0A)
        case UInt8(ascii: "r"): plain.append(0x0D)
        case UInt8(ascii: "t"): plain.append(0x09)
        case UInt8(ascii: "u"):
            plain.append(contentsOf: try scanScalar().utf8)
            return
        default: throw fault("This is not an escape of JSON.")
        }
        position += 2
    }

    /// Reads `\uXXXX`, or two of them that make one character.
    private mutating func scanScalar() throws(JSONFault) -> Unicode.Scalar {
        let first = try scanCodeUnit()
        if let scalar = Unicode.Scalar(first) { return scalar }
        guard UTF16.isLeadSurrogate(first), position + 1 < bytes.count,
            bytes[position] == UInt8(ascii: "\\"), bytes[position + 1] == UInt8(ascii: "u")
        else { throw fault("Half of a surrogate pair stands alone.") }
        let second = try scanCodeUnit()
        guard UTF16.isTrailSurrogate(second),
            let scalar = Unicode.Scalar(
                0x1_0000 + (UInt32(first & 0x3FF) << 10) + UInt32(second & 0x3FF))
        else { throw fault("Half of a surrogate pair stands alone.") }
        return scalar
    }

    private mutating func scanCodeUnit() throws(JSONFault) -> UInt16 {
        guard position + 6 <= bytes.count else {
            throw fault("Four hexadecimal digits are due after \\u.")
        }
        var unit: UInt16 = 0
        for byte in bytes[position + 2..<position + 6] {
            guard let digit = byte.hexDigit else {
                throw fault("Four hexadecimal digits are due after \\u.")
            }
            unit = unit << 4 | UInt16(digit)
        }
        position += 6
        return unit
    }

    private func decoded(_ plain: ArraySlice<UInt8>) throws(JSONFault) -> String {
        guard let text = String(validating: plain, as: UTF8.self) else {
            throw fault("A string is not valid UTF-8.")
        }
        return text
    }

    /// Reads a number that starts at the present position.
    mutating func scanNumber() throws(JSONFault) -> JSONNode {
        let start = position
        var end = start
        if bytes[end] == UInt8(ascii: "-") { end += 1 }
        let digits = digitsEnd(from: end)
        guard digits > end else { throw fault("A digit is due after a minus sign.") }
        guard bytes[end] != UInt8(ascii: "0") || digits == end + 1 else {
            throw fault("A number may not start with a zero.")
        }
        end = digits
        var isWhole = true
        if end < bytes.count, bytes[end] == UInt8(ascii: ".") {
            isWhole = false
            end = try digitsDue(from: end + 1)
        }
        if end < bytes.count, bytes[end] | 0x20 == UInt8(ascii: "e") {
            isWhole = false
            end += 1
            if end < bytes.count, bytes[end] == UInt8(ascii: "+") || bytes[end] == UInt8(ascii: "-")
            {
                end += 1
            }
            end = try digitsDue(from: end)
        }
        let node = try number(bytes[start..<end], isWhole: isWhole)
        position = end
        return node
    }

    private func number(
        _ text: ArraySlice<UInt8>, isWhole: Bool
    ) throws(JSONFault) -> JSONNode {
        let isMinusZero =
            text.count == 2 && text.starts(with: [UInt8(ascii: "-"), UInt8(ascii: "0")])
        let value = isWhole && !isMinusZero ? Int64(bytes: text) : nil
        guard numbers == .safeIntegers else {
            return value.map(JSONNode.integer) ?? .number(String(decoding: text, as: UTF8.self))
        }
        guard isWhole else { throw fault("A whole number is due: no fraction, no exponent.") }
        guard !isMinusZero else { throw fault("Zero has no sign.") }
        guard let value, value.magnitude <= 9_007_199_254_740_991 else {
            throw fault("The number is beyond 2^53 - 1, which not every reader holds exactly.")
        }
        return .integer(value)
    }

    private func digitsEnd(from start: Int) -> Int {
        var end = start
        while end < bytes.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[end]) {
            end += 1
        }
        return end
    }

    private func digitsDue(from start: Int) throws(JSONFault) -> Int {
        let end = digitsEnd(from: start)
        guard end > start else { throw fault("A digit is due in the number.") }
        return end
    }

    private mutating func fault(at place: Int, _ sentence: String) -> JSONFault {
        position = place
        return fault(sentence)
    }
}

extension UInt8 {
    fileprivate var hexDigit: UInt8? {
        switch self {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): self - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): self - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): self - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}

extension Int64 {
    /// A whole number in decimal digits with an optional minus sign; nil where 64 bits do not hold
    /// it.
    fileprivate init?(bytes: ArraySlice<UInt8>) {
        let isNegative = bytes.first == UInt8(ascii: "-")
        var value: Int64 = 0
        for byte in isNegative ? bytes.dropFirst() : bytes {
            let (shifted, first) = value.multipliedReportingOverflow(by: 10)
            let digit = Int64(byte - UInt8(ascii: "0"))
            let (next, second) = shifted.subtractingReportingOverflow(digit)
            guard !first, !second else { return nil }
            value = next
        }
        if isNegative {
            self = value
        } else {
            guard value != .min else { return nil }
            self = -value
        }
    }
}
