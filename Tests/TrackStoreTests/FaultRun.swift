import Glibc
import Testing
import TrackStore

/// One life of a store on a disk that fails somewhere: always the same life, up to the failure.
///
/// What callers see of a failure, and what the store tells by itself, is collected. What has succeeded
/// must be so, what has failed must have left every point and every other block as it was.
final class FaultRun {
    struct Wrong: Error, CustomStringConvertible { var description: String }

    let scratch = Scratch()
    let facts = FactList()
    let disk: FailingDisk
    var store: TrackStore
    var channel: HostChannel
    var devices: [String: OpenDevice] = [:]
    var volumes: [String: PossibleContent] = [:]
    /// By volume, oldest first.
    var points: [String: [(tag: String, content: PossibleContent)]] = [:]
    /// By target: what it was given, or showed when it was flushed last. A crash may take later writes
    /// back to that.
    var given: [String: PossibleContent] = [:]
    var numbers = SeededNumbers(seed: 7)
    /// What the power is cut of when the disk has stopped; nil where it only fails.
    private let cache: SimulatedDisk?
    /// What callers were told.
    private(set) var seen: [String] = []
    /// Writes that the power cut took, at least in part.
    private(set) var lostWrites = 0
    private var isCut = false
    /// False once the store cannot be opened on this disk.
    private(set) var isUp = false

    /// `cutsPower`: once the disk has failed, it has failed for ever, and what was not synced by then is
    /// kept, lost or torn. Every write of a host asks to be durable.
    init(_ fault: FailingDisk.Fault? = nil, cutsPower: Bool = false) throws {
        let cache = cutsPower ? SimulatedDisk() : nil
        self.cache = cache
        if let cache {
            disk = FailingDisk(fault, over: { cache.io() })
        } else {
            disk = FailingDisk(fault)
        }
        let disk = disk
        var configuration = TrackStore.Configuration.test(scratch.path)
        configuration.makeIO = { disk.io() }
        store = try TrackStore(configuration, facts: facts.add)
        channel = try HostChannel(store: store)
        isUp = true
    }

    /// The whole life, the failure included; then on a disk that does not fail any more, and then after
    /// a restart.
    func run() throws {
        try live()
        if let cache {
            store.abandon()
            noteCrash()
            lostWrites = cache.cutPower(&numbers)
            isCut = true
            disk.heal()
        } else {
            disk.heal()
            if isUp {
                try compareAll("on a healed disk")
                store.abandon()
                noteCrash()
            }
        }
        try reopen(healthy: true)
        try compareAll("after a restart")
        try goOn()
        try store.close()
        if cache == nil { try checkTold() }
    }

    // MARK: What callers see

    /// Does something that may fail where the disk has.
    @discardableResult
    func attempt(_ what: String, _ body: () throws -> Void) throws -> Bool {
        do {
            try body()
            return true
        } catch let error as TrackStoreError {
            guard disk.firstHit != nil else { throw Wrong(description: "\(what): \(error)") }
            if error.errno == disk.fault?.errno {
                guard !error.place.isEmpty else {
                    throw Wrong(description: "\(what): an error without a place: \(error)")
                }
                seen.append("\(what): \(error)")
            }
            return false
        }
    }

    func noteFailure(_ what: String, _ failure: HostFailure) throws {
        let isKnown = failure == .noSpace || failure == .inputOutput
        guard disk.firstHit != nil, isKnown else {
            throw Wrong(description: "\(what) failed: \(failure)")
        }
        seen.append("\(what): \(failure)")
    }

    /// A failure that no caller has seen was told as a fact, with its place; one that was made good
    /// need not be.
    private func checkTold() throws {
        guard let hit = disk.firstHit, let fault = disk.fault, !hit.isMadeGood, seen.isEmpty
        else { return }
        // What cannot be read is read again, block by block.
        if hit.kind == .read, !fault.goesOn { return }
        let names = hit.path.split(separator: "/")
        let volume = names.lastIndex { $0 == "volumes" || $0 == "saves" }.map { names[$0 + 1] }
        let isTold = facts.all.contains { fact in
            switch fact {
            case .storageFailed(let place, let errno):
                errno == fault.errno && place.contains(volume ?? "/")
            case .copyFailed(_, _, _, let errno): errno == fault.errno
            case .pointsDamaged(let damaged, _, _): damaged == volume.map(String.init)
            case .pointsRolledOff, .capacity, .copyProgress, .copyCompleted: false
            }
        }
        guard isTold else {
            throw Wrong(description: "nobody heard of the failed \(hit.kind) of \(hit.path)")
        }
    }

    // MARK: Hosts

    enum Piece {
        case write(Int, Int)
        case zero(Int, Int)
    }

