import Glibc
import Testing
import TrackStore

@Suite("The write journal")
struct JournalTests {
    /// One backup of content 1, and what comes after it in the journal.
    private func protected(
        _ volumes: [String] = ["0100"], multiplier: UInt32 = 16
    ) throws -> SmallStore {
        let small = try SmallStore(volumes, multiplier: multiplier, journal: true)
        for volume in volumes {
            small.channel.write(
                try small.device(volume), 0, block(1, count: SmallStore.capacity))
        }
        try small.store.backup("a/1", volumes)
        return small
    }

    private func used(_ small: SmallStore) throws -> UInt64 {
        try small.store.describe().volumes[0].safeguardedUsed
    }

    /// Bytes of the volume's file, past the store.
    private func file(_ small: SmallStore, _ offset: Int, _ count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let file = Glibc.open(small.scratch.path + "/volumes/0100", O_RDONLY)
        defer { Glibc.close(file) }
        _ = pread(file, &bytes, count, off_t(offset))
        return bytes
    }

    @Test(
        "what is saved after a crash under a point that is gone is not saved again under an older one"
    )
    func goneAfterCrash() throws {
        var small = try protected(["0100", "0200"])
        let before = try small.channel.readAll(small.point("a/1"))
        #expect(small.channel.write(try small.device(), 0, block(2)) == nil)
        // A point that goes with its copy.
        var copy = NewCopy(source: "0100", target: "0200")
        copy.terms.isPersistent = true
        let group = InstantGroup()
        try small.store.prepare(group, [.establish(copy)], time: 1)
        group.commit()
        try small.store.settle(group)
        #expect(try small.store.waitUntilDrained("0200"))
        #expect(small.channel.write(try small.device(), 4096, block(3)) == nil)
        try small.crash()
        try small.store.drainJournal()
        #expect(small.channel.write(try small.device(), 4096, block(4)) == nil)
        try small.store.drainJournal()
        #expect(try small.channel.readAll(small.point("a/1")) == before)
        #expect(try small.channel.read(small.device(), 0, 8192) == block(2) + block(4))
    }

