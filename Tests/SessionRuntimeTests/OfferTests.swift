import CommandSchema
import CopyModel
import CopyTestKit
import Testing

/// A session brought to a state by commands, and what that state is called.
struct Situation: Sendable, CustomTestStringConvertible {
    var state: String
    var type: String
    var options = "{}"
    var copySet = ""
    var commands: [String] = []

    var testDescription: String { "\(type) \(state) \(options) \(copySet.count) \(commands)" }
}

@Suite("What a session's document offers is what its commands come to")
struct OfferTests {
    private static let t1 = #"{"H1":"box1:0100","T1":"box1:0200"}"#
    private static let r1 = #"{"H1":"box1:0100","R1":"box1:0200"}"#
    private static let flash = #""command":"Flash""#
    private static let revertible = #"{"incremental":true,"revertible":true}"#

    private static let situations = [
        Situation(state: "Defined", type: "FlashCopy"),
        Situation(state: "Defined", type: "FlashCopy", copySet: t1),
        Situation(state: "TargetAvailable", type: "FlashCopy", copySet: t1, commands: [flash]),
        Situation(
            state: "TargetAvailable", type: "FlashCopy", options: #"{"noCopy":true}"#, copySet: t1,
            commands: [flash]),
        Situation(
            state: "TargetAvailable", type: "FlashCopy", options: revertible, copySet: t1,
            commands: [flash, flash]),
        Situation(
            state: "Terminating", type: "FlashCopy", copySet: t1,
            commands: [flash, #""command":"Terminate","parameters":{"whenCopied":true}"#]),
        Situation(state: "Defined", type: "SafeguardedCopy"),
        Situation(state: "Defined", type: "SafeguardedCopy", copySet: r1),
        Situation(
            state: "Protected", type: "SafeguardedCopy", copySet: r1,
            commands: [#""command":"Backup""#]),
    ]

    /// Every command to sessions but CreateSession, each with parameters that can be read.
    private static let asked = CommandName.allCases.filter {
        !$0.isForStorage && $0 != .createSession
    }

    private static func parameters(_ command: CommandName) -> String {
        switch command {
        case .addCopySets: #"{"copySets":[{"H1":"box1:0110"}]}"#
        case .removeCopySets: #"{"copySets":["box1:0100"]}"#
        case .recover, .expireBackup: #"{"backupId":"17"}"#
        case .createSession, .modifySession, .deleteSession, .describeSession, .refreshStates,
            .terminate, .backup, .initiateBackgroundCopy, .terminateH1R1, .flash, .discover,
            .reverseRestore, .queryRelationships, .commit, .revert, .createVolumes, .deleteVolumes,
            .expandVolumes, .setSafeguardedCapacity, .describeStorage, .establishRelationships,
            .withdrawRelationships, .listRelationships:
            "{}"
        }
    }

    @Test("command by command, in every state", arguments: situations)
    func offers(_ situation: Situation) async throws {
        let world = Harness()
        func send(_ id: String, _ rest: String) {
            world.send(#"{"id":"\#(id)","session":"s",\#(rest)}"#)
        }
        send(
            "c",
            #""command":"CreateSession","parameters":{"type":"\#(situation.type)","options":\#(situation.options)}"#
        )
        if !situation.copySet.isEmpty {
            send("a", #""command":"AddCopySets","parameters":{"copySets":[\#(situation.copySet)]}"#)
        }
        for (index, command) in situation.commands.enumerated() { send("p\(index)", command) }
        send("d", #""command":"DescribeSession""#)
        for command in Self.asked {
            send(
                command.rawValue,
                #""dryRun":true,"command":"\#(command.rawValue)","parameters":\#(Self.parameters(command))"#
            )
        }
        try await world.run()
        let document = try #require(try world.outcomes("d").first?["result"])
        #expect(document["state"]?.text == situation.state)
        let available = (document["availableCommands"]?.items ?? []).compactMap(\.text)
        #expect(!available.isEmpty)
        for command in Self.asked {
            let outcome = try #require(try world.outcomes(command.rawValue).first)
            let refusals = outcome["refusals"]?.items ?? []
            let isOutOfPlace = refusals.contains { $0["code"]?.text == "not-in-this-state" }
            if available.contains(command.rawValue) {
                #expect(!isOutOfPlace, "\(command) is offered: \(outcome)")
            } else if isOutOfPlace {
                #expect(refusals.count == 1)
                let list = available.joined(separator: ", ")
                #expect(refusals.first?["remedy"]?.text == "One of: \(list).", "\(command)")
            } else {
                #expect(
                    outcome["outcome"]?.text == "refused", "\(command) is not offered: \(outcome)")
            }
        }
    }
}
