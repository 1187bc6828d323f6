import CommandSchema
import CopyModel
import Logging
import MessagePort
import SessionStore
import StoragePort
import Synchronization

/// A worker: takes commands from the broker, runs each session's one at a time, and tells every change.
///
/// All its tasks are children of `run`, so that the end of `run` is the end of everything it began.
public final class Worker: Sendable {
    private let services: Services
    private let publisher: any MessagePublisher
    private let directory: Directory
    private let failure: Failure
    private let draining: Draining

    /// What the worker counts.
    public let meters: Meters

    /// Assembles a worker; nothing runs before `run`.
    public init(
        configuration: WorkerConfiguration, source: any CommandSource,
        publisher: any MessagePublisher, store: any SessionStore, storage: any StoragePort,
        clock: any RuntimeClock, log: Logger
    ) {
        let meters = Meters()
        let (failure, draining) = (Failure(), Draining())
        let relay = Relay(
            store: store, publisher: publisher, clock: clock, meters: meters, log: log)
        services = Services(
            configuration: configuration, store: store, storage: storage, source: source,
            clock: clock, relay: relay, registry: Registry(), meters: meters, log: log,
            halt: { reason in
                log.critical("the worker stops", metadata: ["reason": "\(reason)"])
                failure.set(reason)
                source.drain()
            }, isHalted: { failure.reason != nil }, isDraining: { draining.hasBegun })
        self.meters = meters
        self.failure = failure
        self.draining = draining
        self.publisher = publisher
        directory = Directory(services: services)
    }

    /// Stops taking commands; `run` finishes what was taken, publishes what is owed, and returns.
    public func drain() {
        draining.begin()
        services.source.drain()
    }

    /// Every session in one line each, in the order of their names.
    public func summaries() async -> [SessionSummary] {
        var summaries: [SessionSummary] = []
        for name in services.registry.liveSessions.sorted() {
            if let summary = await directory.lane(name).summary { summaries.append(summary) }
        }
        return summaries
    }

    /// Runs until `drain`, or until the store fails; then throws why.
    ///
    /// `ready` is called once the sessions are loaded and commands are being taken; `closing` once the
    /// last command is through and before the storage is let go of, for whoever uses it besides.
    public func run(
        ready: @escaping @Sendable () -> Void, closing: @escaping @Sendable () -> Void = {}
    ) async throws(WorkerFailure) {
        try await recover()
        await withDiscardingTaskGroup { outer in
            outer.addTask { await self.services.relay.run() }
            outer.addTask { await self.spreadFacts() }
            outer.addTask { await self.forgetOldOutcomes() }
            outer.addTask { await self.remindOwed() }
            await withDiscardingTaskGroup { lanes in
                lanes.addTask {
                    ready()
                    await self.takeDeliveries()
                    self.directory.close()
                }
                for await lane in self.directory.newLanes { lanes.addTask { await lane.run() } }
            }
            self.services.relay.finish()
            closing()
            await self.closeStorage()
            outer.cancelAll()
        }
        await services.source.close()
        await publisher.close()
        if let reason = failure.reason { throw WorkerFailure(reason: reason) }
    }

    private func closeStorage() async {
        do {
            try await services.storage.close()
        } catch {
            services.log.error(
                "a storage system could not make everything durable; the next start repairs it",
                metadata: ["error": "\(error.message)"])
        }
    }

    /// Loads every session, rolls kept plans forward, and has each session look at its storage: all in
    /// the mailboxes before the first command.
    private func recover() async throws(WorkerFailure) {
        do {
            for name in try await services.store.subjects() {
                let lane = directory.lane(name)
                guard await lane.load() else { break }
            }
            for intent in try await services.store.openIntents() {
                let lane = directory.lane(intent.subject)
                lane.announce(intent)
                lane.mailbox.post(.resume(intent))
            }
        } catch {
            throw WorkerFailure(reason: "The store could not be read: \(error.message)")
        }
        if let reason = failure.reason { throw WorkerFailure(reason: reason) }
        let sessions = services.registry.liveSessions
        for name in sessions.sorted() { directory.lane(name).mailbox.post(.reconcile) }
        meters.count { $0.sessions = UInt64(sessions.count) }
    }

