import CopyModel

/// Appends compact JSON to a byte array; commas come by themselves.
///
/// It trusts its caller to open and close in pairs and to write a value after each key.
public struct JSONWriter {
    /// What has been written.
    public private(set) var bytes: [UInt8] = []
    private var commaIsDue = false
    /// The text of the last time up to its seconds, as `2026-11-21T02:00:`.
    private var lastMinute: (number: Int64, text: ArraySlice<UInt8>)?

    /// An empty text with room for so many bytes.
    public init(capacity: Int = 512) { bytes.reserveCapacity(capacity) }

    /// Opens an object.
    public mutating func openObject() { open(UInt8(ascii: "{")) }

    /// Closes an object.
    public mutating func closeObject() { close(UInt8(ascii: "}")) }

    /// Opens an array.
    public mutating func openArray() { open(UInt8(ascii: "[")) }

    /// Closes an array.
    public mutating func closeArray() { close(UInt8(ascii: "]")) }

    /// Writes a member's name that needs no escaping.
    public mutating func key(_ name: StaticString) {
        separate()
        bytes.append(UInt8(ascii: "\""))
        append(name)
        bytes.append(UInt8(ascii: "\""))
        bytes.append(UInt8(ascii: ":"))
        commaIsDue = false
    }

    /// Writes a member's name.
    public mutating func key(text name: String) {
        string(name)
        bytes.append(UInt8(ascii: ":"))
        commaIsDue = false
    }

    /// Writes a string, escaping only what JSON demands: quotes, backslashes and control
    /// characters.
    public mutating func string(_ text: String) {
        beginString()
        append(text)
        endString()
    }

    /// Opens a string that is written in pieces.
    mutating func beginString() {
        separate()
        bytes.append(UInt8(ascii: "\""))
    }

    /// Closes a string that was written in pieces.
    mutating func endString() {
        bytes.append(UInt8(ascii: "\""))
        commaIsDue = true
    }

    /// Appends a piece of a string, escaped.
    mutating func append(_ text: String) {
        var text = text
        text.withUTF8 { plain in
            if plain.allSatisfy({ $0.isPlainInJSON }) {
                bytes.append(contentsOf: plain)
            } else {
                for byte in plain { escape(byte) }
            }
        }
    }

    /// Appends a piece that needs no escaping.
    mutating func append(_ text: StaticString) {
        text.withUTF8Buffer { bytes.append(contentsOf: $0) }
    }

    /// Appends decimal digits, with zeros in front up to a width (at most 20).
    mutating func append(_ value: UInt64, width: Int = 1) {
        let start = bytes.count
        var rest = value
        repeat {
            bytes.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10))
            rest /= 10
        } while rest > 0 || bytes.count - start < width
        bytes[start...].reverse()
    }

    /// Writes a string, or `null`.
    public mutating func string(_ text: String?) {
        if let text { string(text) } else { null() }
    }

    /// Writes a whole number.
    public mutating func integer(_ value: some FixedWidthInteger) {
        separate()
        if value < 0 { bytes.append(UInt8(ascii: "-")) }
        append(UInt64(value.magnitude))
        commaIsDue = true
    }

    /// Writes `true` or `false`.
    public mutating func bool(_ value: Bool) { raw(value ? "true" : "false") }

    /// Writes `null`.
    public mutating func null() { raw("null") }

    /// Writes an instant with milliseconds.
    ///
    /// The times of one message mostly lie in the same minute, so the calendar is asked once a
    /// minute.
    public mutating func time(_ time: Timestamp) {
        let (minute, inMinute) = time.milliseconds.quotientAndRemainder(dividingBy: 60_000)
        beginString()
        if let lastMinute, lastMinute.number == minute, time.milliseconds >= 0 {
            bytes.append(contentsOf: lastMinute.text)
            append(UInt64(inMinute / 1000), width: 2)
            bytes.append(UInt8(ascii: "."))
            append(UInt64(inMinute % 1000), width: 3)
            bytes.append(UInt8(ascii: "Z"))
        } else {
            let text = Array(time.description.utf8)
            bytes.append(contentsOf: text)
            if time.milliseconds >= 0 { lastMinute = (minute, text.dropLast("00.000Z".utf8.count)) }
        }
        endString()
    }

    /// Writes a value that is JSON already.
    public mutating func json(_ value: [UInt8]) {
        separate()
        bytes.append(contentsOf: value)
        commaIsDue = true
    }

    /// Writes an array of strings.
    public mutating func strings(_ texts: some Sequence<String>) {
        openArray()
        for text in texts { string(text) }
        closeArray()
    }

    /// Writes a member whose value is a string.
    public mutating func member(_ name: StaticString, _ text: String) {
        key(name)
        string(text)
    }

    /// Writes a member whose value is a string or `null`.
    public mutating func member(_ name: StaticString, orNull text: String?) {
        key(name)
        string(text)
    }

    /// Writes a member whose value is a whole number.
    public mutating func member(_ name: StaticString, _ value: some FixedWidthInteger) {
        key(name)
        integer(value)
    }

    /// Writes a member whose value is `true` or `false`.
    public mutating func member(_ name: StaticString, _ value: Bool) {
        key(name)
        bool(value)
    }

    /// Writes a member whose value is an instant with milliseconds.
    public mutating func member(_ name: StaticString, _ value: Timestamp) {
        key(name)
        time(value)
    }

    private mutating func raw(_ word: StaticString) {
        separate()
        append(word)
        commaIsDue = true
    }

    private mutating func open(_ bracket: UInt8) {
        separate()
        bytes.append(bracket)
        commaIsDue = false
    }

    private mutating func close(_ bracket: UInt8) {
        bytes.append(bracket)
        commaIsDue = true
    }

    private mutating func separate() {
        if commaIsDue { bytes.append(UInt8(ascii: ",")) }
    }

    private mutating func escape(_ byte: UInt8) {
        guard !byte.isPlainInJSON else {
            bytes.append(byte)
            return
        }
        bytes.append(UInt8(ascii: "\\"))
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes.append(byte)
        case 0x0A: bytes.append(UInt8(ascii: "n"))
        case 0x0D: bytes.append(UInt8(ascii: "r"))
        case 0x09: bytes.append(UInt8(ascii: "t"))
        default:
            bytes.append(contentsOf: "u00".utf8)
            bytes.append(UInt8(ascii: byte < 0x10 ? "0" : "1"))
            bytes.append(contentsOf: String(byte & 0x0F, radix: 16).utf8)
        }
    }
}

extension UInt8 {
    fileprivate var isPlainInJSON: Bool {
        self >= 0x20 && self != UInt8(ascii: "\"") && self != UInt8(ascii: "\\")
    }
}