    @Test(
        "each point reads what was written before it, while that is in the journal and afterwards")
    func pointsBetween() throws {
        var small = try protected()
        let device = try small.device()
        // Content n + 1 is written after backup n, and nothing but the journal has it.
        for number in 2...5 {
            #expect(small.channel.write(device, 8192, block(number, count: 6000)) == nil)
            try small.store.backup("a/\(number)", ["0100"])
        }
        #expect(
            file(small, 8192, 4096) == Array(block(1, count: SmallStore.capacity)[8192..<12288]))
        func check(_ small: SmallStore) throws {
            for number in 2...5 {
                #expect(
                    try small.channel.read(small.point("a/\(number)"), 8192, 6000)
                        == block(number, count: 6000))
            }
            #expect(
                try small.channel.readAll(small.point("a/1"))
                    == block(1, count: SmallStore.capacity))
            #expect(try small.channel.read(small.device(), 8192, 6000) == block(5, count: 6000))
        }
        try check(small)
        try small.crash()
        try check(small)
        try small.store.drainJournal()
        try check(small)
        #expect(file(small, 8192, 6000) == block(5, count: 6000))
        try small.crash()
        try check(small)
    }

    @Test("an answered write survives a power cut without any flush")
    func powerCut() throws {
        let scratch = Scratch()
        let disk = SimulatedDisk()
        var configuration = TrackStore.Configuration.test(scratch.path, journal: true)
        configuration.makeIO = { disk.io() }
        var numbers = SeededNumbers(seed: 7)
        let store = try TrackStore(configuration)
        try store.createVolumes([.init(id: "0100", capacity: 1 << 20, multiplier: 16)])
        let channel = try HostChannel(store: store)
        channel.write(try store.open(.volume("0100")), 0, block(1, count: 1 << 20))
        try store.backup("a/1", ["0100"])
        for number in 0..<100 {
            channel.write(try store.open(.volume("0100")), number * 8192, block(number + 2))
        }
        store.abandon()
        _ = disk.cutPower(&numbers)
        let again = try TrackStore(configuration)
        let other = try HostChannel(store: again)
        let device = try again.open(.volume("0100"))
        for number in 0..<100 {
            #expect(try other.read(device, number * 8192, 4096) == block(number + 2))
        }
        let point = try again.open(.point(volume: "0100", tag: "a/1"))
        #expect(try other.readAll(point) == block(1, count: 1 << 20))
        try again.close()
    }

    @Test("nothing is saved for a point that went while the write was in the journal")
    func savesForNobody() throws {
        let small = try protected()
        #expect(small.channel.write(try small.device(), 0, block(2, count: 65_536)) == nil)
        try small.store.dropPoints(tags: ["a/1"])
        try small.store.drainJournal()
        small.store.drainReclaimer()
        try small.store.backup("a/2", ["0100"])
        #expect(try used(small) == 0)
        #expect(small.channel.write(try small.device(), 0, block(3)) == nil)
        try small.store.drainJournal()
        #expect(try small.channel.read(small.point("a/2"), 0, 65_536) == block(2, count: 65_536))
    }

    @Test(
        "damage in a segment that another one follows is told, and what can be read counts",
        arguments: [0, 1, 20])
    func damagedSegment(block number: Int) throws {
        var configuration = TrackStore.Configuration.test("", journal: true)
        configuration.journalCapacity = 8 << 20
        for attempt in 1...5 {
            let scratch = Scratch()
            configuration.directory = scratch.path
            var small = try SmallStore(journal: true, configuration: configuration)
            let device = try small.device()
            small.channel.write(device, 0, block(1, count: SmallStore.capacity))
            try small.store.backup("a/1", ["0100"])
            let before = try small.channel.readAll(small.point("a/1"))
            for index in 0..<45 {
                small.channel.write(device, index % 16 * 65_536, block(index, count: 61_440))
            }
            small.store.abandon()
            let names = Scratch.names(scratch.path + "/journal")
            // The oldest holds what was written first, unless it was brought to the files meanwhile.
            guard names.first == "00000001", names.count > 1 else {
                #expect(attempt < 5)
                continue
            }
            try flip(scratch.path + "/journal/00000001", number)
            try small.restartAbandoned()
            let told = small.facts.take().compactMap { fact -> String? in
                guard case .storageFailed(let place, EIO) = fact else { return nil }
                return place
            }
            #expect(told.count == 1 && told.allSatisfy { $0.contains("/journal/00000001, block") })
            #expect(
                try small.channel.read(small.device(), 11 * 65_536, 61_440)
                    == block(43, count: 61_440))
            try small.store.drainJournal()
            #expect(try small.channel.readAll(small.point("a/1")) == before)
            try small.restart()
            #expect(small.facts.take().isEmpty)
            return
        }
    }

    /// Spoils one byte of a block.
    private func flip(_ path: String, _ block: Int) throws {
        let file = Glibc.open(path, O_RDWR)
        defer { Glibc.close(file) }
        var byte: UInt8 = 0
        #expect(pread(file, &byte, 1, off_t(block * 4096 + 9)) == 1)
        byte ^= 0x10
        #expect(pwrite(file, &byte, 1, off_t(block * 4096 + 9)) == 1)
    }

    @Test("writes of one block between two points are saved for once")
    func coalesced() throws {
        let small = try protected()
        let device = try small.device()
        for number in 0..<200 { small.channel.write(device, 65_536, block(number)) }
        #expect(try used(small) == 0)
        try small.store.drainJournal()
        // A segment's header, a batch's header and the block.
        #expect(try used(small) == 3 * 4096)
        #expect(file(small, 65_536, 4096) == block(199))
        #expect(
            try small.channel.readAll(small.point("a/1")) == block(1, count: SmallStore.capacity))
    }

    @Test(
        "the journal is bounded: who writes more than it holds waits for the files, and loses nothing"
    )
    func pushesBack() throws {
        let small = try protected(multiplier: 64)
        let device = try small.device()
        let directory = small.scratch.path + "/journal"
        var most = 0
        for round in 0..<40 {
            // Another point each time: nothing is coalesced.
            try small.store.backup("b/\(round)", ["0100"])
            let content = block(round, count: SmallStore.capacity)
            // Pieces that are not written past the journal.
            for place in stride(from: 0, to: content.count, by: 131_072) {
                let piece = Array(content[place..<place + 131_072])
                #expect(small.channel.write(device, place, piece) == nil)
            }
            let bytes = Scratch.names(directory).reduce(0) {
                $0 + Scratch.diskBlocks(directory + "/" + $1) * 512
            }
            most = max(most, bytes)
        }
        #expect(most > 0 && most <= TrackStore.Configuration.smallJournal + (1 << 20))
        for round in 1..<40 {
            #expect(
                try small.channel.read(small.point("b/\(round)"), 0, 300_000)
                    == block(round - 1, count: 300_000))
        }
    }

    @Test("zeroes and trimmed tracks go through the journal, and become holes")
    func zeroes() throws {
        var small = try protected()
        let device = try small.device()
        #expect(small.channel.zero(device, 65_536, 2 * 65_536) == nil)
        #expect(small.channel.zero(device, 5000, 10_000) == nil)
        var expected = block(1, count: SmallStore.capacity)
        for place in 65_536..<3 * 65_536 { expected[place] = 0 }
        for place in 5000..<15_000 { expected[place] = 0 }
        #expect(try small.channel.readAll(device) == expected)
        #expect(
            small.channel.allocation(of: device, offset: 0, length: 1 << 20, limit: 8)
                .allSatisfy { !$0.isHole })
        try small.crash()
        #expect(try small.channel.readAll(small.device()) == expected)
        try small.store.drainJournal()
        #expect(try small.channel.readAll(small.device()) == expected)
        let pieces = small.channel.allocation(
            of: try small.device(), offset: 0, length: 1 << 20, limit: 8)
        #expect(pieces.contains { $0.isHole && $0.length == 131_072 })
        #expect(
            try small.channel.readAll(small.point("a/1")) == block(1, count: SmallStore.capacity))
    }

    @Test("what was written since a point is known while it is in the journal")
    func changes() throws {
        let small = try protected()
        let device = try small.device()
        small.channel.write(device, 40_960, block(2))
        let changed = try small.channel.changes(
            of: device, since: "a/1", offset: 0, length: 1 << 20, limit: 8)
        #expect(changed.map(\.length) == [40_960, 4096, UInt64(SmallStore.capacity) - 45_056])
        #expect(changed.map(\.isChanged) == [false, true, false])
    }

    @Test("a volume that becomes a target is brought to its file first, and its points stay exact")
    func becomesTarget() throws {
        let small = try protected(["0100", "0200"])
        small.channel.write(try small.device("0200"), 0, block(2, count: 70_000))
        small.channel.write(try small.device(), 0, block(3, count: 70_000))
        try small.store.establish(
            [.init(source: "0100", tag: "a/1", target: "0200")], backgroundCopy: false)
        #expect(
            try small.channel.readAll(small.device("0200")) == block(1, count: SmallStore.capacity))
        #expect(small.channel.write(try small.device("0200"), 100, [1, 2, 3]) == nil)
        #expect(
            try small.channel.readAll(small.point("a/1", "0200"))
                == block(1, count: SmallStore.capacity))
        // In place, too.
        try small.store.establish(
            [.init(source: "0100", tag: "a/1", target: "0100")], backgroundCopy: true)
        #expect(try small.store.waitUntilDrained("0100"))
        #expect(
            try small.channel.readAll(small.device()) == block(1, count: SmallStore.capacity))
    }

    @Test("a volume goes with what the journal holds of it, and a new one of its name is empty")
    func deletedVolume() throws {
        var small = try protected()
        small.channel.write(try small.device(), 0, block(2))
        try small.store.dropPoints(tags: ["a/1"])
        try small.store.deleteVolumes(["0100"])
        try small.store.createVolumes([.init(id: "0100", capacity: 1 << 20, multiplier: 8)])
        #expect(try small.channel.readAll(small.device()).allSatisfy { $0 == 0 })
        try small.crash()
        #expect(try small.channel.readAll(small.device()).allSatisfy { $0 == 0 })
    }

    @Test("a store opened without a journal has what the one before it left there in its files")
    func switchedOff() throws {
        var small = try protected()
        small.channel.write(try small.device(), 8192, block(2))
        small.configuration.journalCapacity = 0
        try small.crash()
        #expect(file(small, 8192, 4096) == block(2))
        #expect(Scratch.names(small.scratch.path + "/journal").isEmpty)
        #expect(
            try small.channel.readAll(small.point("a/1")) == block(1, count: SmallStore.capacity))
    }

    @Test("a clean stop leaves everything in the files")
    func cleanStop() throws {
        let small = try protected()
        small.channel.write(try small.device(), 8192, block(2))
        try small.store.close()
        #expect(file(small, 8192, 4096) == block(2))
    }
}