    private func takeDeliveries() async {
        while let delivery = await services.source.next() {
            let properties = delivery.properties
            let reading = CommandReader.read(
                body: delivery.body, messageID: properties.messageID,
                contentType: properties.contentType, contentEncoding: properties.contentEncoding,
                receivedSize: delivery.size)
            let admitted = Admitted(
                tag: delivery.tag, reading: reading,
                reply: ReplyContext(
                    replyTo: properties.replyTo, correlationID: properties.correlationID,
                    traceparent: TraceContext.parent(properties.traceparent),
                    tracestate: properties.tracestate),
                receivedAt: services.clock.now())
            directory.lane(reading.subject).mailbox.post(.command(admitted))
        }
    }

    /// Hands each fact to the lanes that it concerns: the sessions that use the volume, those that took
    /// the points, or the storage system's own.
    private func spreadFacts() async {
        while let fact = await services.storage.nextFact() {
            for name in concerned(by: fact).sorted() {
                directory.lane(name).mailbox.post(.fact(fact))
            }
        }
    }

    private func concerned(by fact: StorageFact) -> Set<SubjectName> {
        switch fact {
        case .copyProgress(let target, _, _, _), .copyFailed(let target, _, _):
            services.registry.users(of: target)
        case .pointsRolledOff(let volume, let tags), .pointsDamaged(let volume, let tags, _):
            services.registry.users(of: volume).union(tags.map(\.session))
        case .capacityLevel(let volume, _, _):
            [volume.storage]
        case .storageTrouble(let system, _, _):
            [system]
        }
    }

    /// What sessions owe and the storage could not do is tried again every minute.
    private func remindOwed() async {
        while !Task.isCancelled {
            await services.clock.sleep(milliseconds: 60_000)
            if !Task.isCancelled { directory.postToAll(.owed) }
        }
    }

    private func forgetOldOutcomes() async {
        let hour: Int64 = 3_600_000
        while !Task.isCancelled {
            let limit = services.clock.now().adding(
                minutes: -services.configuration.outcomeRetentionMinutes)
            do {
                if try await services.store.purgeOutcomes(receivedBefore: limit) > 0 {
                    directory.postToAll(.outcomesPurged)
                }
            } catch {
                services.log.error(
                    "old outcomes could not be forgotten", metadata: ["error": "\(error.message)"])
            }
            await services.clock.sleep(milliseconds: hour)
        }
    }
}

/// Why a worker ended by itself.
public struct WorkerFailure: Error, Sendable, Hashable {
    /// One sentence for people.
    public var reason: String

    /// States why.
    public init(reason: String) { self.reason = reason }
}

extension ReadResult {
    /// The lane that a delivery belongs to.
    fileprivate var subject: SubjectName {
        switch self {
        case .command(let envelope): envelope.subject
        case .refused(let refused): refused.subject
        case .unattributable: .unattributed
        }
    }
}

/// The lanes by subject, made when they are first needed.
final class Directory: Sendable {
    private let services: Services
    private let lanes = Mutex<[SubjectName: Lane]>([:])
    private let made: AsyncStream<Lane>.Continuation

    /// Each lane as it is made, to be run; ends with `close`.
    let newLanes: AsyncStream<Lane>

    init(services: Services) {
        self.services = services
        (newLanes, made) = AsyncStream.makeStream(of: Lane.self)
    }

    /// The subject's lane.
    func lane(_ name: SubjectName) -> Lane {
        let (lane, isNew) = lanes.withLock { lanes in
            if let lane = lanes[name] { return (lane, false) }
            let lane = Lane(name: name, services: services)
            lanes[name] = lane
            return (lane, true)
        }
        if isNew { made.yield(lane) }
        return lane
    }

    /// Hands every lane a message.
    func postToAll(_ message: LaneMessage) {
        for lane in inOrder { lane.mailbox.post(message) }
    }

    /// Ends every lane after what is in its mailbox.
    func close() {
        made.finish()
        for lane in inOrder { lane.mailbox.close() }
    }

    private var inOrder: [Lane] {
        lanes.withLock { lanes in lanes.sorted { $0.key < $1.key }.map(\.value) }
    }
}

/// That the worker was asked to stop.
private final class Draining: Sendable {
    private let state = Mutex(false)

    var hasBegun: Bool { state.withLock { $0 } }

    func begin() { state.withLock { $0 = true } }
}

/// Why the worker halted, set once.
private final class Failure: Sendable {
    private let state = Mutex<String?>(nil)

    var reason: String? { state.withLock { $0 } }

    func set(_ reason: String) { state.withLock { $0 = $0 ?? reason } }
}
