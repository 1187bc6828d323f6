import CURing
import Glibc
import TrackBitmap

/// One thread's way to the volumes: its ring, its buffers, its mark among the operations under way.
///
/// Make one per thread that serves hosts, and use it on that thread only.
public final class HostChannel {
    let store: TrackStore
    private let slot: Epochs.Slot
    private let io: any BlockIO
    let index: IndexReader
    private let resolver: Resolver
    /// Made when something is written: most who read a backup never do.
    private lazy var lane = WriteLane(store: store, io: io, index: index, resolver: resolver)
    private let arena = Arena(pieceSize: 4 << 20)
    private var wave = Wave()
    private var wants: [Want] = []
    private var operations: [BlockOperation] = []

    /// Errors: `closed`.
    public init(store: TrackStore) throws(TrackStoreError) {
        try store.checkOpen()
        self.store = store
        io = store.makeIO()
        index = IndexReader(catalogue: store.parts.catalogue, index: store.parts.index)
        resolver = Resolver(stamps: store.parts.stamps, index: index, io: io)
        slot = store.parts.epochs.register()
    }

    deinit { store.parts.epochs.unregister(slot) }

    /// Does a batch of requests, and returns when all are done, each with its own success or
    /// failure.
    ///
    /// Requests take effect as if done one after the other, as far as they touch the same blocks.
    /// They are done side by side where they do not: many small requests in one call cost little
    /// more than one. A batch may hold a few hundred requests.
    public func perform(_ requests: inout [HostRequest], on device: OpenDevice) {
        arena.reset()
        var next = 0
        while next < requests.count {
            guard let failure = refusal(of: requests[next], device) else {
                next = performSome(&requests, from: next, device)
                continue
            }
            requests[next].failure = failure.reason
            next += 1
        }
        for request in requests {
            if let failure = request.failure { tell(failure, of: request, on: device) }
        }
    }

    /// A host that gets an error may be the only one who ever does: the storage tells it as well, with its
    /// place, at most once in ten seconds a volume.
    private func tell(_ failure: HostFailure, of request: HostRequest, on device: OpenDevice) {
        let number: Int32
        switch failure {
        case .noSpace: number = ENOSPC
        case .inputOutput: number = EIO
        case .gone, .readOnly, .outOfRange: return
        }
        let now = monotonicMilliseconds()
        let told = device.volume.failureTold.load(ordering: .acquiring)
        guard now - told >= 10_000,
            device.volume.failureTold.compareExchange(
                expected: told, desired: now, ordering: .acquiringAndReleasing
            ).exchanged
        else { return }
        var place = device.volume.name
        if let point = device.point { place += " at \(point.tag)" }
        if request.kind != .flush { place += ", byte \(request.offset)" }
        store.parts.tell(.storageFailed(place: place, errno: number))
    }

    private struct Refusal { var reason: HostFailure? }

    /// Why a request is not done, or that there is nothing to do; nil where it is to be done.
    private func refusal(of request: HostRequest, _ device: OpenDevice) -> Refusal? {
        if device.volume.isDeleted.load(ordering: .acquiring) { return Refusal(reason: .gone) }
        switch request.kind {
        case .flush:
            return device.isReadOnly ? Refusal(reason: nil) : nil
        case .write, .zero:
            if device.isReadOnly || device.volume.inhibitsWrites.load(ordering: .acquiring) {
                return Refusal(reason: .readOnly)
            }
        case .read:
            break
        }
        let capacity = device.capacity
        guard request.length >= 0, request.offset <= capacity,
            UInt64(request.length) <= capacity - request.offset
        else { return Refusal(reason: .outOfRange) }
        if request.kind == .write, request.length > 0, request.data == nil {
            return Refusal(reason: .outOfRange)
        }
        return request.length == 0 ? Refusal(reason: nil) : nil
    }

    /// Does the requests from `first` on that can be done together, or the one that must be done
    /// alone. Gives the next one.
    private func performSome(
        _ requests: inout [HostRequest], from first: Int, _ device: OpenDevice
    ) -> Int {
        if requests[first].kind != .flush, requests[first].length > Wave.largest {
            performLarge(&requests, first, device)
            return first + 1
        }
        if requests[first].kind == .flush {
            during { requests[first].failure = flush(device) }
            return first + 1
        }
        wave.clear()
        var next = first
        while next < requests.count, add(next, requests[next], device) { next += 1 }
        performWave(&requests, device)
        return next
    }

    /// Adds a request to the wave; false where the wave must be done before it.
    private func add(_ number: Int, _ request: HostRequest, _ device: OpenDevice) -> Bool {
        guard request.kind != .flush, request.length <= Wave.largest,
            refusal(of: request, device) == nil
        else { return false }
        switch request.kind {
        case .flush: return false
        case .read: return wave.addRead(number, request.offset, request.length)
        case .write, .zero:
            let item = WriteItem(
                request: number, offset: request.offset, length: request.length,
                source: request.kind == .zero ? nil : request.data.map { UnsafeRawPointer($0) },
                mayPunch: request.mayPunch)
            guard wave.addWrite(item) else { return false }
            if request.forceUnitAccess { wave.forced.append(number) }
            return true
        }
    }

    /// One operation, as others see it who wait for operations to end.
    func during(_ body: () -> Void) {
        store.parts.epochs.enter(slot)
        body()
        index.end()
        store.parts.epochs.leave(slot)
    }

