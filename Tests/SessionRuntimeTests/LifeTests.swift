import CommandSchema
import CopyModel
import CopyTestKit
import SessionStore
import Testing

@Suite("A worker runs commands once, in order, and tells every change")
struct LifeTests {
    @Test("an ordinary life is completed command by command, with gapless events")
    func ordinary() async throws {
        let world = Harness()
        for command in Life.commands { world.send(command, replyTo: "answers") }
        try await world.run()
        let replies = try world.replies("answers")
        #expect(replies.map { $0["outcome"]?.text } == Life.commands.map { _ in "completed" })
        try expectGapless(world)
        let types = try world.events()["payroll"]!.compactMap { $0["type"]?.text }
        #expect(types.first == "stillpoint.session.created")
        #expect(types.filter { $0 == "stillpoint.backup.recoverable" }.count == 2)
        #expect(types.filter { $0 == "stillpoint.backup.expired" }.count == 2)
        #expect(types.contains("stillpoint.session.deleted"))
        let ids = world.broker.published.compactMap(\.properties.messageID)
        #expect(ids.count == Set(ids).count, "a healthy worker tells everything once")
    }

    @Test("a repeat is answered with the stored outcome, marked as a duplicate, without an effect")
    func repeats() async throws {
        let world = Harness()
        for command in Life.commands.prefix(3) { world.send(command) }
        for _ in 0..<3 { world.send(Life.commands[2], replyTo: "answers") }
        try await world.run()
        let replies = try world.replies("answers")
        #expect(replies.count == 3)
        #expect(
            replies.allSatisfy {
                $0["duplicate"]?.bool == true && $0["outcome"]?.text == "completed"
            })
        #expect(replies.allSatisfy { $0["result"]?["backupId"]?.text == "1795226400" })
        #expect(try world.outcomes("3").count == 1)
        let taken = world.storage.effects.filter {
            if case .takePoints = $0 { true } else { false }
        }
        #expect(taken.count == 1)
    }

    @Test("an id used for another request is refused with command-id-reused")
    func reuse() async throws {
        let world = Harness()
        world.send(Life.commands[0])
        world.send(
            #"{"id":"1","command":"DeleteSession","session":"payroll"}"#, replyTo: "answers")
        try await world.run()
        let reply = try #require(try world.replies("answers").first)
        #expect(reply["refusals"]?[0]?["code"]?.text == "command-id-reused")
        #expect(
            try world.events()["payroll"]!.contains {
                $0["type"]?.text == "stillpoint.session.deleted"
            } == false)
    }

    @Test("a dry run says what would be done and does nothing")
    func dryRun() async throws {
        let world = Harness()
        for command in Life.commands.prefix(2) { world.send(command) }
        world.send(
            #"{"id":"d","command":"Backup","session":"payroll","dryRun":true}"#, replyTo: "answers")
        try await world.run()
        #expect(try world.replies("answers").first?["outcome"]?.text == "completed")
        #expect(world.storage.effects.isEmpty)
    }

    @Test("a message that names no session is answered, told under _, and dead-lettered untouched")
    func deadLetter() async throws {
        let world = Harness()
        world.send("{not json", replyTo: "answers")
        try await world.run()
        #expect(world.broker.deadLetters.map(\.body) == [Array("{not json".utf8)])
        #expect(try world.replies("answers").first?["outcome"]?.text == "refused")
        let event = try #require(try world.events()["_"]?.first)
        #expect(event["type"]?.text == "stillpoint.command.refused")
        #expect(world.broker.published.contains { $0.routingKey == "_.command.refused" })
    }

    @Test(
        "points that roll off make the backup unrecoverable, and with the option it expires for all"
    )
    func rollOff() async throws {
        let world = Harness()
        world.storage.add(VolumeID("box1:0101")!, capacity: Capacity(bytes: 1 << 20), multiplier: 4)
        world.send(Life.commands[0])
        world.send(
            #"{"id":"2","command":"AddCopySets","session":"payroll","parameters":{"copySets":[{"H1":"box1:0100"},{"H1":"box1:0101"}]}}"#
        )
        world.send(Life.commands[2])
        try await world.run()
        world.storage.lose(PointTag("payroll/1795226400")!, on: VolumeID("box1:0100")!)
        world.send(#"{"id":"x","command":"DescribeSession","session":"payroll"}"#)
        try await world.run()
        func told(_ type: String) throws -> Int {
            try world.events()["payroll"]!.count { $0["type"]?.text == "stillpoint.backup.\(type)" }
        }
        #expect(try told("unrecoverable") == 1)
        #expect(try told("expired") == 0)
        world.send(
            #"{"id":"y","command":"ModifySession","session":"payroll","parameters":{"options":{"expireBackupOnAutoRoll":true}}}"#
        )
        try await world.run()
        #expect(try told("expired") == 1)
        let expired = try world.events()["payroll"]!.last {
            $0["type"]?.text == "stillpoint.backup.expired"
        }
        #expect(expired?["commandid"]?.text == "y", "what a command made due is told as its doing")
        try expectGapless(world)
    }

    @Test("damage makes its backup unrecoverable, told once, until it is mended; the others stay")
    func damage() async throws {
        let world = Harness()
        for command in Life.commands.prefix(4) { world.send(command) }
        try await world.run()
        let volume = VolumeID("box1:0100")!
        let tag = PointTag("payroll/1795226400")!
        let place = "track 3, block 5 in saves/0100/00000001"
        world.storage.report(.pointsDamaged(volume: volume, tags: [tag], place: place))
        try await world.run(until: { world.count("backup.unrecoverable") > 0 })
        let lost = try #require(
            try world.events()["payroll"]!.first {
                $0["type"]?.text == "stillpoint.backup.unrecoverable"
            })
        #expect(lost["data"]?["backupId"]?.text == "1795226400")
        #expect(lost["data"]?["reason"]?.text == "Damaged on box1:0100: \(place).")
        world.storage.damage(tag, on: volume, place: place)
        for (id, backup) in [("x", "1795226400"), ("y", "1795226401")] {
            world.send(
                #"{"id":"\#(id)","command":"Recover","session":"payroll","parameters":{"backupId":"\#(backup)"}}"#
            )
        }
        world.storage.report(.pointsDamaged(volume: volume, tags: [tag], place: place))
        try await world.run()
        let refused = try #require(try world.outcomes("x").first)
        #expect(refused["refusals"]?[0]?["code"]?.text == "backup-not-recoverable")
        #expect(refused["refusals"]?[0]?["message"]?.text?.contains(place) == true)
        #expect(try world.outcomes("y").first?["outcome"]?.text == "completed")
        #expect(world.count("backup.unrecoverable") == 1 && world.count("backup.expired") == 0)
        let recoverable = world.count("backup.recoverable")
        world.storage.damage(tag, on: volume, place: nil)
        world.send(#"{"id":"z","command":"RefreshStates","session":"payroll"}"#)
        try await world.run()
        #expect(world.count("backup.recoverable") == recoverable + 1)
        try expectGapless(world)
    }

    @Test("damage that was found while no worker ran is told at the start")
    func damageAtStart() async throws {
        let world = Harness()
        for command in Life.commands.prefix(3) { world.send(command) }
        try await world.run()
        world.storage.damage(
            PointTag("payroll/1795226400")!, on: VolumeID("box1:0100")!, place: "track 1, block 2")
        world.send(#"{"id":"x","command":"DescribeSession","session":"payroll"}"#)
        try await world.run()
        #expect(world.count("backup.unrecoverable") == 1)
        let summary = try world.events()["payroll"]!.last {
            $0["type"]?.text == "stillpoint.session.changed"
        }
        #expect(summary?["data"]?["status"]?.text == "Severe")
        let result = try world.outcomes("x").first?["result"]
        #expect(result?["backups"]?[0]?["recoverable"]?.bool == false)
    }

    @Test("a volume that a session has and the storage has not cannot be made anew")
    func burying() async throws {
        let world = Harness()
        for command in Life.commands.prefix(3) { world.send(command) }
        try await world.run()
        world.storage.remove(VolumeID("box1:0100")!)
        world.send(#"{"id":"b","command":"Backup","session":"payroll"}"#)
        world.send(
            #"{"id":"v","command":"CreateVolumes","storage":"box1","parameters":{"volumes":[{"id":"0100","capacity":"1MiB"}]}}"#,
            replyTo: "answers")
        try await world.run()
        #expect(
            try world.replies("answers").first?["refusals"]?[0]?["code"]?.text == "volume-in-use")
        let refused = try #require(try world.outcomes("b").first)
        #expect(refused["refusals"]?[0]?["remedy"]?.text?.contains("Mount") == true)
        let last = try world.events()["payroll"]!.last {
            $0["type"]?.text == "stillpoint.session.changed"
        }
        #expect(last?["data"]?["status"]?.text == "Unknown")
    }

    @Test("adding a copy set and deleting its volume cannot both succeed")
    func addAgainstDelete() async throws {
        let world = Harness()
        world.send(Life.commands[0])
        world.send(Life.commands[1])
        world.send(
            #"{"id":"v","command":"DeleteVolumes","storage":"box1","parameters":{"volumes":["0100"]}}"#
        )
        try await world.run()
        let added = try world.outcomes("2").first?["outcome"]?.text == "completed"
        let deleted = try world.outcomes("v").first?["outcome"]?.text == "completed"
        #expect(added != deleted)
    }
}

/// Every subject's sequence runs from 1 without gaps, in the order of first arrival.
func expectGapless(_ world: Harness) throws {
    for (subject, events) in try world.events() {
        let numbers = events.compactMap { $0["sequence"]?.text.flatMap(UInt64.init) }
        #expect(numbers == Array(1...UInt64(events.count)), "subject \(subject)")
    }
}
