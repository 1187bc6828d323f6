import Glibc
import Testing
import TrackStore

/// One random life of a store, compared with the naive model after every step.
final class ModelRun {
    private let scratch = Scratch()
    private let facts = FactList()
    var numbers: SeededNumbers
    var model = NaiveModel()
    private(set) var store: TrackStore
    private(set) var channels: [HostChannel]
    private(set) var devices: [String: OpenDevice] = [:]
    var nextTag = 1
    var nextNumber: UInt64 = 0
    /// Half of the lives have a write journal; a restart may begin with one or do without.
    private var configuration: TrackStore.Configuration
    /// Half of the lives are on a disk of which the power can be cut.
    private let disk: SimulatedDisk?
    private(set) var counts: [String: Int] = [:]
    /// What was done, for whoever has to find out why it went wrong.
    private(set) var story: [String] = []

    struct Difference: Error, CustomStringConvertible { var description: String }

    init(seed: UInt64) throws {
        numbers = SeededNumbers(seed: seed)
        var configuration = TrackStore.Configuration.test(scratch.path)
        configuration.avoidsRing = numbers.chance(50)
        if numbers.chance(50) { configuration.journalCapacity = 0 }
        let disk = numbers.chance(50) ? SimulatedDisk() : nil
        if let disk { configuration.makeIO = { disk.io() } }
        self.configuration = configuration
        self.disk = disk
        store = try TrackStore(configuration, facts: facts.add)
        channels = [try HostChannel(store: store), try HostChannel(store: store)]
        for number in 0..<(2 + numbers.below(4)) { try create("010\(number)") }
        for number in 0..<(1 + numbers.below(3)) { try create("020\(number)") }
    }

    private func create(_ id: String) throws {
        // Whole and broken tracks and blocks.
        let tails = [0, 512, 4096, 20_480, 33_280]
        let tracks =
            numbers.chance(60) ? 4 : 1 + numbers.below(6) + (isTarget(id) ? 2 : 0)
        let capacity =
            tracks * 65_536 + (numbers.chance(60) ? 0 : tails[numbers.below(tails.count)])
        let multiplier = UInt32([1, 2, 8, 64][numbers.below(4)])
        try store.createVolumes([
            NewVolume(id: id, capacity: UInt64(capacity), multiplier: multiplier)
        ])
        model.volumes[id] = .init(
            content: [UInt8](repeating: 0, count: capacity), multiplier: multiplier)
        devices[id] = try store.open(.volume(id))
    }

    var names: [String] { model.volumes.keys.sorted() }

    func someName() -> String { names[numbers.below(names.count)] }

    /// Volumes 02xx are larger and seldom backed up, so that they often present points.
    func isTarget(_ name: String) -> Bool { name.hasPrefix("02") }

    func run(steps: Int) throws {
        for step in 0..<steps {
            let what = try doSomething()
            counts[what, default: 0] += 1
            tell("-- step \(step): \(what)")
            try compare("step \(step) \(what)")
        }
        channels = []
        devices = [:]
        try store.close()
    }

    func tell(_ line: String) { story.append(line) }

    private func doSomething() throws -> String {
        switch numbers.below(100) {
        case ..<34: return try writeBatch()
        case ..<40: return try commitOrRevert()
        case ..<45: return try backup()
        case ..<49: return try recover()
        case ..<63: return try instant()
        case ..<72: return try reverse()
        case ..<75: return try withdraw()
        case ..<80: return try expire()
        case ..<81: return try expand()
        case ..<84: return try startCopy()
        case ..<86: return try flush()
        case ..<88:
            // Some of what is in the journal, or all of it, reaches the files.
            if numbers.chance(50) { store.hastenJournal() } else { try store.drainJournal() }
            return "destaging"
        case ..<90: return try changeMultiplier()
        case ..<92: return try recreate()
        case ..<96: return try restart()
        default: return try crash()
        }
    }

    // MARK: Host requests

