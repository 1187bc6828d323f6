import Glibc
import Testing
import TrackStore

@Suite("Scrubbing")
struct ScrubTests {
    /// Three backups; track 0 is overwritten after the first and after the third, track 1 after the
    /// second.
    private func threeBackups() throws -> SmallStore {
        let small = try SmallStore()
        small.channel.write(try small.device(), 0, block(1, count: 200_000))
        try small.store.backup("a/1", ["0100"])
        small.channel.write(try small.device(), 0, block(2))
        try small.store.backup("a/2", ["0100"])
        small.channel.write(try small.device(), 65_536, block(3))
        try small.store.backup("a/3", ["0100"])
        small.channel.write(try small.device(), 0, block(4))
        return small
    }

    private func segments(_ small: SmallStore, of volume: String = "0100") -> [String] {
        let saves = small.scratch.path + "/saves/" + volume
        return Scratch.names(saves).map { saves + "/" + $0 }
    }

    /// Changes a byte of a block of the first segment: batch n's data lie in block 2n.
    private func spoil(_ small: SmallStore, _ block: Int, of volume: String = "0100") {
        let file = open(segments(small, of: volume)[0], O_RDWR)
        var byte: UInt8 = 0
        pread(file, &byte, 1, block * 4096 + 77)
        byte ^= 0x10
        pwrite(file, &byte, 1, block * 4096 + 77)
        close(file)
    }

    @Test("what is whole is read back, and left as it is")
    func whole() throws {
        let small = try threeBackups()
        try small.store.close()
        let report = try StorageScrub.run(directory: small.scratch.path)
        #expect(report == .init(blocks: 3, damages: []))
        #expect(try StorageScrub.run(directory: small.scratch.path) == report)
        let again = try TrackStore(.test(small.scratch.path))
        #expect(try again.points(of: "0100").map(\.tag) == ["a/1", "a/2", "a/3"])
        try again.close()
    }

    @Test(
        "a damaged block names exactly the backups that need it",
        arguments: [
            (block: 2, track: UInt32(0), tags: ["a/1"]),
            (block: 4, track: UInt32(1), tags: ["a/1", "a/2"]),
            (block: 6, track: UInt32(0), tags: ["a/2", "a/3"]),
        ])
    func damaged(block: Int, track: UInt32, tags: [String]) throws {
        let small = try threeBackups()
        try small.store.close()
        spoil(small, block)
        let damages = try StorageScrub.run(directory: small.scratch.path).damages
        #expect(damages.count == 1)
        #expect(damages.first?.volume == "0100" && damages.first?.track == track)
        #expect(damages.first?.block == 0 && damages.first?.errno == 0)
        #expect(damages.first?.tags == tags)
    }

    @Test("a segment that is gone damages what lay in it; one that nobody needs does not matter")
    func missing() throws {
        let small = try threeBackups()
        try small.store.close()
        unlink(segments(small)[0])
        let damages = try StorageScrub.run(directory: small.scratch.path).damages
        #expect(damages.count == 3 && damages.allSatisfy { $0.errno == ENOENT })
    }

    @Test("the targets of relationships are named too")
    func targets() throws {
        let small = try SmallStore(["0100", "0200"])
        small.channel.write(try small.device(), 0, block(1, count: 200_000))
        var copy = NewCopy(source: "0100", target: "0200")
        copy.terms.backgroundCopy = false
        let group = InstantGroup()
        try small.store.prepare(group, [.establish(copy)], time: 1)
        group.commit()
        try small.store.settle(group)
        small.channel.write(try small.device(), 0, block(2))
        try small.store.close()
        spoil(small, 2)
        let damage = try StorageScrub.run(directory: small.scratch.path).damages.first
        #expect(damage?.tags == [] && damage?.targets == ["0200"])
    }

    @Test("the target is named whose refresh can be reverted from what is damaged")
    func held() throws {
        let small = try SmallStore(["0100", "0200"])
        var copy = NewCopy(source: "0100", target: "0200")
        copy.terms.recordsChanges = true
        let actions: [InstantAction] = [
            .establish(copy), .refresh(target: "0200", revertible: true),
        ]
        for action in actions {
            let group = InstantGroup()
            try small.store.prepare(group, [action], time: 1)
            group.commit()
            try small.store.settle(group)
            #expect(try small.store.waitUntilDrained("0200"))
            small.channel.write(try small.device("0200"), 0, block(1))
        }
        small.channel.write(try small.device("0200"), 4096, block(2))
        try small.store.close()
        spoil(small, 2, of: "0200")
        let damage = try StorageScrub.run(directory: small.scratch.path).damages.first
        #expect(damage?.volume == "0200" && damage?.tags == [] && damage?.targets == ["0200"])
    }

    @Test("a directory without an index is told as such")
    func noIndex() {
        let scratch = Scratch()
        #expect(throws: TrackStoreError.self) { try StorageScrub.run(directory: scratch.path) }
    }
}
