extension String {
    /// How many cells a terminal gives to the text: 2 for wide characters, 0 for marks on others.
    var displayWidth: Int {
        if utf8.allSatisfy({ $0 < 0x80 }) { return utf8.count }
        return reduce(0) { $0 + $1.displayWidth }
    }

    /// The text with spaces after it, `width` cells in all; never cut.
    func padded(to width: Int) -> String {
        self + String(repeating: " ", count: max(0, width - displayWidth))
    }
}

extension Character {
    fileprivate var displayWidth: Int {
        var width = 0
        for scalar in unicodeScalars {
            // The selector U+FE0F asks for the wide, coloured form of what stands before it.
            width = max(width, scalar.value == 0xFE0F ? 2 : scalar.displayWidth)
        }
        return width
    }
}

extension Unicode.Scalar {
    fileprivate var displayWidth: Int {
        switch properties.generalCategory {
        case .nonspacingMark, .enclosingMark, .format, .control: return 0
        default: break
        }
        if properties.isEmojiPresentation { return 2 }
        return Self.wide.contains { $0.contains(value) } ? 2 : 1
    }

    /// The blocks that Unicode's East Asian Width calls wide or fullwidth (UAX #11), whole blocks
    /// where nearly all of one is.
    private static let wide: [ClosedRange<UInt32>] = [
        0x1100...0x115F, 0x2E80...0x303E, 0x3041...0x33FF, 0x3400...0x4DBF, 0x4E00...0x9FFF,
        0xA000...0xA4CF, 0xA960...0xA97F, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE10...0xFE19,
        0xFE30...0xFE6F, 0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x17000...0x18CD5, 0x1B000...0x1B2FB,
        0x1F200...0x1F202, 0x1F210...0x1F23B, 0x20000...0x3FFFD,
    ]
}
