import CopyModel
import GRDB
import SessionStore

/// The thread that writes: group commit.
///
/// Commits queue up while a transaction runs; the next transaction takes all that are there, in
/// order of arrival, and so they share its one sync:
///
///     tasks   commit a ┐          commit b, c, d ┐           commit e ┐
///     thread           └ [a | sync] ─────────────└ [b c d | sync] ────└ [e | sync]
///
/// A unit that conflicts fails alone. What fails SQLite itself (no room, the disk) fails all units
/// of the transaction. Forgetting messages rides along, or goes by itself once nothing has come
/// along for a while; purging goes in slices, one a transaction.
///
/// Everything in here but the mailbox and the gauges belongs to the thread.
struct Writer {
    /// That the store is to be closed, who waits for it, and what failed at the last.
    struct Closing {
        let reply: Reply<Void>?
        var failure: StoreFailure?
    }

    private var transactions: GroupTransactions
    private let forgetDelay: Duration

    private var waiting: [Commit] = []
    private var purges: [Purge] = []
    private var forgotten: [Int64] = []
    /// When forgetting goes by itself; nil where there is nothing to forget, or where it has just
    /// failed and waits for the next commit.
    private var forgetDue: ContinuousClock.Instant?
    private var closing: Closing?

    init(
        _ database: Database, path: String, options: SQLiteStore.Options, gauges: Gauges,
        tail: OutboxTail
    ) throws {
        transactions = try GroupTransactions(
            database, path: path, checkpointPages: options.checkpointPages, gauges: gauges,
            tail: tail)
        forgetDelay = options.forgetDelay
    }

    /// Works until the store is closed; returns who waits for that.
    mutating func work(from mailbox: Mailbox<WriteWork>) -> Closing {
        while true {
            sort(mailbox.take(waiting: patience))
            if isDue { transact() }
            if let closing, waiting.isEmpty, purges.isEmpty { return closing }
            transactions.checkpointIfDue()
        }
    }

    /// How long to sleep for more work, in milliseconds.
    private var patience: Int32 {
        if closing != nil || !waiting.isEmpty || !purges.isEmpty { return 0 }
        guard let forgetDue else { return -1 }
        let left = ContinuousClock.now.duration(to: forgetDue)
        return Int32(clamping: max(0, left.components.seconds * 1000 + left.milliseconds + 1))
    }

    private var isDue: Bool {
        if !waiting.isEmpty || !purges.isEmpty { return true }
        if closing != nil { return !forgotten.isEmpty }
        return forgetDue.map { $0 <= ContinuousClock.now } ?? false
    }

    private mutating func sort(_ arrived: [WriteWork]) {
        for work in arrived {
            switch work {
            case .commit(let commit): waiting.append(commit)
            case .purge(let purge): purges.append(purge)
            case .forget(let positions):
                forgotten += positions
                if forgetDue == nil { forgetDue = ContinuousClock.now + forgetDelay }
            case .close(let reply):
                closing = Closing(reply: reply)
            }
        }
    }

    private mutating func transact() {
        let batch = takeBatch()
        let work = GroupTransactions.Work(
            commits: batch, forgotten: forgotten, purgeBefore: purges.first?.receivedBefore)
        forgetDue = nil
        switch transactions.run(work) {
        case .success(let done):
            forgotten = []
            for (commit, result) in zip(batch, done.results) {
                commit.reply.resume(returning: result)
            }
            if !purges.isEmpty { settlePurge(done.purged) }
        case .failure(let failure):
            for commit in batch { commit.reply.resume(returning: .failure(failure)) }
            for purge in purges { purge.reply.resume(returning: .failure(failure)) }
            purges = []
            closing?.failure = failure
        }
    }

    private mutating func settlePurge(_ count: Int) {
        purges[0].purged += count
        if count < GroupTransactions.purgeSlice {
            let purge = purges.removeFirst()
            purge.reply.resume(returning: .success(purge.purged))
        }
    }

    /// Takes the units of the next transaction: all that wait, up to 8 MiB, and at least one.
    private mutating func takeBatch() -> [Commit] {
        var weight = 0
        let end = waiting.firstIndex { commit in
            defer { weight += commit.weight }
            return weight >= 8 << 20
        }
        let batch = waiting.prefix(upTo: end ?? waiting.endIndex)
        waiting.removeFirst(batch.count)
        return Array(batch)
    }
}

extension Duration {
    /// The milliseconds within the second, rounded down.
    fileprivate var milliseconds: Int64 { components.attoseconds / 1_000_000_000_000_000 }
}
