import CopyModel
import CopyRules
import Testing

@Suite("Flash")
struct FlashTests {
    private func modes(_ world: FlashWorld) -> [FlashMode] {
        world.decide(.flash).plan?.flash?.pairs.map(\.mode) ?? []
    }

    private func changes(_ world: FlashWorld) -> [RelationshipChange] {
        for step in world.decide(.flash).plan?.steps ?? [] {
            if case .changeRelationships(let instant)? = step.effect { return instant.changes }
        }
        return []
    }

    @Test("takes one instant for all pairs, from Defined to Target Available")
    func oneInstant() throws {
        var world = FlashWorld(["0100": "0300", "0101": "0301"])
        #expect(world.session.state == .defined && world.session.status == .inactive)
        let plan = try #require(world.decide(.flash).plan)
        #expect(plan.steps.count == 1 && changes(world).count == 2)
        let told = world.run(.flash)
        #expect(world.session.state == .targetAvailable && world.session.status == .normal)
        #expect(world.session.isRecoverable && world.session.isCopying)
        #expect(world.session.flash?.flashTime == world.now)
        #expect(world.session.flash?.isConsistencyVerified == true)
        #expect(world.session.flash?.flashTimeSpread == 0)
        #expect(told.pairs.map(\.recoverable) == [true, true])
        #expect(told.summary?.flashTime == world.now)
    }

    @Test("needs copy sets")
    func empty() { #expect(FlashWorld([:]).codes(.flash) == [.noCopySets]) }

    @Test("numbers rise whatever the clock does, and above what is on the volumes")
    func numbers() throws {
        var world = FlashWorld(["0100": "0300"])
        world.run(.flash)
        let first = try #require(world.session.flash?.lastNumber)
        world.now = World.start.adding(minutes: -60)
        world.run(.flash)
        #expect(world.session.flash?.lastNumber == first + 1)
        world["0300"].inbound?.attributes.number = first + 50
        world.run(.flash)
        #expect(world.session.flash?.lastNumber == first + 51)
    }

    // MARK: Again

    @Test(
        "incremental off: the relationship always ends and a full copy begins, even a discovered one"
    )
    func incrementalOff() {
        var world = FlashWorld(["0100": "0300"])
        world.relate("0100", "0300", number: 5, remaining: 0) { $0.attributes.incremental = true }
        world.run(.discover)
        #expect(world.session.flash?.isDiscovered == true)
        #expect(modes(world) == [.full])
        #expect(
            changes(world) == [
                .establish(
                    PairTerms(source: World.volume("0100"), target: World.volume("0300")),
                    RelationshipTerms())
            ])
        world.run(.flash)
        #expect(world.session.flash?.isDiscovered == false)
    }

    @Test(
        "incremental on: a subsystem with any incremental relationship is refreshed in all its pairs"
    )
    func subsystem() {
        var world = FlashWorld(["0100": "0300", "0101": "0301", "0200": "0302"]) {
            $0.incremental = true
        }
        #expect(modes(world) == [.full, .full, .full])
        world.run(.flash)
        #expect(modes(world) == [.incremental, .incremental, .incremental])
        world.end(World.volume("0302"))
        #expect(modes(world) == [.incremental, .incremental, .full], "another subsystem")
        world.end(World.volume("0301"))
        world.run(.refreshStates)
        guard case .refused(let reasons) = world.decide(.flash) else {
            Issue.record("not refused")
            return
        }
        #expect(reasons.map(\.code) == [.notIncremental])
        #expect(reasons[0].subject == "H1 box1:0101")
        #expect(reasons[0].remedy.contains("incrementalScope pair"))
    }

    @Test(
        "by pair: each pair is refreshed if it can be, else copied in full, and the outcome says which"
    )
    func byPair() throws {
        var world = FlashWorld(["0100": "0300", "0101": "0301", "0102": "0302"]) {
            $0.incremental = true
            $0.incrementalScope = .pair
        }
        world.run(.flash)
        world.copy(to: "0300", remaining: 0)
        world["0300"].inbound?.attributes.tracksOutOfSync = 3
        world.end(World.volume("0301"))
        world["0302"].inbound?.attributes.incremental = false
        let flash = try #require(world.decide(.flash).plan?.flash)
        #expect(flash.pairs.map(\.mode) == [.incremental, .full, .full])
        #expect(flash.pairs.map(\.tracksToCopy) == [3, 16, 16])
    }

    @Test("the options hold from the next Flash on")
    func options() {
        var world = FlashWorld(["0100": "0300"])
        world.run(.flash)
        var changes = OptionChanges()
        changes.noCopy = true
        changes.inhibitTargetWrites = true
        changes.copyRateMiBps = 7
        world.run(.modifySession(description: nil, options: changes))
        #expect(world.session.isCopying)
        world.run(.flash)
        let inbound = world["0300"].inbound
        #expect(!world.session.isCopying && inbound?.backgroundCopy == false)
        #expect(inbound?.attributes.inhibitTargetWrites == true)
        #expect(inbound?.attributes.copyRateMiBps == 7)
    }

    // MARK: Refusals

