/// Texts from elsewhere, made fit for a terminal: nothing in them can move its cursor, change its
/// colours or turn its writing round.
public enum SafeText {
    /// The text with every character that acts instead of showing spelled `\u{1b}`; tabs and line
    /// breaks too, since a text belongs to one line.
    public static func escaped(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: \.actsOnTerminals) else { return text }
        var safe = ""
        for scalar in text.unicodeScalars {
            if scalar.actsOnTerminals {
                safe += "\\u{\(String(scalar.value, radix: 16))}"
            } else {
                safe.unicodeScalars.append(scalar)
            }
        }
        return safe
    }

    /// A JSON text that says the same and is safe to show: such characters as JSON's own `\u001b`.
    ///
    /// Line breaks and tabs between the values stay.
    public static func json(_ bytes: [UInt8]) -> String {
        let text = String(decoding: bytes, as: UTF8.self)
        guard text.unicodeScalars.contains(where: \.actsInJSON) else { return text }
        var safe = ""
        for scalar in text.unicodeScalars {
            if scalar.actsInJSON {
                for unit in String(scalar).utf16 { safe += "\\u" + hexadecimal(unit) }
            } else {
                safe.unicodeScalars.append(scalar)
            }
        }
        return safe
    }

    private static func hexadecimal(_ unit: UInt16) -> String {
        let digits = String(unit, radix: 16)
        return String(repeating: "0", count: 4 - digits.count) + digits
    }
}

extension Unicode.Scalar {
    /// True for control characters, for the invisible ones that reorder or tag text, and for line
    /// and paragraph separators.
    ///
    /// The joiners are left alone: scripts and emoji are written with them.
    fileprivate var actsOnTerminals: Bool {
        if value >= 0x20, value < 0x7F { return false }
        switch properties.generalCategory {
        case .control, .lineSeparator, .paragraphSeparator: return true
        case .format: return value != 0x200C && value != 0x200D
        default: return false
        }
    }

    fileprivate var actsInJSON: Bool {
        actsOnTerminals && self != "\n" && self != "\t" && self != "\r"
    }
}
