import CopyModel
import CopyRules
import Testing

@Suite("Discover")
struct DiscoverTests {
    @Test("Discover is offered in Defined and Target Available, and in no other state.")
    func states() {
        #expect(CommandTable.flash.states(offering: .discover) == [.defined, .targetAvailable])
    }

    @Test(
        "Relationships that exist on the storage for defined pairs become consistent and Target Available.",
        arguments: [false, true])
    func found(flashedBefore: Bool) {
        var world = FlashWorld(["0100": "0300", "0101": "0301"])
        if flashedBefore {
            world.run(.flash)
            world.end(World.volume("0300"))
            world.end(World.volume("0301"))
        }
        world.relate("0100", "0300", number: 7) { $0.attributes.incremental = true }
        world.relate("0101", "0301", number: 8, remaining: 0) { $0.attributes.persistent = true }
        let told = world.run(.discover)
        #expect(world.session.state == .targetAvailable && world.session.status == .normal)
        #expect(world.session.isRecoverable)
        #expect(told.pairs.map(\.recoverable) == [true, true])
        #expect(world.session.flash?.pairs.map(\.pair.tracksRemaining) == [16, 0])
        #expect(world.session.flash?.pairs.map(\.terms.incremental) == [true, false])
    }

    @Test("Discover sets no flash time.")
    func noFlashTime() {
        var world = FlashWorld(["0100": "0300"])
        world.run(.flash)
        #expect(world.session.flash?.flashTime != nil)
        world.end(World.volume("0300"))
        world.relate("0100", "0300", number: 9)
        world.run(.discover)
        #expect(world.session.flash?.flashTime == nil)
        #expect(world.session.rolePairs.first?.recoveryTime == nil)
        #expect(world.session.flash?.isDiscovered == true)
    }

    @Test("Pairs that the session flashed itself are none that it discovers.")
    func own() {
        var world = FlashWorld(["0100": "0300"])
        world.run(.flash)
        let before = world.session
        #expect(world.run(.discover).isEmpty && world.session == before)
    }

    @Test("The consistency of discovered pairs with each other is not verified.")
    func unverified() {
        var world = FlashWorld(["0100": "0300", "0101": "0301"])
        world.relate("0100", "0300", number: 7)
        world.relate("0101", "0301", number: 7)
        world.run(.discover)
        #expect(world.session.flash?.isConsistencyVerified == false)
        world.run(.flash)
        #expect(world.session.flash?.isConsistencyVerified == true)
        #expect(world.session.flash?.isDiscovered == false)
    }

    @Test("Where the discovered points carry times, the session says what their spread is.")
    func spread() {
        var world = FlashWorld(["0100": "0300", "0101": "0301"])
        world.relate("0100", "0300", number: 7)
        world.relate("0101", "0301", number: 8) {
            $0.attributes.refreshed = World.start.adding(milliseconds: 60_001)
        }
        guard case .discovered(2, [], 61)? = world.decide(.discover).plan?.result else {
            Issue.record("\(world.decide(.discover))")
            return
        }
        world.run(.discover)
        #expect(world.session.flash?.flashTimeSpread == 61)
        world["0301"].inbound?.attributes.refreshed = Timestamp(milliseconds: 0)
        world["0301"].inbound?.attributes.number = 10
        world.run(.discover)
        #expect(world.session.flash?.flashTimeSpread == nil, "a point without a time")
    }

    @Test("Pairs that the storage has no relationship for stay as they are.")
    func partly() {
        var world = FlashWorld(["0100": "0300", "0101": "0301"])
        world.relate("0101", "0301", number: 8)
        guard case .discovered(1, let missing, _)? = world.decide(.discover).plan?.result else {
            Issue.record("\(world.decide(.discover))")
            return
        }
        #expect(missing == [World.volume("0100")])
        world.run(.discover)
        #expect(world.session.flash?.pairs.map(\.h1) == [World.volume("0101")])
        #expect(world.session.state == .targetAvailable)
    }

    @Test("Where nothing is found, the session is as it was.")
    func nothing() {
        var world = FlashWorld(["0100": "0300"])
        let before = world.session
        guard case .discovered(0, _, nil)? = world.decide(.discover).plan?.result else {
            Issue.record("\(world.decide(.discover))")
            return
        }
        #expect(world.run(.discover).isEmpty && world.session == before)
    }

    @Test("A relationship of other volumes, or of a recovery, is not discovered.")
    func others() {
        var world = FlashWorld(["0100": "0300", "0101": "0301"])
        world.add(World.volume("0900"))
        world.relate("0900", "0300")
        world.relate("0101", "0301") { $0.presents = .backup(World.tag(5)) }
        world.run(.discover)
        #expect(world.session.state == .defined)
    }

    @Test("A pair that was reversed outside is discovered as it is.")
    func reversed() {
        var world = FlashWorld(["0100": "0300"])
        world.relate("0300", "0100", number: 9)
        world.run(.discover)
        #expect(world.session.flash?.pairs[0].isReversed == true)
    }
}
