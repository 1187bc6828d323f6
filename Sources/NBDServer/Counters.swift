import Synchronization

/// How a server fares: totals since it was started, but for `connectionsOpen`.
public struct NBDServerReport: Sendable, Equatable {
    /// Connections that are open now.
    public var connectionsOpen = 0
    /// Connections that were taken in.
    public var connections = 0
    /// Connections that were closed on arrival because there were too many.
    public var connectionsRefused = 0
    /// Connections that ended in negotiation by time-out, violation or loss.
    public var handshakesFailed = 0
    /// Connections cut for a violation, or a time-out, after negotiation.
    public var connectionsCut = 0
    /// READ requests performed.
    public var reads = 0
    /// WRITE requests performed.
    public var writes = 0
    /// TRIM and WRITE_ZEROES requests performed.
    public var zeroes = 0
    /// FLUSH requests performed.
    public var flushes = 0
    /// BLOCK_STATUS requests answered.
    public var statuses = 0
    /// Requests answered with an error, by the protocol's rules or from the storage.
    public var errors = 0
    /// Bytes of data sent to clients.
    public var bytesRead = 0
    /// Bytes of data written by clients.
    public var bytesWritten = 0
    /// Batches in which the requests came.
    public var batches = 0

    /// All zero.
    public init() {}
}

/// The counts behind the report.
///
/// Connections add a batch at a time.
final class Counters: Sendable {
    let connectionsOpen = Atomic(0)
    let connections = Atomic(0)
    let connectionsRefused = Atomic(0)
    let handshakesFailed = Atomic(0)
    let connectionsCut = Atomic(0)
    private let reads = Atomic(0)
    private let writes = Atomic(0)
    private let zeroes = Atomic(0)
    private let flushes = Atomic(0)
    private let statuses = Atomic(0)
    private let errors = Atomic(0)
    private let bytesRead = Atomic(0)
    private let bytesWritten = Atomic(0)
    private let batches = Atomic(0)

    func add(_ batch: borrowing Tally) {
        batches.add(1, ordering: .relaxed)
        if batch.reads > 0 {
            reads.add(batch.reads, ordering: .relaxed)
            bytesRead.add(batch.bytesRead, ordering: .relaxed)
        }
        if batch.writes > 0 {
            writes.add(batch.writes, ordering: .relaxed)
            bytesWritten.add(batch.bytesWritten, ordering: .relaxed)
        }
        if batch.zeroes > 0 { zeroes.add(batch.zeroes, ordering: .relaxed) }
        if batch.flushes > 0 { flushes.add(batch.flushes, ordering: .relaxed) }
        if batch.statuses > 0 { statuses.add(batch.statuses, ordering: .relaxed) }
        if batch.errors > 0 { errors.add(batch.errors, ordering: .relaxed) }
    }

    var report: NBDServerReport {
        var report = NBDServerReport()
        report.connectionsOpen = connectionsOpen.load(ordering: .relaxed)
        report.connections = connections.load(ordering: .relaxed)
        report.connectionsRefused = connectionsRefused.load(ordering: .relaxed)
        report.handshakesFailed = handshakesFailed.load(ordering: .relaxed)
        report.connectionsCut = connectionsCut.load(ordering: .relaxed)
        report.reads = reads.load(ordering: .relaxed)
        report.writes = writes.load(ordering: .relaxed)
        report.zeroes = zeroes.load(ordering: .relaxed)
        report.flushes = flushes.load(ordering: .relaxed)
        report.statuses = statuses.load(ordering: .relaxed)
        report.errors = errors.load(ordering: .relaxed)
        report.bytesRead = bytesRead.load(ordering: .relaxed)
        report.bytesWritten = bytesWritten.load(ordering: .relaxed)
        report.batches = batches.load(ordering: .relaxed)
        return report
    }
}

/// The counts of one batch.
struct Tally {
    var reads = 0
    var writes = 0
    var zeroes = 0
    var flushes = 0
    var statuses = 0
    var errors = 0
    var bytesRead = 0
    var bytesWritten = 0

    mutating func count(_ request: BlockRequest) {
        guard request.failure == nil else { return errors += 1 }
        switch request.kind {
        case .read:
            reads += 1
            bytesRead += request.length
        case .write:
            writes += 1
            bytesWritten += request.length
        case .zero: zeroes += 1
        case .flush: flushes += 1
        }
    }
}
