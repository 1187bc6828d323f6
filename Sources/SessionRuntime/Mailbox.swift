import CommandSchema
import CopyModel
import DequeModule
import MessagePort
import SessionStore
import Synchronization

/// What a lane is handed, in order.
enum LaneMessage: Sendable {
    /// A command as read from a delivery.
    case command(Admitted)
    /// Something the storage reported.
    case fact(StorageFact)
    /// A plan that was begun before the worker stopped.
    case resume(IntentRecord)
    /// Look at the storage and repair the session, as at start.
    case reconcile
    /// Old outcomes were forgotten: so may be what is known of their commands.
    case outcomesPurged
    /// Do what is owed and could not be done.
    case owed
}

/// A delivery that was read and has come to its lane.
struct Admitted: Sendable {
    var tag: DeliveryTag
    var reading: ReadResult
    var reply: ReplyContext
    var receivedAt: Timestamp

    /// What its changes are due to; nil where it has no id to name.
    var cause: Lane.Cause? {
        switch reading {
        case .command(let envelope): Lane.Cause(id: envelope.id, reply: reply)
        case .refused(let refused): Lane.Cause(id: refused.id, reply: reply)
        case .unattributable: nil
        }
    }
}

/// An ordered mailbox: first in, first out, one reader.
///
/// An actor alone would not keep the order, since it gives up its turn at every `await`. Commands are
/// bounded by the broker's prefetch and facts by the number of relationships, so it needs no limit.
final class Mailbox: Sendable {
    private struct State {
        var messages: Deque<LaneMessage> = []
        var isClosed = false
    }

    private let state = Mutex(State())
    private let wakeup = Wakeup()

    /// Appends a message; one that comes after `close` is dropped, and the broker or the storage has it
    /// still.
    func post(_ message: LaneMessage) {
        state.withLock { state in
            if !state.isClosed { state.messages.append(message) }
        }
        wakeup.wake()
    }

    /// The next message; nil once the mailbox is closed and empty.
    func next() async -> LaneMessage? {
        while true {
            let (message, isClosed) = state.withLock { ($0.messages.popFirst(), $0.isClosed) }
            if let message { return message }
            if isClosed { return nil }
            await wakeup.wait()
        }
    }

    /// The facts at the head of the mailbox, so that a flood of progress is one change.
    func takeFacts() -> [StorageFact] {
        state.withLock { state in
            var facts: [StorageFact] = []
            while case .fact(let fact)? = state.messages.first {
                facts.append(fact)
                state.messages.removeFirst()
            }
            return facts
        }
    }

    /// How many messages wait.
    var depth: Int { state.withLock { $0.messages.count } }

    /// Ends the mailbox after what is in it.
    func close() {
        state.withLock { $0.isClosed = true }
        wakeup.close()
    }
}
