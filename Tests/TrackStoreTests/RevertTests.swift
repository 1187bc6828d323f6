import Synchronization
import Testing

@testable import TrackStore

@Suite("Refreshes that can be reverted")
struct RevertTests {
    private static let track = 65_536

    private func make(_ small: SmallStore, _ actions: [InstantAction], time: Int64 = 1) throws {
        let group = InstantGroup()
        try small.store.prepare(group, actions, time: time)
        group.commit()
        try small.store.settle(group)
    }

    private func copy(
        _ source: String, _ target: String, number: UInt64 = 0, copies: Bool = true
    ) -> InstantAction {
        var copy = NewCopy(source: source, target: target)
        copy.terms.recordsChanges = true
        copy.terms.backgroundCopy = copies
        copy.number = number
        return .establish(copy)
    }

    /// 0200 is a whole copy of 0100, and both have been written to since.
    private func pair(_ more: [String] = [], copies: Bool = true) throws -> SmallStore {
        let small = try SmallStore(["0100", "0200"] + more)
        small.channel.write(try small.device(), 0, block(1, count: 900_000))
        try make(small, [copy("0100", "0200", number: 7, copies: copies)], time: 1000)
        if copies { #expect(try small.store.waitUntilDrained("0200")) }
        small.channel.write(try small.device(), 2 * Self.track, block(2))
        small.channel.write(try small.device(), 5 * Self.track, block(3, count: 70_000))
        small.channel.write(try small.device("0200"), 9 * Self.track, block(4))
        return small
    }

    private func refresh(_ small: SmallStore, number: UInt64? = nil) throws {
        try make(
            small, [.refresh(target: "0200", revertible: true, number: number)], time: 2000)
    }

    private func inbound(_ small: SmallStore) throws -> RelationshipDescription {
        try #require(try small.store.relationship(into: "0200"))
    }

    @Test("a revert brings back what the target held, and what the relationship was")
    func reverts() throws {
        let small = try pair()
        let before = try small.channel.readAll(small.device("0200"))
        let described = try inbound(small)
        try refresh(small, number: 8)
        #expect(
            try small.channel.readAll(small.device("0200"))
                == small.channel.readAll(small.device()))
        #expect(try inbound(small).isRevertible && inbound(small).number == 8)
        #expect(try inbound(small).refreshed == 2000 && !inbound(small).isReverting)
        small.channel.write(try small.device("0200"), Self.track, block(5, count: 300_000))
        small.channel.write(try small.device(), 0, block(6, count: 200_000))
        let source = try small.channel.readAll(small.device())
        try small.store.revert(["0200"], number: 8)
        #expect(try small.channel.readAll(small.device("0200")) == before)
        #expect(try small.store.waitUntilDrained("0200"))
        #expect(try small.channel.readAll(small.device("0200")) == before)
        #expect(try small.channel.readAll(small.device()) == source)
        var after = try inbound(small)
        #expect(after.tracksOutOfSync ?? 0 >= described.tracksOutOfSync ?? 0)
        after.tracksOutOfSync = described.tracksOutOfSync
        after.bytesPerSecond = described.bytesPerSecond
        after.secondsLeft = described.secondsLeft
        #expect(after == described)
    }

    @Test("a revert after half of a copy puts back only what was overwritten", arguments: 0..<3)
    func revertsHalf(stop: Int) throws {
        var small = try pair(copies: false)
        let before = try small.channel.readAll(small.device("0200"))
        try refresh(small)
        small.channel.write(try small.device("0200"), 5 * Self.track + 10, block(5, count: 20))
        small.channel.write(try small.device("0200"), 12 * Self.track, block(6))
        #expect(try inbound(small).tracksRemaining == 3)
        if stop == 1 { try small.crash() }
        try small.store.revert(["0200"])
        #expect(try inbound(small).tracksRemaining <= 2)
        if stop == 2 { try small.restart() }
        #expect(try small.channel.readAll(small.device("0200")) == before)
        #expect(try small.store.waitUntilDrained("0200"))
        #expect(try small.channel.readAll(small.device("0200")) == before)
        try small.crash()
        #expect(try small.channel.readAll(small.device("0200")) == before)
        #expect(try !inbound(small).isRevertible && !inbound(small).isReverting)
    }