/// What the journal does when the disk fails.
@Suite("The write journal on a failing disk")
struct JournalFaultTests {
    private struct Site {
        let scratch = Scratch()
        let facts = FactList()
        let faults = FaultyIO.Faults()
        let configuration: TrackStore.Configuration
        let store: TrackStore
        let channel: HostChannel
        let device: OpenDevice
        let before = block(1, count: 1 << 20)

        init() throws {
            var configuration = TrackStore.Configuration.test(scratch.path, journal: true)
            let faults = faults
            configuration.makeIO = { FaultyIO(faults) }
            self.configuration = configuration
            store = try TrackStore(configuration, facts: facts.add)
            try store.createVolumes([.init(id: "0100", capacity: 1 << 20, multiplier: 64)])
            channel = try HostChannel(store: store)
            device = try store.open(.volume("0100"))
            channel.write(device, 0, before)
            try store.backup("a/1", ["0100"])
        }

        func point(_ tag: String = "a/1") throws -> [UInt8] {
            try channel.readAll(try store.open(.point(volume: "0100", tag: tag)))
        }
    }

    @Test("a failed append fails the write, leaves what was there, and the next write goes on")
    func failedAppend() throws {
        let site = try Site()
        #expect(site.channel.write(site.device, 0, block(2)) == nil)
        site.faults.state.withLock { $0.journalWrite = EIO }
        #expect(site.channel.write(site.device, 65_536, block(3)) == .inputOutput)
        site.faults.state.withLock { $0.journalWrite = 0 }
        // A journal that could not even take the failed batch back takes nothing more; others blocks go
        // past it.
        #expect(site.channel.write(site.device, 131_072, block(4)) == nil)
        #expect(try site.channel.read(site.device, 131_072, 4096) == block(4))
        #expect(try site.channel.read(site.device, 0, 4096) == block(2))
        #expect(try site.point() == site.before)
        site.store.abandon()
        let again = try TrackStore(site.configuration)
        let channel = try HostChannel(store: again)
        let device = try again.open(.volume("0100"))
        #expect(try channel.read(device, 131_072, 4096) == block(4))
        #expect(try channel.read(device, 0, 4096) == block(2))
        #expect(channel.write(device, 65_536, block(5)) == nil)
        let point = try again.open(.point(volume: "0100", tag: "a/1"))
        #expect(try channel.readAll(point) == site.before)
        try again.close()
    }

