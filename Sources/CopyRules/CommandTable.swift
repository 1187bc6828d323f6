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

    private static let table = """
                                Defined   Protected   Terminating
        Backup                  ●         ●           ·
        Recover                 ·         n           ·
        ExpireBackup            ·         ●           ·
        InitiateBackgroundCopy  ·         r           ·
        AddCopySets             ●         ●           ·
        RemoveCopySets          ●         ●           ·
        ModifySession           ●         ●           ●
        DescribeSession         ●         ●           ●
        RefreshStates           ●         ●           ●
        TerminateH1R1           ·         r           ·
        Terminate               ·         ●           ●
        DeleteSession           ●         ·           ·
        """

    private static let lines = table.split(separator: "\n").map { $0.split(separator: " ") }

    private static let columns = lines[0].compactMap { SessionState(rawValue: String($0)) }

    /// The commands in the table's order, each with its offers by column.
    private static let rows: [(command: CommandName, offers: [Offer])] =
        lines.dropFirst().compactMap { cells in
            guard let command = CommandName(rawValue: String(cells[0])) else { return nil }
            let offers = cells.dropFirst().compactMap { Offer(rawValue: Character(String($0))) }
            return offers.count == columns.count ? (command, offers) : nil
        }

    private static let offers = Dictionary(
        uniqueKeysWithValues: rows.map { row in
            (row.command, Dictionary(uniqueKeysWithValues: zip(columns, row.offers)))
        })

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
        rows.map(\.command).filter { command in
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