    private func range(in length: Int) -> (Int, Int) {
        let offset: Int
        let count: Int
        switch numbers.below(6) {
        case 0:  // anything
            offset = numbers.below(length)
            count = 1 + numbers.below(length - offset)
        case 1:  // whole tracks
            offset = numbers.below(length) / 65_536 * 65_536
            count = min(65_536 * (1 + numbers.below(2)), length - offset)
        case 2:  // whole blocks
            offset = numbers.below(length) / 4096 * 4096
            count = min(4096 * (1 + numbers.below(8)), length - offset)
        case 3:  // sectors
            offset = numbers.below(length) / 512 * 512
            count = min(512 * (1 + numbers.below(16)), length - offset)
        default:  // one block
            offset = numbers.below(length) / 4096 * 4096
            count = min(4096, length - offset)
        }
        return (offset, count)
    }

    private func bytes(_ count: Int) -> [UInt8] {
        if numbers.chance(10) { return [UInt8](repeating: 0, count: count) }
        var bytes = [UInt8](repeating: 0, count: count)
        var position = 0
        while position < count {
            let end = min(count, position + 1 + numbers.below(3000))
            let value = UInt8(truncatingIfNeeded: numbers.next())
            for index in position..<end {
                bytes[index] = value &+ UInt8(truncatingIfNeeded: index / 7)
            }
            position = end
        }
        return bytes
    }

    private func writeBatch() throws -> String {
        let name = someName()
        guard let device = devices[name], let volume = model.volumes[name] else { return "nothing" }
        guard volume.presents?.inhibits != true else { return try writeInhibited(name, device) }
        let length = volume.content.count
        var requests: [HostRequest] = []
        var expected: [Int: [UInt8]] = [:]
        var held: [UnsafeMutableRawPointer] = []
        defer { for memory in held { memory.deallocate() } }
        for number in 0..<(1 + numbers.below(12)) {
            let (offset, count) = range(in: length)
            var request = HostRequest(
                kind: .write, offset: UInt64(offset), length: count,
                forceUnitAccess: numbers.chance(5), mayPunch: numbers.chance(50))
            switch numbers.below(10) {
            case ..<6:
                let new = bytes(count)
                let memory = UnsafeMutableRawPointer.allocate(byteCount: count, alignment: 1)
                memory.initializeMemory(as: UInt8.self, from: new, count: count)
                held.append(memory)
                request.data = memory
                model.write(name, offset, new)
                tell("write \(name) \(offset)+\(count)")
            case ..<8:
                request.kind = .zero
                model.write(name, offset, [UInt8](repeating: 0, count: count))
                tell("zero \(name) \(offset)+\(count)")
            case ..<9:
                request.kind = .read
                expected[number] = model.volumes[name].map {
                    Array($0.content[offset..<offset + count])
                }
            default:
                request.kind = .flush
            }
            requests.append(request)
        }
        channels[numbers.below(channels.count)].perform(&requests, on: device)
        for (number, request) in requests.enumerated() {
            if let failure = request.failure {
                throw Difference(description: "\(request.kind) of \(name) failed: \(failure)")
            }
            guard let wanted = expected[number], let data = request.data, !volume.isUnsure else {
                continue
            }
            let got = UnsafeRawBufferPointer(start: data, count: request.length)
            guard got.elementsEqual(wanted) else {
                throw Difference(
                    description: "request \(number), a read of \(name) in a batch, differs")
            }
        }
        return "writes"
    }

    private func writeInhibited(_ name: String, _ device: OpenDevice) throws -> String {
        if channels[0].write(device, 0, [1]) == .readOnly { return "inhibited write" }
        guard try store.relationship(into: name) == nil else {
            throw Difference(description: "\(device.view) takes writes that are inhibited")
        }
        model.write(name, 0, [1])
        return "write after the end"
    }

    private func flush() throws -> String {
        let name = someName()
        guard let device = devices[name] else { return "nothing" }
        guard channels[0].flush(device) == nil else {
            throw Difference(description: "flush failed")
        }
        model.volumes[name]?.settle()
        tell("flush \(name)")
        return "flush"
    }

    // MARK: Control

