import Testing
import TrackBitmap

@testable import TrackStore

@Suite("Copies of an instant")
struct CopyTests {
    private func make(_ small: SmallStore, _ actions: [InstantAction]) throws {
        let group = InstantGroup()
        try small.store.prepare(group, actions, time: 1_795_226_400_000)
        group.commit()
        try small.store.settle(group)
    }

    private func copy(
        _ source: String, _ target: String, _ change: (inout NewCopy) -> Void = { _ in }
    ) -> InstantAction {
        var copy = NewCopy(source: source, target: target)
        copy.terms.backgroundCopy = false
        change(&copy)
        return .establish(copy)
    }

    private func incremental(_ copy: inout NewCopy) {
        copy.terms.backgroundCopy = true
        copy.terms.recordsChanges = true
    }

    @Test("all targets present one instant, whatever is written to both sides afterwards")
    func oneInstant() throws {
        let small = try SmallStore(["0100", "0101", "0200", "0201", "0202"], multiplier: 0)
        small.channel.write(try small.device("0100"), 0, block(1, count: 300_000))
        small.channel.write(try small.device("0101"), 0, block(2, count: 300_000))
        try make(small, [copy("0100", "0200"), copy("0101", "0201"), copy("0100", "0202")])
        small.channel.write(try small.device("0100"), 0, block(7, count: 200_000))
        small.channel.write(try small.device("0201"), 100, block(8, count: 50))
        for (target, value) in [("0200", 1), ("0202", 1)] {
            #expect(
                try small.channel.read(small.device(target), 0, 300_000)
                    == block(value, count: 300_000))
        }
        var changed = block(2, count: 300_000)
        changed.replaceSubrange(100..<150, with: block(8, count: 50))
        #expect(try small.channel.read(small.device("0201"), 0, 300_000) == changed)
        #expect(try small.store.points(of: "0100").isEmpty)
    }

    @Test("a volume that an instant is about to make a target cannot be deleted")
    func deletesNoTarget() throws {
        var small = try SmallStore(["0100", "0200"], multiplier: 0)
        let group = InstantGroup()
        try small.store.prepare(group, [copy("0100", "0200")], time: 1)
        #expect(code { try small.store.deleteVolumes(["0200"]) } == .volumeInUse)
        group.commit()
        #expect(code { try small.store.deleteVolumes(["0200"]) } == .volumeInUse)
        try small.store.settle(group)
        try small.restart()
        #expect(try small.store.relationship(into: "0200")?.source == "0100")
    }

    @Test("a refresh copies the tracks that have changed on either side, and no others")
    func refreshesIncrementally() throws {
        let small = try SmallStore(["0100", "0200"])
        small.channel.write(try small.device(), 0, block(1, count: 1_000_000))
        try make(small, [copy("0100", "0200", incremental)])
        #expect(try small.store.waitUntilDrained("0200"))
        small.channel.write(try small.device(), 3 * 65_536, block(2))
        small.channel.write(try small.device(), 5 * 65_536 + 65_000, block(3))
        small.channel.write(try small.device("0200"), 9 * 65_536, block(4))
        #expect(try small.store.relationship(into: "0200")?.tracksOutOfSync == 4)
        let source = try small.channel.readAll(small.device())
        try make(small, [.refresh(target: "0200")])
        #expect(try small.channel.readAll(small.device("0200")) == source)
        #expect(try small.store.waitUntilDrained("0200"))
        let copied = small.facts.all.compactMap { fact -> Int? in
            if case .copyCompleted("0200", _, _, let total) = fact { return total }
            return nil
        }
        #expect(copied == [16, 16])
        #expect(try small.store.relationship(into: "0200")?.tracksOutOfSync == 0)
        #expect(try small.channel.readAll(small.device("0200")) == source)
    }

    @Test("changes that were recorded before a crash are all copied by the refresh after it")
    func changesSurviveCrash() throws {
        var small = try SmallStore(["0100", "0200"])
        try make(small, [copy("0100", "0200", incremental)])
        #expect(try small.store.waitUntilDrained("0200"))
        small.channel.write(try small.device(), 65_536, block(2))
        try small.crash()
        #expect(try small.store.relationship(into: "0200")?.tracksOutOfSync ?? 0 >= 1)
        try make(small, [.refresh(target: "0200")])
        #expect(try small.channel.read(small.device("0200"), 65_536, 4096) == block(2))
    }

    @Test("what a relationship has copied is saved no more, and no point is left behind")
    func copiedIsNotSaved() throws {
        let small = try SmallStore(["0100", "0200"], multiplier: 0)
        small.channel.write(try small.device(), 0, block(1, count: 1_000_000))
        try make(small, [copy("0100", "0200", incremental)])
        #expect(try small.store.waitUntilDrained("0200"))
        small.store.drainReclaimer()
        small.channel.write(try small.device(), 0, block(2, count: 1_000_000))
        #expect(Scratch.names(small.scratch.path + "/saves/0100").isEmpty)
    }

    @Test("a relationship that is not persistent ends when it is done; a persistent one stays")
    func ends() throws {
        var small = try SmallStore(["0100", "0200", "0201"])
        small.channel.write(try small.device(), 0, block(1, count: 500_000))
        try make(
            small,
            [
                copy("0100", "0200") { $0.terms.backgroundCopy = true },
                copy("0100", "0201") {
                    $0.terms.backgroundCopy = true
                    $0.terms.isPersistent = true
                    $0.number = 77
                },
            ])
        #expect(try small.store.waitUntilDrained("0200"))
        #expect(try small.store.waitUntilDrained("0201"))
        #expect(try small.store.relationship(into: "0200") == nil)
        try small.restart()
        let stayed = try small.store.relationship(into: "0201")
        #expect(stayed?.isPersistent == true && stayed?.number == 77)
        #expect(stayed?.established == 1_795_226_400_000 && stayed?.tracksRemaining == 0)
        #expect(
            try small.channel.read(small.device("0200"), 0, 500_000) == block(1, count: 500_000))
    }

    @Test("hosts cannot write to a target whose writes are inhibited, until it is withdrawn")
    func inhibits() throws {
        var small = try SmallStore(["0100", "0200"])
        try make(small, [copy("0100", "0200") { $0.terms.inhibitsTargetWrites = true }])
        #expect(small.channel.write(try small.device("0200"), 0, block(1)) == .readOnly)
        try small.restart()
        #expect(small.channel.zero(try small.device("0200"), 0, 4096) == .readOnly)
        try small.store.withdraw(["0200"])
        #expect(small.channel.write(try small.device("0200"), 0, block(1)) == nil)
    }

    @Test("a source has twelve targets and no more, those of one instant counted")
    func twelveTargets() throws {
        let targets = (0..<13).map { "03" + String(16 + $0, radix: 16) }
        let small = try SmallStore(["0100"] + targets)
        #expect(
            code { try make(small, targets.map { copy("0100", $0) }) } == .tooManyTargets)
        try make(small, targets.prefix(12).map { copy("0100", $0) })
        #expect(code { try make(small, [copy("0100", targets[12])]) } == .tooManyTargets)
        try small.store.withdraw([targets[0]])
        try make(small, [copy("0100", targets[12])])
    }

    @Test("recoveries of one call count as targets, and a reverse does not make a thirteenth")
    func twelveOtherwise() throws {
        let targets = (0..<13).map { "03" + String(16 + $0, radix: 16) }
        let small = try SmallStore(["0100", "0200"] + targets)
        try small.store.backup("a/1", ["0100"])
        let recoveries = targets.map {
            NewRelationship(source: "0100", tag: "a/1", target: $0)
        }
        #expect(
            code { try small.store.establish(recoveries, backgroundCopy: false) }
                == .tooManyTargets)
        #expect(try small.store.describe().relationships.isEmpty)
        try make(small, [copy("0200", "0100", incremental)])
        #expect(try small.store.waitUntilDrained("0100"))
        try small.store.establish(Array(recoveries.prefix(12)), backgroundCopy: false)
        #expect(
            try small.store.reverseObstacles(of: "0100", fast: false).map(\.code)
                == [.tooManyTargets])
        #expect(
            code { try make(small, [.reverse(target: "0100", fast: false)]) } == .tooManyTargets)
    }

    @Test("no cycle is made of what there is and what one call or instant adds")
    func cycles() throws {
        let small = try SmallStore(["0100", "0101", "0102"])
        try make(small, [copy("0102", "0100")])
        #expect(
            code { try make(small, [copy("0101", "0102"), copy("0100", "0101")]) } == .cycle)
        try small.store.withdraw(["0100"])
        try small.store.backup("a/1", ["0100", "0101"])
        let both = [
            NewRelationship(source: "0100", tag: "a/1", target: "0101"),
            NewRelationship(source: "0101", tag: "a/1", target: "0100"),
        ]
        #expect(code { try small.store.establish(both, backgroundCopy: false) } == .cycle)
        #expect(try small.store.describe().relationships.isEmpty)
    }

    @Test(
        "a complete copy is reversed: the source is as the target was, at once, and then follows it"
    )
    func reverses() throws {
        let small = try SmallStore(["0100", "0200"])
        small.channel.write(try small.device(), 0, block(1, count: 1_000_000))
        try make(small, [copy("0100", "0200", incremental)])
        #expect(try small.store.waitUntilDrained("0200"))
        let good = try small.channel.readAll(small.device("0200"))
        small.channel.write(try small.device(), 0, block(9, count: 300_000))
        try make(small, [.reverse(target: "0200", fast: false)])
        #expect(try small.channel.readAll(small.device()) == good)
        #expect(try small.store.relationship(into: "0200") == nil)
        let back = try small.store.relationship(into: "0100")
        #expect(back?.source == "0200" && back?.isPersistent == true)
        #expect(try small.store.waitUntilDrained("0100"))
        small.channel.write(try small.device("0200"), 70_000, block(5))
        try make(small, [.refresh(target: "0100")])
        #expect(try small.channel.read(small.device(), 70_000, 4096) == block(5))
    }

    @Test("a fast reverse restores from a copy that is not complete, beside others, and ends both")
    func fastReverse() throws {
        let small = try SmallStore(["0100", "0200", "0201", "0300"])
        small.channel.write(try small.device(), 0, block(1, count: 1_000_000))
        try small.store.backup("a/1", ["0100"])
        try make(small, [copy("0100", "0200"), copy("0100", "0201")])
        let good = try small.channel.readAll(small.device())
        try make(small, [copy("0200", "0300")])
        small.channel.write(try small.device(), 0, block(9, count: 900_000))
        small.channel.write(try small.device("0200"), 100_000, block(3))
        var wanted = good
        wanted.replaceSubrange(100_000..<104_096, with: block(3))
        try make(small, [.reverse(target: "0200", fast: true)])
        #expect(try small.channel.readAll(small.device()) == wanted)
        #expect(try small.store.waitUntilDrained("0100"))
        #expect(try small.store.relationship(into: "0100") == nil)
        #expect(try small.store.relationship(into: "0200") == nil)
        #expect(try small.channel.readAll(small.device()) == wanted)
        #expect(try small.channel.readAll(small.device("0201")) == good)
        #expect(try small.channel.readAll(small.device("0300")) == good)
        #expect(try small.channel.readAll(small.point("a/1")) == good)
    }

    @Test("every reason against a reverse is told at once")
    func reverseObstacles() throws {
        let small = try SmallStore(["0100", "0200", "0300"])
        try make(small, [copy("0300", "0100")])
        try make(small, [copy("0100", "0200")])
        try small.store.expandVolumes([("0200", UInt64(SmallStore.capacity + 65_536))])
        #expect(
            try small.store.reverseObstacles(of: "0200", fast: false).map(\.code)
                == [.tracksPending, .relationshipExists, .targetSmaller])
        #expect(
            try small.store.reverseObstacles(of: "0300", fast: true).map(\.code)
                == [.noRelationship])
        #expect(
            try small.store.obstacles(to: NewCopy(source: "0200", target: "0100")).map(\.code)
                == [.cycle, .relationshipExists, .targetSmaller])
    }

    @Test(
        "points and targets of a volume stay exact when something is established onto it, or restored"
    )
    func replacesUnderPoints() throws {
        var small = try SmallStore(["0100", "0200", "0300"])
        small.channel.write(try small.device("0200"), 0, block(1, count: 1_000_000))
        try small.store.backup("b/1", ["0200"])
        try make(small, [copy("0200", "0300")])
        let old = try small.channel.readAll(small.device("0200"))
        small.channel.write(try small.device(), 0, block(2, count: 1_000_000))
        try make(small, [copy("0100", "0200", incremental)])
        #expect(try small.channel.readAll(small.point("b/1", "0200")) == old)
        #expect(try small.store.waitUntilDrained("0200"))
        try small.crash()
        #expect(try small.channel.readAll(small.point("b/1", "0200")) == old)
        #expect(try small.channel.readAll(small.device("0300")) == old)
        try small.store.withdraw(["0200"])
        try small.store.establish(
            [NewRelationship(source: "0200", tag: "b/1", target: "0200")], backgroundCopy: true)
        #expect(try small.channel.readAll(small.device("0200")) == old)
        #expect(try small.store.waitUntilDrained("0200"))
        #expect(try small.channel.readAll(small.device("0200")) == old)
    }

    @Test(
        "an instant that is abandoned leaves no points, no relationships and no forgotten changes")
    func abandons() throws {
        let small = try SmallStore(["0100", "0200", "0201"])
        try make(small, [copy("0100", "0200", incremental)])
        #expect(try small.store.waitUntilDrained("0200"))
        let group = InstantGroup()
        try small.store.prepare(group, [.refresh(target: "0200"), copy("0100", "0201")], time: 1)
        group.commit()
        small.channel.write(try small.device(), 0, block(1))
        small.store.abandon(group)
        #expect(try small.store.relationship(into: "0201") == nil)
        #expect(try small.store.relationship(into: "0200")?.tracksOutOfSync == 1)
        try make(small, [.refresh(target: "0200")])
        #expect(try small.channel.read(small.device("0200"), 0, 4096) == block(1))
    }

    @Test("a fast reverse that is abandoned after its instant goes on recording changes")
    func abandonsFastReverse() throws {
        let small = try SmallStore(["0100", "0200"])
        small.channel.write(try small.device(), 0, block(1, count: 500_000))
        try make(small, [copy("0100", "0200") { $0.terms.recordsChanges = true }])
        let group = InstantGroup()
        try small.store.prepare(group, [.reverse(target: "0200", fast: true)], time: 1)
        group.commit()
        small.channel.write(try small.device("0200"), 0, block(2))
        small.store.abandon(group)
        small.channel.write(try small.device("0200"), 65_536, block(3))
        try make(small, [.refresh(target: "0200")])
        #expect(
            try small.channel.read(small.device("0200"), 0, 500_000) == block(1, count: 500_000))
    }

    @Test("a backup of the instant of a fast reverse outlives it")
    func backupWithFastReverse() throws {
        let small = try SmallStore(["0100", "0200"])
        small.channel.write(try small.device(), 0, block(1, count: 1_000_000))
        try make(small, [copy("0100", "0200")])
        let good = try small.channel.readAll(small.device("0200"))
        small.channel.write(try small.device(), 0, block(2, count: 100_000))
        try make(
            small, [.point(volume: "0200", tag: "b/1"), .reverse(target: "0200", fast: true)])
        #expect(try small.store.waitUntilDrained("0100"))
        #expect(try small.store.relationship(into: "0200") == nil)
        #expect(try small.channel.readAll(small.point("b/1", "0200")) == good)
    }

    @Test("a point that is taken anew under an old tag is not taken for the old one")
    func sameTag() throws {
        let small = try SmallStore(["0100", "0200"])
        let pair = NewRelationship(source: "0100", tag: "a/1", target: "0200")
        try small.store.backup("a/1", ["0100"])
        try small.store.establish([pair], backgroundCopy: true)
        #expect(try small.store.waitUntilDrained("0200"))
        try small.store.dropPoints(tags: ["a/1"])
        try small.store.establish([pair], backgroundCopy: true)
        small.channel.write(try small.device(), 0, block(1))
        try small.store.backup("a/1", ["0100"])
        #expect(
            code { try small.store.establish([pair], backgroundCopy: true) }
                == .relationshipExists)
    }

    @Test("a target can be read while the end of what it presents is being stored")
    func readsWhileReplaced() throws {
        let small = try SmallStore(["0100", "0200"])
        small.channel.write(try small.device(), 0, block(1, count: 200_000))
        try make(small, [copy("0100", "0200")])
        let relationship = try #require(try small.store.volume("0200").inbound)
        relationship.isWithdrawn.store(true, ordering: .sequentiallyConsistent)
        let read = try small.channel.read(try small.device("0200"), 0, 200_000)
        #expect(read == block(1, count: 200_000))
        relationship.isWithdrawn.store(false, ordering: .sequentiallyConsistent)
    }

    @Test("a limit of a copy is a pause after each run, and its speed comes from what is pending")
    func pace() {
        var pace = CopyPace()
        pace.spend(1 << 20, rateMiBps: 0, now: 1000)
        #expect(pace.notBefore == 0)
        pace.spend(1 << 20, rateMiBps: 4, now: 1000)
        pace.spend(1 << 20, rateMiBps: 4, now: 1001)
        #expect(pace.notBefore == 1500)
        // 625 µs each: a limit also holds where a run takes less than a millisecond.
        var tracks = CopyPace()
        for _ in 0..<160 { tracks.spend(65_536, rateMiBps: 100, now: 1000) }
        #expect(tracks.notBefore == 1100)
        pace.observe(remaining: 1000, now: 2000)
        pace.observe(remaining: 900, now: 2100)
        #expect(pace.tracksPerSecond == 0)
        pace.observe(remaining: 800, now: 3000)
        #expect(pace.tracksPerSecond == 200)
        pace.pause()
        #expect(pace.tracksPerSecond == 0)
    }

    @Test("a limit that is set stays after a restart")
    func rateStays() throws {
        var small = try SmallStore(["0100", "0200"])
        try make(small, [copy("0100", "0200")])
        try small.store.setCopyRate(5, of: ["0200"])
        try small.restart()
        #expect(try small.store.relationship(into: "0200")?.rateMiBps == 5)
    }
}