    @Test("every reason against a Flash is given at once")
    func reasons() {
        var world = FlashWorld([
            "0100": "0300", "0101": "0301", "0102": "0302", "0103": "0303", "0104": "0304",
        ])
        world.volumes[World.volume("0300")] = nil
        world.add(World.volume("0900"))
        world.relate("0900", "0301")
        world.add(World.volume("0302"), capacity: 1 << 19)
        world["0103"].outbound = (0..<12).map { World.volume("0a\(10 + $0)") }
        world.relate("0304", "0104")
        #expect(
            world.codes(.flash) == [
                .unknownVolume, .targetHasSource, .targetSmaller, .tooManyTargets, .copyIncomplete,
            ])
        world.copy(to: "0104", remaining: 0)
    }

    @Test("a target that its own source is read through would be a cycle")
    func cycle() {
        var world = FlashWorld(["0100": "0300"])
        world.add(World.volume("0900"))
        world.relate("0300", "0900")
        world.relate("0900", "0100")
        #expect(world.codes(.flash) == [.cycle])
        world["0900"].inbound?.tracksRemaining = 0
        #expect(world.codes(.flash) == [], "what is copied is not read through any more")
    }

    @Test("a recovery's target stays a recovery's")
    func recovery() {
        var world = FlashWorld(["0100": "0300"])
        world.relate("0100", "0300") { $0.presents = .backup(World.tag(5)) }
        #expect(world.codes(.flash) == [.targetHasSource])
    }

    @Test(
        "targets that are sources elsewhere, and hosts that are targets elsewhere, can be flashed")
    func cascades() {
        var world = FlashWorld(["0100": "0300"])
        world.add(World.volume("0900"))
        world.add(World.volume("0901"))
        world.relate("0300", "0900")
        world.relate("0901", "0100")
        #expect(world.codes(.flash) == [])
        world["0300"].points = [
            PointReport(tag: World.tag(1), time: World.start, capacity: Capacity(bytes: 1 << 20))
        ]
        #expect(world.codes(.flash) == [], "a target may be the H1 of a Safeguarded Copy session")
    }

    // MARK: Revertible

    @Test(
        "refreshes of a revertible session wait for Commit or Revert, and everything else for them")
    func revertible() {
        var world = FlashWorld(["0100": "0300"]) {
            $0.incremental = true
            $0.revertible = true
        }
        world.run(.flash)
        #expect(world.codes(.commit) == [.notRevertible])
        let first = world.session.flash?.pairs[0].number
        let time = world.session.flash?.flashTime
        world.copy(to: "0300")
        world.run(.flash)
        #expect(world.session.flash?.pairs[0].isRevertible == true)
        #expect(CommandTable.availableCommands(world.session).contains(.revert))
        for command in [
            Command.flash, .reverseRestore(fast: true, allowCascade: false),
            .terminate(whenCopied: false),
            .removeCopySets([World.volume("0100")], keepOnStorage: false),
        ] {
            #expect(world.codes(command) == [.notCommitted], "\(command.name)")
        }
        var reverted = world
        reverted.run(.revert)
        #expect(reverted.session.flash?.pairs[0].number == first)
        #expect(reverted.session.flash?.flashTime == time)
        #expect(reverted.session.flash?.isConsistencyVerified == true)
        world.run(.commit)
        #expect(world.session.flash?.pairs[0].isRevertible == false)
        #expect(
            world.codes(.commit) == [.notRevertible] && world.codes(.revert) == [.notRevertible])
        #expect(world.codes(.flash) == [])
    }

    @Test("revertible without incremental is refused, and so are options of another type")
    func optionRules() {
        let world = FlashWorld(["0100": "0300"])
        var changes = OptionChanges()
        changes.revertible = true
        #expect(
            world.codes(.modifySession(description: nil, options: changes)) == [.optionOutOfRange])
        changes.incremental = true
        changes.retentionMinutes = 5
        guard
            case .refused(let reasons) = world.decide(
                .modifySession(description: nil, options: changes))
        else {
            Issue.record("not refused")
            return
        }
        #expect(reasons.map(\.code) == [.unknownOption])
        #expect(reasons[0].subject == "/parameters/options/retentionMinutes")
        #expect(
            World.decide(
                .createSession(type: .safeguardedCopy, description: "", options: changes), nil
            ).codes == [.unknownOption, .unknownOption])
    }

    // MARK: Ends

    @Test("a relationship that is not persistent ends when it is copied, and is not lost")
    func ends() {
        var world = FlashWorld(["0100": "0300"])
        world.run(.flash)
        let told = world.copy(to: "0300")
        #expect(
            told.contains { if case .copyProgress(let p) = $0 { p.percent == 100 } else { false } })
        #expect(world.session.flash?.pairs[0].stage == .ended)
        #expect(world.session.isRecoverable && world.session.status == .normal)
        world.run(.refreshStates)
        #expect(world.session.flash?.pairs[0].stage == .ended && !world.session.hasError)
        #expect(world.codes(.reverseRestore(fast: true, allowCascade: false)) == [.noRelationship])
        #expect(world.codes(.flash) == [])
        world.run(.terminate(whenCopied: false))
        #expect(world.session.state == .defined && world.session.flash?.pairs.isEmpty == true)
    }

    @Test("one that ended while nobody listened has ended; one that somebody withdrew is lost")
    func endedOrLost() {
        var world = FlashWorld(["0100": "0300", "0101": "0301"])
        world.run(.flash)
        let number = world.session.flash!.lastNumber
        world.end(World.volume("0300"), completed: number)
        world.end(World.volume("0301"))
        world.run(.refreshStates)
        #expect(world.session.flash?.pairs.map(\.stage) == [.ended, .related])
        #expect(world.session.flash?.pairs.map(\.pair.state) == [.targetAvailable, .lost])
        #expect(world.session.status == .severe && world.session.hasError)
        #expect(!world.session.isRecoverable)
        world.run(.flash)
        #expect(world.session.status == .normal && world.session.isRecoverable)
    }
}
