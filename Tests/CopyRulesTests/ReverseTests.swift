import CopyModel
import CopyRules
import Testing

@Suite("Reverse Restore")
struct ReverseTests {
    private static let reverse = Command.reverseRestore(fast: false, allowCascade: false)
    private static let fast = Command.reverseRestore(fast: true, allowCascade: false)
    private static let cascade = Command.reverseRestore(fast: false, allowCascade: true)

    /// A session whose one pair may be reversed: incremental, copied in the background, complete.
    private func ready() -> FlashWorld {
        var world = FlashWorld(["0100": "0300"]) { $0.incremental = true }
        world.run(.flash)
        world.copy(to: "0300")
        return world
    }

    private func reasons(_ world: FlashWorld, _ command: Command = reverse) -> [Refusal] {
        guard case .refused(let reasons) = world.decide(command) else { return [] }
        return reasons
    }

    @Test("A reverse restore swaps source and target.")
    func swaps() {
        var world = ready()
        world["0300"].inbound?.attributes.tracksOutOfSync = 5
        #expect(world.codes(Self.reverse) == [])
        let told = world.run(Self.reverse)
        let pair = world.session.flash?.pairs[0]
        #expect(pair?.pair.source == World.volume("0300"))
        #expect(pair?.pair.target == World.volume("0100"))
        #expect(pair?.h1 == World.volume("0100") && pair?.isReversed == true)
        #expect(pair?.pair.tracksRemaining == 5, "only the tracks that differ are copied")
        #expect(told.pairs.map(\.copySet) == [World.volume("0100")])
        #expect(world.session.state == .targetAvailable && world.session.isCopying)
    }

    @Test("A reverse restore is refused where the relationship is not incremental.")
    func notIncremental() {
        var world = ready()
        world["0300"].inbound?.attributes.incremental = false
        #expect(reasons(world).map(\.code) == [.notIncremental])
        #expect(reasons(world)[0].remedy.contains("incremental"))
        var changes = OptionChanges()
        changes.incremental = true
        world.run(.modifySession(description: nil, options: changes))
        world.end(World.volume("0300"))
        world.run(.flash)
        world.copy(to: "0300")
        #expect(world.codes(Self.reverse) == [], "the remedy clears it")
    }

    @Test("A reverse restore is refused where the copy is not complete.")
    func incomplete() {
        var world = ready()
        world.run(.flash)
        world["0300"].inbound?.tracksRemaining = 3
        #expect(reasons(world).map(\.code) == [.copyIncomplete])
        #expect(reasons(world)[0].message.contains("3 tracks"))
        world.copy(to: "0300")
        #expect(world.codes(Self.reverse) == [], "waiting clears it")
    }

    @Test("A reverse restore is refused where the relationship is in no-copy mode.")
    func noCopy() {
        var world = FlashWorld(["0100": "0300"]) {
            $0.incremental = true
            $0.noCopy = true
        }
        world.run(.flash)
        #expect(reasons(world).map(\.code) == [.noCopyMode])
        #expect(reasons(world)[0].remedy.contains("InitiateBackgroundCopy"))
        world.run(.initiateBackgroundCopy)
        #expect(world.codes(Self.reverse) == [.copyIncomplete])
        world.copy(to: "0300")
        #expect(world.codes(Self.reverse) == [], "the remedy clears it")
    }

    @Test("A reverse restore is refused where a volume is in several relationships.")
    func several() {
        for (source, target) in [("0100", "0900"), ("0300", "0900"), ("0900", "0100")] {
            var world = ready()
            world.add(World.volume("0900"))
            world.relate(source, target)
            let found = reasons(world)
            #expect(found.map(\.code) == [.severalRelationships], "\(source) to \(target)")
            #expect(found.first?.message.contains("box1:0900") == true)
            world.end(World.volume(target))
            #expect(world.codes(Self.reverse) == [], "the remedy clears it")
        }
    }

    @Test("A reverse restore is refused where the source is larger than the target.")
    func larger() {
        var world = ready()
        world["0100"].capacity = Capacity(bytes: 1 << 21)
        #expect(reasons(world).map(\.code) == [.sourceLarger])
        #expect(reasons(world)[0].remedy == "ExpandVolumes 0300 on box1 to 2MiB.")
        world["0300"].capacity = Capacity(bytes: 1 << 21)
        #expect(world.codes(Self.reverse) == [], "the remedy clears it")
    }

