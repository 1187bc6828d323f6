import Glibc
import Synchronization

/// Knows which operations are under way, so that one can wait for those that began before a change.
///
/// Every thread that reads or writes volumes has a slot. It publishes the epoch it begins in, and 0
/// when it is done. `quiesce` opens a new epoch and waits until no slot shows an older one. All
/// four accesses are sequentially consistent: if `quiesce` misses a thread's slot, that thread
/// began after the new epoch was opened, and so sees everything that the caller of `quiesce`
/// changed before.
///
/// What rests on it: a point is made durable only when no write is under way that was decided
/// before its instant; a segment is unlinked only when no reader can still hold a place in it.
final class Epochs: Sendable {
    /// One thread's mark.
    final class Slot: Sendable {
        fileprivate let epoch = Atomic<UInt64>(0)
    }

    private let current = Atomic<UInt64>(1)
    private let waiting = Atomic<Int>(0)
    private let slots = Monitor<[Slot]>([])

    /// A slot for a thread; it is its for as long as it wants.
    func register() -> Slot {
        let slot = Slot()
        slots.withLock { $0.append(slot) }
        return slot
    }

    /// Gives a slot back.
    func unregister(_ slot: Slot) {
        slots.withLock { slots in slots.removeAll { $0 === slot } }
        slots.notifyAll()
    }

    /// An operation begins.
    @inline(__always)
    func enter(_ slot: Slot) {
        slot.epoch.store(
            current.load(ordering: .sequentiallyConsistent), ordering: .sequentiallyConsistent)
    }

    /// It is over: the thread holds nothing that it found.
    @inline(__always)
    func leave(_ slot: Slot) {
        slot.epoch.store(0, ordering: .sequentiallyConsistent)
        if waiting.load(ordering: .sequentiallyConsistent) != 0 { wake() }
    }

    /// Taking the lock first makes sure that a waiter which has just looked is really waiting.
    private func wake() {
        slots.withLock { _ in }
        slots.notifyAll()
    }

    /// Waits for all operations that began before this call. Not to be called inside one.
    func quiesce() {
        let new = current.add(1, ordering: .sequentiallyConsistent).newValue
        waiting.add(1, ordering: .sequentiallyConsistent)
        slots.withLock(
            waitingWhile: { slots in
                slots.contains { slot in
                    let epoch = slot.epoch.load(ordering: .sequentiallyConsistent)
                    return epoch != 0 && epoch < new
                }
            }, { _ in })
        waiting.subtract(1, ordering: .sequentiallyConsistent)
    }
}
