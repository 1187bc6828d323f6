import CopyModel

/// The command × state table of Safeguarded Copy, as data.
///
/// `●` offered, `r` offered while a recovery is in place, `n` while none is, `·` refused with
/// `not-in-this-state`. The columns are the resting states; a session in a passing state is running a
/// command, and the next one waits in its mailbox. Rules finer than the state (a minimum interval, an
/// unknown backup) are ladders of their own and come after this table.
/// Source: Copy Services Manager, Safeguarded Copy session commands and their preconditions.
public enum SafeguardedTable {
    /// When a command is offered in a state.
    public enum Offer: Character, Sendable {
        case always = "●"
        case withRecovery = "r"
        case withoutRecovery = "n"
        case never = "·"
    }

    private static let columns: [SessionState] = [.defined, .protected, .terminating]

    //                                           Defined Protected Terminating
    private static let rows: [(CommandName, String)] = [
        (.backup, /*                           */ "●       ●         ·"),
        (.recover, /*                          */ "·       n         ·"),
        (.expireBackup, /*                     */ "·       ●         ·"),
        (.initiateBackgroundCopy, /*           */ "·       r         ·"),
        (.addCopySets, /*                      */ "●       ●         ·"),
        (.removeCopySets, /*                   */ "●       ●         ·"),
        (.modifySession, /*                    */ "●       ●         ●"),
        (.describeSession, /*                  */ "●       ●         ●"),
        (.refreshStates, /*                    */ "●       ●         ●"),
        (.terminateH1R1, /*                    */ "·       r         ·"),
        (.terminate, /*                        */ "·       ●         ●"),
        (.deleteSession, /*                    */ "●       ·         ·"),
    ]

    private static let offers: [CommandName: [SessionState: Offer]] = {
        var table: [CommandName: [SessionState: Offer]] = [:]
        for (command, row) in rows {
            let cells = row.split(separator: " ").compactMap { Offer(rawValue: Character(String($0))) }
            table[command] = Dictionary(uniqueKeysWithValues: zip(columns, cells))
        }
        return table
    }()

    /// When `command` is offered in `state`; `.never` for what the table does not name.
    public static func offer(_ command: CommandName, in state: SessionState) -> Offer {
        offers[command]?[state] ?? .never
    }

    /// True where the state alone does not speak against the command: whether a recovery is in place is
    /// a rule of its own, with codes of its own.
    public static func isOffered(_ command: CommandName, in state: SessionState) -> Bool {
        offer(command, in: state) != .never
    }

    /// The states in which a command is offered, for remedies.
    public static func states(offering command: CommandName) -> [SessionState] {
        columns.filter { isOffered(command, in: $0) }
    }

    /// The commands that the session offers now, in the table's order.
    public static func availableCommands(_ session: Session) -> [CommandName] {
        rows.map(\.0).filter { command in
            switch offer(command, in: session.state) {
            case .always: !needsCopySets(command) || !session.copySets.isEmpty
            case .withRecovery: session.recovery != nil
            case .withoutRecovery: session.recovery == nil
            case .never: false
            }
        }
    }

    private static func needsCopySets(_ command: CommandName) -> Bool {
        command == .backup || command == .removeCopySets
    }
}
