import SessionStore
import Synchronization

/// What a store has done since it was opened, for metrics.
public struct StoreCounters: Hashable, Sendable {
    /// Transactions that were committed, each with one sync at most.
    public var transactions = 0
    /// Units of work that were made durable.
    public var units = 0
    /// Units that were refused because their subject had moved on.
    public var conflicts = 0
    /// The most units that one transaction took.
    public var largestBatch = 0
    /// Pages of 4 KiB that transactions wrote to the log.
    public var pages = 0
    /// Times the log was carried over into the database.
    public var checkpoints = 0
    /// The last failure of a transaction or a checkpoint; nil again once a checkpoint goes well.
    public var lastFailure: StoreFailure?
    /// Why nothing may be written any more until the store is opened anew; nil while all is well.
    public var ended: StoreFailure?
}

/// The counters, written by the writing thread and read by any task.
final class Gauges: Sendable {
    private let counters = Mutex(StoreCounters())

    /// The counters as they stand.
    var now: StoreCounters { counters.withLock { $0 } }

    /// Changes the counters.
    func update(_ body: (inout StoreCounters) -> Void) { counters.withLock { body(&$0) } }
}
