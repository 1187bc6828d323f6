import Glibc
import Synchronization
import Testing
import TrackStore

/// A disk that fails where it is told to.
final class FaultyIO: BlockIO {
    /// What fails, shared by all threads of a store.
    final class Faults: Sendable {
        struct State {
            var saveWrite: Int32 = 0
            var saveSync: Int32 = 0
            var reserve: Int32 = 0
            var volumeRead: Int32 = 0
            var saveRead: Int32 = 0
            var volumeWrite: Int32 = 0
            var volumeSync: Int32 = 0
            var journalWrite: Int32 = 0
            var journalSync: Int32 = 0
        }
        let state = Mutex(State())
    }

    private let faults: Faults
    private let plain = PlainIO()

    init(_ faults: Faults) { self.faults = faults }

    private enum Kind { case save, journal, volume }

    private func kind(_ file: Int32) -> Kind {
        let path = linkTarget("/proc/self/fd/\(file)")
        return path.contains("/saves/") ? .save : path.contains("/journal/") ? .journal : .volume
    }

    func perform(_ operations: inout [BlockOperation]) {
        let state = faults.state.withLock { $0 }
        plain.perform(&operations)
        for index in operations.indices {
            let failure =
                switch (operations[index].kind, kind(operations[index].file)) {
                case (.write, .save): state.saveWrite
                case (.write, .journal): state.journalWrite
                case (.write, .volume): state.volumeWrite
                case (.read, .save): state.saveRead
                case (.read, .journal): Int32(0)
                case (.read, .volume): state.volumeRead
                }
            if failure != 0 { operations[index].failure = failure }
        }
    }

    func sync(_ file: Int32) -> Int32 {
        let state = faults.state.withLock { $0 }
        let failure =
            switch kind(file) {
            case .save: state.saveSync
            case .journal: state.journalSync
            case .volume: state.volumeSync
            }
        return failure != 0 ? failure : plain.sync(file)
    }

    func punch(_ file: Int32, offset: Int, length: Int) -> Int32 {
        plain.punch(file, offset: offset, length: length)
    }

    func reserve(_ file: Int32, offset: Int, length: Int) -> Int32 {
        let failure = faults.state.withLock { $0.reserve }
        return failure != 0 ? failure : plain.reserve(file, offset: offset, length: length)
    }
}

@Suite("Stores")
struct StoreTests {
    @Test("a closed store has given its files back, relationships or not")
    func givesFilesBack() throws {
        let before = Scratch.names("/proc/self/fd").count
        for _ in 0..<100 {
            let small = try SmallStore(["0100", "0200"])
            small.channel.write(try small.device(), 0, block(1))
            try small.store.backup("a/1", ["0100"])
            try small.store.establish(
                [NewRelationship(source: "0100", tag: "a/1", target: "0200")],
                backgroundCopy: false)
            small.channel.write(try small.device("0200"), 0, block(1))
            try small.store.close()
        }
        // Other tests run beside this one.
        #expect(Scratch.names("/proc/self/fd").count < before + 200)
    }

    @Test("a directory has one store at a time, and is free again when it is closed")
    func oneOwner() throws {
        let small = try SmallStore()
        #expect(code { _ = try TrackStore(.test(small.scratch.path)) } == .inUse)
        try small.store.close()
        try small.store.close()
        let again = try TrackStore(.test(small.scratch.path))
        #expect(try again.describe().volumes.map(\.id) == ["0100"])
        #expect(code { _ = try small.store.describe() } == .closed)
        #expect(small.channel.write(try again.open(.volume("0100")), 0, block(1)) == .gone)
        try again.close()
    }

