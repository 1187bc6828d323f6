import CommandSchema
import CopyModel
import CopyTestKit
import Testing

@Suite("A worker may die at any durable operation")
struct DeathTests {
    @Test(
        "every command has one effect and one outcome, and no event is missing, whenever it dies",
        arguments: [
            (Life.commands, "backup.created", 2), (Life.flashCommands, "session.deleted", 1),
        ])
    func everywhere(commands: [String], told type: String, times: Int) async throws {
        let counting = FaultPlan()
        let whole = Harness()
        for command in commands { whole.send(command) }
        try await whole.run(counting)
        var deaths = 0
        for fault in Fault.allCases {
            for operation in 1...counting.seen {
                let world = Harness()
                for command in commands { world.send(command) }
                let plan = FaultPlan(fault, at: operation)
                try? await world.run(plan)
                if plan.isDead { deaths += 1 }
                try await world.run()
                let place = "\(fault) at operation \(operation)"
                try check(world, commands.count, place)
                #expect(world.count(type) == times, "\(place)")
            }
        }
        print("death test: \(deaths) deaths at \(counting.seen) operations, before and after each")
        #expect(deaths >= counting.seen)
    }

    private func check(_ world: Harness, _ commands: Int, _ place: String) throws {
        try expectGapless(world)
        for number in 1...commands {
            let outcomes = try world.outcomes("\(number)")
            #expect(outcomes.count == 1, "command \(number), \(place)")
            #expect(outcomes.first?["outcome"]?.text == "completed", "command \(number), \(place)")
        }
    }
}
