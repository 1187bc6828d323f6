import Glibc
import Testing
import TrackStore

@Suite("Relationships")
struct RelationshipTests {
    private func recovered(copy: Bool) throws -> SmallStore {
        let small = try SmallStore(["0100", "0200"])
        small.channel.write(try small.device(), 0, block(1, count: 500_000))
        try small.store.backup("a/1", ["0100"])
        try small.store.establish(
            [NewRelationship(source: "0100", tag: "a/1", target: "0200")], backgroundCopy: copy)
        return small
    }

    @Test("a target presents the point at once, takes writes, and neither side disturbs the other")
    func presents() throws {
        let small = try recovered(copy: false)
        let (source, target) = (try small.device(), try small.device("0200"))
        let before = try small.channel.readAll(small.point("a/1"))
        #expect(try small.channel.readAll(target) == before)
        small.channel.write(source, 0, block(2, count: 200_000))
        #expect(try small.channel.readAll(target) == before)
        small.channel.write(target, 10, block(3, count: 20))
        var changed = before
        changed.replaceSubrange(10..<30, with: block(3, count: 20))
        #expect(try small.channel.readAll(target) == changed)
        #expect(try small.channel.readAll(small.point("a/1")) == before)
        #expect(try small.channel.read(source, 0, 200_000) == block(2, count: 200_000))
        #expect(try small.store.relationship(into: "0200")?.tracksRemaining == 15)
    }

    @Test("a background copy ends, keeps holes, tells of its end once, and lets the point expire")
    func copies() throws {
        let small = try recovered(copy: true)
        #expect(try small.store.waitUntilDrained("0200"))
        let target = try small.device("0200")
        #expect(try small.channel.read(target, 0, 500_000) == block(1, count: 500_000))
        try small.store.dropPoints(tags: ["a/1"])
        #expect(code { try small.store.deleteVolumes(["0100"]) } == .volumeInUse)
        small.channel.write(try small.device(), 0, block(9, count: 500_000))
        #expect(try small.channel.read(target, 0, 500_000) == block(1, count: 500_000))
        #expect(Scratch.diskBlocks(small.scratch.path + "/volumes/0200") * 512 <= 8 * 65_536)
        let done = small.facts.all.filter {
            $0 == .copyCompleted(target: "0200", tag: "a/1", number: 0, tracksTotal: 16)
        }
        #expect(done.count == 1)
    }

    @Test("a copy that was under way goes on after a crash, and what hosts flushed stays")
    func copyAfterCrash() throws {
        var small = try recovered(copy: false)
        small.channel.write(try small.device("0200"), 70_000, block(5))
        small.channel.flush(try small.device("0200"))
        try small.store.startBackgroundCopy(["0200"])
        try small.crash()
        #expect(try small.store.waitUntilDrained("0200"))
        var wanted = block(1, count: 500_000)
        wanted.replaceSubrange(70_000..<74_096, with: block(5))
        #expect(try small.channel.read(small.device("0200"), 0, 500_000) == wanted)
        try small.restart()
        #expect(try small.store.relationship(into: "0200")?.tracksRemaining == 0)
    }

    @Test(
        "a point still read cannot be dropped, nor its volume deleted; after withdrawal both can"
    )
    func pinned() throws {
        let small = try recovered(copy: false)
        #expect(code { try small.store.dropPoints(tags: ["a/1"]) } == .pointInUse)
        #expect(code { try small.store.deleteVolumes(["0100"]) } == .volumeInUse)
        #expect(code { try small.store.deleteVolumes(["0200"]) } == .volumeInUse)
        try small.store.withdraw(["0200"])
        try small.store.withdraw(["0200"])
        try small.store.dropPoints(tags: ["a/1"])
        try small.store.deleteVolumes(["0100", "0200"])
        #expect(try small.store.describe().volumes.isEmpty)
        #expect(Scratch.names(small.scratch.path + "/volumes").isEmpty)
    }

    @Test("a cascade reads through all its relationships, and a backup of a target is exact")
    func cascade() throws {
        var small = try SmallStore(["0100", "0200", "0300"])
        small.channel.write(try small.device(), 0, block(1, count: 300_000))
        try small.store.backup("a/1", ["0100"])
        try small.store.establish(
            [.init(source: "0100", tag: "a/1", target: "0200")], backgroundCopy: false)
        small.channel.write(try small.device("0200"), 100_000, block(2))
        try small.store.backup("b/1", ["0200"])
        try small.store.establish(
            [.init(source: "0200", tag: "b/1", target: "0300")], backgroundCopy: false)
        try small.store.withdraw(["0200"])
        var wanted = block(1, count: 300_000)
        wanted.replaceSubrange(100_000..<104_096, with: block(2))
        small.channel.write(try small.device("0100"), 0, block(7, count: 300_000))
        small.channel.write(try small.device("0200"), 0, block(8, count: 65_000))
        #expect(try small.channel.read(small.device("0300"), 0, 300_000) == wanted)
        try small.crash()
        #expect(try small.channel.read(small.device("0300"), 0, 300_000) == wanted)
        #expect(try small.channel.read(small.point("b/1", "0200"), 0, 300_000) == wanted)
        try small.store.startBackgroundCopy(["0300"])
        #expect(try small.store.waitUntilDrained("0300"))
        #expect(try small.channel.read(small.device("0300"), 0, 300_000) == wanted)
    }

