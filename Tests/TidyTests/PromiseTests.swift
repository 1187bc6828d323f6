import Testing

@Suite("Promises that the compiler takes on trust are few and proved")
struct PromiseTests {
    let tree: SourceTree

    init() throws { tree = try SourceTree() }

    /// Raise or lower it in the commit that adds or removes one, with its proof above the line.
    private static let pinned = 7

    @Test(
        "every unchecked promise has its proof in the comment above it, and their number is pinned")
    func promises() {
        var count = 0
        for file in tree.files where file.isProduct {
            for (number, line) in file.lines.enumerated() {
                let code = line.components(separatedBy: "//")[0]
                guard
                    code.contains("@unchecked Sendable") || code.contains("nonisolated(unsafe)")
                        || code.contains("unsafeBitCast")
                else { continue }
                count += 1
                let above = number > 0 ? file.lines[number - 1].drop { $0 == " " } : ""
                #expect(above.hasPrefix("//"), "\(file.path):\(number + 1) has no proof above it")
            }
        }
        print("tidy: \(count) unchecked promises")
        #expect(count == Self.pinned)
    }

    @Test("the project names no machine, no registry and no maker")
    func silence() {
        let words = ["/work/", "/tmp/bash", "claude", "anthropic", "chatgpt", "openai", "copilot"]
        for file in tree.files where !file.path.hasPrefix("Tests/TidyTests") {
            for (number, line) in file.lines.enumerated() {
                for word in words where line.lowercased().contains(word) {
                    Issue.record("\(file.path):\(number + 1) says \(word)")
                }
            }
        }
    }
}
