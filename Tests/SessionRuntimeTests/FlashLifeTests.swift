import CommandSchema
import CopyModel
import CopyTestKit
import SessionStore
import Testing

@Suite("FlashCopy sessions of a worker")
struct FlashLifeTests {
    private let target = VolumeID("box1:0200")!

    private func send(
        _ world: Harness, _ id: String, _ command: String, _ parameters: String = "{}"
    ) {
        world.send(
            #"{"id":"\#(id)","command":"\#(command)","session":"nightly","parameters":\#(parameters)}"#
        )
    }

    private func flashed(_ options: String = "{}") async throws -> Harness {
        let world = Harness()
        send(world, "c", "CreateSession", #"{"type":"FlashCopy","options":\#(options)}"#)
        send(world, "a", "AddCopySets", #"{"copySets":[{"H1":"box1:0100","T1":"box1:0200"}]}"#)
        send(world, "f", "Flash")
        try await world.run()
        return world
    }

    private func document(_ world: Harness, _ id: String) async throws -> JSONNode {
        send(world, id, "DescribeSession")
        try await world.run()
        return try #require(try world.outcomes(id).first?["result"])
    }

    private func last(_ world: Harness, _ type: String) throws -> JSONNode? {
        try world.events()["nightly"]!.last { $0["type"]?.text == "stillpoint.\(type)" }?["data"]
    }

    @Test("an ordinary life is completed command by command, with gapless events")
    func ordinary() async throws {
        let world = Harness()
        for command in Life.flashCommands { world.send(command, replyTo: "answers") }
        try await world.run()
        let replies = try world.replies("answers")
        for reply in replies {
            #expect(reply["outcome"]?.text == "completed", "\(reply)")
        }
        #expect(replies.count == Life.flashCommands.count)
        try expectGapless(world)
    }

    @Test("Flash tells its instant, its pairs and, at the end of the copy, 100 per cent")
    func flash() async throws {
        let world = try await flashed()
        let result = try #require(try world.outcomes("f").first?["result"])
        let number = try #require(result["number"]?.text.flatMap { Int64($0) })
        #expect(result["flashTime"]?.text == Timestamp(milliseconds: number).shortDescription)
        #expect(number >= 1_795_226_400_000)
        #expect(result["pairs"]?[0]?["mode"]?.text == "full")
        #expect(result["pairs"]?[0]?["tracks"]?.integer == 16)
        #expect(try last(world, "session.changed")?["state"]?.text == "TargetAvailable")
        world.storage.copy(to: target, tracks: 6)
        world.storage.copy(to: target)
        try await world.run(until: { world.count("copy.progress") > 0 })
        #expect(try last(world, "copy.progress")?["percent"]?.integer == 100)
        let pair = try last(world, "pair.changed")
        #expect(pair?["relationshipEnded"]?.bool == true && pair?["recoverable"]?.bool == true)
        try expectGapless(world)
    }

    @Test("what a session is survives its worker: options, pairs, times and what it waits for")
    func restart() async throws {
        let world = try await flashed(#"{"incremental":true,"incrementalScope":"pair"}"#)
        let before = try await document(world, "d1")
        let after = try await document(world, "d2")
        #expect(before == after && before["pairs"]?[0]?["incremental"]?.bool == true)
        send(world, "t", "Terminate", #"{"whenCopied":true}"#)
        try await world.run()
        #expect(try world.outcomes("t").first?["result"]?["tracksRemaining"]?.integer == 16)
        #expect(try last(world, "session.changed")?["state"]?.text == "Terminating")
        world.storage.copy(to: target)
        try await world.run(until: { world.count("copy.progress") > 0 })
        #expect(try last(world, "session.changed")?["state"]?.text == "Defined")
        #expect(try last(world, "pair.changed")?["state"]?.text == "Withdrawn")
        try expectGapless(world)
    }

    @Test("a copy that ended while no worker ran has ended at the next start; a lost one is lost")
    func whileAway() async throws {
        let ended = try await flashed()
        ended.storage.finishBackgroundCopies()
        let document = try await document(ended, "d")
        #expect(document["pairs"]?[0]?["relationshipEnded"]?.bool == true, "\(document)")
        #expect(document["status"]?.text == "Normal")
        let lost = try await flashed()
        lost.storage.lose(relationshipInto: target)
        let other = try await self.document(lost, "d")
        #expect(other["pairs"]?[0]?["state"]?.text == "Lost" && other["status"]?.text == "Severe")
    }

    @Test("a reverse restore goes back and forth over the tracks that differ")
    func reverse() async throws {
        let world = try await flashed(#"{"incremental":true}"#)
        world.storage.copy(to: target)
        world.storage.write(to: VolumeID("box1:0100")!, tracks: 3..<5)
        send(world, "q", "QueryRelationships")
        send(world, "r", "ReverseRestore")
        try await world.run()
        let query = try world.outcomes("q").first?["result"]?["relationships"]?[0]
        #expect(query?["reverseRestore"]?["allowed"]?.bool == true)
        #expect(query?["relationship"]?["tracksOutOfSync"]?.integer == 2)
        let reversed = try await document(world, "d1")
        #expect(reversed["pairs"]?[0]?["reversed"]?.bool == true)
        #expect(reversed["pairs"]?[0]?["tracksRemaining"]?.integer == 2)
        world.storage.copy(to: VolumeID("box1:0100")!)
        send(world, "f2", "Flash")
        try await world.run()
        #expect(
            try world.outcomes("f2").first?["result"]?["pairs"]?[0]?["mode"]?.text == "incremental")
        let back = try await document(world, "d2")
        #expect(back["pairs"]?[0]?["reversed"]?.bool == false)
        #expect(back["pairs"]?[0]?["copySet"]?.text == "box1:0100")
    }

    @Test(
        "after a Revert the session says what the storage says: tracks to go, and no end before it")
    func revert() async throws {
        let world = try await flashed(#"{"incremental":true,"revertible":true}"#)
        world.storage.copy(to: target)
        try await world.run(until: { world.count("copy.progress") == 1 })
        world.storage.write(to: VolumeID("box1:0100")!, tracks: 3..<5)
        send(world, "f2", "Flash")
        try await world.run()
        world.storage.copy(to: target)
        try await world.run(until: { world.count("copy.progress") >= 2 })
        let told = world.count("copy.progress")
        send(world, "r", "Revert")
        try await world.run()
        let reverting = try await document(world, "d")
        #expect(reverting["pairs"]?[0]?["tracksRemaining"]?.integer == 2)
        #expect(reverting["copying"]?.bool == true)
        #expect(world.count("copy.progress") == told)
    }

    @Test("a session that waits for its copies ends once, whenever its worker dies")
    func deathsWhileWaiting() async throws {
        var deaths = 0
        for operation in 1...100 {
            var died = false
            for fault in Fault.allCases {
                let world = try await flashed(#"{"persistent":true}"#)
                send(world, "t", "Terminate", #"{"whenCopied":true}"#)
                try await world.run()
                world.storage.copy(to: target)
                let plan = FaultPlan(fault, at: operation)
                try? await world.run(plan, until: { world.count("copy.progress") > 0 })
                if plan.isDead { died = true }
                let place = "\(fault) at operation \(operation)"
                #expect(try await document(world, "d")["state"]?.text == "Defined", "\(place)")
                try expectGapless(world)
            }
            deaths += died ? 1 : 0
            if !died { break }
        }
        print("deaths while waiting: \(deaths) operations, before and after each")
        #expect((3..<100).contains(deaths))
    }

    @Test("relationships made over the storage commands are discovered")
    func discover() async throws {
        let world = Harness()
        send(world, "c", "CreateSession", #"{"type":"FlashCopy"}"#)
        send(world, "a", "AddCopySets", #"{"copySets":[{"H1":"box1:0100","T1":"box1:0200"}]}"#)
        world.send(
            #"{"id":"e","command":"EstablishRelationships","storage":"box1","parameters":{"relationships":[{"source":"0100","target":"0200","incremental":true}]}}"#
        )
        try await world.run()
        send(world, "d", "Discover")
        try await world.run()
        #expect(try world.outcomes("d").first?["result"]?["found"]?.integer == 1)
        let found = try await document(world, "s")
        #expect(found["state"]?.text == "TargetAvailable" && found["flashTime"]?.isNull == true)
        #expect(found["discovered"]?.bool == true)
        #expect(found["consistencyVerified"]?.bool == false)
    }

    @Test("a FlashCopy target may be the H1 of a Safeguarded Copy session")
    func sharing() async throws {
        let world = try await flashed(#"{"persistent":true}"#)
        world.storage.add(target, capacity: Capacity(bytes: 1 << 20), multiplier: 4)
        send(world, "f2", "Flash")
        world.send(
            #"{"id":"c2","command":"CreateSession","session":"vault","parameters":{"type":"SafeguardedCopy"}}"#
        )
        world.send(
            #"{"id":"a2","command":"AddCopySets","session":"vault","parameters":{"copySets":[{"H1":"box1:0200"}]}}"#
        )
        world.send(#"{"id":"b","command":"Backup","session":"vault"}"#)
        send(world, "f3", "Flash")
        try await world.run()
        for id in ["f2", "a2", "b", "f3"] {
            #expect(try world.outcomes(id).first?["outcome"]?.text == "completed", "\(id)")
        }
        world.storage.copy(to: target)
        try await world.run(until: { world.count("copy.progress") > 0 })
        try expectGapless(world)
    }
}