    private func expire() throws -> String {
        let volumes = numbers.chance(50) ? names : [someName()]
        let tags = Set(volumes.flatMap { model.volumes[$0]?.points.map(\.tag) ?? [] }).sorted()
        guard !tags.isEmpty else { return "nothing" }
        // Mostly a backup and every earlier one; or one out of the middle.
        let last = numbers.below(tags.count)
        let ordered = tags.sorted { (Int($0.dropFirst(2)) ?? 0) < (Int($1.dropFirst(2)) ?? 0) }
        let gone = numbers.chance(60) ? Array(ordered[...last]) : [ordered[last]]
        do throws(TrackStoreError) {
            try store.dropPoints(tags: gone, volumes: volumes)
        } catch {
            guard error.code == .pointInUse else { throw error }
            let isUsed = model.volumes.values.contains {
                $0.presents.map { gone.contains($0.tag) || gone.contains($0.heldTag) } ?? false
            }
            guard isUsed else { throw error }
            return "refused expiry"
        }
        for volume in volumes { model.drop(volume, gone) }
        if numbers.chance(30) { store.drainReclaimer() }
        return "expiry"
    }

    private func expand() throws -> String {
        let name = someName()
        guard let length = model.volumes[name]?.content.count, length < 10 * 65_536 else {
            return "nothing"
        }
        let more = [512, 4096, 65_536, 100_352][numbers.below(4)]
        try store.expandVolumes([(name, UInt64(length + more))])
        model.volumes[name]?.content += [UInt8](repeating: 0, count: more)
        model.volumes[name]?.durable += [UInt8](repeating: 0, count: more)
        return "expansion"
    }

    private func changeMultiplier() throws -> String {
        let multiplier = UInt32([1, 2, 8, 64][numbers.below(4)])
        try store.setSafeguardedMultiplier([(someName(), multiplier)])
        return "multiplier"
    }

    private func recreate() throws -> String {
        let name = someName()
        do throws(TrackStoreError) {
            try store.deleteVolumes([name])
        } catch {
            guard error.code == .volumeInUse else { throw error }
            return "refused deletion"
        }
        if let device = devices[name], channels[0].write(device, 0, [1]) != .gone {
            throw Difference(description: "a deleted volume takes writes")
        }
        model.volumes[name] = nil
        try create(name)
        return "deletion"
    }

    // MARK: Stops

    private func reopen() throws {
        if numbers.chance(20) {
            let isOn = configuration.journalCapacity > 0
            configuration.journalCapacity = isOn ? 0 : TrackStore.Configuration.smallJournal
        }
        store = try TrackStore(configuration, facts: facts.add)
        channels = [try HostChannel(store: store), try HostChannel(store: store)]
        for name in names { devices[name] = try store.open(.volume(name)) }
    }

    private func restart() throws -> String {
        try store.close()
        for name in names where model.volumes[name]?.isUnsure == false {
            model.volumes[name]?.settle()
        }
        try reopen()
        return "restart"
    }

    /// What no flush has covered may be taken back where a target presents a point: track by track
    /// it reads as the host left it, or as the point. Everything else is as it was.
    private func crash() throws -> String {
        let flushes = numbers.chance(50)
        if flushes {
            for (name, device) in devices {
                guard channels[0].flush(device) == nil else {
                    throw Difference(description: "flush failed")
                }
                model.volumes[name]?.settle()
            }
        }
        if disk != nil, numbers.chance(70) { return try cutPower() }
        store.abandon()
        try reopen()
        guard !flushes else { return "crash after flush" }
        for name in names {
            guard let volume = model.volumes[name], let presents = volume.presents,
                let device = devices[name]
            else { continue }
            var got = try channels[0].readAll(device)
            guard !volume.isUnsure else { continue }
            for start in stride(from: 0, to: presents.content.count, by: 65_536) {
                let track = start..<min(start + 65_536, presents.content.count)
                if got[track] == presents.content[track] { continue }
                guard got[track] == volume.content[track] else {
                    throw Difference(description: "after a crash, a track of \(name) is neither")
                }
            }
            model.noteReverted(name, got)
            model.volumes[name]?.since.append((0, got))
            swap(&model.volumes[name, default: volume].content, &got)
        }
        return "crash"
    }

    /// Flushed writes are there, others in any part; points, and what was presented, are exact.
    private func cutPower() throws -> String {
        store.abandon()
        let lost = disk?.cutPower(&numbers) ?? 0
        try reopen()
        counts["writes lost to power cuts", default: 0] += lost
        for name in names {
            guard let volume = model.volumes[name], let device = devices[name], !volume.isUnsure
            else { continue }
            let got = try channels[0].readAll(device)
            if let place = volume.impossible(got) {
                throw Difference(
                    description: "after a power cut, \(name) is neither old nor new at \(place): "
                        + "track \(place / 65_536), block \(place % 65_536 / 4096)")
            }
            model.noteReverted(name, got)
            model.volumes[name]?.content = got
            model.volumes[name]?.settle()
        }
        return "power cut"
    }

