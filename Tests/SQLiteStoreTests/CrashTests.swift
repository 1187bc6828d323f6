import CopyModel
import Foundation
import Glibc
import SQLiteStore
import SessionStore
import Testing

@Suite("When a worker is killed", .serialized)
struct CrashTests {
    @Test("every commit that it reported is there, and no unit is torn", .timeLimit(.minutes(3)))
    func killed() async throws {
        let scratch = try Scratch()
        var total = 0
        for round in 0..<36 {
            let child = try Child(
                database: scratch.database, checkpointPages: [4000, 50, 300][round % 3])
            let reported = try child.reports(killedAfter: .random(in: 1...400))
            total += reported.count
            let store = try scratch.open()
            try await expect(reported, in: store)
            try await store.close()
        }
        #expect(total > 36 * 20, "too little was done between the kills")
    }

    @Test("a store is locked while another process has it, and free when that is killed")
    func lockedByAnother() async throws {
        let scratch = try Scratch()
        let child = try Child(database: scratch.database, checkpointPages: 4000)
        try child.waitForReport()
        #expect(try await failing { _ = try scratch.open() }.code == .locked)
        _ = try child.reports(killedAfter: 1)
        let store = try scratch.open()
        #expect(try await store.subjects().isEmpty == false)
        try await store.close()
    }

    private func expect(_ reported: [String], in store: SQLiteStore) async throws {
        let owed = try await store.outbox(after: 0, limit: 1_000_000)
        let intents = try await store.openIntents()
        for name in (0..<8).map({ "s\($0)" }) {
            let record = try await store.load(subject(name))
            let number = record.lastSequence / 2
            let newest =
                reported.filter { $0.hasPrefix(name + " ") }
                .compactMap { UInt64($0.dropFirst(name.count + 1)) }.max() ?? 0
            #expect(number >= newest, "\(name) stands at \(number), but \(newest) was reported")
            guard number > 0 else { continue }
            let bytes = Array(content(of: number).utf8)
            #expect(Set(record.parts.map(\.key)) == ["a", "b", "only/\(number)"])
            #expect(record.parts.allSatisfy { $0.bytes == bytes }, "\(name) has a torn part")
            #expect(record.knownCommands.count == Int(number))
            let id = try #require(CommandID("\(number)"))
            #expect(try await store.outcome(of: id, subject: subject(name))?.outcome == bytes)
            let intent = intents.first { $0.subject.text == name }?.bytes
            #expect(intent == (number % 2 == 1 ? Array("\(number)".utf8) : nil))
            let mine = owed.filter { $0.message.routingKey == name }.map(\.message.messageID)
            let last = Int(record.lastSequence)
            #expect(mine == ((last - mine.count + 1)..<(last + 1)).map { "\($0)" })
        }
    }

    /// What the child writes for a number.
    private func content(of number: UInt64) -> String {
        Array(repeating: "\(number) ", count: 20 + Int(number * 37 % 500)).joined()
    }
}

/// A running `StoreCrashChild`.
private struct Child {
    private let process = Process()
    private let output = Pipe()

    init(database: String, checkpointPages: Int) throws {
        let here = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let folder = URL(fileURLWithPath: here).deletingLastPathComponent()
        process.executableURL = folder.appendingPathComponent("StoreCrashChild")
        process.arguments = [database, "\(checkpointPages)"]
        process.standardOutput = output
        try process.run()
    }

    /// Waits until it has committed something.
    func waitForReport() throws {
        let first = output.fileHandleForReading.readData(ofLength: 1)
        try #require(!first.isEmpty, "the child ended by itself")
    }

    /// Kills it once it has reported so many commits, and returns all it reported in full lines.
    func reports(killedAfter count: Int) throws -> [String] {
        var text: [UInt8] = []
        while text.count(where: { $0 == UInt8(ascii: "\n") }) < count {
            let more = output.fileHandleForReading.availableData
            try #require(!more.isEmpty, "the child ended by itself")
            text += more
        }
        kill(process.processIdentifier, SIGKILL)
        text += output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        let lines = String(decoding: text, as: UTF8.self).split(separator: "\n")
        return lines.map(String.init)
    }
}
