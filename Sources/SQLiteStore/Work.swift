import CopyModel
import SessionStore

/// Where a caller waits for its answer.
typealias Reply<Value: Sendable> = CheckedContinuation<Result<Value, StoreFailure>, Never>

/// What the writing thread is asked to do.
enum WriteWork: Sendable {
    case commit(Commit)
    case forget([Int64])
    case purge(Purge)
    /// The last: what came before is done, then the connection is closed. Nobody may wait for it.
    case close(Reply<Void>?)
}

/// A unit on its way to the disk; a class, so that queueing it copies one reference.
final class Commit: Sendable {
    let unit: UnitOfWork
    let reply: Reply<Void>
    /// About how much of the log it takes, in bytes.
    let weight: Int

    init(unit: UnitOfWork, reply: Reply<Void>) {
        self.unit = unit
        self.reply = reply
        weight =
            unit.putParts.reduce(0) { $0 + $1.bytes.count }
            + unit.outbox.reduce(0) { $0 + $1.body.count }
            + (unit.inbox.map { $0.request.count + $0.outcome.count } ?? 0)
    }
}

/// Old outcomes that have to go, slice by slice, so that commits need not wait for all of them.
struct Purge: Sendable {
    let receivedBefore: Timestamp
    let reply: Reply<Int>
    var purged = 0
}

/// What the reading thread is asked to do.
enum ReadWork: Sendable {
    case read(@Sendable (ReadStatements) -> Void)
    /// The last: what came before is done, then the connection is closed. Nobody may wait for it.
    case close(Reply<Void>?)
}
