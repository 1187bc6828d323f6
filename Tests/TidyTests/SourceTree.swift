import Foundation

/// The project's Swift files, read once.
struct SourceTree {
    /// One file, by lines.
    struct File {
        var path: String
        var target: String
        var lines: [String]

        /// True for files of the product, not of its tests.
        var isProduct: Bool { path.hasPrefix("Sources/") }
    }

    /// The files, in the order of their paths.
    let files: [File]

    /// Reads `Sources` and `Tests` of the package that this test belongs to.
    init() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        var files: [File] = []
        for top in ["Sources", "Tests"] {
            let folder = root.appendingPathComponent(top)
            let paths = try FileManager.default.subpathsOfDirectory(atPath: folder.path).sorted()
            for path in paths where path.hasSuffix(".swift") && !path.contains(".build/") {
                let text = try String(
                    contentsOf: folder.appendingPathComponent(path), encoding: .utf8)
                files.append(
                    File(
                        path: "\(top)/\(path)",
                        target: String(path.prefix { $0 != "/" }),
                        lines: text.split(separator: "\n", omittingEmptySubsequences: false)
                            .map(String.init)))
            }
        }
        self.files = files
    }
}

/// A function's place and length.
struct FunctionSpan {
    var name: String
    var line: Int
    var length: Int

    /// Finds functions by their opening line and the indentation of their closing brace.
    static func all(in lines: [String]) -> [FunctionSpan] {
        var spans: [FunctionSpan] = []
        for (index, line) in lines.enumerated() {
            let code = line.drop { $0 == " " }
            let isFunction =
                code.range(
                    of:
                        #"^(@\w+ |public |package |private |fileprivate |static |mutating |override |nonisolated |final |consuming |convenience )*(func |init[?(<]|deinit )"#,
                    options: .regularExpression) != nil
            guard isFunction else { continue }
            if code.contains("{"), code.hasSuffix("}") { continue }
            let indent = String(repeating: " ", count: line.count - code.count)
            guard let end = lines[index...].firstIndex(where: { $0 == indent + "}" }) else {
                continue
            }
            spans.append(
                FunctionSpan(
                    name: String(code.prefix(60)), line: index + 1, length: end - index + 1))
        }
        return spans
    }
}
