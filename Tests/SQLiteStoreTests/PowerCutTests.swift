import Foundation
import SQLiteStore
import SessionStore
import Testing

/// What a power cut leaves.
///
/// Of each file either all that was written, or only what was synced.
/// Killing a process cannot show a forgotten sync, since the kernel keeps what the dead have
/// written.
@Suite("When the power is cut")
struct PowerCutTests {
    private let disk = WatchedDisk.shared

    @Test("every commit that has returned is there, whatever of the rest reached the disk")
    func cut() async throws {
        let scratch = try Scratch()
        disk.watch(scratch.database)
        disk.watch(scratch.log)
        let store = try scratch.open { $0.checkpointPages = 40 }
        for number in 0..<60 {
            let part = [UInt8](repeating: UInt8(number), count: number * 100)
            try await store.commit(
                try unit("s\(number % 3)", from: UInt64(number / 3), part: part, messages: 1))
            let images = try Images(of: scratch, on: disk)
            for (database, log) in images.combinations {
                try await expectCommits(upTo: number, database: database, log: log)
            }
        }
        #expect(store.counters.checkpoints > 3)
        try await store.close()
    }

    private func expectCommits(upTo number: Int, database: Data, log: Data) async throws {
        let after = try Scratch()
        try database.write(to: URL(fileURLWithPath: after.database))
        try log.write(to: URL(fileURLWithPath: after.log))
        let store = try after.open()
        for subjectNumber in 0..<min(3, number + 1) {
            let newest = number - (number - subjectNumber) % 3
            let record = try await store.load(subject("s\(subjectNumber)"))
            #expect(record.lastSequence == UInt64(newest / 3 + 1))
            let part = [UInt8](repeating: UInt8(newest), count: newest * 100)
            #expect(record.parts.map(\.bytes) == [part])
        }
        #expect(try await store.outbox(after: 0, limit: 100).count == number + 1)
        try await store.close()
    }

    /// The files as they are, and as a disk has them that has kept no more than it promised.
    private struct Images {
        let combinations: [(database: Data, log: Data)]

        init(of scratch: Scratch, on disk: WatchedDisk) throws {
            let database = try Data(contentsOf: URL(fileURLWithPath: scratch.database))
            let log = try Data(contentsOf: URL(fileURLWithPath: scratch.log))
            let safeDatabase = try #require(disk.safe(scratch.database))
            let safeLog = try #require(disk.safe(scratch.log))
            combinations = [(safeDatabase, safeLog), (database, safeLog), (safeDatabase, log)]
        }
    }
}