    @Test(
        "after a failed sync the write has failed, and no write past the journal can be undone by it"
    )
    func failedSync() throws {
        let site = try Site()
        #expect(site.channel.write(site.device, 131_072, block(9)) == nil)
        site.faults.state.withLock { $0.journalSync = EIO }
        #expect(site.channel.write(site.device, 0, block(2)) == .inputOutput)
        site.faults.state.withLock { $0.journalSync = 0 }
        #expect(site.channel.write(site.device, 0, block(3)) == .inputOutput)
        #expect(site.channel.write(site.device, 65_536, block(4)) == nil)
        #expect(site.channel.flush(site.device) == nil)
        #expect(try site.point() == site.before)
        let told = { (place: String) in
            site.facts.all.contains { fact in
                guard case .storageFailed(let failed, EIO) = fact else { return false }
                return failed.hasSuffix(place)
            }
        }
        #expect(told("0100, byte 0"))
        for _ in 0..<100 where !told("/journal") { usleep(20_000) }
        #expect(told("/journal"))
        site.store.abandon()
        let again = try TrackStore(site.configuration)
        let channel = try HostChannel(store: again)
        let device = try again.open(.volume("0100"))
        let got = try channel.read(device, 0, 4096)
        #expect(got == Array(site.before[..<4096]) || got == block(2))
        #expect(try channel.read(device, 65_536, 4096) == block(4))
        #expect(channel.write(device, 0, block(5)) == nil)
        #expect(try channel.read(device, 0, 4096) == block(5))
        try again.close()
    }

