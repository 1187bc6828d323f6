import Glibc
import TrackStore

/// Copies of one volume to another, measured one at a time as standard input asks:
///
///     copy            the source's point to a new target, until every track is there, durably
///     establish       a relationship that records changes, until every track is there
///     write PERCENT   so many of the source's tracks, scattered, are written anew
///     refresh         of the relationship, until every track is there
///     reverse         of the relationship, until a host reads the restored content from the source
///     quit
///
/// Each is answered by a line `done SECONDS BYTES`, with the bytes that were copied or written.
final class CopyBench {
    private let store: TrackStore
    private let channel: HostChannel
    private let capacity: UInt64
    private let memory = UnsafeMutableRawPointer.allocate(byteCount: 1 << 20, alignment: 4096)
    private let directory: String
    private var number = 0
    private static let source = "0100"
    private static let target = "0200"
    private static let track = 65_536

    init(_ options: Options) throws {
        directory = options.directory
        removeTree(directory)
        capacity = UInt64(options.mebibytes) << 20
        store = try TrackStore(.init(directory: directory))
        channel = try HostChannel(store: store)
        for index in 0..<(1 << 17) {
            memory.storeBytes(
                of: UInt64.random(in: 0 ... .max), toByteOffset: index * 8, as: UInt64.self)
        }
        for id in [Self.source, Self.target] {
            try store.createVolumes([NewVolume(id: id, capacity: capacity, multiplier: 4)])
        }
        // Larger ones are sparse: what is measured of them is what little there is.
        if options.mebibytes <= 4096 {
            fill(channel, try store.open(.volume(Self.source)), memory)
        }
        say("ready")
    }

    func run() throws {
        while let line = readLine() {
            let words = line.split(separator: " ")
            switch words.first {
            case "copy": try answer(copy)
            case "establish": try answer(establish)
            case "write": try answer { try self.write(Double(words.last ?? "") ?? 10) }
            case "refresh": try answer(refresh)
            case "reverse": try answer(reverse)
            default:
                try store.close()
                removeTree(directory)
                return
            }
        }
    }

    private func say(_ line: String) {
        let bytes = Array((line + "\n").utf8)
        _ = Glibc.write(1, bytes, bytes.count)
    }

    private func answer(_ body: () throws -> (seconds: Double, bytes: Int)) throws {
        let (seconds, bytes) = try body()
        say("done \(seconds) \(bytes)")
    }

    private func waitUntilCopied(to target: String = target) throws {
        while let copy = try store.relationship(into: target), copy.tracksRemaining > 0 {
            usleep(500)
        }
    }

    private func copy() throws -> (Double, Int) {
        number += 1
        let tag = "bench/\(number)"
        try takeBackup(store, tag, [Self.source])
        try store.withdraw([Self.target])
        try store.deleteVolumes([Self.target])
        try store.createVolumes([NewVolume(id: Self.target, capacity: capacity, multiplier: 4)])
        let start = now()
        try store.establish(
            [NewRelationship(source: Self.source, tag: tag, target: Self.target)],
            backgroundCopy: true)
        try waitUntilCopied()
        let seconds = now() - start
        try store.withdraw([Self.target])
        try store.dropPoints(tags: [tag])
        return (seconds, Int(capacity))
    }

    private func instant(_ action: InstantAction) throws {
        let group = InstantGroup()
        try store.prepare(group, [action], time: 0)
        group.commit()
        try store.settle(group)
    }

    private func establish() throws -> (Double, Int) {
        var copy = NewCopy(source: Self.source, target: Self.target)
        copy.terms.recordsChanges = true
        copy.terms.isPersistent = true
        let start = now()
        try instant(.establish(copy))
        try waitUntilCopied()
        return (now() - start, Int(capacity))
    }

    /// Whole tracks, so that what is written is what has changed.
    private func write(_ percent: Double) throws -> (Double, Int) {
        let device = try store.open(.volume(Self.source))
        let all = Int(capacity) / Self.track
        let count = max(1, Int(Double(all) * percent / 100))
        // Evenly scattered, at another place in every stretch each time.
        let tracks = (0..<count).map { index in
            let from = index * all / count
            return from + Int.random(in: 0..<max(1, (index + 1) * all / count - from))
        }
        let start = now()
        for first in stride(from: 0, to: count, by: 16) {
            var requests = tracks[first..<min(first + 16, count)].map { track in
                HostRequest(
                    kind: .write, offset: UInt64(track * Self.track), length: Self.track,
                    data: memory + Int.random(in: 0..<15) * 4096)
            }
            channel.perform(&requests, on: device)
            if let failure = requests.first(where: { $0.failure != nil })?.failure {
                throw BenchFailure(what: "write: \(failure)")
            }
        }
        var flush = [HostRequest(kind: .flush, offset: 0, length: 0)]
        channel.perform(&flush, on: device)
        return (now() - start, count * Self.track)
    }

    private func refresh() throws -> (Double, Int) {
        let changed = try store.relationship(into: Self.target)?.tracksOutOfSync ?? 0
        let start = now()
        try instant(.refresh(target: Self.target))
        try waitUntilCopied()
        return (now() - start, changed * Self.track)
    }

    /// The relationship is the other way round afterwards, and is turned back for the next time.
    private func reverse() throws -> (Double, Int) {
        let target = try store.open(.volume(Self.target))
        var requests = [
            HostRequest(kind: .write, offset: 0, length: Self.track, data: memory + 4096)
        ]
        channel.perform(&requests, on: target)
        let start = now()
        try instant(.reverse(target: Self.target, fast: true))
        var read = [HostRequest(kind: .read, offset: 0, length: 4096)]
        channel.perform(&read, on: try store.open(.volume(Self.source)))
        let seconds = now() - start
        guard let data = read[0].data, memcmp(data, memory + 4096, 4096) == 0 else {
            throw BenchFailure(what: "the restored content is not there")
        }
        try waitUntilCopied(to: Self.source)
        try instant(.reverse(target: Self.source, fast: false))
        try waitUntilCopied()
        return (seconds, 4096)
    }
}

struct BenchFailure: Error { var what: String }