    @Test("volumes are made all or none, and making one again changes nothing")
    func creation() throws {
        let small = try SmallStore()
        let capacity = UInt64(SmallStore.capacity)
        try small.store.createVolumes([.init(id: "0100", capacity: capacity, multiplier: 16)])
        #expect(
            code {
                try small.store.createVolumes([
                    .init(id: "0200", capacity: capacity, multiplier: 1),
                    .init(id: "0100", capacity: capacity * 2, multiplier: 16),
                ])
            } == .volumeExists)
        for (id, size) in [("01", 512), ("01g0", 512), ("0300", 0), ("0300", 513)]
            as [(String, UInt64)]
        {
            let refusal = code {
                try small.store.createVolumes([.init(id: id, capacity: size, multiplier: 1)])
            }
            #expect(refusal == .invalidArgument)
        }
        #expect(try small.store.describe().volumes.map(\.id) == ["0100"])
        #expect(code { try small.store.expandVolumes([("0100", 512)]) } == .wouldShrink)
        try small.store.expandVolumes([("0100", capacity + 512)])
        #expect(try small.device().capacity == capacity + 512)
    }

    @Test("a volume's file is a plain image of its content")
    func plainImage() throws {
        let small = try SmallStore()
        small.channel.write(try small.device(), 70_000, block(3), force: true)
        let path = small.scratch.path + "/volumes/0100"
        let file = Glibc.open(path, O_RDONLY)
        defer { Glibc.close(file) }
        var bytes = [UInt8](repeating: 0, count: 4096)
        #expect(pread(file, &bytes, 4096, 70_000) == 4096)
        #expect(bytes == block(3))
        #expect(lseek(file, 0, SEEK_END) == SmallStore.capacity)
    }

    @Test("names to open are volumes first, then points by volume and age")
    func names() throws {
        let small = try SmallStore(["0200", "0100"])
        try small.store.backup("b/9", ["0100", "0200"])
        try small.store.backup("a/10", ["0100"])
        #expect(
            small.store.exportNames() == [
                .volume("0100"), .volume("0200"), .point(volume: "0100", tag: "b/9"),
                .point(volume: "0100", tag: "a/10"), .point(volume: "0200", tag: "b/9"),
            ])
    }

    @Test("a volume made anew under an old id shares nothing with the old one")
    func newUnderOldID() throws {
        var small = try SmallStore()
        small.channel.write(try small.device(), 0, block(1))
        try small.store.backup("a/1", ["0100"])
        small.channel.write(try small.device(), 0, block(2))
        try small.store.dropPoints(tags: ["a/1"])
        try small.store.deleteVolumes(["0100"])
        try small.store.createVolumes([
            .init(id: "0100", capacity: UInt64(SmallStore.capacity), multiplier: 4)
        ])
        #expect(try small.channel.readAll(small.device()).allSatisfy { $0 == 0 })
        try small.store.backup("a/1", ["0100"])
        small.channel.write(try small.device(), 0, block(3))
        try small.crash()
        #expect(try small.channel.readAll(small.point("a/1")).allSatisfy { $0 == 0 })
    }

    /// Without a journal, so that a host's write meets the fault itself.
    private func faulty() throws -> (Scratch, TrackStore, HostChannel, OpenDevice, FaultyIO.Faults)
    {
        let scratch = Scratch()
        let faults = FaultyIO.Faults()
        var configuration = TrackStore.Configuration.test(scratch.path, journal: false)
        configuration.makeIO = { FaultyIO(faults) }
        let store = try TrackStore(configuration)
        try store.createVolumes([.init(id: "0100", capacity: 1 << 20, multiplier: 8)])
        let channel = try HostChannel(store: store)
        let device = try store.open(.volume("0100"))
        channel.write(device, 0, block(1, count: 100_000))
        try store.backup("a/1", ["0100"])
        return (scratch, store, channel, device, faults)
    }

    @Test("where nothing can be saved the host's write fails, and volume and point stay whole")
    func failedSaves() throws {
        let (scratch, store, channel, device, faults) = try faulty()
        let point = try store.open(.point(volume: "0100", tag: "a/1"))
        faults.state.withLock { $0.reserve = ENOSPC }
        #expect(channel.write(device, 0, block(2)) == .noSpace)
        faults.state.withLock {
            $0.reserve = 0
            $0.saveWrite = EIO
        }
        #expect(channel.write(device, 0, block(2)) == .inputOutput)
        #expect(try channel.read(device, 0, 100_000) == block(1, count: 100_000))
        faults.state.withLock { $0.saveWrite = 0 }
        #expect(channel.write(device, 0, block(2)) == nil)
        faults.state.withLock { $0.volumeRead = EIO }
        #expect(channel.write(device, 8192, block(2)) == .inputOutput)
        faults.state.withLock { $0.volumeRead = 0 }
        #expect(try channel.read(point, 0, 100_000) == block(1, count: 100_000))
        try store.close()
        _ = scratch
    }

    @Test("after a failed sync nothing is overwritten until the store is opened again")
    func failedSync() throws {
        let (scratch, store, channel, device, faults) = try faulty()
        #expect(channel.write(device, 40 * 4096, block(2)) == nil)
        faults.state.withLock { $0.saveSync = EIO }
        #expect(channel.write(device, 0, block(2)) == .inputOutput)
        faults.state.withLock { $0.saveSync = 0 }
        #expect(channel.write(device, 4096, block(2)) == .inputOutput)
        #expect(try channel.read(device, 0, 100_000) == block(1, count: 100_000))
        store.abandon()
        let again = try TrackStore(.test(scratch.path))
        let other = try HostChannel(store: again)
        #expect(other.write(try again.open(.volume("0100")), 0, block(2)) == nil)
        let point = try again.open(.point(volume: "0100", tag: "a/1"))
        #expect(try other.read(point, 0, 100_000) == block(1, count: 100_000))
        try again.close()
    }

    @Test("saves that cannot be read at a start are not taken for the end of the log")
    func unreadableTail() throws {
        let (scratch, store, channel, device, faults) = try faulty()
        #expect(channel.write(device, 0, block(2)) == nil)
        store.abandon()
        faults.state.withLock { $0.saveRead = EIO }
        var configuration = TrackStore.Configuration.test(scratch.path, journal: false)
        configuration.makeIO = { FaultyIO(faults) }
        #expect(code { _ = try TrackStore(configuration) } == .inputOutput)
        faults.state.withLock { $0.saveRead = 0 }
        let again = try TrackStore(configuration)
        let other = try HostChannel(store: again)
        let point = try again.open(.point(volume: "0100", tag: "a/1"))
        #expect(try other.read(point, 0, 100_000) == block(1, count: 100_000))
        try again.close()
    }

    /// One block a batch, so that batch n lies at block 2n - 1 of the segment, its data behind it.
    @Test(
        "a torn last batch is left out, and everything before it is exact",
        arguments: ["header", "data", "cut"])
    func tornTail(damage: String) throws {
        var small = try SmallStore(journal: false)
        let device = try small.device()
        small.channel.write(device, 0, block(1, count: SmallStore.capacity))
        try small.store.backup("a/1", ["0100"])
        for number in 0..<40 { small.channel.write(device, number * 4096, block(number + 2)) }
        let path = small.scratch.path + "/saves/0100/00000001"
        small.store.abandon()
        let file = Glibc.open(path, O_RDWR)
        switch damage {
        case "header":
            #expect(
                pwrite(file, [UInt8](repeating: 9, count: 8), 8, (1 + 39 * 2) * 4096 + 100) == 8)
        case "data":
            #expect(pwrite(file, [UInt8](repeating: 9, count: 8), 8, (2 + 39 * 2) * 4096 + 5) == 8)
        default: #expect(ftruncate(file, off_t((2 + 39 * 2) * 4096 + 100)) == 0)
        }
        Glibc.close(file)
        small.store = try TrackStore(.test(small.scratch.path, journal: false))
        small.channel = try HostChannel(store: small.store)
        let content = block(1, count: SmallStore.capacity)
        let got = try small.channel.readAll(small.point("a/1"))
        let torn = 39 * 4096..<40 * 4096
        #expect(Array(got[..<torn.lowerBound]) == Array(content[..<torn.lowerBound]))
        #expect(Array(got[torn.upperBound...]) == Array(content[torn.upperBound...]))
        #expect(small.channel.write(try small.device(), 100 * 4096, block(3)) == nil)
        try small.crash()
        #expect(
            try small.channel.read(small.point("a/1"), 100 * 4096, 4096)
                == Array(content[(100 * 4096)..<(101 * 4096)]))
    }

    @Test("saved content that has changed on disk is not given out")
    func rottenSave() throws {
        let small = try SmallStore()
        let device = try small.device()
        small.channel.write(device, 0, block(1))
        try small.store.backup("a/1", ["0100"])
        small.channel.write(device, 0, block(2))
        try small.store.drainJournal()
        let file = Glibc.open(small.scratch.path + "/saves/0100/00000001", O_RDWR)
        #expect(pwrite(file, [UInt8](repeating: 9, count: 8), 8, 2 * 4096 + 5) == 8)
        Glibc.close(file)
        var requests = [HostRequest(kind: .read, offset: 0, length: 4096)]
        small.channel.perform(&requests, on: try small.point("a/1"))
        #expect(requests[0].failure == .inputOutput)
        #expect(code { try small.store.verify(tag: "a/1", volumes: ["0100"]) } == .inputOutput)
    }
}
