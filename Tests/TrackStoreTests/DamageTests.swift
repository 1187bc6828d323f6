import Glibc
import Synchronization
import Testing
import TrackStore

@Suite("Damage")
struct DamageTests {
    /// Three backups; track 0 is overwritten after the first and after the third, track 1 after the
    /// second.
    private func threeBackups() throws -> SmallStore {
        let small = try SmallStore(journal: false)
        small.channel.write(try small.device(), 0, block(1, count: 200_000))
        try small.store.backup("a/1", ["0100"])
        small.channel.write(try small.device(), 0, block(2))
        try small.store.backup("a/2", ["0100"])
        small.channel.write(try small.device(), 65_536, block(3))
        try small.store.backup("a/3", ["0100"])
        small.channel.write(try small.device(), 0, block(4))
        return small
    }

    private func damages(_ small: SmallStore, _ volume: String = "0100") throws -> [String: String]
    {
        let points = try small.store.points(of: volume)
        return Dictionary(
            uniqueKeysWithValues: points.compactMap { point in
                point.damage.map { (point.tag, $0) }
            })
    }

    @Test(
        "a read that meets a damaged block makes exactly the points that need it damaged, durably",
        arguments: [
            (block: 2, tags: ["a/1"], place: "track 0, block 0 in saves/0100/00000001"),
            (block: 4, tags: ["a/1", "a/2"], place: "track 1, block 0 in saves/0100/00000001"),
            (block: 6, tags: ["a/2", "a/3"], place: "track 0, block 0 in saves/0100/00000001"),
        ])
    func metByARead(block: Int, tags: [String], place: String) throws {
        var small = try threeBackups()
        let before = try (1...3).map { try small.channel.readAll(small.point("a/\($0)")) }
        Segments.flip(small.scratch, block: block)
        #expect(throws: UnexpectedFailure.self) {
            try small.channel.readAll(small.point(tags[0]))
        }
        small.store.drainDamages()
        let told = TrackStoreFact.pointsDamaged(volume: "0100", tags: tags, place: place)
        #expect(small.facts.take().filter(\.isDamage) == [told])
        for attempt in ["as it was told", "after a crash", "after a restart"] {
            let expected = Dictionary(uniqueKeysWithValues: tags.map { ($0, place) })
            #expect(try damages(small) == expected, "\(attempt)")
            for number in 1...3 where !tags.contains("a/\(number)") {
                let got = try small.channel.readAll(small.point("a/\(number)"))
                #expect(got == before[number - 1], "\(attempt)")
            }
            for tag in tags {
                #expect(throws: TrackStoreError.self) {
                    try small.store.verify(tag: tag, volumes: ["0100"])
                }
            }
            if attempt == "after a restart" { break }
            if attempt == "as it was told" { try small.crash() } else { try small.restart() }
            #expect(small.facts.take().filter(\.isDamage) == [told], "\(attempt)")
        }
    }

    @Test("a copy brings every track over but the damaged one, then stops, and that is told once")
    func copiesTheRest() throws {
        let small = try SmallStore(["0100", "0200"], journal: false)
        small.channel.write(try small.device(), 0, block(1, count: 200_000))
        try small.store.backup("a/1", ["0100"])
        small.channel.write(try small.device(), 65_536, block(2))
        Segments.flip(small.scratch, block: 2)
        try small.store.establish(
            [.init(source: "0100", tag: "a/1", target: "0200")], backgroundCopy: true)
        var inbound = try small.store.relationship(into: "0200")
        for _ in 0..<500 where inbound?.isCopying == true {
            usleep(10_000)
            inbound = try small.store.relationship(into: "0200")
        }
        #expect(inbound?.tracksRemaining == 1)
        #expect(inbound?.isCopying == false)
        let failures = small.facts.take().filter {
            if case .copyFailed("0200", "a/1", _, EIO) = $0 { true } else { false }
        }
        #expect(failures.count == 1)
        let target = try small.device("0200")
        #expect(try small.channel.read(target, 0, 65_536) == Array(block(1, count: 65_536)))
        #expect(throws: UnexpectedFailure.self) { try small.channel.read(target, 65_536, 4096) }
    }

    @Test("only the damaged block cannot be read; the rest of its track and batch can")
    func exactlyTheBlock() throws {
        let small = try SmallStore(journal: false)
        let device = try small.device()
        small.channel.write(device, 0, block(1, count: 131_072))
        try small.store.backup("a/1", ["0100"])
        small.channel.write(device, 0, block(2, count: 131_072))
        // The batch's header lies in block 1, track 0 from block 2 on.
        Segments.flip(small.scratch, block: 2 + 5)
        let point = try small.point("a/1")
        var requests = (0..<32).map { number in
            HostRequest(kind: .read, offset: UInt64(number * 4096), length: 4096)
        }
        small.channel.perform(&requests, on: point)
        let old = block(1, count: 131_072)
        for (number, request) in requests.enumerated() {
            #expect(request.failure == (number == 5 ? .inputOutput : nil))
            guard let data = request.data, number != 5 else { continue }
            let got = UnsafeRawBufferPointer(start: data, count: 4096)
            #expect(got.elementsEqual(old[number * 4096..<(number + 1) * 4096]))
        }
    }

    @Test("a block that the disk does not give is damaged, its neighbours in one read are not")
    func unreadable() throws {
        let small = try SmallStore(journal: false)
        let bad = BadBlocks()
        small.channel.write(try small.device(), 0, block(1, count: 131_072))
        try small.store.backup("a/1", ["0100"])
        small.channel.write(try small.device(), 0, block(2, count: 131_072))
        try small.store.close()
        var configuration = TrackStore.Configuration.test(small.scratch.path, journal: false)
        configuration.makeIO = { bad.io() }
        let store = try TrackStore(configuration, facts: small.facts.add)
        let channel = try HostChannel(store: store)
        bad.break(path: Segments.paths(small.scratch)[0], block: 2 + 5)
        let point = try store.open(.point(volume: "0100", tag: "a/1"))
        var requests = (0..<32).map { number in
            HostRequest(kind: .read, offset: UInt64(number * 4096), length: 4096)
        }
        channel.perform(&requests, on: point)
        #expect(requests.indices.filter { requests[$0].failure != nil } == [5])
        store.drainDamages()
        #expect(try store.points(of: "0100").map { $0.damage != nil } == [true])
        try store.close()
    }

    @Test("a block that could not be read once is not damaged")
    func passing() throws {
        let small = try SmallStore(journal: false)
        let bad = BadBlocks()
        small.channel.write(try small.device(), 0, block(1))
        try small.store.backup("a/1", ["0100"])
        small.channel.write(try small.device(), 0, block(2))
        try small.store.close()
        var configuration = TrackStore.Configuration.test(small.scratch.path, journal: false)
        configuration.makeIO = { bad.io() }
        let store = try TrackStore(configuration, facts: small.facts.add)
        let channel = try HostChannel(store: store)
        // The run, then the block by itself.
        bad.break(path: Segments.paths(small.scratch)[0], block: 2, times: 2)
        let point = try store.open(.point(volume: "0100", tag: "a/1"))
        #expect(throws: UnexpectedFailure.self) { try channel.read(point, 0, 4096) }
        store.drainDamages()
        #expect(try store.points(of: "0100").map(\.damage) == [nil])
        #expect(try channel.read(point, 0, 4096) == block(1))
        #expect(small.facts.all.allSatisfy { !$0.isDamage })
        try store.close()
    }

    @Test("what a scrub finds is told when the store is opened; what is mended is whole again")
    func scrubbed() throws {
        var small = try threeBackups()
        try small.store.close()
        Segments.flip(small.scratch, block: 4)
        #expect(try StorageScrub.run(directory: small.scratch.path).damages.count == 1)
        // A word that nobody can read does no harm.
        let file = open(small.scratch.path + "/suspects", O_WRONLY | O_APPEND)
        _ = "nonsense\n1 2 3\n99999 1 1 1 1\n256 1 1 1 1\n".withCString {
            write(file, $0, strlen($0))
        }
        close(file)
        try small.reopen()
        #expect(try eventually { try damages(small).keys.sorted() == ["a/1", "a/2"] })
        #expect(access(small.scratch.path + "/suspects", F_OK) != 0)
        try small.store.close()
        Segments.flip(small.scratch, block: 4)
        #expect(try StorageScrub.run(directory: small.scratch.path).damages.isEmpty)
        try small.reopen()
        #expect(try eventually { try damages(small).isEmpty })
        #expect(try small.channel.readAll(small.point("a/1")).prefix(4096) == block(1)[...])
    }

    @Test("a segment that is gone damages the points that need it, and no reader waits for it")
    func missingSegment() throws {
        var small = try threeBackups()
        try small.store.close()
        unlink(Segments.paths(small.scratch)[0])
        try small.reopen()
        #expect(throws: UnexpectedFailure.self) { try small.channel.readAll(small.point("a/3")) }
        small.store.drainDamages()
        #expect(try damages(small).keys.sorted() == ["a/2", "a/3"])
        #expect(throws: UnexpectedFailure.self) { try small.channel.readAll(small.point("a/1")) }
        small.store.drainDamages()
        #expect(try damages(small).keys.sorted() == ["a/1", "a/2", "a/3"])
        #expect(try small.channel.read(small.device(), 0, 4096) == block(4))
    }

    @Test("a target's own backups are damaged by what they read through it, older ones are not")
    func cascade() throws {
        let small = try SmallStore(["0100", "0200"], journal: false)
        small.channel.write(try small.device(), 0, block(1, count: 131_072))
        small.channel.write(try small.device("0200"), 0, block(9, count: 131_072))
        try small.store.backup("t/1", ["0200"])
        try small.store.backup("a/1", ["0100"])
        small.channel.write(try small.device(), 0, block(2, count: 131_072))
        try small.store.establish(
            [.init(source: "0100", tag: "a/1", target: "0200")], backgroundCopy: false)
        // Track 1 is the target's own from here on.
        small.channel.write(try small.device("0200"), 65_536, block(7, count: 65_536))
        try small.store.backup("t/2", ["0200"])
        Segments.flip(small.scratch, block: 2 + 3)
        #expect(throws: UnexpectedFailure.self) {
            try small.channel.readAll(small.point("t/2", "0200"))
        }
        small.store.drainDamages()
        #expect(try damages(small).keys.sorted() == ["a/1"])
        #expect(try damages(small, "0200").keys.sorted() == ["t/2"])
        #expect(
            try small.channel.readAll(small.point("t/1", "0200")).prefix(131_072)
                == block(9, count: 131_072)[...])
        // A backup of what cannot be read is not taken for one.
        #expect(code { try small.store.backup("t/3", ["0200"]) } == .damaged)
        #expect(
            small.facts.all.contains { fact in
                guard case .pointsDamaged("0200", ["t/3"], _) = fact else { return false }
                return true
            })
    }

    @Test("whatever block is damaged, the points told are those that cannot be read, and no others")
    func exactly() throws {
        var checked = 0
        for seed in 1...20 {
            var numbers = SeededNumbers(seed: UInt64(seed))
            var small = try SmallStore(journal: false)
            for tag in 1...8 {
                for _ in 0..<(1 + numbers.below(6)) {
                    let offset = numbers.below(64) * 4096
                    let length = 4096 * (1 + numbers.below(20))
                    small.channel.write(
                        try small.device(), offset, block(numbers.below(250), count: length))
                }
                try small.store.backup("a/\(tag)", ["0100"])
            }
            small.channel.write(try small.device(), 0, block(3, count: 84 * 4096))
            try small.store.dropPoints(tags: ["a/\(2 + numbers.below(6))"])
            small.store.drainReclaimer()
            for block in Segments.someDataBlocks(small.scratch, 5, &numbers) {
                Segments.flip(small.scratch, block: block)
                var unreadable: [String] = []
                for point in try small.store.points(of: "0100") {
                    let device = try small.point(point.tag)
                    if (try? small.channel.readAll(device)) == nil { unreadable.append(point.tag) }
                }
                small.store.drainDamages()
                #expect(try damages(small).keys.sorted() == unreadable, "seed \(seed) \(block)")
                try small.store.close()
                let found = try StorageScrub.run(directory: small.scratch.path)
                #expect(Set(found.damages.flatMap(\.tags)).sorted() == unreadable)
                Segments.flip(small.scratch, block: block)
                try small.reopen()
                #expect(try eventually { try damages(small).isEmpty })
                checked += unreadable.isEmpty ? 0 : 1
            }
            try small.store.close()
        }
        print("damage: \(checked) of 100 damaged blocks were needed")
        #expect(checked > 20)
    }
}

