import Glibc
import Synchronization
import TrackStore

/// A disk of which one operation fails, or every one from then on, until it is healed.
///
/// An operation that fails does harm as a real one may: a read leaves rubbish in memory, and every
/// second write has written the first half of its blocks before it fails.
final class FailingDisk: Sendable {
    /// What the engine asks of a disk.
    enum Kind: String, CaseIterable, Sendable { case read, write, sync, punch, reserve }

    /// Which operations fail, and how.
    struct Fault: Sendable, CustomStringConvertible {
        var kinds: Set<Kind>
        /// Counted from 1 among the operations of these kinds.
        var number: Int
        var errno: Int32
        /// Every one from there on, not only that one.
        var goesOn = false

        var description: String {
            let name = errno == ENOSPC ? "ENOSPC" : "EIO"
            let kinds = kinds.map(\.rawValue).sorted().joined(separator: "/")
            return "\(name) at \(kinds) \(number)\(goesOn ? " and every later one" : "")"
        }
    }

    /// An operation that failed.
    struct Hit: Sendable {
        var kind: Kind
        var path: String
        var offset: Int
        var length: Int
        /// The same place was written afterwards: nobody has to hear of it.
        var isMadeGood = false
    }

    private struct State {
        var counts: [Kind: Int] = [:]
        var counted = 0
        var first: Hit?
        var isHealed = false
    }

    let fault: Fault?
    private let state = Mutex(State())
    private let makeIO: BlockIOFactory

    /// A disk on which nothing fails only counts. `makeIO` is what lies beneath.
    init(_ fault: Fault? = nil, over makeIO: @escaping BlockIOFactory = { PlainIO() }) {
        self.fault = fault
        self.makeIO = makeIO
    }

    /// One for each thread of a store.
    func io() -> any BlockIO { FailingIO(self, makeIO()) }

    /// How many operations of each kind there have been.
    var counts: [Kind: Int] { state.withLock { $0.counts } }

    /// The first operation that failed.
    var firstHit: Hit? { state.withLock { $0.first } }

    /// Nothing fails any more.
    func heal() { state.withLock { $0.isHealed = true } }

    /// The error number where this operation shall fail; and whether it is half done.
    fileprivate func failure(_ kind: Kind, _ file: Int32, _ offset: Int, _ length: Int)
        -> (errno: Int32, isHalfDone: Bool)?
    {
        state.withLock { state in
            state.counts[kind, default: 0] += 1
            guard let fault, fault.kinds.contains(kind), !state.isHealed else { return nil }
            state.counted += 1
            let hits =
                fault.goesOn ? state.counted >= fault.number : state.counted == fault.number
            guard hits else { return nil }
            if state.first == nil {
                state.first = Hit(
                    kind: kind, path: linkTarget("/proc/self/fd/\(file)"), offset: offset,
                    length: length)
            }
            return (fault.errno, state.counted % 2 == 1)
        }
    }

    fileprivate func noteDone(_ file: Int32, _ offset: Int, _ length: Int) {
        guard let first = firstHit, first.offset >= offset,
            first.offset + first.length <= offset + length,
            first.path == linkTarget("/proc/self/fd/\(file)")
        else { return }
        state.withLock { $0.first?.isMadeGood = true }
    }
}

private final class FailingIO: BlockIO {
    private let disk: FailingDisk
    private let plain: any BlockIO

    init(_ disk: FailingDisk, _ plain: any BlockIO) {
        self.disk = disk
        self.plain = plain
    }

    func perform(_ operations: inout [BlockOperation]) {
        for index in operations.indices { perform(&operations[index]) }
    }

    private func perform(_ operation: inout BlockOperation) {
        let kind: FailingDisk.Kind =
            switch operation.kind {
            case .read: .read
            case .write: .write
            }
        let failure = disk.failure(kind, operation.file, operation.offset, operation.length)
        guard let failure else {
            perform(&operation, length: operation.length)
            if kind == .write {
                disk.noteDone(operation.file, operation.offset, operation.length)
            }
            return
        }
        if kind == .read {
            memset(operation.memory, 0xEE, operation.length)
        } else if failure.isHalfDone, operation.length > 4096 {
            perform(&operation, length: operation.length / 8192 * 4096)
        }
        operation.failure = failure.errno
    }

    private func perform(_ operation: inout BlockOperation, length: Int) {
        var one = [operation]
        one[0].length = length
        plain.perform(&one)
        operation.failure = one[0].failure
    }

    func sync(_ file: Int32) -> Int32 {
        disk.failure(.sync, file, 0, 0)?.errno ?? plain.sync(file)
    }

    func punch(_ file: Int32, offset: Int, length: Int) -> Int32 {
        if let failure = disk.failure(.punch, file, offset, length) { return failure.errno }
        let result = plain.punch(file, offset: offset, length: length)
        if result == 0 { disk.noteDone(file, offset, length) }
        return result
    }

    func reserve(_ file: Int32, offset: Int, length: Int) -> Int32 {
        if let failure = disk.failure(.reserve, file, offset, length) { return failure.errno }
        return plain.reserve(file, offset: offset, length: length)
    }
}
