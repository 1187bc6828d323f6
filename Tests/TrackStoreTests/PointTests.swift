import Glibc
import Testing
import TrackStore

/// A store with one or more volumes of sixteen tracks, and a channel.
struct SmallStore {
    let scratch = Scratch()
    let facts = FactList()
    var configuration: TrackStore.Configuration
    var store: TrackStore
    var channel: HostChannel

    static let capacity = 16 * 65_536

    /// `configuration` tells of another directory than one of its own.
    init(
        _ volumes: [String] = ["0100"], multiplier: UInt32 = 16, journal: Bool? = nil,
        configuration: TrackStore.Configuration? = nil
    ) throws {
        self.configuration = configuration ?? .test(scratch.path, journal: journal)
        let configuration = self.configuration
        store = try TrackStore(configuration, facts: facts.add)
        channel = try HostChannel(store: store)
        try store.createVolumes(
            volumes.map {
                NewVolume(id: $0, capacity: UInt64(Self.capacity), multiplier: multiplier)
            })
    }

    func device(_ id: String = "0100") throws -> OpenDevice { try store.open(.volume(id)) }
    func point(_ tag: String, _ id: String = "0100") throws -> OpenDevice {
        try store.open(.point(volume: id, tag: tag))
    }

    /// Stops as a killed process does and starts again.
    mutating func crash() throws {
        store.abandon()
        try restartAbandoned()
    }

    mutating func restartAbandoned() throws {
        store = try TrackStore(configuration, facts: facts.add)
        channel = try HostChannel(store: store)
    }

    mutating func restart() throws {
        try store.close()
        store = try TrackStore(configuration, facts: facts.add)
        channel = try HostChannel(store: store)
    }
}

func block(_ value: Int, count: Int = 4096) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: value &* 31 &+ $0 / 13 &+ 1) }
}

func code(_ body: () throws -> Void) -> TrackStoreError.Code? {
    do {
        try body()
        return nil
    } catch { return (error as? TrackStoreError)?.code }
}

@Suite("Points")
struct PointTests {
    @Test("a point reads as the volume was, whatever is written, zeroed or trimmed afterwards")
    func pointStays() throws {
        let small = try SmallStore()
        let device = try small.device()
        small.channel.write(device, 0, block(1, count: 300_000))
        let before = try small.channel.readAll(device)
        try small.store.backup("a/1", ["0100"])
        small.channel.write(device, 100, block(2, count: 10))
        small.channel.write(device, 65_536, block(3, count: 65_536))
        small.channel.zero(device, 131_072, 65_536)
        small.channel.zero(device, 200_001, 5000, punch: false)
        #expect(try small.channel.readAll(small.point("a/1")) == before)
        #expect(try small.channel.read(device, 100, 10) == block(2, count: 10))
    }

    @Test("a prepared point that is abandoned leaves nothing; one not committed cannot be settled")
    func abandoned() throws {
        let small = try SmallStore()
        let group = InstantGroup()
        try small.store.prepare(group, tag: "a/1", time: 0, volumes: ["0100"])
        #expect(code { try small.store.settle(group) } == .noInstant)
        small.store.abandon(group)
        #expect(try small.store.points(of: "0100").isEmpty)
        try small.store.backup("a/1", ["0100"])
        #expect(try small.store.points(of: "0100").map(\.tag) == ["a/1"])
    }

    @Test("an instant gives a volume one point: two tags are refused, the same one twice is one")
    func twoTags() throws {
        let small = try SmallStore()
        func take(_ tags: [String]) throws {
            let group = InstantGroup()
            try small.store.prepare(
                group, tags.map { .point(volume: "0100", tag: $0) }, time: 1)
            group.commit()
            try small.store.settle(group)
        }
        #expect(code { try take(["a/1", "a/2"]) } == .invalidArgument)
        #expect(try small.store.points(of: "0100").isEmpty)
        try take(["a/1", "a/1"])
        #expect(try small.store.points(of: "0100").map(\.tag) == ["a/1"])
    }

    @Test(
        "a point committed but not settled is gone after a crash, and older ones are exact"
    )
    func unsettled() throws {
        var small = try SmallStore()
        var device = try small.device()
        small.channel.write(device, 0, block(1))
        try small.store.backup("a/1", ["0100"])
        let group = InstantGroup()
        try small.store.prepare(group, tag: "a/2", time: 0, volumes: ["0100"])
        group.commit()
        small.channel.write(device, 0, block(2))
        small.channel.write(device, 4096, block(3))
        try small.crash()
        device = try small.device()
        #expect(try small.store.points(of: "0100").map(\.tag) == ["a/1"])
        #expect(try small.channel.read(small.point("a/1"), 0, 4096) == block(1))
        #expect(try small.channel.read(device, 0, 4096) == block(2))
        small.channel.write(device, 0, block(4))
        try small.store.backup("a/3", ["0100"])
        small.channel.write(device, 0, block(5))
        #expect(try small.channel.read(small.point("a/1"), 0, 4096) == block(1))
        #expect(try small.channel.read(small.point("a/3"), 0, 4096) == block(4))
    }