    @Test(
        "what cannot be saved stays in the journal, is told, and the host's write fails when it is full"
    )
    func fullBehind() throws {
        let site = try Site()
        site.faults.state.withLock { $0.reserve = ENOSPC }
        // The journal's own files are reserved in the same way: the first write makes one.
        #expect(site.channel.write(site.device, 0, block(2)) == .noSpace)
        site.faults.state.withLock { $0.reserve = 0 }
        #expect(site.channel.write(site.device, 0, block(2)) == nil)
        site.faults.state.withLock { $0.saveWrite = ENOSPC }
        var failure: HostFailure?
        for round in 0..<40 where failure == nil {
            // Another point each time: a later write does not make the earlier one needless.
            try site.store.backup("b/\(round)", ["0100"])
            failure = site.channel.write(site.device, 0, block(round, count: 1 << 20))
        }
        #expect(failure == .noSpace)
        #expect(try site.point() == site.before)
        let told = site.facts.all.contains { fact in
            guard case .storageFailed(let place, ENOSPC) = fact else { return false }
            return place.contains("/saves/0100")
        }
        #expect(told)
        site.faults.state.withLock { $0.saveWrite = 0 }
        for _ in 0..<100 where site.channel.write(site.device, 0, block(99)) != nil {
            usleep(50_000)
        }
        #expect(try site.channel.read(site.device, 0, 4096) == block(99))
        try site.store.drainJournal()
        #expect(try site.point() == site.before)
        try site.store.close()
    }

    @Test("a volume's file that fails keeps its writes in the journal until it is well again")
    func failingVolume() throws {
        let site = try Site()
        let faults: [WritableKeyPath<FaultyIO.Faults.State, Int32>] = [
            \.volumeWrite, \.volumeSync, \.volumeRead,
        ]
        for (number, fault) in faults.enumerated() {
            let place = number * 65_536
            #expect(site.channel.write(site.device, place, block(2)) == nil)
            site.faults.state.withLock { $0[keyPath: fault] = EIO }
            #expect(code { try site.store.drainJournal() } == .inputOutput)
            site.faults.state.withLock { $0[keyPath: fault] = 0 }
            for _ in 0..<100 {
                if code({ try site.store.drainJournal() }) == nil { break }
                usleep(50_000)
            }
            #expect(try site.channel.read(site.device, place, 4096) == block(2))
            #expect(try site.point() == site.before)
        }
        try site.store.close()
    }
}
