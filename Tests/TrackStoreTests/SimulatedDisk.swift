import Glibc
import Synchronization
import TrackStore

/// A disk with a cache that a power cut empties: what was written and not synced since is kept, lost or
/// torn, write by write and sector by sector, in any order.
///
/// Writes go to the real files at once, so that everybody reads what was written; what they replaced is
/// remembered until a sync of the file has covered it. The names of files and the index are not
/// simulated: the engine syncs directories itself, and LMDB its own file.
final class SimulatedDisk: Sendable {
    struct Write {
        /// Its place among all writes.
        var number: Int
        var path: String
        var offset: Int
        var old: [UInt8]
        var new: [UInt8]
    }

    /// By inode: the writes that no sync has covered, in order.
    private let unsynced = Mutex<[UInt64: [Write]]>([:])
    private let syncs = Atomic<Int>(0)
    private let writes = Atomic<Int>(0)

    /// One for each thread of a store.
    func io() -> any BlockIO { SimulatedIO(self) }

    /// How often anything was made durable.
    var syncCount: Int { syncs.load(ordering: .relaxed) }

    private static func inode(_ file: Int32) -> UInt64 {
        var status = stat()
        fstat(file, &status)
        return UInt64(status.st_ino)
    }

    fileprivate func write(
        _ file: Int32, _ offset: Int, _ length: Int, _ new: [UInt8], _ body: () -> Void
    ) {
        let path = linkTarget("/proc/self/fd/\(file)")
        unsynced.withLock { unsynced in
            let old = Self.read(path, offset, length)
            body()
            unsynced[Self.inode(file), default: []].append(
                Write(
                    number: writes.add(1, ordering: .relaxed).newValue, path: path, offset: offset,
                    old: old, new: new))
        }
    }

    fileprivate func sync(_ file: Int32, _ body: () -> Int32) -> Int32 {
        let inode = Self.inode(file)
        // Several may sync a file at once.
        let last = unsynced.withLock { $0[inode]?.last?.number ?? 0 }
        let failure = body()
        if failure == 0 { unsynced.withLock { $0[inode]?.removeAll { $0.number <= last } } }
        syncs.add(1, ordering: .relaxed)
        return failure
    }

    private static func read(_ path: String, _ offset: Int, _ length: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: length)
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return bytes }
        defer { close(file) }
        _ = bytes.withUnsafeMutableBytes { pread(file, $0.baseAddress, length, offset) }
        return bytes
    }

    private static func put(_ file: Int32, _ offset: Int, _ bytes: ArraySlice<UInt8>) {
        _ = bytes.withUnsafeBytes { pwrite(file, $0.baseAddress, $0.count, offset) }
    }

    /// The power fails: nobody uses the files any more. Gives how many writes were lost, at least in
    /// part.
    func cutPower(_ numbers: inout SeededNumbers) -> Int {
        let writes = unsynced.withLock { unsynced in
            defer { unsynced = [:] }
            return unsynced.sorted { $0.key < $1.key }
        }
        var lost = 0
        for (inode, writes) in writes {
            guard let path = writes.first?.path else { continue }
            let file = open(path, O_RDWR | O_CLOEXEC)
            guard file >= 0 else { continue }
            defer { close(file) }
            // Another file may have the name by now.
            guard Self.inode(file) == inode else { continue }
            for write in writes.reversed() { Self.put(file, write.offset, write.old[...]) }
            for write in numbers.chance(30) ? writes.shuffled(using: &numbers) : writes {
                switch numbers.below(3) {
                case 0: Self.put(file, write.offset, write.new[...])
                case 1: lost += 1
                default:
                    lost += 1
                    for start in stride(from: 0, to: write.new.count, by: 512)
                    where numbers.chance(50) {
                        let end = min(start + 512, write.new.count)
                        Self.put(file, write.offset + start, write.new[start..<end])
                    }
                }
            }
        }
        return lost
    }
}

private final class SimulatedIO: BlockIO {
    private let disk: SimulatedDisk
    private let plain = PlainIO()

    init(_ disk: SimulatedDisk) { self.disk = disk }

    func perform(_ operations: inout [BlockOperation]) {
        for index in operations.indices {
            var one = [operations[index]]
            switch one[0].kind {
            case .read: plain.perform(&one)
            case .write:
                let bytes = [UInt8](
                    UnsafeRawBufferPointer(start: one[0].memory, count: one[0].length))
                disk.write(one[0].file, one[0].offset, one[0].length, bytes) {
                    plain.perform(&one)
                }
            }
            operations[index] = one[0]
        }
    }

    func sync(_ file: Int32) -> Int32 { disk.sync(file) { plain.sync(file) } }

    func punch(_ file: Int32, offset: Int, length: Int) -> Int32 {
        var failure: Int32 = 0
        disk.write(file, offset, length, [UInt8](repeating: 0, count: length)) {
            failure = plain.punch(file, offset: offset, length: length)
        }
        return failure
    }

    func reserve(_ file: Int32, offset: Int, length: Int) -> Int32 {
        plain.reserve(file, offset: offset, length: length)
    }
}
