import Testing

@Suite("Files and functions keep to their sizes")
struct SizeTests {
    let tree: SourceTree

    init() throws { tree = try SourceTree() }

    @Test("no file has more than 500 lines")
    func files() {
        for file in tree.files { #expect(file.lines.count <= 501, "\(file.path)") }
    }

    @Test("no function has more than 60 lines, an exhaustive switch that says so apart")
    func functions() {
        var count = 0
        for file in tree.files {
            for span in FunctionSpan.all(in: file.lines) {
                count += 1
                let before = span.line >= 2 ? file.lines[span.line - 2] : ""
                if before.contains("// exhaustive switch") { continue }
                #expect(span.length <= 60, "\(file.path):\(span.line) \(span.name)")
            }
        }
        print("tidy: \(count) functions")
        #expect(count > 300)
    }

    @Test("no line of code has more than 120 columns, a string literal apart")
    func columns() {
        for file in tree.files where file.isProduct {
            for (number, line) in file.lines.enumerated() where line.count > 120 {
                #expect(line.contains("\""), "\(file.path):\(number + 1)")
            }
        }
    }

    @Test("every public declaration has a summary")
    func documentation() {
        for file in tree.files where file.isProduct {
            for (number, line) in file.lines.enumerated() {
                let code = line.drop { $0 == " " }
                guard code.hasPrefix("public "), !code.hasPrefix("public import"),
                    !code.hasPrefix("public extension")
                else { continue }
                var above = number - 1
                while above >= 0, file.lines[above].drop(while: { $0 == " " }).hasPrefix("@") {
                    above -= 1
                }
                let documented = above >= 0 && file.lines[above].drop { $0 == " " }.hasPrefix("///")
                #expect(documented, "\(file.path):\(number + 1) \(code.prefix(60))")
            }
        }
    }
}