    @Test("a revert that a crash meets at its very end goes on to it")
    func crashesAtTheEnd() throws {
        var small = try pair()
        let before = try small.channel.readAll(small.device("0200"))
        for _ in 0..<10 {
            try refresh(small)
            try small.store.revert(["0200"])
            try small.crash()
            #expect(try small.store.waitUntilDrained("0200"))
            #expect(try !inbound(small).isReverting)
            #expect(try small.channel.readAll(small.device("0200")) == before)
        }
    }

    @Test("a backup of the target between a refresh and its revert outlives both, and is exact")
    func backupBetween() throws {
        var small = try pair(copies: false)
        let before = try small.channel.readAll(small.device("0200"))
        try small.store.backup("b/1", ["0200"])
        try refresh(small)
        small.channel.write(try small.device("0200"), 3 * Self.track, block(5))
        let between = try small.channel.readAll(small.device("0200"))
        try small.store.backup("b/2", ["0200"])
        small.channel.write(try small.device("0200"), 4 * Self.track, block(6))
        try small.store.revert(["0200"])
        for _ in 0..<2 {
            #expect(try small.channel.readAll(small.device("0200")) == before)
            #expect(try small.channel.readAll(small.point("b/1", "0200")) == before)
            #expect(try small.channel.readAll(small.point("b/2", "0200")) == between)
            #expect(try small.store.waitUntilDrained("0200"))
            try small.crash()
        }
    }

    @Test("a refresh after a revert copies what differs, and ends as a full copy would")
    func refreshesAfterRevert() throws {
        let small = try pair(["0300"], copies: false)
        try refresh(small)
        small.channel.write(try small.device("0200"), 12 * Self.track, block(6))
        small.channel.write(try small.device(), 7 * Self.track, block(8))
        try small.store.revert(["0200"])
        #expect(try small.store.waitUntilDrained("0200"))
        small.channel.write(try small.device("0200"), 0, block(9))
        // 2, 5, 6 and 9 of the refresh; 12 and 0 of the target; 7 of the source.
        #expect(try inbound(small).tracksOutOfSync == 7)
        try make(small, [.refresh(target: "0200"), copy("0100", "0300")])
        try small.store.startBackgroundCopy(["0200"])
        #expect(try small.store.waitUntilDrained("0200"))
        #expect(try small.store.waitUntilDrained("0300"))
        let full = try small.channel.readAll(small.device("0300"))
        #expect(try small.channel.readAll(small.device("0200")) == full)
        #expect(try small.channel.readAll(small.device()) == full)
    }

    @Test("a commit keeps what the refresh brought, gives the space back, and is done once")
    func commits() throws {
        var small = try SmallStore(["0100", "0200"], multiplier: 0)
        small.channel.write(try small.device(), 0, block(1, count: 900_000))
        try make(small, [copy("0100", "0200")])
        #expect(try small.store.waitUntilDrained("0200"))
        small.channel.write(try small.device(), 0, block(2, count: 300_000))
        try refresh(small)
        #expect(try small.store.waitUntilDrained("0200"))
        small.channel.write(try small.device("0200"), 6 * Self.track, block(3, count: 100_000))
        try small.restart()
        let saves = small.scratch.path + "/saves/0200"
        #expect(!Scratch.names(saves).isEmpty)
        #expect(try inbound(small).isRevertible)
        let content = try small.channel.readAll(small.device("0200"))
        try small.store.commit(["0200"])
        small.store.drainReclaimer()
        #expect(Scratch.names(saves).isEmpty)
        #expect(try !inbound(small).isRevertible)
        #expect(try small.channel.readAll(small.device("0200")) == content)
        #expect(code { try small.store.commit(["0200"]) } == .notRevertible)
        #expect(code { try small.store.revert(["0200"]) } == .notRevertible)
        try small.crash()
        #expect(try small.channel.readAll(small.device("0200")) == content)
        try refresh(small)
        #expect(try inbound(small).isRevertible)
    }

