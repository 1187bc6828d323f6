import CopyModel
import CopyRules
import Testing

@Suite("The command × state table")
struct TableTests {
    @Test("every session command but CreateSession has a row, and every row its columns")
    func rows() {
        for command in CommandName.allCases where !command.isForStorage && command != .createSession
        {
            #expect(!SafeguardedTable.states(offering: command).isEmpty, "\(command)")
        }
        for command in CommandName.allCases where command.isForStorage || command == .createSession
        {
            #expect(SafeguardedTable.states(offering: command).isEmpty, "\(command)")
        }
    }

    @Test("what a session offers follows from its state, its copy sets and its recovery")
    func available() {
        let empty = World.session()
        #expect(
            SafeguardedTable.availableCommands(empty) == [
                .addCopySets, .modifySession, .describeSession, .refreshStates, .deleteSession,
            ])
        let backed = World.session(sets: [World.set("0100", "0200")], backups: [1])
        #expect(SafeguardedTable.availableCommands(backed).contains(.recover))
        #expect(!SafeguardedTable.availableCommands(backed).contains(.terminateH1R1))
        let recovered = backed.recovering(BackupID(seconds: 1))
        #expect(!SafeguardedTable.availableCommands(recovered).contains(.recover))
        #expect(SafeguardedTable.availableCommands(recovered).contains(.terminateH1R1))
        #expect(SafeguardedTable.availableCommands(recovered).contains(.initiateBackgroundCopy))
    }
}
