import Testing
import TrackStore

@Suite("Space")
struct SpaceTests {
    private func savedBlocks(_ small: SmallStore) -> Int {
        let directory = small.scratch.path + "/saves/0100"
        return Scratch.names(directory).reduce(0) { $0 + Scratch.diskBlocks(directory + "/" + $1) }
    }

    /// Eight backups, each followed by half a volume of new content.
    private func filled() throws -> SmallStore {
        let small = try SmallStore()
        let device = try small.device()
        small.channel.write(device, 0, block(0, count: SmallStore.capacity))
        for number in 1...8 {
            try small.store.backup("a/\(number)", ["0100"])
            small.channel.write(device, 0, block(number, count: SmallStore.capacity / 2))
            try small.store.drainJournal()
        }
        return small
    }

    @Test("expiry gives disk blocks back, all of them with the last point")
    func expiryFrees() throws {
        let small = try filled()
        small.store.drainReclaimer()
        let full = savedBlocks(small)
        let used = try small.store.describe().volumes[0].safeguardedUsed
        #expect(used >= 4 << 20)
        try small.store.dropPoints(tags: ["a/1", "a/2", "a/3", "a/4"])
        small.store.drainReclaimer()
        let half = savedBlocks(small)
        #expect(half < full - 3000)
        #expect(try small.store.describe().volumes[0].safeguardedUsed < used * 6 / 10)
        #expect(try small.channel.read(small.point("a/5"), 0, 4096) == block(4))
        try small.store.dropPoints(tags: ["a/5", "a/6", "a/7", "a/8"])
        small.store.drainReclaimer()
        #expect(Scratch.names(small.scratch.path + "/saves/0100").isEmpty)
        #expect(try small.store.describe().volumes[0].safeguardedUsed == 0)
    }

    @Test(
        "however much is saved at once, it is told that the capacity is full before points roll off"
    )
    func toldBeforeRollOff() throws {
        let small = try SmallStore(multiplier: 1)
        let device = try small.device()
        small.channel.write(device, 0, block(0, count: SmallStore.capacity))
        for number in 1...4 {
            try small.store.backup("a/\(number)", ["0100"])
            small.channel.write(device, 0, block(number, count: SmallStore.capacity / 2 + 65_536))
            try small.store.drainJournal()
        }
        var isFull = false
        var rolledOff = 0
        for fact in small.facts.take() {
            switch fact {
            case .capacity(_, let percent, let level):
                isFull = isFull || level == .critical
                #expect(percent <= 100)
            case .pointsRolledOff:
                #expect(isFull)
                isFull = false
                rolledOff += 1
            case .pointsDamaged, .copyProgress, .copyCompleted, .copyFailed, .storageFailed: break
            }
        }
        #expect(rolledOff > 1)
    }

    @Test("the dead front of a segment that lives on is punched out")
    func deadFront() throws {
        let small = try SmallStore()
        let device = try small.device()
        for number in 1...2 {
            try small.store.backup("a/\(number)", ["0100"])
            small.channel.write(device, 0, block(number, count: 65_536))
            try small.store.drainJournal()
        }
        small.store.drainReclaimer()
        let segments = Scratch.names(small.scratch.path + "/saves/0100")
        let before = savedBlocks(small)
        try small.store.dropPoints(tags: ["a/1"])
        small.store.drainReclaimer()
        #expect(Scratch.names(small.scratch.path + "/saves/0100") == segments)
        // The first save was of zeroes: a header only.
        #expect(savedBlocks(small) == before - 8)
        #expect(try small.channel.read(small.point("a/2"), 0, 65_536) == block(1, count: 65_536))
    }

    @Test("space that a crash kept from being given back is given back at the next start")
    func afterCrash() throws {
        var small = try filled()
        try small.store.dropPoints(tags: (1...8).map { "a/\($0)" })
        try small.crash()
        small.store.drainReclaimer()
        #expect(Scratch.names(small.scratch.path + "/saves/0100").isEmpty)
    }

