/// One cell of a table: a text, safe for a terminal, and its tone.
public struct Cell: Sendable, Hashable {
    let text: String
    let tone: Tone

    /// A cell; control characters in the text are spelled out.
    public init(_ text: String, _ tone: Tone = .plain) {
        self.text = SafeText.escaped(text)
        self.tone = tone
    }
}

/// Rows in aligned columns under headers, two spaces between columns; texts are never cut.
public struct TextTable: Sendable {
    /// On which side a column's texts stand.
    public enum Alignment: Sendable, Hashable {
        /// Words.
        case left
        /// Numbers.
        case right
    }

    private let columns: [(header: String, alignment: Alignment)]
    private var rows: [[Cell]] = []

    /// A table without rows; headers that begin with `>` are of columns that stand right.
    public init(_ headers: String...) { self.init(headers: headers) }

    /// A table without rows; headers that begin with `>` are of columns that stand right.
    public init(headers: [String]) {
        columns = headers.map { header in
            let text = SafeText.escaped(header)
            return text.hasPrefix(">") ? (String(text.dropFirst()), .right) : (text, .left)
        }
    }

    /// Adds a row; cells that are missing are empty.
    public mutating func add(_ cells: Cell...) { add(row: cells) }

    /// Adds a row; cells that are missing are empty.
    public mutating func add(row cells: [Cell]) {
        let missing = max(0, columns.count - cells.count)
        rows.append(
            Array((cells + Array(repeating: Cell(""), count: missing)).prefix(columns.count)))
    }

    /// True where no row was added.
    public var isEmpty: Bool { rows.isEmpty }

    /// The lines of the table, the header first; no spaces at their ends.
    public func lines(_ painter: Painter, indent: Int = 0) -> [String] {
        let header = columns.map { Cell($0.header, .strong) }
        let widths = columns.indices.map { column in
            rows.reduce(header[column].text.displayWidth) { max($0, $1[column].text.displayWidth) }
        }
        return ([header] + rows).map { row in
            var line = String(repeating: " ", count: indent)
            let last = row.lastIndex { !$0.text.isEmpty } ?? -1
            for (column, cell) in row.enumerated() where column <= last {
                let space = String(repeating: " ", count: widths[column] - cell.text.displayWidth)
                let text = painter.paint(cell.text, cell.tone)
                line += column == 0 ? "" : "  "
                switch columns[column].alignment {
                case .left: line += column == last ? text : text + space
                case .right: line += space + text
                }
            }
            return line
        }
    }
}

/// Names and values under each other, the values aligned.
public struct FactList: Sendable {
    private var facts: [(name: String, value: Cell)] = []

    /// A list without facts.
    public init() {}

    /// Adds a fact; an empty value is shown as a hyphen.
    public mutating func add(_ name: String, _ value: String, _ tone: Tone = .plain) {
        facts.append((SafeText.escaped(name), Cell(value.isEmpty ? "-" : value, tone)))
    }

    /// True where no fact was added.
    public var isEmpty: Bool { facts.isEmpty }

    /// The lines of the list.
    public func lines(_ painter: Painter, indent: Int = 2) -> [String] {
        let width = facts.reduce(0) { max($0, $1.name.displayWidth) }
        return facts.map { fact in
            String(repeating: " ", count: indent)
                + painter.paint(fact.name, .faint)
                + String(
                    repeating: " ", count: width - fact.name.displayWidth + 2)
                + painter.paint(fact.value.text, fact.value.tone)
        }
    }
}
