import CURing
import Glibc
import Synchronization

/// One read or write of a file, aligned to blocks in place, length and memory.
package struct BlockOperation {
    /// The two things that are done.
    package enum Kind: Sendable { case read, write }
    /// Read or write.
    package var kind: Kind
    /// The file's descriptor.
    package var file: Int32
    /// From where or to where.
    package var memory: UnsafeMutableRawPointer
    /// Bytes.
    package var length: Int
    /// Where in the file. Bytes.
    package var offset: Int
    /// 0 = done in full (a read beyond the file's end gives zeroes); otherwise an error number.
    package var failure: Int32 = 0
}

/// The seam between the engine and the disk: everything that touches the content of files goes
/// through it, so that a simulated or failing disk can stand in. One instance serves one thread.
package protocol BlockIO: AnyObject {
    /// Does all operations, in any order, and returns when all are done.
    func perform(_ operations: inout [BlockOperation])
    /// Makes what was written to the file durable; 0 or an error number.
    func sync(_ file: Int32) -> Int32
    /// Turns a range into a hole; 0 or an error number.
    func punch(_ file: Int32, offset: Int, length: Int) -> Int32
    /// Reserves space for a range; 0 or an error number.
    func reserve(_ file: Int32, offset: Int, length: Int) -> Int32
}

/// How the store gets its seam: called once per thread.
package typealias BlockIOFactory = @Sendable () -> any BlockIO

/// The seam over plain system calls, one at a time.
package final class PlainIO: BlockIO {
    /// Needs nothing.
    package init() {}

    /// Does them one after the other.
    package func perform(_ operations: inout [BlockOperation]) {
        for index in operations.indices { PlainIO.finish(&operations[index], from: 0) }
    }

    /// `fdatasync`.
    package func sync(_ file: Int32) -> Int32 { PlainIO.sync(file) }

    /// `fallocate`, to make a hole.
    package func punch(_ file: Int32, offset: Int, length: Int) -> Int32 {
        PlainIO.punch(file, offset: offset, length: length)
    }

    /// `fallocate`, to reserve.
    package func reserve(_ file: Int32, offset: Int, length: Int) -> Int32 {
        PlainIO.reserve(file, offset: offset, length: length)
    }

    /// Does the rest of an operation of which `done` bytes are done.
    static func finish(_ operation: inout BlockOperation, from done: Int) {
        var done = done
        while done < operation.length {
            let memory = operation.memory + done
            let count = operation.length - done
            let result =
                switch operation.kind {
                case .read: pread(operation.file, memory, count, operation.offset + done)
                case .write: pwrite(operation.file, memory, count, operation.offset + done)
                }
            if result < 0 {
                if errno == EINTR || errno == EAGAIN { continue }
                operation.failure = errno
                return
            }
            if result == 0 {
                switch operation.kind {
                case .read: memset(memory, 0, count)
                case .write: operation.failure = EIO
                }
                return
            }
            done += result
        }
    }

    static func sync(_ file: Int32) -> Int32 {
        while fdatasync(file) != 0 { if errno != EINTR { return errno } }
        return 0
    }

    static func punch(_ file: Int32, offset: Int, length: Int) -> Int32 {
        // FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE
        while linux_fallocate(file, 0x01 | 0x02, offset, length) != 0 {
            if errno != EINTR { return errno }
        }
        return 0
    }

    /// File systems that cannot reserve still work: they only find out later that they are full.
    static func reserve(_ file: Int32, offset: Int, length: Int) -> Int32 {
        while linux_fallocate(file, 0, offset, length) != 0 {
            if errno == EOPNOTSUPP { return ftruncate(file, offset + length) == 0 ? 0 : errno }
            if errno != EINTR { return errno }
        }
        return 0
    }
}