extension SmallStore {
    /// Opens the store that was closed.
    fileprivate mutating func reopen() throws {
        store = try TrackStore(.test(scratch.path, journal: false), facts: facts.add)
        channel = try HostChannel(store: store)
    }
}

/// Polls until something is so; false after ten seconds.
func eventually(_ isSo: () throws -> Bool) rethrows -> Bool {
    for _ in 0..<10_000 {
        if try isSo() { return true }
        usleep(1000)
    }
    return false
}

/// A disk with a block that it does not give, or does not give the first few times.
private final class BadBlocks: Sendable {
    private struct Bad {
        var path: String
        var offset: Int
        var times: Int
    }

    private let bad = Mutex<Bad?>(nil)

    func `break`(path: String, block: Int, times: Int = .max) {
        bad.withLock { $0 = Bad(path: path, offset: block * 4096, times: times) }
    }

    func io() -> any BlockIO { IO(self) }

    fileprivate func strikes(_ operation: BlockOperation) -> Bool {
        bad.withLock { bad in
            guard let found = bad, found.times > 0, operation.kind == .read,
                linkTarget("/proc/self/fd/\(operation.file)") == found.path,
                operation.offset < found.offset + 4096,
                found.offset < operation.offset + operation.length
            else { return false }
            bad?.times -= 1
            return true
        }
    }

