import CommandSchema
import ConsoleText
import Testing

/// No colours: what a file or a pipe gets.
let plain = Painter(inColour: false)

/// Reads a JSON text that a test has written.
func node(_ text: String) throws -> JSONNode { try JSONNode(document: Array(text.utf8)) }

/// The lines as one text, as they stand in a terminal.
func page(_ lines: [String]) -> String { lines.joined(separator: "\n") }
