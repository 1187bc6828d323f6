import ConsoleText
import Testing

@Suite("Texts from elsewhere")
struct SafeTextTests {
    @Test("an escape sequence is spelled out, not obeyed")
    func escapes() {
        #expect(SafeText.escaped("a\u{1B}[31mb\u{7}") == "a\\u{1b}[31mb\\u{7}")
        #expect(
            SafeText.escaped("one\ntwo\tthree\u{7F}\u{9B}2J")
                == "one\\u{a}two\\u{9}three\\u{7f}\\u{9b}2J")
    }

    @Test("characters that turn writing round or tag it are spelled out")
    func directions() {
        #expect(
            SafeText.escaped("a\u{202E}b\u{2066}c\u{2028}d\u{E0041}")
                == "a\\u{202e}b\\u{2066}c\\u{2028}d\\u{e0041}")
    }

    @Test("letters of every script, emoji and their joiners stay")
    func letters() {
        let text = "Größe 容量 क्‍ष 👩‍💻 ä"
        #expect(SafeText.escaped(text) == text)
    }

    @Test("JSON for a terminal is the same document, with such characters escaped as JSON does it")
    func json() throws {
        let text = "{\"a\":\"x\u{7F}\u{9B}\u{202E}\u{E0041}ü\",\n\t\"b\":1}"
        let safe = SafeText.json(Array(text.utf8))
        #expect(safe == "{\"a\":\"x\\u007f\\u009b\\u202e\\udb40\\udc41ü\",\n\t\"b\":1}")
        #expect(try node(safe) == node(text))
    }
}

@Suite("Colours")
struct PainterTests {
    @Test("colours are for terminals only, never with NO_COLOR, never on a dumb terminal")
    func when() {
        #expect(Painter(isTerminal: true, noColor: nil, terminalType: "xterm").inColour)
        #expect(Painter(isTerminal: true, noColor: "", terminalType: nil).inColour)
        #expect(!Painter(isTerminal: true, noColor: "1", terminalType: "xterm").inColour)
        #expect(!Painter(isTerminal: false, noColor: nil, terminalType: "xterm").inColour)
        #expect(!Painter(isTerminal: true, noColor: nil, terminalType: "dumb").inColour)
    }

    @Test("a painter without colours adds nothing, one with colours ends what it begins")
    func paint() {
        #expect(plain.paint("x", .bad) == "x")
        #expect(Painter(inColour: true).paint("x", .bad) == "\u{1B}[31mx\u{1B}[0m")
        #expect(Painter(inColour: true).paint("x", .plain) == "x")
    }
}

@Suite("Tables")
struct TextTableTests {
    @Test("columns are aligned, numbers right, and no line ends in spaces")
    func alignment() {
        var table = TextTable("NAME", ">SIZE", "NOTE")
        table.add(Cell("a"), Cell("1"), Cell(""))
        table.add(Cell("longer"), Cell("1000"), Cell("yes"))
        #expect(
            page(table.lines(plain, indent: 2)) == """
                  NAME    SIZE  NOTE
                  a          1
                  longer  1000  yes
                """)
    }

    @Test("wide characters take two cells and are not cut")
    func wide() {
        var table = TextTable("NAME", "X")
        table.add(Cell("給与"), Cell("1"))
        table.add(Cell("cafe\u{301}"), Cell("2"))
        table.add(Cell("👩‍💻"), Cell("3"))
        #expect(page(table.lines(plain)) == "NAME  X\n給与  1\ncafe\u{301}  2\n👩‍💻    3")
    }

    @Test("colours do not disturb the columns")
    func coloured() {
        var table = TextTable("A", ">B", "C")
        table.add(Cell("x", .good), Cell("1", .bad), Cell("z"))
        table.add(Cell("xxx"), Cell("100"), Cell("z"))
        let painted = table.lines(Painter(inColour: true))
        #expect(painted[1] == "\u{1B}[32mx\u{1B}[0m      \u{1B}[31m1\u{1B}[0m  z")
        let stripped = painted.map { $0.replacing(/\u{1B}\[[0-9]+m/, with: "") }
        #expect(stripped == table.lines(plain))
    }

    @Test("a cell's text cannot break its row")
    func control() {
        var table = TextTable("A", "B")
        table.add(Cell("x\ny"), Cell("z"))
        #expect(table.lines(plain) == ["A        B", "x\\u{a}y  z"])
    }
}

@Suite("Amounts")
struct AmountsTests {
    @Test(
        "bytes are given in the largest unit of which there is one, rounded down",
        arguments: [
            (0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (1536, "1.5 KiB"), (1 << 20, "1 MiB"),
            (10 << 30, "10 GiB"), (UInt64(10) << 30 + UInt64(1) << 29, "10.5 GiB"),
            ((1 << 30) - 1, "1023 MiB"), (UInt64.max, "16383 PiB"),
        ] as [(UInt64, String)])
    func bytes(_ bytes: UInt64, _ text: String) {
        #expect(Amounts.bytes(bytes) == text)
    }

    @Test("tracks are 64 KiB, however many")
    func tracks() {
        #expect(Amounts.tracks(16) == "1 MiB")
        #expect(Amounts.tracks(.max) == "16383 PiB")
    }

    @Test(
        "durations have two units at most",
        arguments: [
            (16, "16 ms"), (2500, "2.5 s"), (59_999, "59 s"), (200_000, "3 min 20 s"),
            (7_500_000, "2 h 5 min"), (-5, "0 ms"),
        ] as [(Int64, String)])
    func durations(_ time: Int64, _ text: String) {
        #expect(Amounts.duration(milliseconds: time) == text)
    }
}
