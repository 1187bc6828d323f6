import Testing

@testable import CommandSchema

@Suite("The strict scanner")
struct ScannerTests {
    @Test("takes what no two readers could read differently", arguments: acceptable)
    func accepts(_ specimen: Specimen) throws {
        var scanner = JSONScanner(specimen.bytes, numbers: .safeIntegers)
        let node = try scanner.scan()
        #expect(
            try JSONNode(document: node.compact()) == node, "written and read again it is the same")
        #expect(try JSONNode(document: specimen.bytes) == node, "documents are read alike")
        #expect(try JSONNode(document: Array(node.pretty().utf8)) == node)
    }

    @Test("refuses everything else, and points at the first fault", arguments: refusable)
    func refuses(_ specimen: Specimen, _ pointer: String) {
        var scanner = JSONScanner(specimen.bytes, numbers: .safeIntegers)
        let fault = #expect(throws: JSONFault.self) { _ = try scanner.scan() }
        #expect(fault?.pointer == pointer, "\(fault?.sentence ?? "")")
        #expect((0...specimen.bytes.count).contains(fault?.offset ?? -1))
        #expect(fault?.sentence.last == ".")
    }

    @Test("has a corpus of at least 120 texts, each with a name of its own")
    func corpus() {
        let names = acceptable.map(\.name) + refusable.map(\.0.name)
        #expect(names.count >= 120)
        #expect(Set(names).count == names.count)
    }

    @Test("unescapes to the characters meant")
    func unescapes() throws {
        let text = #"["\"\\\/\b\f\n\r\t\u0041\uD83D\uDE00é"]"#
        let node = try JSONNode(document: Array(text.utf8))
        #expect(node[0]?.text == "\"\\/\u{8}\u{C}\n\r\tA😀é")
    }

    @Test("keeps members in the order in which they were written")
    func keepsOrder() throws {
        let node = try JSONNode(document: Array(#"{"b":1,"a":{"z":[true,null]},"c":"x"}"#.utf8))
        #expect(node.members.map(\.key) == ["b", "a", "c"])
        #expect(node["a"]?["z"]?[0]?.bool == true)
        #expect(node["a"]?["z"]?[1]?.isNull == true)
        #expect(node["a"]?["z"]?[2] == nil)
        #expect(node["b"]?.integer == 1)
        #expect(node["c"]?.text == "x")
        #expect(node["d"] == nil && node["b"]?["x"] == nil && node["b"]?.text == nil)
    }

    @Test(
        "lets documents have the numbers that commands may not have",
        arguments: [
            "1.5", "1e2", "-0", "9223372036854775807", "18446744073709551615", "0e1", "-1E-9",
            "1.0",
        ])
    func documentNumbers(_ text: String) throws {
        let node = try JSONNode(document: Array("[\(text)]".utf8))
        #expect(
            String(decoding: node.compact(), as: UTF8.self) == "[\(text)]", "kept as it was written"
        )
        var strict = JSONScanner(Array("[\(text)]".utf8), numbers: .safeIntegers)
        #expect(throws: JSONFault.self) { _ = try strict.scan() }
    }

    @Test("reads every 64-bit number exactly", arguments: [Int64.min, -1, 0, 1, .max])
    func extremes(_ value: Int64) throws {
        #expect(try JSONNode(document: Array("\(value)".utf8)) == .integer(value))
    }

    @Test("is done with a megabyte of open brackets or of names at once")
    func isLinear() throws {
        let clock = ContinuousClock()
        let brackets = [UInt8](repeating: UInt8(ascii: "["), count: 1_048_576)
        let names = "{" + (0..<80_000).map { "\"\($0)\":1" }.joined(separator: ",") + "}"
        var count = 0
        let time = try clock.measure {
            #expect(throws: JSONFault.self) { _ = try JSONNode(document: brackets) }
            count = try JSONNode(document: Array(names.utf8)).members.count
        }
        #expect(count == 80_000)
        #expect(time < .seconds(20), "a quadratic reader takes minutes")
    }

    @Test("cuts pointers and quotations short, and leaves control characters out of them")
    func cutsShort() {
        let name = String(repeating: "n", count: 10_000)
        var scanner = JSONScanner(Array("{\"\(name)\":01}".utf8), numbers: .safeIntegers)
        let fault = #expect(throws: JSONFault.self) { _ = try scanner.scan() }
        #expect(fault?.pointer == "/" + String(repeating: "n", count: 64) + "…")
        #expect("a\u{1B}[2Jb".quoted == "'a\u{FFFD}[2Jb'")
    }
}
