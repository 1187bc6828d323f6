import CopyModel
import Synchronization

/// Facts on their way from the engine's threads to whoever reads them.
///
/// Progress of a target replaces progress of the same target that nobody has read yet: only the last
/// word counts, so a slow reader costs no memory. Everything else is kept in order: what comes after a
/// copy's failure is not told before it.
final class FactQueue: Sendable {
    fileprivate struct State {
        /// Facts from `head` on are unread; an absolute place is an index plus what was cut off before.
        var facts: [StorageFact] = []
        var head = 0
        var cut = 0
        /// The absolute place of each target's unread progress.
        var progress: [VolumeID: Int] = [:]
        var reader: CheckedContinuation<StorageFact?, Never>?
        var isClosed = false
    }

    private let state = Mutex(State())

    /// Adds a fact; any thread.
    func add(_ fact: StorageFact) {
        let reader: CheckedContinuation<StorageFact?, Never>? = state.withLock { state in
            if let reader = state.reader {
                state.reader = nil
                return reader
            }
            if case .copyProgress(let target, _, _, _) = fact {
                if let place = state.progress[target], place >= state.cut + state.head {
                    state.facts[place - state.cut] = fact
                    return nil
                }
                state.progress[target] = state.cut + state.facts.count
            }
            if case .copyFailed(let target, _, _) = fact { state.progress[target] = nil }
            state.facts.append(fact)
            return nil
        }
        reader?.resume(returning: fact)
    }

    /// The next fact; nil once closed. One reader at a time.
    func next() async -> StorageFact? {
        await withCheckedContinuation { continuation in
            let answer: StorageFact?? = state.withLock { state in
                if state.head < state.facts.count { return .some(state.take()) }
                if state.isClosed { return .some(nil) }
                state.reader = continuation
                return nil
            }
            if let answer { continuation.resume(returning: answer) }
        }
    }

    /// Ends the queue; what nobody has read is found again by asking the storage.
    func close() {
        let reader = state.withLock { state in
            state.isClosed = true
            defer { state.reader = nil }
            return state.reader
        }
        reader?.resume(returning: nil)
    }
}

extension FactQueue.State {
    fileprivate mutating func take() -> StorageFact {
        let fact = facts[head]
        head += 1
        if head == facts.count {
            cut += head
            facts.removeAll(keepingCapacity: true)
            head = 0
        }
        return fact
    }
}
