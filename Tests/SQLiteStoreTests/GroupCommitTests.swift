import Foundation
import SQLiteStore
import SessionStore
import Testing

@Suite("Group commit")
struct GroupCommitTests {
    private let disk = WatchedDisk.shared

    @Test("commits that wait for a sync share the next transaction and its one sync")
    func sharing() async throws {
        let scratch = try Scratch()
        let store = try scratch.open()
        try await store.commit(try unit("first"))
        disk.hold(scratch.log)
        let (before, syncs) = (store.counters, disk.syncs(of: scratch.log))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await store.commit(try unit("a")) }
            #expect(try await eventually { disk.syncs(of: scratch.log) == syncs + 1 })
            for number in 0..<200 {
                group.addTask { try await store.commit(try unit("s\(number)", messages: 2)) }
            }
            #expect(try await eventually { store.queueLength == 200 })
            disk.release(scratch.log)
            try await group.waitForAll()
        }
        #expect(store.counters.transactions - before.transactions == 2)
        #expect(store.counters.units - before.units == 201)
        #expect(store.counters.largestBatch == 200)
        #expect(disk.syncs(of: scratch.log) - syncs == 2)
        try await store.close()
    }

    @Test("a commit returns only after the sync")
    func returning() async throws {
        let scratch = try Scratch()
        let store = try scratch.open()
        try await store.commit(try unit("first"))
        for number in 0..<20 {
            let syncs = disk.syncs(of: scratch.log)
            try await store.commit(try unit("s\(number)"))
            #expect(disk.syncs(of: scratch.log) == syncs + 1)
        }
        try await store.close()
    }

    @Test("units of one subject in one transaction build on each other")
    func chained() async throws {
        let scratch = try Scratch()
        let store = try scratch.open()
        try await store.commit(try unit("first"))
        disk.hold(scratch.log)
        let syncs = disk.syncs(of: scratch.log)
        let blocking = Task { try await store.commit(try unit("blocking")) }
        #expect(try await eventually { disk.syncs(of: scratch.log) == syncs + 1 })
        var chain: [Task<Void, any Error>] = []
        for number in 0..<5 {
            chain.append(Task { try await store.commit(try unit("a", from: UInt64(number))) })
            #expect(try await eventually { store.queueLength >= number + 1 })
        }
        disk.release(scratch.log)
        try await blocking.value
        for commit in chain { try await commit.value }
        #expect(try await store.load(subject("a")).lastSequence == 5)
        try await store.close()
    }

    @Test("forgetting rides along with a commit and costs no sync of its own")
    func riding() async throws {
        let scratch = try Scratch()
        let store = try scratch.open { $0.forgetDelay = .seconds(3600) }
        try await store.commit(try unit("a", messages: 500))
        let owed = try await store.outbox(after: 0, limit: 500).map(\.position)
        let (before, syncs) = (store.counters, disk.syncs(of: scratch.log))
        for position in owed { try await store.forget([position]) }
        try await store.commit(try unit("b"))
        #expect(store.counters.transactions - before.transactions == 1)
        #expect(disk.syncs(of: scratch.log) - syncs == 1)
        #expect(try await store.outbox(after: 0, limit: 500).isEmpty)
        try await store.close()
    }

    @Test("forgetting goes by itself when no commit comes, many calls at once")
    func lonely() async throws {
        let scratch = try Scratch()
        let store = try scratch.open { $0.forgetDelay = .milliseconds(200) }
        try await store.commit(try unit("a", messages: 500))
        let owed = try await store.outbox(after: 0, limit: 500).map(\.position)
        let before = store.counters.transactions
        for position in owed { try await store.forget([position]) }
        #expect(try await eventually { try await store.outbox(after: 0, limit: 1).isEmpty })
        #expect(store.counters.transactions - before < 5)
        try await store.close()
    }

    @Test("the log is carried over while commits go on, and does not grow without bounds")
    func checkpoints() async throws {
        let scratch = try Scratch()
        let store = try scratch.open { $0.checkpointPages = 100 }
        for number in 0..<300 {
            try await store.commit(
                try unit(
                    "s\(number % 10)", from: UInt64(number / 10),
                    part: [UInt8](repeating: UInt8(number % 251), count: 9000)))
        }
        #expect(store.counters.checkpoints > 5)
        let log = try FileManager.default.attributesOfItem(atPath: scratch.log)[.size] as? Int
        #expect(try #require(log) < 400 * 4200)
        #expect(store.counters.lastFailure == nil)
        try await store.close()
    }

    @Test("a commit can be told from its counters")
    func counting() async throws {
        let scratch = try Scratch()
        let store = try scratch.open()
        try await store.commit(try unit("a"))
        await #expect(throws: StoreFailure.self) { try await store.commit(try unit("a")) }
        let counters = store.counters
        #expect(counters.units == 1)
        #expect(counters.conflicts == 1)
        #expect(counters.pages > 0)
        try await store.close()
    }
}