    @Test("blocks of zeroes are saved without taking space")
    func zeroes() throws {
        let small = try SmallStore()
        try small.store.backup("a/1", ["0100"])
        small.channel.write(try small.device(), 0, block(1, count: SmallStore.capacity))
        try small.store.drainJournal()
        let used = try small.store.describe().volumes[0].safeguardedUsed
        #expect(used <= 4 * 4096)
        #expect(try small.channel.readAll(small.point("a/1")).allSatisfy { $0 == 0 })
    }

    @Test(
        "when capacity runs out the oldest points roll off, after warnings, and the rest stay exact"
    )
    func rollOff() throws {
        let small = try SmallStore(multiplier: 2, journal: false)
        let device = try small.device()
        small.channel.write(device, 0, block(0, count: SmallStore.capacity))
        for number in 1...5 {
            try small.store.backup("a/\(number)", ["0100"])
            for track in 0..<8 {
                small.channel.write(device, track * 65_536, block(number, count: 65_536))
            }
        }
        let tags = try small.store.points(of: "0100").map(\.tag)
        #expect(tags.last == "a/5" && !tags.contains("a/1"))
        let rolled = small.facts.all.compactMap { fact -> [String]? in
            guard case .pointsRolledOff("0100", let tags) = fact else { return nil }
            return tags
        }
        #expect(rolled.flatMap { $0 } + tags == (1...5).map { "a/\($0)" })
        #expect(try small.channel.read(small.point("a/5"), 0, 65_536) == block(4, count: 65_536))
        #expect(
            try small.store.describe().volumes[0].safeguardedUsed <= UInt64(SmallStore.capacity * 2)
        )
        let levels = small.facts.all.compactMap { fact -> CapacityLevel? in
            guard case .capacity("0100", _, let level) = fact else { return nil }
            return level
        }
        #expect(levels.prefix(2) == [.warning, .critical])
        #expect(levels.dropFirst(2).contains(.normal))
    }

    @Test("the only point rolls off too when it alone is too much, and the host's write is done")
    func lastRollsOff() throws {
        let small = try SmallStore(multiplier: 1)
        let device = try small.device()
        small.channel.write(device, 0, block(0, count: SmallStore.capacity))
        try small.store.backup("a/1", ["0100"])
        for number in 0..<256 {
            #expect(small.channel.write(device, number * 4096, block(number + 5)) == nil)
        }
        try small.store.drainJournal()
        #expect(try small.store.points(of: "0100").isEmpty)
        #expect(try small.channel.read(device, 255 * 4096, 4096) == block(260))
    }

    @Test("a point that a recovery stands on does not roll off; capacity is exceeded instead")
    func pinnedStays() throws {
        let small = try SmallStore(["0100", "0200"], multiplier: 1)
        let device = try small.device()
        small.channel.write(device, 0, block(0, count: SmallStore.capacity))
        try small.store.backup("a/1", ["0100"])
        try small.store.establish(
            [.init(source: "0100", tag: "a/1", target: "0200")], backgroundCopy: false)
        for number in 0..<256 { small.channel.write(device, number * 4096, block(number + 5)) }
        try small.store.drainJournal()
        #expect(try small.store.points(of: "0100").map(\.tag) == ["a/1"])
        #expect(
            try small.channel.readAll(small.device("0200")) == block(0, count: SmallStore.capacity))
        #expect(
            try small.store.describe().volumes[0].safeguardedUsed > UInt64(SmallStore.capacity))
    }

    @Test("a volume without safeguarded capacity takes no points until it has some")
    func noCapacity() throws {
        let small = try SmallStore(multiplier: 0)
        #expect(code { try small.store.backup("a/1", ["0100"]) } == .noSafeguardedCapacity)
        try small.store.setSafeguardedMultiplier([("0100", 3)])
        try small.store.backup("a/1", ["0100"])
        #expect(try small.store.describe().volumes[0].multiplier == 3)
    }
}
