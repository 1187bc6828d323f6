import Testing

@testable import TrackStore

@Suite("Copies in place of copies")
struct ReplaceTests {
    private static let track = 65_536

    private func make(_ small: SmallStore, _ actions: [InstantAction], time: Int64 = 1) throws {
        let group = InstantGroup()
        try small.store.prepare(group, actions, time: time)
        group.commit()
        try small.store.settle(group)
    }

    private func copy(
        _ number: UInt64, replaces: Bool = true, _ change: (inout CopyTerms) -> Void = { _ in }
    ) -> InstantAction {
        var copy = NewCopy(source: "0100", target: "0200")
        copy.terms.recordsChanges = true
        change(&copy.terms)
        copy.number = number
        copy.replaces = replaces
        return .establish(copy)
    }

    private func refresh(
        _ number: UInt64?, revertible: Bool = false, _ change: (inout CopyTerms) -> Void
    ) -> InstantAction {
        var refresh = CopyRefresh(target: "0200", revertible: revertible, number: number)
        var terms = CopyTerms()
        terms.recordsChanges = true
        change(&terms)
        refresh.terms = terms
        return .refresh(refresh)
    }

    /// 0200 is a whole copy of 0100, number 7, and a track of each has been written to since.
    private func pair() throws -> SmallStore {
        let small = try SmallStore(["0100", "0200", "0300"])
        small.channel.write(try small.device(), 0, block(1, count: 900_000))
        try make(small, [copy(7, replaces: false)], time: 1000)
        #expect(try small.store.waitUntilDrained("0200"))
        small.channel.write(try small.device(), 2 * Self.track, block(2))
        small.channel.write(try small.device("0200"), 9 * Self.track, block(4))
        return small
    }

    private func inbound(_ small: SmallStore) throws -> RelationshipDescription {
        try #require(try small.store.relationship(into: "0200"))
    }

    private func noted(_ small: SmallStore, _ volume: String = "0200") throws -> UInt64? {
        try small.store.describe([volume]).first?.volume.lastNumber
    }

    @Test("a copy in place of one of the same pair copies every track, under its own terms")
    func replaces() throws {
        var small = try pair()
        #expect(code { try make(small, [copy(8, replaces: false)]) } == .relationshipExists)
        let source = try small.channel.readAll(small.device())
        try make(
            small,
            [
                copy(8) {
                    $0.backgroundCopy = false
                    $0.recordsChanges = false
                    $0.isPersistent = true
                    $0.rateMiBps = 3
                }
            ], time: 2000)
        let made = try inbound(small)
        #expect(made.tracksRemaining == 16 && made.tracksOutOfSync == nil && made.number == 8)
        #expect(made.established == 2000 && made.refreshed == 2000 && made.rateMiBps == 3)
        #expect(!made.wantsCopy && made.isPersistent && made.tag.isEmpty)
        #expect(try small.channel.readAll(small.device("0200")) == source)
        small.channel.write(try small.device(), 0, block(9, count: 400_000))
        try small.crash()
        #expect(try small.channel.readAll(small.device("0200")) == source)
        #expect(try inbound(small) == made)
    }

    @Test("points of the target from before and during the first copy are exact after the second")
    func keepsPoints() throws {
        let small = try SmallStore(["0100", "0200"])
        small.channel.write(try small.device(), 0, block(1, count: 900_000))
        small.channel.write(try small.device("0200"), 0, block(5, count: 700_000))
        try small.store.backup("b/1", ["0200"])
        let before = try small.channel.readAll(small.device("0200"))
        try make(small, [copy(1) { $0.backgroundCopy = false }])
        small.channel.write(try small.device("0200"), 3 * Self.track, block(6))
        try small.store.backup("b/2", ["0200"])
        let during = try small.channel.readAll(small.device("0200"))
        small.channel.write(try small.device(), 0, block(2, count: 800_000))
        try make(small, [copy(2)])
        #expect(try small.store.waitUntilDrained("0200"))
        for (tag, content) in [("b/1", before), ("b/2", during)] {
            let view = try small.store.open(.point(volume: "0200", tag: tag))
            #expect(try small.channel.readAll(view) == content)
        }
    }

