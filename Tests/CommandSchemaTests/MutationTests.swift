import CommandSchema
import CopyModel
import Testing

/// A small generator with a seed (xorshift), so that a failure can be had again.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed == 0 ? 0x9E37_79B9_7F4A_7C15 : seed }

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }
}

@Suite("Mutated commands")
struct MutationTests {
    private static let fragments: [[UInt8]] = [
        "\"", "{", "}", "[", "]", ",", ":", "\\", "\\u0000", "\\uD800", "-", "0", "01", "1e9",
        "null", "true",
        "\"id\":\"b\",", "\"session\":\"q\",", "\u{FEFF}", "\0", " ", "é", "99999999999999999999",
        "\"x\":1,",
        "{\"H1\":\"b:0000\"},", "\n", "//",
    ].map { Array($0.utf8) }

    private static let letters = Array("0123456789abcdefABCDEFGHIkKtr".utf8)

    private func mutate(_ original: [UInt8], _ random: inout SeededGenerator) -> [UInt8] {
        var bytes = original
        for _ in 0..<Int.random(in: 1...2, using: &random) {
            let place = Int.random(in: 0...bytes.count, using: &random)
            let end = min(bytes.count, place + Int.random(in: 1...8, using: &random))
            switch Int.random(in: 0..<10, using: &random) {
            case 0 where place < bytes.count:
                bytes[place] = UInt8.random(in: 0...255, using: &random)
            case 1 where place < bytes.count:
                bytes[place] ^= 1 << UInt8.random(in: 0...7, using: &random)
            case 2: bytes.removeSubrange(place..<end)
            case 3:
                let fragment = Self.fragments.randomElement(using: &random) ?? []
                bytes.insert(contentsOf: fragment, at: place)
            case 4: bytes.insert(contentsOf: bytes[place..<end], at: place)
            case 5: bytes.removeLast(bytes.count - place)
            default:
                // A letter or digit for another: mostly still JSON, sometimes still a command.
                guard place < bytes.count, Self.letters.contains(bytes[place]) else { continue }
                bytes[place] = Self.letters.randomElement(using: &random) ?? 0
            }
        }
        return bytes
    }

    @Test(
        "never crash: each is the original, or refused, or another command that is read back alike")
    func mutations() throws {
        var random = SeededGenerator(seed: 20_261_121)
        var counts = (same: 0, other: 0, refused: 0, unattributable: 0)
        let originals = commandSamples.map { Array($0.body.utf8) }
        for round in 0..<100_000 {
            let original = originals[round % originals.count]
            let mutant = mutate(original, &random)
            switch CommandReader.read(body: mutant, messageID: round % 7 == 0 ? "a" : nil) {
            case .command(let envelope):
                if envelope.command == commandSamples[round % originals.count].command {
                    counts.same += 1
                } else {
                    counts.other += 1
                }
                let again = CommandReader.read(body: CommandWriter.bytes(envelope), messageID: nil)
                #expect(again == .command(envelope), "\(String(decoding: mutant, as: UTF8.self))")
            case .refused(let refused):
                counts.refused += 1
                #expect(!refused.refusals.isEmpty)
                let again = CommandReader.read(body: refused.canonical, messageID: refused.id.text)
                guard case .refused(let second) = again else {
                    Issue.record("\(String(decoding: mutant, as: UTF8.self)): \(again)")
                    continue
                }
                #expect(second.canonical == refused.canonical && second.subject == refused.subject)
            case .unattributable: counts.unattributable += 1
            }
        }
        // All four ends have been reached, so none of the checks above was idle.
        #expect(counts.same > 500 && counts.other > 500, "\(counts)")
        #expect(counts.refused > 1000 && counts.unattributable > 1000, "\(counts)")
    }

    @Test("of random bytes never crash the reader either")
    func noise() {
        var random = SeededGenerator(seed: 7)
        for _ in 0..<20_000 {
            let count = Int.random(in: 0...64, using: &random)
            let bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
            guard case .unattributable = CommandReader.read(body: bytes, messageID: nil) else {
                Issue.record("\(bytes)")
                continue
            }
        }
    }
}
