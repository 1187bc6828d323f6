import Testing

/// What each target may import of ours and of others; the table of the design, layer by layer.
///
/// C libraries, the C library itself and the standard library's parts are listed where they are needed:
/// each system library is imported by one target only.
private let layers: [String: Set<String>] = [
    // Layer 1
    "CopyModel": [],
    "TrackBitmap": ["Synchronization"],
    // Layer 2
    "CopyRules": ["CopyModel"],
    "CommandSchema": ["CopyModel"],
    // Layer 3
    "SessionStore": ["CopyModel"],
    "StoragePort": ["CopyModel"],
    "MessagePort": ["CopyModel"],
    "TrackStore": ["TrackBitmap", "CLMDB", "CURing", "CISAL", "Glibc", "Synchronization"],
    // Layer 4
    "SessionRuntime": [
        "CopyRules", "CommandSchema", "SessionStore", "StoragePort", "MessagePort", "CopyModel",
        "FoundationEssentials", "Logging", "DequeModule", "Synchronization",
    ],
    "AMQPBroker": ["MessagePort", "CRabbitMQ", "CopyModel", "Glibc", "Synchronization"],
    "SQLiteStore": [
        "SessionStore", "CopyModel", "GRDB", "GRDBSQLite", "DequeModule", "Glibc",
        "Synchronization", "FoundationEssentials", "Foundation",
    ],
    "EmbeddedStorage": ["StoragePort", "TrackStore", "CopyModel", "Glibc", "Synchronization"],
    "NBDServer": ["TrackStore", "COpenSSL", "Glibc", "Synchronization"],
    "ConsoleText": ["CommandSchema", "CopyModel"],
]

@Suite("The house keeps its layers")
struct LayerTests {
    let tree: SourceTree

    init() throws { tree = try SourceTree() }

    @Test("every import of a product target is in the table of layers")
    func imports() {
        var seen = 0
        for file in tree.files where file.isProduct && file.target != "stillpoint" {
            guard let allowed = layers[file.target] else {
                Issue.record("\(file.path): target \(file.target) is not in the table of layers")
                continue
            }
            for (number, line) in file.lines.enumerated() {
                guard let module = Self.module(imported: line) else { continue }
                seen += 1
                #expect(
                    allowed.contains(module), "\(file.path):\(number + 1) imports \(module)")
            }
        }
        print("tidy: \(seen) imports in \(tree.files.count) files")
        #expect(seen > 50)
    }

    private static func module(imported line: String) -> String? {
        let words = line.split(separator: " ").map(String.init)
        guard let index = words.firstIndex(of: "import"), index + 1 < words.count,
            words[..<index].allSatisfy({
                $0.hasPrefix("@") || $0 == "public" || $0 == "internal" || $0 == "private"
            })
        else { return nil }
        let kinds: Set<String> = ["struct", "class", "func", "enum", "protocol", "var"]
        let name =
            kinds.contains(words[index + 1]) && index + 2 < words.count
            ? words[index + 2] : words[index + 1]
        return String(name.prefix { $0 != "." })
    }

    /// What may stay all the same, each for a reason: an adapter's own thread waits by a monotonic clock
    /// that no decision sees; a segment's name on disk must differ from that of any killed process.
    private static let exceptions: [String: String] = [
        "Sources/SQLiteStore/Writer.swift": "ContinuousClock",
        "Sources/TrackStore/SaveSegment.swift": ".random(in:",
    ]

    @Test("what escapes a simulator is absent below the composition root")
    func banned() throws {
        let tasks = try Regex("(^|[^A-Za-z])Task( \\{|\\.init|\\.detached|\\.sleep)")
        let constructs = [
            "MainActor", "Date()", "UUID()", "SystemRandomNumberGenerator", "ContinuousClock",
            "SuspendingClock", "DispatchQueue", ".random(in:", ".shuffled()", ".randomElement()",
            "arc4random",
        ]
        for file in tree.files where file.isProduct && file.target != "stillpoint" {
            for (number, line) in file.lines.enumerated() {
                let code = line.components(separatedBy: "//")[0]
                if code.contains(tasks) { Issue.record("\(file.path):\(number + 1) makes a task") }
                for construct in constructs
                where code.contains(construct) && Self.exceptions[file.path] != construct {
                    Issue.record("\(file.path):\(number + 1) uses \(construct)")
                }
            }
        }
    }

    @Test("print is absent from the product's libraries")
    func printing() {
        for file in tree.files where file.isProduct && file.target != "stillpoint" {
            for (number, line) in file.lines.enumerated() {
                let code = line.drop { $0 == " " }
                if code.hasPrefix("print(") { Issue.record("\(file.path):\(number + 1) prints") }
            }
        }
    }
}
