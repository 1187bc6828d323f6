import CopyModel
import Foundation
import Glibc
import SQLiteStore
import SessionStore
import Testing

@Suite("When the disk fails")
struct FailureTests {
    private let disk = WatchedDisk.shared

    @Test("after a failed sync nothing is committed until the store is opened anew")
    func failedSync() async throws {
        let scratch = try Scratch()
        let store = try scratch.open { $0.forgetDelay = .milliseconds(1) }
        try await store.commit(try unit("a", messages: 1))
        disk.fail(scratch.log, true)
        #expect(try await failing { try await store.commit(try unit("b")) }.code == .failed)
        disk.fail(scratch.log, false)
        let syncs = disk.syncs(of: scratch.log)
        for _ in 0..<3 {
            let failure = try await failing { try await store.commit(try unit("c")) }
            #expect(failure.code == .failed)
            #expect(failure.message.contains("until the store is opened anew"))
        }
        await #expect(throws: StoreFailure.self) { try await store.forget([1]) }
        await #expect(throws: StoreFailure.self) {
            try await store.purgeOutcomes(receivedBefore: .init(milliseconds: 0))
        }
        #expect(store.counters.ended != nil)
        #expect(try await store.load(subject("a")).lastSequence == 1)
        #expect(try await store.load(subject("b")).lastSequence == 0)
        try await store.close()
        #expect(disk.syncs(of: scratch.log) == syncs, "a failed sync was tried again")

        let again = try scratch.open()
        #expect(try await again.load(subject("a")).lastSequence == 1)
        #expect(try await again.load(subject("c")).lastSequence == 0)
        let last = try await again.load(subject("b")).lastSequence
        try await again.commit(try unit("b", from: last))
        try await again.close()
    }

    @Test("after a failed sync of the database, when the log is carried over, nothing is committed")
    func failedCheckpoint() async throws {
        let scratch = try Scratch()
        let store = try scratch.open { $0.checkpointPages = 1 }
        try await store.commit(try unit("a"))
        disk.fail(scratch.database, true)
        try await store.commit(try unit("b"))
        #expect(try await eventually { store.counters.ended != nil })
        #expect(try await failing { try await store.commit(try unit("c")) }.code == .failed)
        disk.fail(scratch.database, false)
        try await store.close()
        let again = try scratch.open()
        #expect(try await again.subjects().map(\.text) == ["a", "b"])
        try await again.close()
    }

    @Test("everybody in a transaction that fails is told, and nothing of it is kept")
    func failedTogether() async throws {
        let scratch = try Scratch()
        let store = try scratch.open { $0.pageLimit = 60 }
        try await store.commit(try unit("a"))
        let failures = await withTaskGroup(of: StoreFailure?.self) { group in
            for number in 0..<20 {
                group.addTask {
                    do throws(StoreFailure) {
                        let part = [UInt8](repeating: 1, count: 100_000)
                        guard let unit = try? unit("s\(number)", part: part, messages: 1) else {
                            return nil
                        }
                        try await store.commit(unit)
                        return nil
                    } catch {
                        return error
                    }
                }
            }
            return await group.reduce(into: [StoreFailure]()) { failures, failure in
                if let failure { failures.append(failure) }
            }
        }
        #expect(failures.count >= 18)
        #expect(failures.allSatisfy { $0.code == .full })
        #expect(try await store.subjects().count == 21 - failures.count)
        #expect(try await store.outbox(after: 0, limit: 50).count == 20 - failures.count)
        try await store.close()
    }

    @Test("a full store keeps nothing of the unit, and works again when there is room")
    func full() async throws {
        let scratch = try Scratch()
        let store = try scratch.open { $0.pageLimit = 200 }
        let big = [UInt8](repeating: 7, count: 300_000)
        try await store.commit(try unit("a", part: big))
        try await store.commit(try unit("b", messages: 1))
        let highest = try await store.outbox(after: 0, limit: 5).map(\.position).max() ?? 0
        var torn = try unit("b", from: 1, part: big + big, messages: 3)
        torn.intent = .put([1])
        let tooBig = torn
        let failure = try await failing { try await store.commit(tooBig) }
        #expect(failure.code == .full)
        #expect(try await store.load(subject("b")).parts.map(\.bytes) == [[1]])
        #expect(try await store.load(subject("b")).lastSequence == 1)
        #expect(try await store.openIntents().isEmpty)
        #expect(try await store.outbox(after: 0, limit: 5).count == 1)
        #expect(store.counters.lastFailure?.code == .full)
        #expect(store.counters.ended == nil)
        try await store.commit(try unit("b", from: 1, messages: 1))
        var clearing = try unit("a", from: 1)
        clearing.deleteParts = ["summary"]
        try await store.commit(clearing)
        try await store.commit(try unit("c", part: big, messages: 1))
        let positions = try await store.outbox(after: highest, limit: 9).map(\.position)
        #expect(positions.count == 2)
        try await store.close()

        let wider = try scratch.open()
        try await wider.commit(tooBig.building(on: 2))
        #expect(try await wider.load(subject("b")).lastSequence == 3)
        try await wider.close()
    }

    @Test("a disk without room is told as full, and works again when there is room")
    func fullDisk() async throws {
        let scratch = try Scratch()
        guard mount("tmpfs", scratch.directory, "tmpfs", 0, "size=3m") == 0 else {
            try Test.cancel("only root may mount a small disk")
        }
        defer { umount2(scratch.directory, Int32(MNT_DETACH)) }
        let store = try scratch.open { $0.checkpointPages = 50 }
        let filler = scratch.directory + "/filler"
        #expect(FileManager.default.createFile(atPath: filler, contents: Data(count: 1_500_000)))
        let part = [UInt8](repeating: 1, count: 40_000)
        var kept: UInt64 = 0
        var failure: StoreFailure?
        while failure == nil, kept < 200 {
            do throws(StoreFailure) {
                try await store.commit(try big("s", number: kept, part: part))
                kept += 1
            } catch {
                failure = error
            }
        }
        #expect(failure?.code == .full)
        #expect(kept > 3)
        #expect(try await store.load(subject("s")).lastSequence == kept)
        #expect(try await store.load(subject("s")).parts.count == Int(kept))
        try FileManager.default.removeItem(atPath: filler)
        try await store.commit(try big("s", number: kept, part: part))
        try await store.close()
        let again = try scratch.open()
        #expect(try await again.load(subject("s")).lastSequence == kept + 1)
        try await again.close()
    }

    private func big(
        _ name: String, number: UInt64, part: [UInt8]
    ) throws(StoreFailure) -> UnitOfWork {
        guard let name = SubjectName(name) else {
            throw StoreFailure(.failed, "no name", place: "the test")
        }
        var unit = UnitOfWork(subject: name, expectedSequence: number, lastSequence: number + 1)
        unit.putParts = [SessionPart(key: "part \(number)", bytes: part)]
        return unit
    }
}

extension UnitOfWork {
    fileprivate func building(on sequence: UInt64) -> UnitOfWork {
        var unit = self
        unit.expectedSequence = sequence
        unit.lastSequence = sequence + 1
        return unit
    }
}