    private func performWave(_ requests: inout [HostRequest], _ device: OpenDevice) {
        if !wave.reads.isEmpty { during { readWave(&requests, device) } }
        guard !wave.writes.isEmpty else { return }
        var isDone = false
        while true {
            during { isDone = writeWave(&requests, device) }
            if isDone { return }
            do throws(TrackStoreError) {
                try store.parts.journal?.waitForRoom()
            } catch {
                for item in wave.writes { requests[item.request].failure = HostFailure(error) }
                return
            }
        }
    }

    private func readWave(_ requests: inout [HostRequest], _ device: OpenDevice) {
        guard store.isOpen else {
            for number in wave.reads { requests[number].failure = .gone }
            return
        }
        read(&requests, device)
    }

    /// False where the writes must wait for the journal.
    private func writeWave(_ requests: inout [HostRequest], _ device: OpenDevice) -> Bool {
        guard store.isOpen else {
            for item in wave.writes { requests[item.request].failure = .gone }
            return true
        }
        guard lane.write(&wave.writes, of: &requests, to: device.volume) else { return false }
        guard !wave.forced.isEmpty else { return true }
        let failure = flush(device)
        for number in wave.forced where requests[number].failure == nil {
            requests[number].failure = failure
        }
        return true
    }

    private func flush(_ device: OpenDevice) -> HostFailure? {
        guard store.isOpen else { return .gone }
        do throws(TrackStoreError) {
            try store.flush(device.volume, through: io)
            return nil
        } catch {
            return HostFailure(error)
        }
    }

    /// A request too large for a wave is done piece by piece.
    private func performLarge(
        _ requests: inout [HostRequest], _ number: Int, _ device: OpenDevice
    ) {
        let request = requests[number]
        guard request.kind != .read else {
            wave.clear()
            wave.reads.append(number)
            performWave(&requests, device)
            return
        }
        var done = 0
        while done < request.length, requests[number].failure == nil {
            if request.kind == .zero {
                done += holeLength(device, request.offset + UInt64(done), request.length - done)
                guard done < request.length else { break }
            }
            let offset = request.offset + UInt64(done)
            let length = min(Wave.largest - Int(offset) % Geometry.track, request.length - done)
            wave.clear()
            let item = WriteItem(
                request: number, offset: offset, length: length,
                source: request.kind == .zero
                    ? nil : request.data.map { UnsafeRawPointer($0 + done) },
                mayPunch: request.mayPunch)
            _ = wave.addWrite(item)
            performWave(&requests, device)
            done += length
        }
        if request.forceUnitAccess, requests[number].failure == nil {
            during { requests[number].failure = flush(device) }
        }
    }

    /// How much of a range to be zeroed is a hole already, so that nothing need be saved or
    /// written: a host that trims a new disk does so in ranges of gigabytes. Rounded down to whole
    /// tracks.
    private func holeLength(_ device: OpenDevice, _ offset: UInt64, _ length: Int) -> Int {
        guard !device.volume.presentsPoint, device.volume.journaled.isEmpty, store.isOpen,
            let file = try? device.volume.file()
        else { return 0 }
        let data = lseek(file, Int(offset), linux_seek_data)
        if data < 0 { return errno == ENXIO ? length : 0 }
        let hole = data / Geometry.track * Geometry.track - Int(offset)
        return max(0, min(hole, length))
    }
}

// Reading.
extension HostChannel {
    private func read(_ requests: inout [HostRequest], _ device: OpenDevice) {
        if device.point == nil, !device.volume.presentsPoint, device.volume.journaled.isEmpty {
            readFile(&requests, device.volume)
            return
        }
        wants.removeAll(keepingCapacity: true)
        var owners: [Int] = []
        for number in wave.reads {
            let blocks = Wave.blocks(requests[number].offset, requests[number].length)
            let memory = arena.take(blocks.count * Geometry.block)
            requests[number].data = memory + Int(requests[number].offset) % Geometry.block
            var block = blocks.lowerBound
            while block < blocks.upperBound {
                let track = block / Geometry.blocksPerTrack
                let start = track * Geometry.blocksPerTrack
                let end = min(blocks.upperBound, start + Geometry.blocksPerTrack)
                let mask = UInt16(blocks: block - start..<end - start)
                wants.append(
                    Want(
                        device.volume, at: device.point, track: UInt32(track), mask: mask,
                        into: memory + (block - blocks.lowerBound) * Geometry.block, layout: mask))
                owners.append(number)
                block = end
            }
        }
        resolver.read(&wants)
        for (index, want) in wants.enumerated() {
            guard let failure = want.failure else { continue }
            requests[owners[index]].failure = failure
        }
    }

    /// A volume that presents no point is its file.
    private func readFile(_ requests: inout [HostRequest], _ volume: Volume) {
        guard let file = try? volume.file() else {
            for number in wave.reads { requests[number].failure = .inputOutput }
            return
        }
        operations.removeAll(keepingCapacity: true)
        var owners: [Int] = []
        for number in wave.reads {
            let blocks = Wave.blocks(requests[number].offset, requests[number].length)
            let memory = arena.take(blocks.count * Geometry.block)
            requests[number].data = memory + Int(requests[number].offset) % Geometry.block
            var done = 0
            while done < blocks.count {
                let count = min(blocks.count - done, Wave.largest / Geometry.block)
                operations.append(
                    BlockOperation(
                        kind: .read, file: file, memory: memory + done * Geometry.block,
                        length: count * Geometry.block,
                        offset: (blocks.lowerBound + done) * Geometry.block))
                owners.append(number)
                done += count
            }
        }
        io.perform(&operations)
        for (index, operation) in operations.enumerated() where operation.failure != 0 {
            requests[owners[index]].failure = HostFailure(errno: operation.failure)
        }
    }
}