    @Test("All refusals that apply are returned at once, with what clears each.")
    func all() {
        var world = FlashWorld(["0100": "0300", "0101": "0301"]) { $0.noCopy = true }
        world.run(.flash)
        world["0100"].capacity = Capacity(bytes: 1 << 21)
        world.add(World.volume("0900"))
        world.relate("0300", "0900")
        world["0301"].inbound?.backgroundCopy = true
        let found = reasons(world)
        #expect(
            found.map(\.code) == [
                .notIncremental, .noCopyMode, .severalRelationships, .sourceLarger,
                .notIncremental, .copyIncomplete,
            ])
        #expect(found.allSatisfy { !$0.remedy.isEmpty && !$0.subject.isEmpty })
    }

    @Test("Whether a reverse restore would be allowed can be asked beforehand.")
    func query() {
        var world = FlashWorld(["0100": "0300", "0101": "0301"]) { $0.incremental = true }
        world.run(.flash)
        world.copy(to: "0300")
        #expect(world.decide(.queryRelationships).plan?.result == .queried)
        let facts = Facts(now: world.now, storage: world.storage)
        let answers = CopyRules.relationships(of: world.session, facts: facts)
        #expect(answers.map { $0.reverseRestore.map(\.code) } == [[], [.copyIncomplete]])
        #expect(answers.map { $0.fastReverseRestore.map(\.code) } == [[], []])
        #expect(answers.map { $0.relationship?.attributes.incremental } == [true, true])
        world.end(World.volume("0301"))
        let after = CopyRules.relationships(
            of: world.session, facts: Facts(now: world.now, storage: world.storage))
        #expect(after[1].relationship == nil)
        #expect(after[1].reverseRestore.map(\.code) == [.noRelationship])
    }

    @Test("A fast reverse restore is done at once, without a wait for the background copy.")
    func fastWithoutWait() {
        var world = FlashWorld(["0100": "0300"])
        world.run(.flash)
        world.copy(to: "0300", remaining: 9)
        #expect(world.codes(Self.reverse) == [.notIncremental, .copyIncomplete])
        #expect(world.codes(Self.fast) == [])
        world.run(Self.fast)
        #expect(world.session.flash?.pairs[0].stage == .fastReverse)
        #expect(world.session.isCopying && world.session.isRecoverable)
    }

    @Test("A fast reverse restore is possible from copy or no-copy.")
    func fastFromNoCopy() {
        var world = FlashWorld(["0100": "0300"]) { $0.noCopy = true }
        world.run(.flash)
        #expect(world.codes(Self.fast) == [])
    }

    @Test("The backup's content is invalid after a fast reverse restore.")
    func fastInvalidates() {
        var world = FlashWorld(["0100": "0300"])
        world.run(.flash)
        world.run(Self.fast)
        for command in [Command.flash, Self.fast, .terminate(whenCopied: false)] {
            #expect(world.codes(command) == [.copyIncomplete], "\(command.name) has to wait")
        }
        let told = world.copy(to: "0100")
        let pair = world.session.flash?.pairs[0]
        #expect(pair?.pair.state == .invalid && pair?.isRecoverable == false)
        #expect(pair?.pair.source == World.volume("0100"))
        #expect(told.pairs.last?.recoverable == false)
        #expect(
            told.pairs.last?.pair.lastResult
                == "The target's content is invalid after the fast reverse restore.")
        #expect(!world.session.isRecoverable && world.session.status == .warning)
        #expect(!world.session.hasError)
        world.run(.flash)
        #expect(world.session.isRecoverable && world.session.status == .normal)
    }

    @Test("A fast reverse restore of a complete copy uses nothing up.")
    func fastOfCompleteCopy() {
        var world = ready()
        world.run(Self.fast)
        #expect(world.session.flash?.pairs[0].stage == .related)
        world.copy(to: "0100")
        #expect(world.session.flash?.pairs[0].pair.state == .targetAvailable)
    }

    @Test("A fast reverse restore that ended while nobody listened leaves the target invalid.")
    func fastEndedUnheard() {
        var world = FlashWorld(["0100": "0300"])
        world.run(.flash)
        world.run(Self.fast)
        world.end(World.volume("0100"), completed: world.session.flash!.lastNumber)
        world.end(World.volume("0300"))
        world.run(.refreshStates)
        #expect(world.session.flash?.pairs[0].pair.state == .invalid)
    }

    @Test("allowCascade lifts the refusal for volumes in several relationships.")
    func cascades() {
        var world = ready()
        for volume in ["0900", "0901"] { world.add(World.volume(volume)) }
        world.relate("0100", "0900")
        world.relate("0300", "0901")
        #expect(world.codes(Self.reverse) == [.severalRelationships, .severalRelationships])
        #expect(world.codes(Self.cascade) == [])
        #expect(world.codes(.reverseRestore(fast: true, allowCascade: true)) == [])
        world.run(Self.cascade)
        #expect(world.session.flash?.pairs[0].isReversed == true)
    }

    @Test("allowCascade lifts nothing where a volume would have two sources.")
    func twoSources() {
        var world = ready()
        world.add(World.volume("0900"))
        world.relate("0900", "0100")
        #expect(world.codes(Self.cascade) == [.severalRelationships])
    }

    @Test(
        "A Flash after a reverse restore reverses again, incrementally, once the restore is complete."
    )
    func flashAfterReverse() throws {
        var world = ready()
        world.run(Self.reverse)
        world["0100"].inbound?.tracksRemaining = 2
        #expect(world.codes(.flash) == [.copyIncomplete])
        #expect(world.codes(.terminate(whenCopied: false)) == [.copyIncomplete])
        world.copy(to: "0100")
        let plan = try #require(world.decide(.flash).plan)
        #expect(plan.flash?.pairs.map(\.mode) == [.incremental])
        world.run(.flash)
        #expect(world.session.flash?.pairs[0].isReversed == false)
        #expect(world["0300"].inbound?.source == World.volume("0100"))
        #expect(world["0100"].inbound == nil)
    }

    @Test("A Flash without incremental after a reverse restore withdraws it and copies in full.")
    func fullFlashAfterReverse() throws {
        var world = ready()
        world.run(Self.reverse)
        world.copy(to: "0100")
        var changes = OptionChanges()
        changes.incremental = false
        world.run(.modifySession(description: nil, options: changes))
        let plan = try #require(world.decide(.flash).plan)
        #expect(plan.steps.count == 2 && plan.flash?.pairs.map(\.mode) == [.full])
        world.run(.flash)
        #expect(world["0100"].inbound == nil)
        #expect(world["0300"].inbound?.source == World.volume("0100"))
    }
}
