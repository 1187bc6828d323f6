import Testing

@testable import TrackStore

/// A copy stops where the disk does not give the tracks; here it is told to.
@Suite("Withdrawal of what has stopped on its way back")
struct StoppedTests {
    private static let size = 256 * 65_536

    private func make(_ small: SmallStore, _ actions: [InstantAction]) throws {
        let group = InstantGroup()
        try small.store.prepare(group, actions, time: 1)
        group.commit()
        try small.store.settle(group)
    }

    private func store() throws -> SmallStore {
        let small = try SmallStore([])
        try small.store.createVolumes(
            ["0100", "0200"].map {
                NewVolume(id: $0, capacity: UInt64(Self.size), multiplier: 16)
            })
        small.channel.write(try small.device(), 0, block(1, count: Self.size))
        return small
    }

    private func copy(_ change: (inout CopyTerms) -> Void) -> InstantAction {
        var copy = NewCopy(source: "0100", target: "0200")
        change(&copy.terms)
        // The first sixteen tracks, and then none for a second.
        copy.terms.rateMiBps = 1
        return .establish(copy)
    }

    private func stop(_ small: SmallStore, _ target: String) throws {
        let inbound = try #require(try small.store.volume(target).inbound)
        inbound.isCopying.store(false, ordering: .sequentiallyConsistent)
    }

    /// Nothing is left of the relationships, whatever stops the store, and others can begin.
    private func checkFree(_ small: inout SmallStore) throws {
        for _ in 0..<2 {
            for name in ["0100", "0200"] {
                #expect(try small.store.relationship(into: name) == nil)
                #expect(try small.store.describe([name]).first?.volume.targets == [])
                let volume = try small.store.volume(name)
                let left = volume.state.withLock { state in
                    state.points.count { !$0.isSafeguarded } + state.readers.count
                        + state.recorders.count
                }
                #expect(left == 0)
            }
            try small.crash()
        }
        try make(small, [copy { $0.recordsChanges = true }])
        #expect(
            try small.channel.readAll(small.device("0200"))
                == small.channel.readAll(small.device()))
    }

    @Test("a revert is withdrawn once its copy has stopped, with what it would have led to")
    func revert() throws {
        var small = try store()
        try make(
            small,
            [
                copy {
                    $0.recordsChanges = true
                    $0.backgroundCopy = false
                }
            ])
        try make(small, [.refresh(target: "0200", revertible: true, number: 2)])
        small.channel.write(try small.device("0200"), 0, block(7, count: Self.size))
        try small.store.revert(["0200"])
        #expect(code { try small.store.withdraw(["0200"]) } == .revertUnderWay)
        #expect(try small.store.relationship(into: "0200")?.wantsCopy == true)
        try stop(small, "0200")
        #expect(try small.store.relationship(into: "0200")?.wantsCopy == false)
        try small.store.withdraw(["0200"])
        try checkFree(&small)
    }

    @Test("a fast reverse is withdrawn once its copy has stopped, with what feeds it")
    func fastReverse() throws {
        var small = try store()
        try small.store.backup("b/1", ["0100"])
        let before = try small.channel.readAll(small.device())
        try make(small, [copy { $0.backgroundCopy = false }])
        small.channel.write(try small.device(), 0, block(3, count: Self.size))
        try make(small, [.reverse(target: "0200", fast: true, number: 2)])
        #expect(code { try small.store.withdraw(["0100"]) } == .reverseUnderWay)
        try stop(small, "0100")
        #expect(code { try small.store.withdraw(["0200"]) } == .reverseUnderWay)
        try small.store.withdraw(pairs: [("0200", "0100")], number: 2)
        #expect(try small.channel.readAll(small.point("b/1")) == before)
        try checkFree(&small)
    }
}