    @Test("impossible relationships are refused, each for its own reason")
    func refusals() throws {
        let small = try SmallStore(["0100", "0200", "0300"])
        try small.store.createVolumes([.init(id: "0400", capacity: 65_536, multiplier: 0)])
        try small.store.backup("a/1", ["0100", "0300"])
        func establish(_ source: String, _ tag: String, _ target: String) -> TrackStoreError.Code? {
            code {
                try small.store.establish(
                    [.init(source: source, tag: tag, target: target)], backgroundCopy: false)
            }
        }
        #expect(establish("0100", "a/2", "0200") == .unknownPoint)
        #expect(establish("0100", "a/1", "0400") == .targetSmaller)
        #expect(establish("0100", "a/1", "0999") == .unknownVolume)
        #expect(establish("0100", "a/1", "0200") == nil)
        #expect(establish("0100", "a/1", "0200") == nil)
        #expect(establish("0300", "a/1", "0200") == .relationshipExists)
        #expect(code { try small.store.startBackgroundCopy(["0300"]) } == .noRelationship)
        try small.store.withdraw(["0200"])
        let twice = NewRelationship(source: "0100", tag: "a/1", target: "0200")
        #expect(
            code { try small.store.establish([twice, twice], backgroundCopy: false) }
                == .invalidArgument)
        #expect(try small.store.relationship(into: "0200") == nil)
    }

    @Test("a withdrawal ends the relationship that it names, and no other of that target")
    func namedWithdrawal() throws {
        let small = try SmallStore(["0100", "0200", "0300"])
        small.channel.write(try small.device(), 0, block(1, count: 500_000))
        try small.store.backup("a/1", ["0100", "0300"])
        let standing = NewRelationship(source: "0100", tag: "a/1", target: "0200")
        try small.store.establish([standing], backgroundCopy: false)
        var other = standing
        other.source = "0300"
        try small.store.withdraw([other])
        other = standing
        other.tag = "b/1"
        try small.store.withdraw([other])
        #expect(
            try small.channel.read(small.device("0200"), 0, 500_000) == block(1, count: 500_000))
        try small.store.withdraw([standing])
        #expect(try small.store.relationship(into: "0200") == nil)
    }

    @Test("where one track of a write cannot be done, the others still present the point")
    func failedTrackOfMany() throws {
        let small = try recovered(copy: false)
        let (source, target) = (try small.device(), try small.device("0200"))
        let before = try small.channel.readAll(target)
        small.channel.write(source, 2 * 65_536 + 15 * 4096, block(2))
        try small.store.drainJournal()
        let file = Glibc.open(small.scratch.path + "/saves/0100/00000001", O_RDWR)
        #expect(pwrite(file, [UInt8](repeating: 9, count: 8), 8, 2 * 4096 + 5) == 8)
        Glibc.close(file)
        // From the middle of track 1 to the start of track 2, whose last block can no longer be read.
        let failure = small.channel.write(target, 65_536 + 4 * 4096, block(3, count: 16 * 4096))
        #expect(failure == .inputOutput)
        #expect(
            try small.channel.read(target, 65_536, 65_536) == Array(before[65_536..<131_072]))
    }

    @Test("a target larger than the point keeps its own tracks behind it")
    func largerTarget() throws {
        let small = try SmallStore([])
        try small.store.createVolumes([
            .init(id: "0100", capacity: 2 * 65_536 + 512, multiplier: 4),
            .init(id: "0200", capacity: 6 * 65_536, multiplier: 0),
        ])
        let target = try small.device("0200")
        small.channel.write(target, 0, block(3, count: 6 * 65_536))
        small.channel.write(try small.device(), 0, block(1, count: 2 * 65_536 + 512))
        try small.store.backup("a/1", ["0100"])
        try small.store.establish(
            [.init(source: "0100", tag: "a/1", target: "0200")], backgroundCopy: true)
        #expect(try small.store.waitUntilDrained("0200"))
        let got = try small.channel.readAll(target)
        #expect(Array(got[..<(2 * 65_536 + 512)]) == block(1, count: 2 * 65_536 + 512))
        #expect(got[(2 * 65_536 + 512)..<(3 * 65_536)].allSatisfy { $0 == 0 })
        #expect(Array(got[(3 * 65_536)...]) == Array(block(3, count: 6 * 65_536)[(3 * 65_536)...]))
    }
}