    @Test("a point out of the middle can go without harm to its neighbours")
    func middle() throws {
        let small = try SmallStore()
        let device = try small.device()
        for number in 1...3 {
            small.channel.write(device, 0, block(number))
            small.channel.write(device, 4096 * number, block(number))
            try small.store.backup("a/\(number)", ["0100"])
        }
        small.channel.write(device, 0, block(4))
        try small.store.dropPoints(tags: ["a/2"])
        small.store.drainReclaimer()
        #expect(try small.channel.read(small.point("a/1"), 0, 4096) == block(1))
        #expect(try small.channel.read(small.point("a/1"), 8192, 4096) == block(0).map { _ in 0 })
        #expect(try small.channel.read(small.point("a/3"), 0, 4096) == block(3))
        try small.store.dropPoints(tags: ["a/2"])
    }

    @Test("an expired point is gone for those who have it open, and cannot be written before")
    func gone() throws {
        let small = try SmallStore()
        try small.store.backup("a/1", ["0100"])
        let point = try small.point("a/1")
        #expect(small.channel.write(point, 0, block(1)) == .readOnly)
        #expect(small.channel.flush(point) == nil)
        try small.store.dropPoints(tags: ["a/1"])
        var requests = [HostRequest(kind: .read, offset: 0, length: 4096)]
        small.channel.perform(&requests, on: point)
        #expect(requests[0].failure == .gone)
    }

    @Test("requests beyond the end are refused and the others of the batch are done")
    func range() throws {
        let small = try SmallStore()
        let device = try small.device()
        let end = UInt64(SmallStore.capacity)
        var requests = [
            HostRequest(kind: .read, offset: end, length: 1),
            HostRequest(kind: .read, offset: end - 1, length: 1),
            HostRequest(kind: .zero, offset: .max, length: 1),
            HostRequest(kind: .write, offset: 0, length: 512),
            HostRequest(kind: .read, offset: 5, length: 0),
        ]
        small.channel.perform(&requests, on: device)
        #expect(requests.map(\.failure) == [.outOfRange, nil, .outOfRange, .outOfRange, nil])
    }

    @Test("requests larger than any wave read back, are saved, and are zeroed")
    func large() throws {
        let small = try SmallStore([])
        let capacity = 80 * 65_536 + 512
        try small.store.createVolumes([
            NewVolume(id: "0001", capacity: UInt64(capacity), multiplier: 8)
        ])
        let device = try small.device("0001")
        let content = block(7, count: capacity - 1000)
        #expect(small.channel.write(device, 777, content) == nil)
        #expect(try small.channel.read(device, 777, content.count) == content)
        try small.store.backup("a/1", ["0001"])
        #expect(small.channel.zero(device, 1000, capacity - 1000) == nil)
        let rest = try small.channel.readAll(device)
        #expect(rest[1000...].allSatisfy { $0 == 0 } && rest[777] == content[0])
        #expect(try small.channel.read(small.point("a/1", "0001"), 777, content.count) == content)
    }

    @Test("data and holes are told apart, and what may come from elsewhere counts as data")
    func allocation() throws {
        let small = try SmallStore(["0100", "0200"])
        let device = try small.device()
        small.channel.write(device, 4 * 65_536, block(1, count: 65_536))
        let pieces = small.channel.allocation(
            of: device, offset: 0, length: device.capacity, limit: 10)
        #expect(pieces.map(\.length).reduce(0, +) == device.capacity)
        #expect(pieces.first?.isHole == true && pieces.first?.length ?? 0 <= 4 * 65_536)
        #expect(pieces.contains { !$0.isHole })
    }

    @Test("a hole of a backup is told where nothing lies and nothing was saved, now and later")
    func holesOfBackups() throws {
        let small = try SmallStore()
        let device = try small.device()
        small.channel.write(device, 4 * 65_536, block(1, count: 65_536))
        try small.store.backup("a/1", ["0100"])
        let point = try small.point("a/1")
        let before = try small.channel.readAll(point)
        for moment in ["at first", "in the journal", "in the files"] {
            if moment == "in the journal" {
                // The one had nothing, the other has nothing from now on.
                small.channel.write(device, 8 * 65_536, block(2))
                small.channel.zero(device, 4 * 65_536, 65_536)
            }
            if moment == "in the files" { try small.store.drainJournal() }
            var position = 0
            var holes: Set<Int> = []
            while position < SmallStore.capacity {
                let pieces = small.channel.allocation(
                    of: point, offset: UInt64(position),
                    length: UInt64(SmallStore.capacity - position), limit: 2)
                #expect(!pieces.isEmpty)
                for piece in pieces {
                    let end = position + Int(piece.length)
                    if piece.isHole {
                        holes.formUnion(position / 65_536..<end / 65_536)
                        #expect(before[position..<end].allSatisfy { $0 == 0 })
                    }
                    position = end
                }
            }
            #expect(
                holes.isSuperset(of: moment == "in the journal" ? [] : [0, 1, 15]), "\(moment)")
            #expect(try small.channel.readAll(point) == before)
        }
    }
}