    @Test("a safeguarded point of the instant is what is held, and stays after a commit")
    func holdsBackup() throws {
        let small = try pair()
        let before = try small.channel.readAll(small.device("0200"))
        let actions: [InstantAction] = [
            .refresh(target: "0200", revertible: true), .point(volume: "0200", tag: "b/1"),
        ]
        try make(small, actions)
        #expect(code { try small.store.dropPoints(tags: ["b/1"]) } == .pointInUse)
        small.channel.write(try small.device("0200"), 0, block(5, count: 300_000))
        try small.store.commit(["0200"])
        #expect(try small.channel.readAll(small.point("b/1", "0200")) == before)
        try small.store.dropPoints(tags: ["b/1"])
    }

    @Test("copies of the target, from the instant of a refresh and after it, outlive its revert")
    func cascade() throws {
        var small = try pair(["0300", "0301"], copies: false)
        let before = try small.channel.readAll(small.device("0200"))
        try make(
            small,
            [.refresh(target: "0200", revertible: true), copy("0200", "0300", copies: false)])
        small.channel.write(try small.device("0200"), 3 * Self.track, block(5))
        try make(small, [copy("0200", "0301", copies: false)])
        let between = try small.channel.readAll(small.device("0200"))
        small.channel.write(try small.device("0200"), 4 * Self.track, block(6))
        try small.store.revert(["0200"])
        for _ in 0..<2 {
            #expect(try small.channel.readAll(small.device("0200")) == before)
            #expect(try small.channel.readAll(small.device("0300")) == before)
            #expect(try small.channel.readAll(small.device("0301")) == between)
            #expect(try small.store.waitUntilDrained("0200"))
            try small.crash()
        }
        // What the revert has changed is a change of the source for these.
        try make(small, [.refresh(target: "0301")])
        #expect(try small.channel.readAll(small.device("0301")) == before)
    }

