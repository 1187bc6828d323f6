import Glibc
import Synchronization

/// Bounds what all connections together hold beyond their first buffers.
final class MemoryBudget: Sendable {
    private let left: Atomic<Int>

    init(bytes: Int) { left = Atomic(bytes) }

    func take(_ bytes: Int) -> Bool {
        if left.subtract(bytes, ordering: .relaxed).newValue >= 0 { return true }
        give(bytes)
        return false
    }

    func give(_ bytes: Int) {
        left.add(bytes, ordering: .relaxed)
    }
}

/// What was received and not yet consumed, in one piece.
///
/// It starts small enough to stay in the processor's cache, and grows only as far as a request that
/// was begun needs, out of a budget that all connections share.
struct ReceiveBuffer: ~Copyable {
    static let initialCapacity = 512 * 1024
    private static let leastRoom = 64 * 1024

    private var base: UnsafeMutableRawPointer
    private var capacity = initialCapacity
    private var start = 0
    private var end = 0
    private let budget: MemoryBudget

    init(budget: MemoryBudget) {
        self.budget = budget
        base = UnsafeMutableRawPointer.allocate(byteCount: Self.initialCapacity, alignment: 4096)
    }

    deinit {
        base.deallocate()
        budget.give(capacity - Self.initialCapacity)
    }

    var isEmpty: Bool { start == end }

    var readable: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: base + start, count: end - start)
    }

    mutating func consume(_ count: Int) {
        start += count
        if start == end {
            start = 0
            end = 0
        }
    }

    /// Makes room to receive more of a message that is `count` bytes long and begins where the
    /// readable bytes do.
    ///
    /// Moves what is there: pointers into the buffer are void afterwards.
    ///
    /// It grows only when what it holds has filled it, so a client that announces a large write and
    /// sends none of it takes no memory. False where there is no memory to grow into.
    mutating func prepare(for count: Int) -> Bool {
        let isTight = capacity - start < count || capacity - end < Self.leastRoom
        if start > 0, isTight { move(to: base) }
        if count <= capacity || end < capacity { return true }
        // Room for what comes behind, so that small requests behind a large one join its batch.
        let wanted = min(capacity * 2, count + Self.initialCapacity)
        guard budget.take(wanted - capacity) else { return false }
        let larger = UnsafeMutableRawPointer.allocate(byteCount: wanted, alignment: 4096)
        let smaller = base
        move(to: larger)
        smaller.deallocate()
        base = larger
        capacity = wanted
        return true
    }

    private mutating func move(to target: UnsafeMutableRawPointer) {
        target.copyMemory(from: base + start, byteCount: end - start)
        end -= start
        start = 0
    }

    /// Where to receive to.
    var room: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: base + end, count: capacity - end)
    }

    mutating func received(_ count: Int) { end += count }

    /// Gives back what a large request needed, when there is nothing left in it.
    mutating func shrink() {
        guard isEmpty, capacity > Self.initialCapacity else { return }
        base.deallocate()
        budget.give(capacity - Self.initialCapacity)
        capacity = Self.initialCapacity
        base = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 4096)
    }
}
