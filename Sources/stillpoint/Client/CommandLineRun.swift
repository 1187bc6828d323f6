import ArgumentParser
import ConsoleText
import Glibc

/// Runs a command line with the contract's exit statuses: the argument parser alone would end with
/// 64 where 2 is due.
enum CommandLineRun {
    /// Parses the arguments, runs the command and ends the process.
    static func main<Root: AsyncParsableCommand>(_ root: Root.Type) async -> Never {
        do {
            var command = try root.parseAsRoot()
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
            exit(ExitStatus.completed.rawValue)
        } catch {
            end(with: error, of: root)
        }
    }

    /// What a client ends with, quietly: everything has been said.
    static func exitCode(_ status: ExitStatus) -> ExitCode { ExitCode(status.rawValue) }

    private static func end<Root: ParsableArguments>(with error: any Error, of root: Root.Type)
        -> Never
    {
        switch error {
        case let failure as ClientFailure:
            Console.complain(failure.description)
            exit(failure.status.rawValue)
        case let fault as UsageFault:
            Console.complain(fault.description)
            exit(ExitStatus.usage.rawValue)
        case let error as ConfigurationError:
            Console.complain(SafeText.escaped(error.description))
            exit(ExitStatus.usage.rawValue)
        default: break
        }
        // Help, the version, a wrong command line, or an ExitCode that a command threw.
        let code = root.exitCode(for: error)
        guard code == .validationFailure else { root.exit(withError: error) }
        Console.write(root.fullMessage(for: error) + "\n", to: STDERR_FILENO)
        exit(ExitStatus.usage.rawValue)
    }
}
