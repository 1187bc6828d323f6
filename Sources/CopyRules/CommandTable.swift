import CopyModel

/// The command × state table of a type of session, as data.
///
/// `●` offered, `s` offered where there are copy sets, `r` while a recovery is in place, `n` while none is,
/// `c` while a pair is not being copied, `v` while a refresh can be reverted, `·` refused with
/// `not-in-this-state`. The columns are the resting states; a session in a passing state is running a
/// command, and the next one waits in its mailbox. Rules finer than the state (a minimum interval, an
/// unknown backup) are ladders of their own and come after the table, with codes of their own: so do those
/// that the letters stand for.
public struct CommandTable: Sendable {
    /// When a command is offered in a state.
    public enum Offer: Character, Sendable, CaseIterable {
        case always = "●"
        case withCopySets = "s"
        case withRecovery = "r"
        case withoutRecovery = "n"
        case whileNotCopied = "c"
        case whileRevertible = "v"
        case never = "·"
    }

    /// Source: Copy Services Manager, Safeguarded Copy session commands and their preconditions.
    public static let safeguarded = CommandTable(
        """
                                Defined   Protected   Terminating
        Backup                  s         s           ·
        Recover                 ·         n           ·
        ExpireBackup            ·         ●           ·
        InitiateBackgroundCopy  ·         r           ·
        AddCopySets             ●         ●           ·
        RemoveCopySets          s         s           ·
        ModifySession           ●         ●           ●
        DescribeSession         ●         ●           ●
        RefreshStates           ●         ●           ●
        TerminateH1R1           ·         r           ·
        Terminate               ·         ●           ●
        DeleteSession           ●         ·           ·
        """)

    /// Sources: Copy Services Manager, FlashCopy session commands; DS8000, commitflash and revertflash. What
    /// is published of these is a list of commands by state for Flash, Discover and Terminate; the other
    /// rows follow from what a command needs.
    public static let flash = CommandTable(
        """
                                Defined   TargetAvailable   Terminating
        Flash                   s         s                 ·
        InitiateBackgroundCopy  ·         c                 c
        Discover                s         s                 ·
        ReverseRestore          ·         ●                 ·
        Commit                  ·         v                 ·
        Revert                  ·         v                 ·
        AddCopySets             ●         ●                 ·
        RemoveCopySets          s         s                 s
        ModifySession           ●         ●                 ●
        DescribeSession         ●         ●                 ●
        RefreshStates           ●         ●                 ●
        QueryRelationships      ●         ●                 ●
        Terminate               ·         ●                 ●
        DeleteSession           ●         ·                 ·
        """)

    /// The table of a type.
    public static func of(_ type: SessionType) -> CommandTable {
        switch type {
        case .safeguardedCopy: safeguarded
        case .flashCopy: flash
        }
    }

    /// The states that it has columns for.
    public let states: [SessionState]

    /// The commands in the table's order, each with its offers by column.
    private let rows: [(command: CommandName, offers: [Offer])]

    private init(_ text: String) {
        let lines = text.split(separator: "\n").map { $0.split(separator: " ") }
        let states = lines[0].compactMap { SessionState(rawValue: String($0)) }
        rows = lines.dropFirst().compactMap { cells in
            guard let command = CommandName(rawValue: String(cells[0])) else { return nil }
            let offers = cells.dropFirst().compactMap { Offer(rawValue: Character(String($0))) }
            return offers.count == states.count ? (command, offers) : nil
        }
        self.states = states
    }

    /// The commands that have a row, in the table's order.
    public var commands: [CommandName] { rows.map(\.command) }

    /// When `command` is offered in `state`; `.never` for what the table does not name.
    public func offer(_ command: CommandName, in state: SessionState) -> Offer {
        guard let row = rows.first(where: { $0.command == command }),
            let column = states.firstIndex(of: state)
        else { return .never }
        return row.offers[column]
    }

    /// True where the state alone does not speak against the command.
    public func isOffered(_ command: CommandName, in state: SessionState) -> Bool {
        offer(command, in: state) != .never
    }

    /// The states in which a command is offered, for remedies.
    public func states(offering command: CommandName) -> [SessionState] {
        states.filter { isOffered(command, in: $0) }
    }

    /// The commands that a session offers now, in the order of its type's table.
    public static func availableCommands(_ session: Session) -> [CommandName] {
        let table = of(session.type)
        return table.commands.filter { command in
            switch table.offer(command, in: session.state) {
            case .always: true
            case .withCopySets: !session.copySets.isEmpty
            case .withRecovery: session.recovery != nil
            case .withoutRecovery: session.recovery == nil
            case .whileNotCopied: session.flash?.pairs.contains(where: \.isCopyStartable) == true
            case .whileRevertible: session.flash?.pairs.contains(where: \.isRevertible) == true
            case .never: false
            }
        }
    }
}

extension FlashPair {
    /// A background copy was not asked for, or it stopped.
    var isCopyStartable: Bool {
        stage == .related && isRecoverable && (!terms.backgroundCopy || pair.isStopped)
    }
}
