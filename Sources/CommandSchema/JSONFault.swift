/// The first fault of a text that is not strict JSON.
public struct JSONFault: Error, Hashable, Sendable {
    /// The JSON pointer (RFC 6901) of the value in which the fault lies; empty for the whole text.
    public let pointer: String
    /// One sentence on what is wrong.
    public let sentence: String
    /// The byte at which it was found, from 0.
    public let offset: Int

    /// States a fault.
    public init(pointer: String, sentence: String, offset: Int) {
        self.pointer = pointer
        self.sentence = sentence
        self.offset = offset
    }
}

/// JSON pointers, as refusals name them.
enum JSONPointer {
    /// Longest token that is spelled out: a refusal must not echo a megabyte.
    static let longestToken = 64

    /// One token with its slash: `~` and `/` escaped, control characters and excess length left
    /// out.
    static func token(_ name: String) -> String {
        var text = "/"
        for scalar in name.unicodeScalars.prefix(longestToken) {
            switch scalar {
            case "~": text += "~0"
            case "/": text += "~1"
            default: text.unicodeScalars.append(scalar.isControl ? "\u{FFFD}" : scalar)
            }
        }
        return name.unicodeScalars.count > longestToken ? text + "…" : text
    }
}

extension Unicode.Scalar {
    /// True for the characters that no display can be trusted with.
    var isControl: Bool { value < 0x20 || (0x7F...0x9F).contains(value) }
}

extension String {
    /// The text as a sentence can quote it: at most 64 characters, none of them a control
    /// character.
    var quoted: String {
        var text = "'"
        for scalar in unicodeScalars.prefix(JSONPointer.longestToken) {
            text.unicodeScalars.append(scalar.isControl ? "\u{FFFD}" : scalar)
        }
        return unicodeScalars.count > JSONPointer.longestToken ? text + "…'" : text + "'"
    }
}
