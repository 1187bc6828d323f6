import Glibc
import TrackStore

/// A short life that does everything the engine does, and says before and after each thing that it does
/// it: see KilledCallsTests, which knows from that what must be there whenever it is killed.
///
/// Writes are numbered: number n fills block `n * 7 % blocks` of source `n % 2` with n. Writes to the
/// target 0200 are numbered apart: t fills block `t * 5 % blocks` with t + 2^32.
final class Life {
    static let blocks = 64
    static let sources = ["0100", "0101"]
    static let targets = ["0200", "0201"]
    /// Enough of them that the whole file system is synced instead of each.
    static let wide = (0..<66).map { "10" + ($0 < 16 ? "0" : "") + String($0, radix: 16) }

    private let directory: String
    private var store: TrackStore
    private var channel: HostChannel
    private let memory = UnsafeMutablePointer<UInt64>.allocate(capacity: 512)
    private var number = 0

    init(_ directory: String) throws {
        self.directory = directory
        store = try TrackStore(Self.configuration(directory))
        channel = try HostChannel(store: store)
        let size = UInt64(Self.blocks * 4096)
        try store.createVolumes(
            (Self.sources + Self.targets).map {
                NewVolume(id: $0, capacity: size, multiplier: 1000)
            } + Self.wide.map { NewVolume(id: $0, capacity: 65_536, multiplier: 4) })
    }

    private static func configuration(_ directory: String) -> TrackStore.Configuration {
        var configuration = TrackStore.Configuration(directory: directory)
        configuration.journalCapacity = journalCapacity
        // Every write is a call of its own.
        configuration.avoidsRing = true
        return configuration
    }

    /// `rest`: microseconds for the threads of the engine to do what they do by themselves.
    func run(rest: UInt32) throws {
        try write(32)
        try backup()
        try write(64)
        try backup()
        try recover(32)
        try write(96)
        try copy("0200")
        try establish()
        try write(128)
        usleep(rest)
        try refresh()
        try backup()
        try expire(64)
        try write(160)
        try backupAll()
        store.abandon()
        try reopen()
        try write(192)
        try refresh()
        try backup()
        usleep(rest)
        try store.close()
        try reopen()
        try write(200)
        try establish(replaces: true)
        try store.close()
        say("ended \(number)")
    }

    private func reopen() throws {
        store = try TrackStore(Self.configuration(directory))
        channel = try HostChannel(store: store)
    }

    private func fill(_ volume: String, _ block: Int, _ value: UInt64) throws {
        memory.initialize(repeating: value, count: 512)
        var requests = [
            HostRequest(
                kind: .write, offset: UInt64(block * 4096), length: 4096, data: memory)
        ]
        channel.perform(&requests, on: try store.open(.volume(volume)))
        if let failure = requests[0].failure { throw Failed(what: "write: \(failure)") }
    }

    private struct Failed: Error { var what: String }

    private func flush(_ volume: String) throws {
        var requests = [HostRequest(kind: .flush, offset: 0, length: 0)]
        channel.perform(&requests, on: try store.open(.volume(volume)))
        if let failure = requests[0].failure { throw Failed(what: "flush: \(failure)") }
    }

    private func write(_ last: Int) throws {
        while number < last {
            number += 1
            try fill(Self.sources[number % 2], number * 7 % Self.blocks, UInt64(number))
        }
        for source in Self.sources { try flush(source) }
        say("flushed \(number)")
    }

    private func instant(_ actions: [InstantAction]) throws {
        let group = InstantGroup()
        try store.prepare(group, actions, time: 0)
        group.commit()
        try store.settle(group)
    }

    private func backup() throws {
        say("backing \(number)")
        try instant(Self.sources.map { .point(volume: $0, tag: "k/\(number)") })
        try store.verify(tag: "k/\(number)", volumes: Self.sources)
        say("backup \(number)")
    }

    private func backupAll() throws {
        for volume in Self.wide { try fill(volume, 0, UInt64(number)) }
        say("backing \(number)")
        let all = Self.wide + Self.sources
        try instant(all.map { .point(volume: $0, tag: "k/\(number)") })
        say("backup \(number)")
    }

    private func recover(_ point: Int) throws {
        say("recovering \(point)")
        try store.establish(
            [NewRelationship(source: "0100", tag: "k/\(point)", target: "0200")],
            backgroundCopy: false)
        say("recovered \(point)")
        for write in 1...8 {
            try fill("0200", write * 5 % Self.blocks, UInt64(write) + 1 << 32)
        }
        try flush("0200")
        say("target 8")
    }

    private func copy(_ target: String) throws {
        try store.startBackgroundCopy([target])
        try waitForCopy(target)
        try store.withdraw([target])
    }

    /// Where a call has failed on the way, the copy may have stopped.
    private func waitForCopy(_ target: String) throws {
        for _ in 0..<20_000 {
            guard let copy = try store.relationship(into: target), copy.tracksRemaining > 0 else {
                return
            }
            if !copy.isCopying { try store.startBackgroundCopy([target]) }
            usleep(200)
        }
        throw Failed(what: "the copy does not end")
    }

    private func establish(replaces: Bool = false) throws {
        var copy = NewCopy(source: "0101", target: "0201")
        copy.terms.recordsChanges = true
        copy.replaces = replaces
        say("copying \(number)")
        try instant([.establish(copy)])
        say("copied \(number)")
        try waitForCopy("0201")
    }

    private func refresh() throws {
        say("copying \(number)")
        try instant([.refresh(target: "0201")])
        say("copied \(number)")
        try waitForCopy("0201")
    }

    private func expire(_ last: Int) throws {
        say("expiring \(last)")
        let tags = try store.points(of: "0100").map(\.tag).filter { tag in
            Int(tag.dropFirst(2)).map { $0 <= last } ?? false
        }
        try store.dropPoints(tags: tags)
        say("expired \(last)")
        store.drainReclaimer()
    }
}
