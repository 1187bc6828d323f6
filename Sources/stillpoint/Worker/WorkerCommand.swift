import AMQPBroker
import ArgumentParser
import CopyModel
import EmbeddedStorage
import Foundation
import Hummingbird
import Logging
import MessagePort
import NBDServer
import SQLiteStore
import SessionRuntime
import Synchronization

/// `stillpoint worker`.
struct WorkerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "worker",
        abstract: "Run a worker: take commands, keep backups, serve hosts, tell every change.",
        discussion: """
            Declares the broker's topology, opens the storage systems and the store, serves volumes over \
            NBD and health over HTTP, then takes commands until SIGTERM or SIGINT. It then stops taking, \
            finishes what it took, publishes what it owes, and exits 0. SIGHUP re-reads the log level.

            Logs are JSON lines on standard error.
            """)

    @OptionGroup var options: ConfigurationOptions

    func run() async throws {
        let configuration: Configuration
        do {
            configuration = try options.load()
        } catch {
            throw CleanExit.failure("stillpoint: \(error)", status: 2)
        }
        let site: WorkerSite
        do throws(SiteProblem) {
            site = try WorkerSite(configuration)
            try await site.declareTopology()
        } catch {
            throw CleanExit.failure("stillpoint: \(error.sentence)", status: error.status)
        }
        try await run(site)
    }

    private func run(_ site: WorkerSite) async throws {
        let options = options
        let signals = Signals([SIGTERM, SIGINT, SIGHUP]) { number in
            if number == SIGHUP {
                site.reload { try options.load() }
            } else {
                ServiceNotice.send("STOPPING=1")
                site.log.notice(
                    "stopping: finishing what was taken", metadata: ["signal": "\(number)"])
                site.worker.drain()
            }
        }
        defer { withExtendedLifetime(signals) {} }
        do throws(WorkerFailure) {
            try await site.run()
        } catch {
            throw CleanExit.failure("stillpoint: \(error.reason)", status: 70)
        }
    }
}

/// An end with a line for people and a status.
enum CleanExit {
    /// Prints the line to standard error and gives the status as an error to throw.
    static func failure(_ line: String, status: Int32) -> ExitCode {
        FileHandle.standardError.write(Data((line + "\n").utf8))
        return ExitCode(status)
    }
}
