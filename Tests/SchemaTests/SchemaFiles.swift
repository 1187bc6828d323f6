import CommandSchema
import Foundation

/// The files of the project's `schemas` directory.
enum SchemaFiles {
    /// The directory, found from this file's own place.
    static let root = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "schemas")

    /// One JSON file, read by our own reader.
    static func node(_ path: String) throws -> JSONNode {
        try JSONNode(document: bytes(root.appending(path: path)))
    }

    static func bytes(_ file: URL) throws -> [UInt8] { [UInt8](try Data(contentsOf: file)) }

    /// The JSON files right in a directory, by name.
    static func files(in path: String) throws -> [URL] {
        try FileManager.default.contentsOfDirectory(
            at: root.appending(path: path), includingPropertiesForKeys: nil
        )
        .filter { $0.pathExtension == "json" }
        .sorted { $0.lastPathComponent < $1.lastPathComponent }
    }
}

/// A directory that is gone when the test is.
final class ScratchDirectory {
    let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory
            .appending(path: "stillpoint-schemas-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: url) }

    /// Writes `<schema>/<name>.json`.
    func write(_ bytes: [UInt8], schema: String, name: String) throws {
        let directory = url.appending(path: schema)
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        try Data(bytes).write(to: directory.appending(path: "\(name).json"))
    }
}

/// `schemas/check.py`, run.
struct CheckRun {
    let status: Int32
    let output: String

    init(_ arguments: [String]) throws {
        let process = Process()
        let pipe = Pipe()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments =
            ["python3", SchemaFiles.root.appending(path: "check.py").path(percentEncoded: false)]
            + arguments
        process.standardOutput = pipe
        process.standardError = pipe
        try process.run()
        let data = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        status = process.terminationStatus
        let text = String(decoding: data, as: UTF8.self)
        let isMissing = status == 127 || text.contains("Install the packages")
        output =
            isMissing
            ? text + "Install the packages python3, python3-jsonschema and python3-yaml." : text
    }
}
