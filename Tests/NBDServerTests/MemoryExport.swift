import Glibc
import NBDServer
import Synchronization

/// An export in memory, for tests: counts what it was asked for, and fails where it is told to.
///
/// `@unchecked Sendable`: the bytes are memory that clients race on as they would on a disk, and all
/// else is atomic or behind a lock.
final class MemoryExport: Export, @unchecked Sendable {
    static let block = 4096

    let shape: ExportShape
    let bytes: UnsafeMutableRawPointer
    let flushes = Atomic(0)
    let forced = Atomic(0)
    let punched = Atomic(0)
    let channels = Atomic(0)
    let largestBatch = Atomic(0)
    let refusesChannels = Atomic(false)
    private let script = Mutex(Script())

    private struct Script {
        var allocated: [Bool] = []
        var failures: [(range: Range<UInt64>, failure: BlockFailure)] = []
    }

    /// Where a channel waits in `perform`, so that a test can hold a batch for as long as it likes.
    let gate = Gate()

    init(capacity: UInt64, isReadOnly: Bool = false) {
        shape = ExportShape(
            capacity: capacity, isReadOnly: isReadOnly, holeSize: 4096,
            description: "memory of \(capacity) bytes")
        bytes = mmap(
            nil, max(Int(capacity), 1), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)!
        let blocks = Int(capacity) / Self.block + 1
        script.withLock { $0.allocated = [Bool](repeating: false, count: blocks) }
    }

    deinit { munmap(bytes, max(Int(shape.capacity), 1)) }

    /// Requests that touch the range fail from now on.
    func fail(_ range: Range<UInt64>, with failure: BlockFailure) {
        script.withLock { $0.failures.append((range, failure)) }
    }

    func makeChannel() throws(ExportRefusal) -> any ExportChannel {
        if refusesChannels.load(ordering: .relaxed) {
            throw .unavailable("The storage has no channel to give.")
        }
        channels.add(1, ordering: .relaxed)
        return MemoryChannel(self)
    }

    fileprivate func failure(of request: BlockRequest) -> BlockFailure? {
        let range = request.offset..<request.offset + UInt64(request.length)
        return script.withLock { $0.failures.first { $0.range.overlaps(range) }?.failure }
    }

    fileprivate func mark(_ request: BlockRequest, allocated: Bool) {
        let block = UInt64(Self.block)
        let end = request.offset + UInt64(request.length)
        var first = request.offset / block
        var last = (end + block - 1) / block
        if !allocated {
            first = (request.offset + block - 1) / block
            last = end / block
        }
        guard first < last else { return }
        script.withLock { state in
            for index in first..<last { state.allocated[Int(index)] = allocated }
        }
    }

    fileprivate func extents(offset: UInt64, length: UInt64, limit: Int) -> [BlockExtent] {
        script.withLock { state in
            var extents: [BlockExtent] = []
            var position = offset
            while position < offset + length {
                let index = position / UInt64(Self.block)
                let next = min((index + 1) * UInt64(Self.block), offset + length)
                let isHole = !state.allocated[Int(index)]
                if let last = extents.last, last.isHole == isHole {
                    extents[extents.count - 1].length += next - position
                } else {
                    if extents.count == limit { break }
                    extents.append(BlockExtent(length: next - position, isHole: isHole))
                }
                position = next
            }
            return extents
        }
    }
}

private final class MemoryChannel: ExportChannel {
    private let export: MemoryExport

    init(_ export: MemoryExport) { self.export = export }

    deinit { export.channels.subtract(1, ordering: .relaxed) }

    func perform(_ requests: inout [BlockRequest]) {
        export.largestBatch.max(requests.count, ordering: .relaxed)
        export.gate.pass()
        for index in requests.indices {
            let request = requests[index]
            if let failure = export.failure(of: request) {
                requests[index].failure = failure
                continue
            }
            let place = export.bytes + Int(request.offset)
            if request.forceUnitAccess { export.forced.add(1, ordering: .relaxed) }
            switch request.kind {
            case .read: requests[index].data = place
            case .write:
                place.copyMemory(from: request.data!, byteCount: request.length)
                export.mark(request, allocated: true)
            case .zero:
                memset(place, 0, request.length)
                if request.mayPunch { export.punched.add(1, ordering: .relaxed) }
                export.mark(request, allocated: !request.mayPunch)
            case .flush: export.flushes.add(1, ordering: .relaxed)
            }
        }
    }

    func allocation(offset: UInt64, length: UInt64, limit: Int) -> [BlockExtent] {
        export.extents(offset: offset, length: length, limit: limit)
    }

    /// What is allocated has changed, whatever the backup; of one called `gone` nothing is known.
    func changes(
        since backup: String, offset: UInt64, length: UInt64, limit: Int
    ) -> [ChangedExtent]? {
        guard backup != "gone" else { return nil }
        return export.extents(offset: offset, length: length, limit: limit)
            .map { ChangedExtent(length: $0.length, isChanged: !$0.isHole) }
    }
}

/// A catalogue of named exports.
struct MemoryCatalogue: ExportCatalogue {
    let exports: [(name: String, export: MemoryExport)]
    let opened = Tally()

    final class Tally: Sendable {
        let count = Atomic(0)
    }

    func exportNames() -> [String] { exports.map(\.name) }

    func shape(of name: String) -> ExportShape? {
        exports.first { $0.name == name }?.export.shape
    }

    func open(_ name: String) throws(ExportRefusal) -> any Export {
        opened.count.add(1, ordering: .relaxed)
        guard let found = exports.first(where: { $0.name == name }) else { throw .unknown }
        return found.export
    }
}

/// Open unless a test shuts it; those who come while it is shut wait.
final class Gate: Sendable {
    private let isShut = Atomic(false)
    let waiting = Atomic(0)

    func shut() { isShut.store(true, ordering: .sequentiallyConsistent) }
    func open() { isShut.store(false, ordering: .sequentiallyConsistent) }

    func pass() {
        guard isShut.load(ordering: .sequentiallyConsistent) else { return }
        waiting.add(1, ordering: .sequentiallyConsistent)
        while isShut.load(ordering: .sequentiallyConsistent) { usleep(500) }
        waiting.subtract(1, ordering: .sequentiallyConsistent)
    }
}
