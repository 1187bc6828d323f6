import Glibc
import Synchronization
import Testing
import TrackStore

/// Space that lies between what is still needed.
@Suite("Sweeping")
struct SweepTests {
    private static let blocks = SmallStore.capacity / 4096

    /// A life of one volume, kept as whole copies, and what has to be saved of it.
    private struct Life {
        struct Kept {
            var tag: String
            var number: Int
            var content: [UInt8]
        }

        var points: [Kept] = []
        /// For each point that there ever was the blocks written after it and before the next.
        var written: [Set<Int>] = []
        var headers = 0

        /// How many blocks with data have to be kept: of each block the first after a point and before
        /// the next one that is kept, unless it was empty.
        var neededBlocks: Int {
            var needed = 0
            for (index, point) in points.enumerated() {
                let next = index + 1 < points.count ? points[index + 1].number : written.count
                let changed = written[point.number..<next].reduce(Set<Int>()) { $0.union($1) }
                needed += changed.count { block in
                    point.content[block * 4096..<(block + 1) * 4096].contains { $0 != 0 }
                }
            }
            return needed
        }
    }

    private func live(_ small: SmallStore, _ numbers: inout SeededNumbers) throws -> Life {
        var life = Life()
        var content = [UInt8](repeating: 0, count: SmallStore.capacity)
        for number in 0..<(4 + numbers.below(8)) {
            try small.store.backup("a/\(number)", ["0100"])
            life.points.append(.init(tag: "a/\(number)", number: number, content: content))
            life.written.append([])
            for _ in 0..<(1 + numbers.below(10)) {
                let first = numbers.below(Self.blocks)
                let count = min(1 + numbers.below(40), Self.blocks - first)
                let bytes =
                    numbers.chance(15)
                    ? [UInt8](repeating: 0, count: count * 4096)
                    : block(numbers.below(250), count: count * 4096)
                small.channel.write(try small.device(), first * 4096, bytes)
                content.replaceSubrange(first * 4096..<(first + count) * 4096, with: bytes)
                life.written[number].formUnion(first..<first + count)
                life.headers += 1
            }
        }
        return life
    }

    private func check(_ small: SmallStore, _ life: Life, _ what: String) throws {
        #expect(try small.store.points(of: "0100").map(\.tag) == life.points.map(\.tag), "\(what)")
        for point in life.points {
            let same = try small.channel.readAll(small.point(point.tag)) == point.content
            #expect(same, "\(what): \(point.tag)")
        }
        let used = Int(try small.store.describe().volumes[0].safeguardedUsed) / 4096
        let needed = life.neededBlocks
        // Headers of batches, and one of each segment, may stay.
        #expect((needed...needed + life.headers + 8).contains(used), "\(what): \(used) \(needed)")
    }

    @Test("whichever points go, what only they needed is given back, and the others read the same")
    func anyPoints() throws {
        var dropped = 0
        var saved = 0
        for seed in 1...40 {
            var numbers = SeededNumbers(seed: UInt64(seed))
            var small = try SmallStore(multiplier: 64, journal: false)
            var life = try live(small, &numbers)
            while life.points.count > 1 {
                var tags: [String] = []
                for _ in 0...numbers.below(2) where life.points.count > 1 {
                    tags.append(life.points.remove(at: numbers.below(life.points.count)).tag)
                }
                dropped += tags.count
                try small.store.dropPoints(tags: tags)
                switch numbers.below(4) {
                case 0: try small.crash()
                case 1: try small.restart()
                default: break
                }
                small.store.drainReclaimer()
                try check(small, life, "seed \(seed) without \(tags)")
                if numbers.chance(30) {
                    if numbers.chance(50) { try small.crash() } else { try small.restart() }
                    try check(small, life, "seed \(seed) without \(tags), opened again")
                }
            }
            try small.store.close()
            let report = try StorageScrub.run(directory: small.scratch.path)
            #expect(report == .init(blocks: life.neededBlocks), "seed \(seed)")
            saved += report.blocks
        }
        print("sweeps: \(dropped) points dropped, \(saved) blocks needed in the end")
    }

