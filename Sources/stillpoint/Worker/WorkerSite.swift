import AMQPBroker
import CopyModel
import EmbeddedStorage
import Hummingbird
import Logging
import NBDServer
import SQLiteStore
import SessionRuntime
import SessionStore
import StoragePort
import Synchronization

/// Why a worker cannot start: a sentence and an exit status.
struct SiteProblem: Error {
    var sentence: String
    var status: Int32
}

/// Everything that a worker is made of, put together: the composition root.
final class WorkerSite: Sendable {
    let worker: Worker
    let log: Logger
    private let configuration: Configuration
    private let level: LogLevel
    private let endpoint: BrokerEndpoint
    private let topology: BrokerTopology
    private let source: AMQPCommandSource
    private let publisher: AMQPPublisher
    private let store: SQLiteStore
    private let storage: EmbeddedStorage
    private let hosts: NBDServer?
    private let ready = Atomic(false)
    private let doorFailure = Mutex<WorkerFailure?>(nil)

    init(_ configuration: Configuration) throws(SiteProblem) {
        self.configuration = configuration
        let level = LogLevel(Logger.Level(rawValue: configuration.logLevel) ?? .info)
        self.level = level
        log = Logger(label: "stillpoint") { JSONLog(label: $0, shared: level) }
        do {
            topology = configuration.topology
            endpoint = try configuration.endpoint
            store = try SQLiteStore(path: configuration.store.sqlite)
            storage = try EmbeddedStorage(
                systems: configuration.storage.map { ($0.name, $0.path, $0.hasJournal) })
            Self.limitCopies(of: storage, configuration)
            let random: @Sendable () -> Double = { Double.random(in: 0..<1) }
            source = try AMQPCommandSource(endpoint: endpoint, topology: topology, random: random)
            publisher = try AMQPPublisher(endpoint: endpoint, random: random)
            hosts = try Self.openHosts(configuration, storage)
        } catch let error as BrokerError {
            throw SiteProblem(sentence: "broker.uri: \(error.message)", status: 2)
        } catch let error as StoreFailure {
            throw SiteProblem(
                sentence: "store.sqlite: \(error.place): \(error.message)", status: 73)
        } catch let error as StorageFailure {
            throw SiteProblem(
                sentence: "storage: \(error.subject): \(error.message) \(error.remedy)", status: 73)
        } catch let error as NBDServerError {
            throw SiteProblem(sentence: "nbd.listen: \(error)", status: 73)
        } catch {
            throw SiteProblem(sentence: "\(error)", status: 70)
        }
        worker = Worker(
            configuration: WorkerConfiguration(
                instance: configuration.instance, eventExchange: topology.eventExchange,
                outcomeRetentionMinutes: Int64(configuration.store.outcomeDays) * 1440),
            source: source, publisher: publisher, store: store, storage: storage,
            clock: SystemClock(), log: log)
    }

    private static func openHosts(
        _ configuration: Configuration, _ storage: EmbeddedStorage
    ) throws -> NBDServer? {
        guard let address = configuration.nbd else { return nil }
        let security = configuration.nbdSecurity
        let tls: NBDTLS? =
            if let certificate = security.certificate, let key = security.key {
                try NBDTLS(
                    certificate: certificate, key: key, clientAuthority: security.authority,
                    isRequired: security.isRequired)
            } else {
                nil
            }
        let server = NBDServer(
            catalogue: TrackStoreCatalogue(
                storage.stores.sorted { $0.key < $1.key }.map {
                    .init(name: $0.key.text, store: $0.value)
                }),
            listen: [.tcp(host: address.host, port: UInt16(address.port))], tls: tls)
        try server.start()
        return server
    }

    /// Declares the broker's objects. A broker that cannot be reached is waited for by the connections
    /// themselves; one that says no stops the start.
    func declareTopology() async throws(SiteProblem) {
        do {
            try await topology.declare(on: endpoint)
        } catch {
            if error.isRetriable {
                log.warning("the broker is not there yet", metadata: ["error": "\(error.message)"])
                return
            }
            throw SiteProblem(sentence: "broker: \(error.place): \(error.message)", status: 78)
        }
    }