    @Test("a commit or revert of a relationship that is not revertible leaves it as it is")
    func notRevertible() throws {
        let small = try pair(["0300", "0400"])
        var plain = NewCopy(source: "0300", target: "0400")
        plain.terms.backgroundCopy = false
        try make(small, [.establish(plain)])
        let described = try small.store.describe().relationships
        #expect(code { try small.store.commit(["0200"]) } == .notRevertible)
        #expect(code { try small.store.revert(["0200"]) } == .notRevertible)
        #expect(code { try small.store.revert(["0300"]) } == .noRelationship)
        #expect(
            code { try make(small, [.refresh(target: "0400", revertible: true)]) }
                == .notRevertible)
        #expect(try small.store.describe().relationships == described)
        try refresh(small)
        let content = try small.channel.readAll(small.device("0200"))
        // All or none, and by their number.
        #expect(code { try small.store.revert(["0200", "0400"]) } == .notRevertible)
        #expect(code { try small.store.revert(["0200"], number: 8) } == .notRevertible)
        #expect(code { try small.store.commit(["0200"], number: 8) } == .notRevertible)
        #expect(try inbound(small).isRevertible)
        #expect(try small.channel.readAll(small.device("0200")) == content)
        try small.store.commit(["0200"], number: 7)
    }

    @Test("refresh, reverse and withdraw of a revertible relationship are refused")
    func undecided() throws {
        var small = try pair()
        try refresh(small)
        for _ in 0..<2 {
            #expect(try small.store.waitUntilDrained("0200"))
            #expect(code { try make(small, [.refresh(target: "0200")]) } == .uncommitted)
            #expect(code { try refresh(small) } == .uncommitted)
            #expect(code { try small.store.withdraw(["0200"]) } == .uncommitted)
            #expect(
                try small.store.reverseObstacles(of: "0200", fast: true).map(\.code)
                    == [.uncommitted])
            try small.crash()
        }
        try small.store.commit(["0200"])
        try make(small, [.refresh(target: "0200")])
        try small.store.withdraw(["0200"])
    }

    @Test("while a revert is under way, its pair is there, and nothing else is done to it")
    func underWay() throws {
        // Large enough to take seconds at the slowest rate.
        var small = try SmallStore([])
        let size = 256 * Self.track
        try small.store.createVolumes(
            ["0100", "0200"].map { NewVolume(id: $0, capacity: UInt64(size), multiplier: 0) })
        // Not zeroes: holes cost nothing.
        small.channel.write(try small.device("0100"), 0, block(1, count: size))
        try make(small, [copy("0100", "0200")])
        #expect(try small.store.waitUntilDrained("0200"))
        try small.store.setCopyRate(1, of: ["0200"])
        try refresh(small)
        small.channel.write(try small.device("0200"), 0, block(5, count: size))
        try small.store.revert(["0200"])
        for _ in 0..<2 {
            #expect(try inbound(small).isReverting && inbound(small).source == "0100")
            #expect(code { try small.store.deleteVolumes(["0100"]) } == .volumeInUse)
            #expect(code { try make(small, [.refresh(target: "0200")]) } == .revertUnderWay)
            #expect(code { try small.store.withdraw(["0200"]) } == .revertUnderWay)
            #expect(code { try small.store.revert(["0200"]) } == .revertUnderWay)
            #expect(
                try small.store.reverseObstacles(of: "0200", fast: true).map(\.code)
                    == [.revertUnderWay])
            try small.crash()
        }
        try small.store.setCopyRate(0, of: ["0200"])
        #expect(try small.store.waitUntilDrained("0200"))
        #expect(try small.channel.readAll(small.device("0200")) == block(1, count: size))
        try small.restart()
        #expect(try !inbound(small).isReverting && inbound(small).rateMiBps == 0)
        try make(small, [.refresh(target: "0200")])
    }

    @Test("a revert gives back the volume before it grew with the refresh, and the next copies all")
    func growth() throws {
        let small = try pair()
        let size = SmallStore.capacity + 100_352
        try small.store.expandVolumes([("0100", UInt64(size)), ("0200", UInt64(size))])
        small.channel.write(try small.device(), size - 5000, block(5, count: 5000))
        let before = try small.channel.readAll(small.device("0200"))
        try refresh(small)
        #expect(try small.store.waitUntilDrained("0200"))
        try small.store.revert(["0200"])
        #expect(try small.channel.readAll(small.device("0200")) == before)
        #expect(try small.store.waitUntilDrained("0200"))
        try make(small, [.refresh(target: "0200")])
        #expect(
            try small.channel.readAll(small.device("0200"))
                == small.channel.readAll(small.device()))
    }

    @Test("a power cut in the middle of a revert spoils neither it nor a backup from before it")
    func powerCut() throws {
        let size = 96 * Self.track
        let scratch = Scratch()
        let disk = SimulatedDisk()
        var configuration = TrackStore.Configuration.test(scratch.path)
        configuration.makeIO = { disk.io() }
        var small = try SmallStore([], configuration: configuration)
        try small.store.createVolumes(
            ["0100", "0200"].map { NewVolume(id: $0, capacity: UInt64(size), multiplier: 8) })
        try make(small, [copy("0100", "0200", copies: false)])
        let before = try small.channel.readAll(small.device("0200"))
        small.channel.write(try small.device(), 0, block(1, count: 40 * Self.track))
        // So slow that the revert rests after the first tracks, before it syncs anything.
        try small.store.setCopyRate(1, of: ["0200"])
        try refresh(small)
        try small.store.backup("b/1", ["0200"])
        let between = try small.channel.readAll(small.point("b/1", "0200"))
        small.channel.write(
            try small.device("0200"), 48 * Self.track, block(2, count: 40 * Self.track))
        try small.store.revert(["0200"])
        while try inbound(small).tracksRemaining == 80 {}
        small.store.abandon()
        var numbers = SeededNumbers(seed: 1)
        #expect(disk.cutPower(&numbers) > 0)
        small = try SmallStore([], configuration: configuration)
        #expect(try small.channel.readAll(small.point("b/1", "0200")) == between)
        #expect(try small.channel.readAll(small.device("0200")) == before)
    }

    private final class Writer: Sendable {
        let stops = Atomic<Bool>(false)
        let writes = Atomic<Int>(0)

        /// Writes to the first blocks of the first tracks, over and over.
        func run(_ store: TrackStore) {
            guard let channel = try? HostChannel(store: store),
                let device = try? store.open(.volume("0200"))
            else { return }
            var number = 0
            while !stops.load(ordering: .relaxed) {
                number += 1
                let place = number % 32 * RevertTests.track
                guard channel.write(device, place, block(number)) == nil else { return }
                writes.add(1, ordering: .relaxed)
            }
        }
    }

    /// What nobody writes to but copies.
    private func rest(of small: SmallStore, _ id: String) throws -> [UInt8] {
        var bytes = try small.channel.readAll(small.device(id))
        for track in 0..<32 {
            bytes.replaceSubrange(track * Self.track..<track * Self.track + 4096, with: block(0))
        }
        return bytes
    }

    @Test("a revert in the middle of a copy, and of hosts' writes, misses no track of them")
    func overtakes() throws {
        let size = 192 * Self.track
        let small = try SmallStore([])
        try small.store.createVolumes(
            ["0100", "0200"].map { NewVolume(id: $0, capacity: UInt64(size), multiplier: 0) })
        try make(small, [copy("0100", "0200")])
        #expect(try small.store.waitUntilDrained("0200"))
        let writer = Writer()
        let store = small.store
        let thread = TestThread { writer.run(store) }
        var caught = 0
        for round in 0..<16 {
            let before = try rest(of: small, "0200")
            small.channel.write(try small.device(), 0, block(round, count: size))
            try refresh(small)
            while try inbound(small).tracksRemaining > 190 - round * 11 {}
            let left = try inbound(small).tracksRemaining
            try store.revert(["0200"])
            if left > 0 { caught += 1 }
            #expect(try rest(of: small, "0200") == before)
            #expect(try store.waitUntilDrained("0200"))
            #expect(try rest(of: small, "0200") == before)
            try make(small, [.refresh(target: "0200")])
            #expect(try store.waitUntilDrained("0200"))
            #expect(try rest(of: small, "0200") == rest(of: small, "0100"))
        }
        writer.stops.store(true, ordering: .relaxed)
        thread.join()
        #expect(caught > 0 && writer.writes.load(ordering: .relaxed) > 0)
    }

    @Test(
        "rows tell all there is of a refresh that can be reverted and of a revert; older ones read")
    func rows() throws {
        var record = RelationshipRecord(
            source: 0x100, flags: [.copying, .recordsChanges, .persistent], sequence: 9,
            capacity: 1 << 30, tag: "a/9", base: 10, rateMiBps: 3, number: 8, established: 1000,
            refreshed: 2000)
        func read(_ bytes: [UInt8]) throws -> RelationshipRecord {
            try bytes.withUnsafeBytes { try RelationshipRecord(row: $0, "index") }
        }
        let older = try read(record.bytes)
        #expect(older.held == nil && older.successor == nil && older.refreshed == 2000)
        record.held = .init(
            sequence: 9,
            former: .init(
                sequence: 4, tag: "a/4", refreshed: 1500, number: 7,
                flags: [.copying, .recordsChanges, .persistent, .inhibitsTargetWrites], rateMiBps: 5
            ))
        #expect(try read(record.bytes).held == record.held)
        let short = try read(record.bytes.dropLast(6)).held?.former
        #expect(short?.rateMiBps == 3 && short?.number == 7)
        #expect(short?.flags.subtracting(.isLong) == record.flags)
        #expect(try read(record.bytes).flags == older.flags)
        let held = Point(sequence: 9, tag: "", time: 0, capacity: 2 << 30, settled: true)
        let revert = try #require(record.reverting(to: held, of: 0x200, base: 20))
        let stored = try read(revert.bytes)
        #expect(stored.successor == revert.successor && stored.source == 0x200)
        let after = try #require(stored.afterRevert)
        #expect(after.source == 0x100 && after.sequence == 4 && after.tag == "a/4")
        #expect(after.number == 7 && after.refreshed == 1500 && after.established == 1000)
        #expect(after.capacity == 1 << 30 && after.rateMiBps == 5 && after.copying)
        #expect(after.flags.contains(.inhibitsTargetWrites) && stored.rateMiBps == 5)
        #expect(code { _ = try read(revert.bytes.dropLast()) } == .damaged)
    }
}