    @Test("the space of a point between others is given back to the file system at once")
    func holes() throws {
        let small = try SmallStore(journal: false)
        small.channel.write(try small.device(), 0, block(9, count: SmallStore.capacity))
        for number in 1...3 {
            try small.store.backup("a/\(number)", ["0100"])
            small.channel.write(
                try small.device(), 0, block(number, count: SmallStore.capacity / 2))
        }
        small.store.drainReclaimer()
        func diskBlocks() -> Int {
            Segments.paths(small.scratch).reduce(0) { $0 + Scratch.diskBlocks($1) }
        }
        let (before, used) = (diskBlocks(), try small.store.describe().volumes[0].safeguardedUsed)
        try small.store.dropPoints(tags: ["a/2"])
        small.store.drainReclaimer()
        // What was saved for it: half of the volume, which the oldest has too.
        #expect(try small.store.describe().volumes[0].safeguardedUsed <= used - (1 << 19))
        #expect(diskBlocks() <= before - (1 << 19) / 512)
        let whole = try small.channel.readAll(small.point("a/1"))
        #expect(whole == block(9, count: SmallStore.capacity))
        #expect(
            try small.channel.readAll(small.point("a/3")).prefix(SmallStore.capacity / 2)
                == block(2, count: SmallStore.capacity / 2)[...])
    }

    @Test("a segment in which nothing is needed any more goes, headers and all")
    func wholeSegments() throws {
        let small = try SmallStore(multiplier: 64, journal: false)
        small.channel.write(try small.device(), 0, block(9, count: SmallStore.capacity))
        try small.store.backup("a/0", ["0100"])
        small.channel.write(try small.device(), 0, block(8, count: SmallStore.capacity))
        for number in 1...12 {
            try small.store.backup("a/\(number)", ["0100"])
            for first in 0..<Self.blocks {
                small.channel.write(try small.device(), first * 4096, block(number))
            }
        }
        let segments = Segments.paths(small.scratch).count
        try small.store.dropPoints(tags: (1...11).map { "a/\($0)" })
        small.store.drainReclaimer()
        #expect(Segments.paths(small.scratch).count < segments - 1)
        let used = Int(try small.store.describe().volumes[0].safeguardedUsed) / 4096
        #expect(used >= 2 * Self.blocks)
        #expect(
            try small.channel.readAll(small.point("a/0")) == block(9, count: SmallStore.capacity))
        #expect(try small.channel.read(small.point("a/12"), 0, 4096) == block(11))
    }

    @Test("a sweep that the disk refuses is made up for at the next start, and counted once")
    func refused() throws {
        let small = try SmallStore(multiplier: 64, journal: false)
        try small.store.close()
        let refuses = Refusals()
        var configuration = TrackStore.Configuration.test(small.scratch.path, journal: false)
        configuration.makeIO = { refuses.io() }
        var numbers = SeededNumbers(seed: 7)
        var store = try TrackStore(configuration, facts: small.facts.add)
        var world = small
        world.store = store
        world.channel = try HostChannel(store: store)
        var life = try live(world, &numbers)
        for _ in 0..<3 {
            guard life.points.count > 2 else { break }
            let before = try store.describe().volumes[0].safeguardedUsed
            refuses.after.withLock { $0 = numbers.below(6) }
            try store.dropPoints(tags: [life.points.remove(at: 1).tag])
            store.drainReclaimer()
            #expect(try store.describe().volumes[0].safeguardedUsed <= before)
            refuses.after.withLock { $0 = .max }
            store.abandon()
            store = try TrackStore(configuration, facts: small.facts.add)
            world.store = store
            world.channel = try HostChannel(store: store)
            store.drainReclaimer()
            try check(world, life, "after a refusal")
        }
        #expect(small.facts.all.contains { if case .storageFailed = $0 { true } else { false } })
        try store.close()
    }

    @Test("hosts write and backups are read while points between others go")
    func besideHosts() throws {
        let small = try SmallStore(multiplier: 64, journal: false)
        let store = small.store
        let expected = block(9, count: SmallStore.capacity)
        small.channel.write(try small.device(), 0, expected)
        try store.backup("a/0", ["0100"])
        let isDone = Atomic<Bool>(false)
        let wrong = Atomic<Int>(0)
        let reads = Atomic<Int>(0)
        let threads = (0..<2).map { number in
            TestThread {
                guard let channel = try? HostChannel(store: store),
                    let device = try? store.open(.volume("0100")),
                    let oldest = try? store.open(.point(volume: "0100", tag: "a/0"))
                else { return }
                var numbers = SeededNumbers(seed: UInt64(number))
                while !isDone.load(ordering: .acquiring) {
                    if number == 0 {
                        let first = numbers.below(Self.blocks - 8)
                        let bytes = block(numbers.below(250), count: 4096 * (1 + numbers.below(8)))
                        channel.write(device, first * 4096, bytes)
                    } else {
                        let same = (try? channel.readAll(oldest)) == expected
                        wrong.add(same ? 0 : 1, ordering: .relaxed)
                        reads.add(1, ordering: .relaxed)
                    }
                }
            }
        }
        for number in 1...60 {
            try store.backup("a/\(number)", ["0100"])
            if number > 2 { try store.dropPoints(tags: ["a/\(number - 1)"]) }
        }
        #expect(eventually { reads.load(ordering: .relaxed) > 10 })
        isDone.store(true, ordering: .releasing)
        for thread in threads { thread.join() }
        store.drainReclaimer()
        #expect(wrong.load(ordering: .relaxed) == 0)
        #expect(try small.channel.readAll(small.point("a/0")) == expected)
    }
}

/// A disk that refuses to punch after so many times.
private final class Refusals: Sendable {
    let after = Mutex(Int.max)

    func io() -> any BlockIO { IO(self) }

    private final class IO: BlockIO {
        private let refusals: Refusals
        private let plain = PlainIO()

        init(_ refusals: Refusals) { self.refusals = refusals }

        func perform(_ operations: inout [BlockOperation]) { plain.perform(&operations) }

        func sync(_ file: Int32) -> Int32 { plain.sync(file) }

        func punch(_ file: Int32, offset: Int, length: Int) -> Int32 {
            let isRefused = refusals.after.withLock { after in
                after -= after == .max ? 0 : 1
                return after < 0
            }
            return isRefused ? EIO : plain.punch(file, offset: offset, length: length)
        }

        func reserve(_ file: Int32, offset: Int, length: Int) -> Int32 {
            plain.reserve(file, offset: offset, length: length)
        }
    }
}