    @Test("a copy that does not come about leaves the one that it was to replace, with its changes")
    func abandons() throws {
        let small = try pair()
        let group = InstantGroup()
        try small.store.prepare(group, [copy(8) { $0.recordsChanges = false }], time: 2)
        group.commit()
        small.channel.write(try small.device(), 4 * Self.track, block(3))
        small.store.abandon(group)
        #expect(try inbound(small).number == 7 && noted(small) == 7)
        #expect(try inbound(small).tracksOutOfSync == 3)
        try make(small, [.refresh(target: "0200")])
        #expect(
            try small.channel.readAll(small.device("0200"))
                == small.channel.readAll(small.device()))
    }

    @Test("what presents another source, or waits for a decision, is not replaced")
    func refuses() throws {
        let small = try pair()
        var other = NewCopy(source: "0300", target: "0200")
        other.replaces = true
        #expect(try small.store.obstacles(to: other).map(\.code) == [.relationshipExists])
        try make(small, [.refresh(target: "0200", revertible: true, number: 8)])
        #expect(code { try make(small, [copy(9)]) } == .uncommitted)
        try small.store.commit(["0200"])
        try make(small, [copy(9)])
        #expect(try noted(small) == 9)
    }

    @Test("a source with as many targets as it can have can still have one replaced")
    func replacesAmongMany() throws {
        let targets = (0..<12).map { "020\(String($0, radix: 16))" }
        let small = try SmallStore(["0100"] + targets)
        try make(
            small,
            targets.map {
                var copy = NewCopy(source: "0100", target: $0)
                copy.terms.backgroundCopy = false
                return .establish(copy)
            })
        try make(small, [copy(3)])
        #expect(try small.store.describe(["0100"]).first?.volume.targets == targets)
    }

    @Test("a refresh with new terms copies what differs, and goes on under those")
    func refreshesWithTerms() throws {
        var small = try pair()
        try make(
            small,
            [
                refresh(8) {
                    $0.backgroundCopy = false
                    $0.recordsChanges = false
                    $0.isPersistent = true
                    $0.inhibitsTargetWrites = true
                }
            ])
        #expect(try inbound(small).tracksRemaining == 2)
        #expect(try inbound(small).tracksOutOfSync == nil)
        #expect(small.channel.write(try small.device("0200"), 0, block(1)) == .readOnly)
        let shown = try small.channel.readAll(small.device("0200"))
        try small.crash()
        #expect(try small.channel.readAll(small.device("0200")) == shown)
        // Nothing was recorded for it: everything comes over, and is recorded from now on.
        small.channel.write(try small.device(), 0, block(8, count: 300_000))
        try make(small, [refresh(9) { $0.backgroundCopy = true }])
        let source = try small.channel.readAll(small.device())
        #expect(try small.store.waitUntilDrained("0200"))
        #expect(try small.channel.readAll(small.device("0200")) == source)
        #expect(try inbound(small).tracksOutOfSync == 0 && !inbound(small).inhibitsTargetWrites)
    }

    @Test("a revert brings the former terms back, too")
    func revertsTerms() throws {
        let small = try pair()
        var before = try inbound(small)
        let held = try small.channel.readAll(small.device("0200"))
        try make(
            small,
            [
                refresh(8, revertible: true) {
                    $0.rateMiBps = 5
                    $0.inhibitsTargetWrites = true
                }
            ])
        #expect(try inbound(small).rateMiBps == 5 && inbound(small).inhibitsTargetWrites)
        #expect(
            code {
                try make(small, [refresh(9, revertible: true) { $0.recordsChanges = false }])
            } == .uncommitted)
        try small.store.revert(["0200"], number: 8)
        #expect(small.channel.write(try small.device("0200"), 15 * Self.track, block(1)) == nil)
        #expect(try small.store.waitUntilDrained("0200"))
        var after = try inbound(small)
        before.tracksOutOfSync = nil
        after.tracksOutOfSync = nil
        before.bytesPerSecond = 0
        after.bytesPerSecond = 0
        #expect(after == before)
        #expect(try small.channel.read(small.device("0200"), 0, 900_000) == Array(held[..<900_000]))
    }

    @Test("a revertible refresh asked once more under its number keeps what the first one kept")
    func repeatsRevertible() throws {
        var small = try pair()
        let held = try small.channel.readAll(small.device("0200"))
        let again = InstantAction.refresh(target: "0200", revertible: true, number: 8)
        try make(small, [again])
        small.channel.write(try small.device(), 5 * Self.track, block(6, count: 200_000))
        small.channel.write(try small.device("0200"), 11 * Self.track, block(7))
        try make(small, [again])
        #expect(
            try small.channel.readAll(small.device("0200"))
                == small.channel.readAll(small.device()))
        small.channel.write(try small.device("0200"), 12 * Self.track, block(7))
        try small.crash()
        try small.store.revert(["0200"], number: 8)
        #expect(try small.channel.readAll(small.device("0200")) == held)
        #expect(try small.store.waitUntilDrained("0200"))
        #expect(try inbound(small).number == 7)
        try make(small, [.refresh(target: "0200")])
        #expect(
            try small.channel.readAll(small.device("0200"))
                == small.channel.readAll(small.device()))
        small.store.drainReclaimer()
        #expect(try small.store.waitUntilDrained("0200"))
        #expect(try small.store.points(of: "0200").isEmpty)
    }

    @Test("the number of the last instant outlives its relationship, a withdrawal and any stop")
    func numbers() throws {
        var small = try pair()
        #expect(try noted(small) == 7 && noted(small, "0100") == 0)
        try make(
            small,
            [
                copy(8) {
                    $0.recordsChanges = false
                    $0.isPersistent = false
                }
            ])
        #expect(try small.store.waitUntilDrained("0200"))
        #expect(try small.store.relationship(into: "0200") == nil && noted(small) == 8)
        try small.crash()
        #expect(try noted(small) == 8)
        #expect(try small.store.describe(["0200"]).first?.volume.completedNumber == 8)
        try make(small, [copy(9)])
        #expect(try small.store.describe(["0200"]).first?.volume.completedNumber == nil)
        #expect(try small.store.waitUntilDrained("0200"))
        try make(small, [.reverse(target: "0200", fast: false, number: 10)])
        #expect(try noted(small) == 10 && noted(small, "0100") == 10)
        #expect(try small.store.relationship(into: "0100")?.number == 10)
        try small.store.withdraw(pairs: [("0200", "0100")], number: 9)
        #expect(try small.store.relationship(into: "0100") != nil)
        try small.store.withdraw(pairs: [("0200", "0100"), ("0100", "0200")], number: 10)
        #expect(try small.store.relationship(into: "0100") == nil)
        try small.restart()
        #expect(try noted(small) == 10 && noted(small, "0100") == 10)
        try small.store.deleteVolumes(["0200"])
        try small.store.createVolumes([NewVolume(id: "0200", capacity: 1 << 20, multiplier: 0)])
        try small.restart()
        #expect(try noted(small) == 0)
    }
}