    /// One batch of requests that share no block.
    func write(_ name: String, _ pieces: [Piece]) throws {
        guard let device = devices[name] else { return }
        var requests: [HostRequest] = []
        var contents: [[UInt8]] = []
        var held: [UnsafeMutableRawPointer] = []
        defer { for memory in held { memory.deallocate() } }
        for piece in pieces {
            switch piece {
            case .write(let offset, let count):
                let value = Int(numbers.next() % 1000)
                let new = block(value, count: count)
                let memory = UnsafeMutableRawPointer.allocate(byteCount: count, alignment: 1)
                memory.initializeMemory(as: UInt8.self, from: new, count: count)
                held.append(memory)
                contents.append(new)
                requests.append(
                    HostRequest(
                        kind: .write, offset: UInt64(offset), length: count,
                        forceUnitAccess: cache != nil, data: memory))
            case .zero(let offset, let count):
                contents.append([UInt8](repeating: 0, count: count))
                requests.append(
                    HostRequest(
                        kind: .zero, offset: UInt64(offset), length: count,
                        forceUnitAccess: cache != nil))
            }
        }
        channel.perform(&requests, on: device)
        for (request, content) in zip(requests, contents) {
            volumes[name]?.write(
                Int(request.offset), content, failed: request.failure != nil)
            if let failure = request.failure { try noteFailure("write of \(name)", failure) }
        }
        if cache != nil, requests.allSatisfy({ $0.failure == nil }) { settle(name) }
    }

    /// Bytes of a write that reach the disk together.
    var unit: Int { cache == nil ? 4096 : 512 }

    /// All of a volume, a few tracks at a time.
    func writeAll(_ name: String) throws {
        let count = volumes[name]?.count ?? 0
        for start in stride(from: 0, to: count, by: 3 * 65_536) {
            let pieces = stride(from: start, to: min(start + 3 * 65_536, count), by: 65_536).map {
                Piece.write($0, min(65_536, count - $0))
            }
            try write(name, pieces)
        }
    }

    /// True where everything before it is durable.
    @discardableResult
    func flush(_ name: String) throws -> Bool {
        guard let device = devices[name] else { return true }
        if let failure = channel.flush(device) {
            try noteFailure("flush of \(name)", failure)
            return false
        }
        settle(name)
        return true
    }

    /// What the volume shows is durable.
    func settle(_ name: String) {
        if given[name] != nil { given[name] = volumes[name] }
    }

    // MARK: Stops

    /// What no flush has covered may be taken back to what the target was given.
    func noteCrash() {
        for (name, content) in given where volumes[name]?.isUnknown == false {
            volumes[name]?.doubt(content, content.count)
        }
    }

    func restart(crash: Bool) throws {
        if crash {
            store.abandon()
            noteCrash()
        } else if try attempt("close", { try store.close() }) {
            for name in given.keys { settle(name) }
        } else {
            noteCrash()
        }
        isUp = false
        isUp = try attempt("open") { try reopen(healthy: false) }
    }

    private func reopen(healthy: Bool) throws {
        let disk = disk
        var configuration = TrackStore.Configuration.test(scratch.path)
        if !healthy { configuration.makeIO = { disk.io() } }
        store = try TrackStore(configuration, facts: facts.add)
        channel = try HostChannel(store: store)
        devices = [:]
        for name in volumes.keys.sorted() { devices[name] = try store.open(.volume(name)) }
    }

    // MARK: Comparing

    /// Everything that can be read reads as it may. Where the disk fails, reads may fail.
    func compareAll(_ what: String) throws {
        guard store.exportNames().isEmpty == volumes.isEmpty else {
            throw Wrong(description: "\(what): the store is not up")
        }
        for name in volumes.keys.sorted() {
            var now = volumes[name]
            try compare(name, .volume(name), &now, what)
            // What is read before the power is cut may be the cache's.
            if cache == nil || isCut { volumes[name] = now }
            let tags = try store.points(of: name).map(\.tag)
            let wanted = points[name, default: []].map(\.tag)
            guard tags == wanted else {
                throw Wrong(description: "\(what): \(name) has points \(tags), not \(wanted)")
            }
            for index in points[name, default: []].indices {
                let tag = wanted[index]
                var content: PossibleContent? = points[name]?[index].content
                try compare(name, .point(volume: name, tag: tag), &content, what)
                if let content, cache == nil || isCut { points[name]?[index].content = content }
            }
        }
    }

    private func compare(
        _ name: String, _ view: HostView, _ content: inout PossibleContent?, _ what: String
    ) throws {
        let device = try store.open(view)
        var requests = [HostRequest(kind: .read, offset: 0, length: Int(device.capacity))]
        channel.perform(&requests, on: device)
        if let failure = requests[0].failure {
            return try noteFailure("\(what): read of \(view)", failure)
        }
        guard let data = requests[0].data else { return }
        let got = Array(UnsafeRawBufferPointer(start: data, count: requests[0].length))
        if let place = content?.settle(got) {
            throw Wrong(
                description: "\(what): \(view) differs at track \(place / 65_536), "
                    + "block \(place % 65_536 / 4096)")
        }
    }
}