    // MARK: Comparing

    private func compare(_ what: String) throws {
        try learnEnded()
        for name in names {
            guard let volume = model.volumes[name], let device = devices[name] else { continue }
            if !volume.isUnsure { try compare(device, volume.content, what) }
            try compareNumber(of: name, what)
            // A background copy may let points roll off at any moment, and then says so.
            for attempt in 0... {
                takeRolledOff()
                do {
                    try comparePoints(of: name, device, what)
                    break
                } catch {
                    usleep(20_000)
                    let gone = facts.all.contains { $0.isRollOff(of: name) }
                    // The fact comes after the removal.
                    let mayCome = (error as? TrackStoreError)?.code == .unknownPoint
                    guard gone || mayCome, attempt < 100 else { throw error }
                }
            }
        }
    }

    private func comparePoints(of name: String, _ device: OpenDevice, _ what: String) throws {
        guard let volume = model.volumes[name] else { return }
        let tags = try store.points(of: name).map(\.tag)
        guard tags == volume.points.map(\.tag) else {
            throw Difference(
                description: "after \(what), \(name) has \(tags), not \(volume.points.map(\.tag))")
        }
        for point in volume.points {
            let view = try store.open(.point(volume: name, tag: point.tag))
            try compare(view, point.content, what)
            if !volume.isUnsure { try compareChanges(of: device, name, point, what) }
        }
    }

    private func compare(_ device: OpenDevice, _ wanted: [UInt8], _ what: String) throws {
        var requests = [HostRequest(kind: .read, offset: 0, length: wanted.count)]
        channels[numbers.below(channels.count)].perform(&requests, on: device)
        guard requests[0].failure == nil, let data = requests[0].data,
            Int(device.capacity) == wanted.count
        else {
            let failure = requests[0].failure.map { "\($0)" } ?? "other length"
            throw Difference(description: "after \(what), \(device.view) fails: \(failure)")
        }
        if memcmp(wanted, data, wanted.count) == 0 { return }
        let got = UnsafeRawBufferPointer(start: data, count: wanted.count)
        let place = wanted.indices.first { got[$0] != wanted[$0] } ?? 0
        throw Difference(
            description: "after \(what), \(device.view) differs first at \(place): "
                + "track \(place / 65_536), block \(place % 65_536 / 4096)")
    }

    /// What differs has changed, and what has not been written has not.
    private func compareChanges(
        of device: OpenDevice, _ name: String, _ point: NaiveModel.Point, _ what: String
    ) throws {
        guard let now = model.volumes[name]?.content, !now.isEmpty else { return }
        let pieces = try channels[0].changes(
            of: device, since: point.tag, offset: 0, length: UInt64(now.count), limit: .max)
        var offset = 0
        for piece in pieces {
            let end = offset + Int(piece.length)
            for start in stride(from: offset, to: end, by: 4096) {
                let block = start..<min(start + 4096, now.count)
                let isNew = block.upperBound > point.content.count
                let differs = isNew || now[block] != point.content[block]
                let isWritten = isNew || point.written.contains(start / 4096)
                guard piece.isChanged ? isWritten : !differs else {
                    throw Difference(
                        description: "after \(what), block \(start / 4096) of \(name) is told as "
                            + "\(piece.isChanged ? "changed" : "unchanged") since \(point.tag)")
                }
            }
            offset = end
        }
        guard offset == now.count else {
            throw Difference(description: "after \(what), the changes of \(name) end at \(offset)")
        }
    }

    func takeRolledOff() {
        for fact in facts.take() {
            guard case .pointsRolledOff(let volume, let tags) = fact else { continue }
            model.drop(volume, tags)
            counts["rolled off", default: 0] += tags.count
        }
    }
}

extension TrackStoreFact {
    fileprivate func isRollOff(of name: String) -> Bool {
        if case .pointsRolledOff(name, _) = self { return true }
        return false
    }
}
