import CURing
import Glibc

/// The seam over io_uring: a batch is one system call, and its operations run side by side.
///
/// The ring belongs to the thread that uses the channel; nothing is left in it between batches.
final class RingIO: BlockIO {
    private let ring: UnsafeMutablePointer<io_uring>
    private static let depth = 128

    private init(_ ring: UnsafeMutablePointer<io_uring>) { self.ring = ring }

    deinit {
        io_uring_queue_exit(ring)
        ring.deallocate()
    }

    /// A ring, or plain system calls where rings are refused.
    static func orPlain() -> any BlockIO {
        let ring = UnsafeMutablePointer<io_uring>.allocate(capacity: 1)
        ring.initialize(to: io_uring())
        // An object exists only of a ring that does: its `deinit` gives the ring back.
        guard io_uring_queue_init(UInt32(depth), ring, 0) == 0 else {
            ring.deallocate()
            return PlainIO()
        }
        return RingIO(ring)
    }

    func perform(_ operations: inout [BlockOperation]) {
        if operations.count == 1 {
            PlainIO.finish(&operations[0], from: 0)
            return
        }
        var start = 0
        while start < operations.count {
            let end = min(start + Self.depth, operations.count)
            submit(&operations, start..<end)
            start = end
        }
    }

    /// Should the ring itself fail, what is not known to be done is done again by plain calls:
    /// every operation is a read or a write of the same bytes to the same place, so twice is as
    /// good as once.
    private func submit(_ operations: inout [BlockOperation], _ range: Range<Int>) {
        for index in range {
            guard let entry = io_uring_get_sqe(ring) else { continue }
            let operation = operations[index]
            let length = UInt32(operation.length)
            let offset = UInt64(operation.offset)
            switch operation.kind {
            case .read: io_uring_prep_read(entry, operation.file, operation.memory, length, offset)
            case .write:
                io_uring_prep_write(entry, operation.file, operation.memory, length, offset)
            }
            entry.pointee.user_data = UInt64(index)
        }
        var missing = range.count
        var result = io_uring_submit_and_wait(ring, UInt32(missing))
        while missing > 0 {
            missing -= collect(&operations)
            guard missing > 0 else { break }
            guard result >= 0 || result == -EINTR || result == -EAGAIN else {
                for index in range { PlainIO.finish(&operations[index], from: 0) }
                return
            }
            result = io_uring_submit_and_wait(ring, 1)
        }
    }

    /// Takes the finished operations out of the ring; a short one is finished by plain calls.
    private func collect(_ operations: inout [BlockOperation]) -> Int {
        var count = 0
        var entry: UnsafeMutablePointer<io_uring_cqe>?
        while io_uring_peek_cqe(ring, &entry) == 0, let done = entry {
            let index = Int(done.pointee.user_data)
            let result = Int(done.pointee.res)
            io_uring_cqe_seen(ring, done)
            count += 1
            if result == operations[index].length { continue }
            if result < 0, result != -Int(EINTR), result != -Int(EAGAIN) {
                operations[index].failure = Int32(-result)
            } else {
                PlainIO.finish(&operations[index], from: max(result, 0))
            }
        }
        return count
    }

    func sync(_ file: Int32) -> Int32 { PlainIO.sync(file) }

    func punch(_ file: Int32, offset: Int, length: Int) -> Int32 {
        PlainIO.punch(file, offset: offset, length: length)
    }

    func reserve(_ file: Int32, offset: Int, length: Int) -> Int32 {
        PlainIO.reserve(file, offset: offset, length: length)
    }
}
