import CopyModel
import CopyRules
import Testing

@Suite("FlashCopy sessions and what becomes of their pairs")
struct FlashLifeTests {
    private static let end = Command.terminate(whenCopied: false)
    private static let endWhenCopied = Command.terminate(whenCopied: true)

    // MARK: Terminate

    @Test(
        "Terminate with tracks uncopied leaves the target inconsistent, and the pair's event says so"
    )
    func terminateIncomplete() {
        var world = FlashWorld(["0100": "0300", "0101": "0301"])
        world.run(.flash)
        world["0300"].inbound?.tracksRemaining = 7
        world.copy(to: "0301")
        let told = world.run(Self.end)
        #expect(world.session.state == .defined && world.session.status == .inactive)
        #expect(world["0300"].inbound == nil)
        let last = told.pairs.filter { $0.pair.state == .withdrawn }
        #expect(last.map(\.recoverable) == [false, true])
        #expect(
            last.first?.pair.lastResult
                == "Withdrawn with 7 tracks not copied: the target is inconsistent.")
        #expect(last.last?.pair.lastResult == nil)
    }

    @Test("Terminate with whenCopied waits for the background copy, then ends the session")
    func whenCopied() {
        var world = FlashWorld(["0100": "0300", "0101": "0301"]) { $0.persistent = true }
        world.run(.flash)
        guard case .withdrawnWhenCopied(2, 32)? = world.decide(Self.endWhenCopied).plan?.result
        else {
            Issue.record("\(world.decide(Self.endWhenCopied))")
            return
        }
        world.run(Self.endWhenCopied)
        #expect(world.session.state == .terminating && world["0300"].inbound != nil)
        #expect(world.codes(.flash) == [.notInThisState])
        world.copy(to: "0300")
        #expect(CopyRules.owed(by: world.session).isEmpty)
        world.copy(to: "0301")
        let told = world.payOwed()
        #expect(world.session.state == .defined && world["0300"].inbound == nil)
        #expect(told.pairs.map(\.recoverable) == [true, true])
        #expect(told.pairs.allSatisfy { $0.pair.state == .withdrawn && $0.pair.lastResult == nil })
    }

    @Test("Terminate with whenCopied of pairs that nothing copies is refused with no-copy-mode")
    func neverCopied() {
        var world = FlashWorld(["0100": "0300"]) { $0.noCopy = true }
        world.run(.flash)
        #expect(world.codes(Self.endWhenCopied) == [.noCopyMode])
        world.run(.initiateBackgroundCopy)
        #expect(world.codes(Self.endWhenCopied) == [])
        #expect(world.codes(Self.end) == [])
    }

    @Test("a session that waits for its copies can be ended at once")
    func impatience() {
        var world = FlashWorld(["0100": "0300"])
        world.run(.flash)
        world.run(Self.endWhenCopied)
        world.run(Self.end)
        #expect(world.session.state == .defined)
    }

    @Test("a session that waits for its copies gives up pairs that are lost")
    func lostWhileWaiting() {
        var world = FlashWorld(["0100": "0300"])
        world.run(.flash)
        world.run(Self.endWhenCopied)
        world.end(World.volume("0300"))
        world.run(.refreshStates)
        world.payOwed()
        #expect(world.session.state == .defined)
    }

    @Test("a SafeguardedCopy session is not ended by whenCopied")
    func otherType() {
        let session = World.session(sets: [World.set("0100", "0200")], backups: [5])
        let codes = World.decide(Self.endWhenCopied, session).codes
        #expect(codes == [.sessionTypeMismatch])
    }

    @Test("a session that was cut off between its last withdrawal and its end owes the end")
    func cutOff() {
        var world = FlashWorld(["0100": "0300"])
        world.run(.flash)
        world.run(Self.endWhenCopied)
        world.apply(.flash(.withdrawn([World.volume("0100")])))
        #expect(world.session.state == .terminating)
        world.payOwed()
        #expect(world.session.state == .defined)
    }

    @Test("while a session waits for its copies, one that stopped can be started again")
    func restartWhileWaiting() {
        var world = FlashWorld(["0100": "0300"])
        world.run(.flash)
        world.run(Self.endWhenCopied)
        world.apply(.copyFailed(target: World.volume("0300"), reason: "no space"))
        #expect(CommandTable.availableCommands(world.session).contains(.initiateBackgroundCopy))
        world.run(.initiateBackgroundCopy)
        #expect(!world.session.hasError && world.session.state == .terminating)
    }

    @Test("Terminate leaves alone what others have flashed on the same pair since")
    func othersFlash() {
        var world = FlashWorld(["0100": "0300"]) { $0.persistent = true }
        world.run(.flash)
        world["0300"].inbound?.attributes.number += 5
        world.run(Self.end)
        #expect(world["0300"].inbound != nil && world.session.state == .defined)
    }

    @Test("a reverse restore that has stopped for good does not keep a session from its end")
    func stoppedRestore() {
        var world = FlashWorld(["0100": "0300"]) { $0.incremental = true }
        world.run(.flash)
        world.copy(to: "0300")
        world.run(.reverseRestore(fast: false, allowCascade: false))
        world["0100"].inbound?.tracksRemaining = 4
        world.copy(to: "0100", remaining: 4)
        #expect(world.codes(Self.end) == [.copyIncomplete])
        world.apply(.copyFailed(target: World.volume("0100"), reason: "no space"))
        #expect(world.codes(Self.end) == [])
    }

    @Test("a target that was copied and given to another relationship since is lost")
    func takenTarget() {
        var world = FlashWorld(["0100": "0300"])
        world.run(.flash)
        world.copy(to: "0300")
        world.add(World.volume("0900"))
        world.relate("0900", "0300", number: 1)
        world["0300"].completed = nil
        world.run(.refreshStates)
        #expect(world.session.flash?.pairs[0].pair.state == .lost)
        #expect(world.session.status == .severe)
    }

    @Test(
        "what the session does not know of a relationship, a Flash or a reverse restore takes over")
    func unknownRelationship() {
        var options = FlashOptions()
        options.incremental = true
        options.revertible = true
        var world = FlashWorld(["0100": "0300", "0101": "0301"]) { $0 = options }
        world.relate("0100", "0300", number: 3, remaining: 0) {
            $0.attributes.incremental = true
            $0.attributes.tracksOutOfSync = 2
        }
        world.relate("0101", "0301", number: 3, remaining: 0) {
            $0.attributes.incremental = true
            $0.attributes.tracksOutOfSync = 0
        }
        var reversed = world
        world.run(.flash)
        #expect(world.session.flash?.pairs.map(\.isRevertible) == [true, true])
        #expect(world.session.flash?.pairs.map(\.former?.number) == [3, 3])
        reversed.run(.discover)
        reversed.run(.removeCopySets([World.volume("0100")], keepOnStorage: true))
        reversed.run(
            .addCopySets([CopySet(h1: World.volume("0100"), t1: World.volume("0300"))]))
        #expect(reversed.session.flash?.pairs.count == 1)
        reversed.run(.reverseRestore(fast: false, allowCascade: false))
        #expect(reversed.session.flash?.pairs.map(\.isReversed) == [true, true])
        #expect(reversed.session.flash?.isConsistencyVerified == true)
    }

    // MARK: Background copies

    @Test("InitiateBackgroundCopy copies what nothing copies yet, once")
    func backgroundCopy() {
        var world = FlashWorld(["0100": "0300", "0101": "0301"]) { $0.noCopy = true }
        world.run(.flash)
        #expect(!world.session.isCopying && world.session.isRecoverable)
        world.run(.initiateBackgroundCopy)
        #expect(world.session.isCopying)
        #expect(world.codes(.initiateBackgroundCopy) == [.alreadyCopying])
        world.apply(.copyFailed(target: World.volume("0300"), reason: "no space"))
        #expect(world.session.hasError && world.codes(.initiateBackgroundCopy) == [])
        world.run(.initiateBackgroundCopy)
        #expect(!world.session.hasError)
        world.copy(to: "0300")
        world.copy(to: "0301")
        #expect(world.codes(.initiateBackgroundCopy) == [.noRelationship])
    }

    // MARK: Copy sets

    @Test("copy sets are added to an active session and get a relationship with the next Flash")
    func adding() {
        var world = FlashWorld(["0100": "0300"])
        world.run(.flash)
        world.add(World.volume("0101"))
        world.add(World.volume("0301"))
        world.run(
            .addCopySets([CopySet(h1: World.volume("0101"), t1: World.volume("0301"))]))
        #expect(world.session.flash?.pairs.count == 1)
        #expect(world.codes(.reverseRestore(fast: true, allowCascade: false)) == [.noRelationship])
        world.run(.flash)
        #expect(world.session.flash?.pairs.count == 2)
        #expect(world.session.flash?.isConsistencyVerified == true)
    }

    @Test("roles are those of the type, and a wrong one is named by its place in the message")
    func roles() throws {
        let world = FlashWorld(["0100": "0300"])
        let sets = [
            CopySet(h1: World.volume("0101"), r1: World.volume("0201")),
            CopySet(h1: World.volume("0102"), t1: VolumeID("box2:0302")),
        ]
        guard case .refused(let reasons) = world.decide(.addCopySets(sets)) else {
            Issue.record("not refused")
            return
        }
        #expect(
            reasons.map(\.code) == [
                .sessionTypeMismatch, .sessionTypeMismatch, .unknownVolume, .unknownVolume,
                .unknownStorage, .storageMismatch,
            ])
        #expect(
            reasons.prefix(2).map(\.subject) == [
                "/parameters/copySets/0/R1", "/parameters/copySets/0/T1",
            ])
        let other = World.decide(
            .addCopySets([CopySet(h1: World.volume("0100"), t1: World.volume("0300"))]),
            World.session(), world.storage)
        #expect(other.codes == [.sessionTypeMismatch])
    }

    @Test("removing a copy set from an active session withdraws its relationship")
    func removing() {
        var world = FlashWorld(["0100": "0300", "0101": "0301"])
        world.run(.flash)
        let told = world.run(.removeCopySets([World.volume("0100")], keepOnStorage: false))
        #expect(world["0300"].inbound == nil && world["0301"].inbound != nil)
        #expect(told.pairs.map(\.pair.state) == [.withdrawn])
        #expect(told.pairs.first?.pair.lastResult?.contains("inconsistent") == true)
        #expect(world.session.state == .targetAvailable)
        world.run(.removeCopySets([World.volume("0101")], keepOnStorage: true))
        #expect(world["0301"].inbound != nil && world.session.state == .defined)
    }

    // MARK: What vanishes

    @Test("a volume that vanishes is unknown, and all of it is there again when it is")
    func vanishing() {
        var world = FlashWorld(["0100": "0300"])
        world.run(.flash)
        let before = world.session
        let volume = world["0300"]
        world.volumes[World.volume("0300")] = nil
        world.run(.refreshStates)
        #expect(world.session.status == .unknown && world.session.flash == before.flash)
        #expect(world.codes(.flash) == [.unknownVolume])
        #expect(world.codes(Self.end) == [.unknownVolume])
        world["0300"] = volume
        world.run(.refreshStates)
        #expect(world.session == before)
    }

    @Test("a relationship that was made anew outside is told, and no longer fits the others")
    func remade() {
        var world = FlashWorld(["0100": "0300", "0101": "0301"])
        world.run(.flash)
        world.end(World.volume("0300"))
        world.relate("0100", "0300", number: 1)
        guard case .refreshed(let changes)? = world.decide(.refreshStates).plan?.result else {
            Issue.record("not refreshed")
            return
        }
        #expect(
            changes == [
                "The relationship of box1:0100 to box1:0300 was changed outside the session."
            ])
        world.run(.refreshStates)
        #expect(world.session.flash?.isConsistencyVerified == false)
        world.run(Self.end)
        #expect(world["0300"].inbound == nil, "what the session knows of, it withdraws")
    }

    @Test("a session that agrees with the storage has nothing to repair")
    func agreement() {
        var world = FlashWorld(["0100": "0300"]) { $0.incremental = true }
        world.run(.flash)
        world.copy(to: "0300", remaining: 4)
        let facts = Facts(now: world.now, storage: world.storage)
        #expect(CopyRules.repairs(of: world.session, facts: facts).isEmpty)
    }

    // MARK: Storage commands

    private func storage(_ command: Command, _ world: FlashWorld) -> Decision {
        CopyRules.decideStorage(
            CommandEnvelope(
                id: CommandID("test")!, subject: World.box, command: command, notAfter: nil,
                dryRun: false, canonical: []),
            inventory: Array(world.volumes.values), facts: Facts(now: world.now))
    }

    private func pair(_ source: String, _ target: String) -> LocalPair {
        LocalPair(source: LocalVolumeID(source)!, target: LocalVolumeID(target)!)
    }

    @Test("EstablishRelationships is refused for every reason at once")
    func establish() {
        var world = FlashWorld(["0100": "0300", "0101": "0301"])
        world.relate("0100", "0300")
        world.add(World.volume("0900"), capacity: 1 << 19)
        func decide(_ pairs: [LocalPair]) -> Decision {
            storage(
                .establishRelationships(
                    pairs.map { RelationshipSpecification(pair: $0, terms: RelationshipTerms()) }),
                world)
        }
        #expect(decide([pair("0101", "0301")]).plan != nil)
        #expect(
            decide([
                pair("0100", "0300"), pair("0101", "0900"), pair("0777", "0301"),
                pair("0300", "0100"),
            ]).codes == [.relationshipExists, .cycle, .targetSmaller, .unknownVolume, .cycle])
        #expect(decide([pair("0101", "0300")]).codes == [.targetHasSource])
        #expect(decide([pair("0101", "0101")]).codes == [.cycle])
    }

    @Test("WithdrawRelationships ends what is there, but for what others have under way")
    func withdraw() {
        var world = FlashWorld(["0100": "0300", "0101": "0301", "0102": "0302"])
        world.relate("0100", "0300")
        world.relate("0101", "0301") { $0.presents = .backup(World.tag(5)) }
        #expect(storage(.withdrawRelationships([pair("0100", "0300")]), world).plan != nil)
        #expect(
            storage(
                .withdrawRelationships([
                    pair("0101", "0301"), pair("0102", "0302"), pair("0100", "0999"),
                ]), world
            ).codes == [.volumeInUse, .noRelationship, .unknownVolume])
    }
}