    private final class IO: BlockIO {
        private let bad: BadBlocks
        private let plain = PlainIO()

        init(_ bad: BadBlocks) { self.bad = bad }

        func perform(_ operations: inout [BlockOperation]) {
            plain.perform(&operations)
            for index in operations.indices where bad.strikes(operations[index]) {
                operations[index].failure = EIO
            }
        }

        func sync(_ file: Int32) -> Int32 { plain.sync(file) }

        func punch(_ file: Int32, offset: Int, length: Int) -> Int32 {
            plain.punch(file, offset: offset, length: length)
        }

        func reserve(_ file: Int32, offset: Int, length: Int) -> Int32 {
            plain.reserve(file, offset: offset, length: length)
        }
    }
}

/// A volume's save segments, seen from outside.
enum Segments {
    static func paths(_ scratch: Scratch, _ volume: String = "0100") -> [String] {
        let saves = scratch.path + "/saves/" + volume
        return Scratch.names(saves).map { saves + "/" + $0 }
    }

    /// Turns a bit of a block of the first segment over, or back.
    static func flip(_ scratch: Scratch, block: Int) {
        let file = open(paths(scratch)[0], O_RDWR)
        var byte: UInt8 = 0
        pread(file, &byte, 1, block * 4096 + 77)
        byte ^= 0x10
        pwrite(file, &byte, 1, block * 4096 + 77)
        close(file)
    }

    /// Blocks of the first segment that hold data of hosts: no headers, and not what is empty.
    static func someDataBlocks(
        _ scratch: Scratch, _ count: Int, _ numbers: inout SeededNumbers
    ) -> [Int] {
        let file = open(paths(scratch)[0], O_RDONLY)
        defer { close(file) }
        var blocks: [Int] = []
        var block = [UInt8](repeating: 0, count: 4096)
        for number in 1..<1000 where pread(file, &block, 4096, number * 4096) == 4096 {
            let isHeader = block.prefix(8).elementsEqual("SLITBATC".utf8)
            if !isHeader, block.contains(where: { $0 != 0 }) { blocks.append(number) }
        }
        return Array(blocks.shuffled(using: &numbers).prefix(count))
    }
}

extension TrackStoreFact {
    var isDamage: Bool {
        if case .pointsDamaged = self { return true }
        return false
    }
}
