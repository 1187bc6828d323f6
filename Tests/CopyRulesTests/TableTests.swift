import CopyModel
import CopyRules
import Testing

@Suite("The command × state tables")
struct TableTests {
    private static let sample = BackupID(seconds: 1)

    /// Every command to sessions but CreateSession, each with parameters that could do.
    private static let commands: [Command] = [
        .modifySession(description: "new", options: OptionChanges()), .deleteSession,
        .addCopySets([]), .removeCopySets([], keepOnStorage: false),
        .describeSession(parts: Set(DocumentPart.allCases)), .refreshStates,
        .terminate(whenCopied: false), .backup, .recover(sample, backgroundCopy: false),
        .initiateBackgroundCopy, .expireBackup(sample), .terminateH1R1, .flash, .discover,
        .reverseRestore(fast: false, allowCascade: false), .queryRelationships, .commit, .revert,
    ]

    /// Sessions of a type in every state, with and without what the letters of the tables ask for.
    private static func sessions(_ type: SessionType) -> [Session] {
        let variants: [Session]
        switch type {
        case .safeguardedCopy:
            let backed = World.session(sets: [World.set("0100", "0200")], backups: [1])
            variants = [
                World.session(), World.session(sets: [World.set("0100", "0200")]), backed,
                backed.recovering(sample), backed.recovering(sample, copy: true),
            ]
        case .flashCopy:
            let one = FlashWorld.session(["0100": "0300"])
            let copying = one.flashed()
            var noCopy = copying
            noCopy.flash?.pairs[0].terms.backgroundCopy = false
            var revertible = copying
            revertible.flash?.pairs[0].isRevertible = true
            variants = [FlashWorld.session([:]), one, copying, noCopy, revertible]
        }
        return variants.flatMap { variant in
            SessionState.allCases.map { state in
                var session = variant
                session.state = state
                return session
            }
        }
    }

    @Test(
        "every command in every state does what its table says, or is refused with what is available",
        arguments: SessionType.allCases)
    func walk(type: SessionType) throws {
        let table = CommandTable.of(type)
        #expect(
            Set(Self.commands.map(\.name))
                == Set(CommandName.allCases.filter { !$0.isForStorage && $0 != .createSession }))
        var walked = 0
        for session in Self.sessions(type) {
            let available = CommandTable.availableCommands(session)
            for command in Self.commands {
                walked += 1
                let place = "\(command.name) of \(type) in \(session.state)"
                let decision = World.decide(command, session)
                guard table.isOffered(command.name, in: session.state) else {
                    #expect(!available.contains(command.name), "\(place)")
                    guard case .refused(let reasons) = decision else {
                        Issue.record("\(place) was not refused")
                        continue
                    }
                    #expect(reasons.map(\.code) == [.notInThisState], "\(place)")
                    let names = available.map(\.rawValue).joined(separator: ", ")
                    #expect(reasons.first?.remedy == "One of: \(names).", "\(place)")
                    continue
                }
                #expect(!decision.codes.contains(.notInThisState), "\(place)")
                if !available.contains(command.name) {
                    // Offered by the state, and something else is missing: the command's own rules say what.
                    let offer = table.offer(command.name, in: session.state)
                    #expect(offer != .always && offer != .never, "\(place)")
                    #expect(
                        decision.plan == nil || offer == .withCopySets, "\(place): \(decision)")
                }
            }
        }
        print("table walk: \(walked) commands to \(type.rawValue) sessions in every state")
    }

    @Test("every table has a row for each command of its type and each offer in its legend")
    func rows() {
        let others: [SessionType: Set<CommandName>] = [
            .safeguardedCopy: [
                .flash, .discover, .reverseRestore, .queryRelationships, .commit, .revert,
            ],
            .flashCopy: [.backup, .recover, .expireBackup, .terminateH1R1],
        ]
        for type in SessionType.allCases {
            let table = CommandTable.of(type)
            let due = Set(CommandName.allCases.filter { !$0.isForStorage })
                .subtracting([.createSession]).subtracting(others[type] ?? [])
            #expect(Set(table.commands) == due && table.commands.count == due.count)
            #expect(table.states.count == 3)
            for command in due { #expect(!table.states(offering: command).isEmpty, "\(command)") }
        }
        var offers: Set<CommandTable.Offer> = []
        for type in SessionType.allCases {
            let table = CommandTable.of(type)
            for command in table.commands {
                offers.formUnion(table.states.map { table.offer(command, in: $0) })
            }
        }
        #expect(offers == Set(CommandTable.Offer.allCases))
    }

    @Test("what a session offers follows from its state, its copy sets and what it has in place")
    func available() {
        let empty = World.session()
        #expect(
            CommandTable.availableCommands(empty) == [
                .addCopySets, .modifySession, .describeSession, .refreshStates, .deleteSession,
            ])
        let backed = World.session(sets: [World.set("0100", "0200")], backups: [1])
        #expect(CommandTable.availableCommands(backed).contains(.recover))
        #expect(!CommandTable.availableCommands(backed).contains(.terminateH1R1))
        let recovered = backed.recovering(BackupID(seconds: 1))
        #expect(!CommandTable.availableCommands(recovered).contains(.recover))
        #expect(CommandTable.availableCommands(recovered).contains(.terminateH1R1))
        #expect(CommandTable.availableCommands(recovered).contains(.initiateBackgroundCopy))
        let flashed = FlashWorld.session(["0100": "0300"]).flashed()
        #expect(
            CommandTable.availableCommands(flashed) == [
                .flash, .discover, .reverseRestore, .addCopySets, .removeCopySets, .modifySession,
                .describeSession, .refreshStates, .queryRelationships, .terminate,
            ])
    }
}