    /// Runs until the worker is through; throws why where it ended by itself.
    func run() async throws(WorkerFailure) {
        let result = await withTaskGroup(of: Void.self) { group in
            if let address = configuration.http {
                group.addTask { await self.serve(on: address) }
            }
            defer { group.cancelAll() }
            log.notice("started", metadata: ["instance": "\(configuration.instance)"])
            let result = await runWorker()
            await closeStore()
            log.notice("stopped")
            return result
        }
        try result.get()
        if let failure = doorFailure.withLock({ $0 }) { throw failure }
    }

    private func runWorker() async -> Result<Void, WorkerFailure> {
        do throws(WorkerFailure) {
            try await worker.run(
                ready: { self.announceReady() },
                // Hosts see the door close, never a volume that is not there.
                closing: { _ = self.hosts?.close() })
            return .success(())
        } catch {
            return .failure(error)
        }
    }

    /// Every commit has returned by now, so a failure here loses nothing; it is told all the same.
    private func closeStore() async {
        do {
            try await store.close()
        } catch {
            log.error("the store did not close well", metadata: ["error": "\(error.message)"])
        }
    }

    private func announceReady() {
        ready.store(true, ordering: .releasing)
        ServiceNotice.send("READY=1\nSTATUS=Taking commands")
        log.notice(
            "taking commands",
            metadata: [
                "nbd": "\(configuration.nbd.map { "\($0.host):\($0.port)" } ?? "off")",
                "http": "\(configuration.http.map { "\($0.host):\($0.port)" } ?? "off")",
            ])
    }

    /// Serves the health pages until cancelled. A worker that nobody can watch does not run: where the
    /// address cannot be had, it stops.
    private func serve(on address: Configuration.Address) async {
        // The server's own log tells of every cancelled connection at a stop; what matters is thrown.
        var quiet = Logger(label: "http") { _ in SwiftLogNoOpLogHandler() }
        quiet.logLevel = .critical
        let application = Application(
            router: HealthPages.router(vitals),
            configuration: .init(address: .hostname(address.host, port: address.port)),
            logger: quiet)
        do {
            try await application.run()
        } catch is CancellationError {
            return
        } catch {
            let reason = "http.listen: \(address.host):\(address.port) cannot be served: \(error)"
            doorFailure.withLock { $0 = WorkerFailure(reason: reason) }
            worker.drain()
        }
    }

    private var vitals: Vitals {
        Vitals(
            meters: worker.meters, consuming: { self.source.health },
            publishing: { self.publisher.health }, hosts: { self.hosts.map { [$0.report] } ?? [] },
            sessions: { await self.worker.summaries() },
            isReady: { self.ready.load(ordering: .acquiring) })
    }

    private static func limitCopies(of storage: EmbeddedStorage, _ configuration: Configuration) {
        for system in configuration.storage {
            storage.stores[system.name]?.limitCopies(toMiBps: UInt32(system.copyRateMiBps))
        }
    }

    /// Takes over what can change without a restart: the log level and the copies' rates.
    func reload(_ load: () throws -> Configuration) {
        do {
            let fresh = try load()
            level.current = Logger.Level(rawValue: fresh.logLevel) ?? .info
            Self.limitCopies(of: storage, fresh)
            log.notice("configuration re-read", metadata: ["log.level": "\(fresh.logLevel)"])
        } catch {
            log.error("configuration not re-read: it has a fault", metadata: ["error": "\(error)"])
        }
    }
}

extension Configuration {
    /// The broker's objects.
    var topology: BrokerTopology {
        BrokerTopology(
            prefix: broker.prefix, partitions: broker.partitions,
            eventLogMaxAge: .seconds(broker.eventLogDays * 86_400))
    }

    /// How the broker is reached.
    var endpoint: BrokerEndpoint {
        get throws(BrokerError) {
            try BrokerEndpoint(
                uri: broker.uri,
                tls: BrokerTLSFiles(
                    ca: broker.tlsAuthority, certificate: broker.tlsCertificate, key: broker.tlsKey)
            )
        }
    }
}
