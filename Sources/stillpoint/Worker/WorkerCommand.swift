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
            finishes what it took, publishes what it owes, and exits 0. SIGHUP re-reads the log level and \
            the copies' rates.

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
        // From here on signals are answered, also while the store and the storage are opened and the
        // broker is looked for.
        let (options, reception) = (options, Reception())
        let signals = Signals([SIGTERM, SIGINT, SIGHUP]) { number in
            if number == SIGHUP {
                reception.site?.reload { try options.load() }
            } else {
                ServiceNotice.send("STOPPING=1")
                reception.stop()
            }
        }
        defer { withExtendedLifetime(signals) {} }
        let site: WorkerSite
        do throws(SiteProblem) {
            site = try WorkerSite(configuration)
            try await site.declareTopology()
        } catch {
            throw CleanExit.failure("stillpoint: \(error.sentence)", status: error.status)
        }
        reception.open(site)
        do throws(WorkerFailure) {
            try await site.run()
        } catch {
            throw CleanExit.failure("stillpoint: \(error.reason)", status: 70)
        }
    }
}

/// Where signals find the worker, or wait for it to be there.
private final class Reception: Sendable {
    private let state = Mutex<(site: WorkerSite?, isStopping: Bool)>((nil, false))

    /// The worker, once it is there.
    var site: WorkerSite? { state.withLock { $0.site } }

    /// The worker is there; where it was asked to stop before, it takes nothing.
    func open(_ site: WorkerSite) {
        let isStopping = state.withLock { state in
            state.site = site
            return state.isStopping
        }
        if isStopping { drain(site) }
    }

    /// Stops the worker, now or as soon as it is there.
    func stop() {
        let site = state.withLock { state in
            state.isStopping = true
            return state.site
        }
        if let site { drain(site) }
    }

    private func drain(_ site: WorkerSite) {
        site.log.notice("stopping: finishing what was taken")
        site.worker.drain()
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
