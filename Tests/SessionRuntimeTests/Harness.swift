import CommandSchema
import CopyModel
import CopyTestKit
import Logging
import MessagePort
import SessionRuntime
import SessionStore
import StoreConformance
import Synchronization
import Testing

/// A worker's world that outlives it: broker, store and storage in memory, and a clock.
final class Harness: Sendable {
    let broker = SimulatedBroker()
    let store = MemoryStore()
    let storage = SimulatedStorage(systems: [SubjectName("box1")!])
    let clock = VirtualClock(Timestamp(rfc3339: "2026-11-21T02:00:00Z")!)

    /// A world with a host volume and a recovery volume, and two volumes without a session.
    init() {
        storage.add(VolumeID("box1:0100")!, capacity: Capacity(bytes: 1 << 20), multiplier: 4)
        for target in ["box1:0200", "box1:0110", "box1:0210"] {
            storage.add(VolumeID(target)!, capacity: Capacity(bytes: 1 << 20), multiplier: 0)
        }
    }

    /// Puts a command on the queue as a scheduler would.
    func send(_ body: String, messageID: String? = nil, replyTo: String? = nil) {
        var properties = MessageProperties()
        properties.messageID = messageID
        properties.replyTo = replyTo
        properties.contentType = "application/json"
        broker.enqueue(
            OutgoingMessage(
                exchange: "stillpoint.commands", routingKey: "any", properties: properties,
                body: Array(body.utf8)))
    }

    /// Runs a worker until nothing is pending, nothing is owed and `isDone` says so, or until it dies.
    func run(
        _ faults: FaultPlan = FaultPlan(), until isDone: @escaping @Sendable () -> Bool = { true }
    ) async throws {
        broker.plan(faults)
        storage.plan(faults)
        broker.reconnect()
        let worker = Worker(
            configuration: WorkerConfiguration(
                instance: "test", eventExchange: "stillpoint.events"),
            source: broker, publisher: broker, store: FaultyStore(store, faults: faults),
            storage: storage, clock: clock,
            log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await worker.run(ready: {}) }
            group.addTask {
                while self.broker.pending > 0 || !isDone(), !faults.isDead { await Task.yield() }
                worker.drain()
            }
            try await group.waitForAll()
        }
    }

    /// How many events of that type were published, repeats dropped by their id.
    func count(_ type: String) -> Int {
        let events = broker.published.filter { $0.routingKey.hasSuffix("." + type) }
        return Set(events.map(\.properties.messageID)).count
    }

    /// Every event published, by subject, repeats dropped by their id, in sequence.
    func events() throws -> [String: [JSONNode]] {
        var seen: Set<String> = []
        var events: [String: [JSONNode]] = [:]
        for message in broker.published where message.exchange == "stillpoint.events" {
            let event = try JSONNode(document: message.body)
            let id = try #require(event["id"]?.text)
            if seen.insert(id).inserted {
                events[event["subject"]?.text ?? "", default: []].append(event)
            }
        }
        return events
    }

    /// The outcomes of a command id, without answers to repeats.
    func outcomes(_ id: String) throws -> [JSONNode] {
        try events().values.joined().compactMap { event in
            guard let data = event["data"], data["outcome"] != nil, data["id"]?.text == id,
                data["duplicate"]?.bool == false
            else { return nil }
            return data
        }
    }

    /// Replies sent to a queue.
    func replies(_ queue: String) throws -> [JSONNode] {
        try broker.published.filter { $0.exchange.isEmpty && $0.routingKey == queue }
            .map { try JSONNode(document: $0.body) }
    }
}

/// The commands of an ordinary life, in order.
enum Life {
    static let commands = [
        #"{"id":"1","command":"CreateSession","session":"payroll","parameters":{"type":"SafeguardedCopy"}}"#,
        #"{"id":"2","command":"AddCopySets","session":"payroll","parameters":{"copySets":[{"H1":"box1:0100","R1":"box1:0200"}]}}"#,
        #"{"id":"3","command":"Backup","session":"payroll"}"#,
        #"{"id":"4","command":"Backup","session":"payroll"}"#,
        #"{"id":"5","command":"ModifySession","session":"payroll","parameters":{"description":"wages","options":{"retentionMinutes":60}}}"#,
        #"{"id":"6","command":"Recover","session":"payroll","parameters":{"backupId":"1795226401"}}"#,
        #"{"id":"7","command":"InitiateBackgroundCopy","session":"payroll"}"#,
        #"{"id":"8","command":"TerminateH1R1","session":"payroll"}"#,
        #"{"id":"9","command":"ExpireBackup","session":"payroll","parameters":{"backupId":"1795226400"}}"#,
        #"{"id":"10","command":"Terminate","session":"payroll"}"#,
        #"{"id":"11","command":"DeleteSession","session":"payroll"}"#,
    ]

    /// The same of a FlashCopy session.
    static let flashCommands = [
        #"{"id":"1","command":"CreateSession","session":"nightly","parameters":{"type":"FlashCopy","options":{"incremental":true,"noCopy":true}}}"#,
        #"{"id":"2","command":"AddCopySets","session":"nightly","parameters":{"copySets":[{"H1":"box1:0100","T1":"box1:0200"}]}}"#,
        #"{"id":"3","command":"Flash","session":"nightly"}"#,
        #"{"id":"4","command":"InitiateBackgroundCopy","session":"nightly"}"#,
        #"{"id":"5","command":"ModifySession","session":"nightly","parameters":{"options":{"revertible":true}}}"#,
        #"{"id":"6","command":"Flash","session":"nightly"}"#,
        #"{"id":"7","command":"Commit","session":"nightly"}"#,
        #"{"id":"8","command":"Flash","session":"nightly"}"#,
        #"{"id":"9","command":"Revert","session":"nightly"}"#,
        #"{"id":"10","command":"QueryRelationships","session":"nightly"}"#,
        #"{"id":"11","command":"Discover","session":"nightly"}"#,
        #"{"id":"12","command":"Terminate","session":"nightly"}"#,
        #"{"id":"13","command":"EstablishRelationships","storage":"box1","parameters":{"relationships":[{"source":"0110","target":"0210","persistent":true}]}}"#,
        #"{"id":"14","command":"ListRelationships","storage":"box1"}"#,
        #"{"id":"15","command":"WithdrawRelationships","storage":"box1","parameters":{"relationships":[{"source":"0110","target":"0210"}]}}"#,
        #"{"id":"16","command":"DeleteSession","session":"nightly"}"#,
    ]
}
