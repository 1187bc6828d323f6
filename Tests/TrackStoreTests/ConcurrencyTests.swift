import Glibc
import Synchronization
import Testing
import TrackStore

/// A thread for tests; joined by `join`.
final class TestThread {
    private var thread = pthread_t()

    private final class Body {
        let run: () -> Void
        init(_ run: @escaping () -> Void) { self.run = run }
    }

    init(_ run: @escaping @Sendable () -> Void) {
        let body = Unmanaged.passRetained(Body(run))
        pthread_create(
            &thread, nil,
            { argument in
                if let argument { Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run() }
                return nil
            }, body.toOpaque())
    }

    func join() { pthread_join(thread, nil) }
}

@Suite("Side by side")
struct ConcurrencyTests {
    private static let volumes = ["0100", "0200", "0300"]

    private final class Shared: Sendable {
        let stops = Atomic<Bool>(false)
        let writes = Atomic<Int>(0)
        let reads = Atomic<Int>(0)
        let failures = Mutex<[String]>([])

        func fail(_ text: String) { failures.withLock { $0.append(text) } }
    }

    /// Writes 1, 2, 3, … to its own block of every volume in turn: 0100 first, then 0200, then
    /// 0300.
    private static func write(_ store: TrackStore, _ writer: Int, _ shared: Shared) {
        guard let channel = try? HostChannel(store: store) else { return shared.fail("no channel") }
        let devices = volumes.compactMap { try? store.open(.volume($0)) }
        var numbers = SeededNumbers(seed: UInt64(writer))
        var counter: UInt64 = 1
        while !shared.stops.load(ordering: .relaxed) {
            for device in devices {
                var bytes = [UInt8](repeating: 0, count: 4096)
                withUnsafeBytes(of: counter) { bytes.replaceSubrange(0..<8, with: $0) }
                if let failure = channel.write(device, writer * 4096, bytes) {
                    shared.fail("write: \(failure)")
                }
                // Traffic of no meaning elsewhere, whole tracks and parts.
                let place = 65_536 * (1 + numbers.below(7)) + numbers.below(8) * 8192
                let length = 1 + numbers.below(8192)
                if channel.write(device, place, block(Int(counter), count: length)) != nil {
                    shared.fail("write elsewhere")
                }
                shared.writes.add(2, ordering: .relaxed)
            }
            counter += 1
        }
    }

    private static func sum(_ bytes: [UInt8]) -> UInt64 {
        bytes.reduce(14_695_981_039_346_656_037) { ($0 ^ UInt64($1)) &* 1_099_511_628_211 }
    }

    /// Reads backups over and over while hosts write: each reads the same every time.
    private static func reread(
        _ store: TrackStore, _ known: borrowing Mutex<[HostView: UInt64]>, _ shared: Shared
    ) {
        guard let channel = try? HostChannel(store: store) else { return shared.fail("no channel") }
        while !shared.stops.load(ordering: .relaxed) {
            guard let (view, sum) = known.withLock({ $0.randomElement() }) else {
                sched_yield()
                continue
            }
            guard let device = try? store.open(view), let bytes = try? channel.readAll(device)
            else {
                shared.fail("\(view) cannot be read")
                return
            }
            if Self.sum(bytes) != sum { shared.fail("\(view) has changed") }
            shared.reads.add(1, ordering: .relaxed)
        }
    }

    private final class Known: Sendable { let sums = Mutex<[HostView: UInt64]>([:]) }

    /// Sized by STILLPOINT_BACKUPS.
    @Test("backups under load hold dependent writes in order, and read the same ever after")
    func dependentWrites() throws {
        let small = try SmallStore(Self.volumes, multiplier: 1000)
        let store = small.store
        let shared = Shared()
        let known = Known()
        let backups = environmentNumber("STILLPOINT_BACKUPS", default: 40)
        var threads = (0..<3).map { writer in TestThread { Self.write(store, writer, shared) } }
        threads.append(TestThread { Self.reread(store, known.sums, shared) })
        for number in 1...backups {
            let tag = "a/\(number)"
            // Let some writes happen between two backups.
            let before = shared.writes.load(ordering: .relaxed)
            while shared.writes.load(ordering: .relaxed) < before + 20 { sched_yield() }
            try store.backup(tag, Self.volumes)
            var contents: [[UInt8]] = []
            for volume in Self.volumes {
                let content = try small.channel.readAll(small.point(tag, volume))
                known.sums.withLock { $0[.point(volume: volume, tag: tag)] = Self.sum(content) }
                contents.append(content)
            }
            for writer in 0..<3 {
                let counters = contents.map { content in
                    content.withUnsafeBytes {
                        $0.loadUnaligned(fromByteOffset: writer * 4096, as: UInt64.self)
                    }
                }
                #expect(counters[0] >= counters[1] && counters[1] >= counters[2])
                #expect(counters[0] <= counters[2] + 1, "\(counters)")
            }
            if number % 10 == 0 {
                let old = (number - 9...number - 8).map { "a/\($0)" }
                known.sums.withLock { sums in
                    for tag in old {
                        for volume in Self.volumes { sums[.point(volume: volume, tag: tag)] = nil }
                    }
                }
            }
        }
        shared.stops.store(true, ordering: .relaxed)
        for thread in threads { thread.join() }
        #expect(shared.failures.withLock { $0 } == [])
        for (view, sum) in known.sums.withLock({ $0 }) {
            #expect(Self.sum(try small.channel.readAll(store.open(view))) == sum)
        }
        print(
            "concurrency: \(backups) backups, \(shared.writes.load(ordering: .relaxed)) writes, "
                + "\(shared.reads.load(ordering: .relaxed)) rereadings")
    }

    @Test("a recovery under load copies what the backup holds, while hosts write to both sides")
    func recoveryUnderLoad() throws {
        let small = try SmallStore(["0100", "0200", "0300", "0400"], multiplier: 1000)
        let store = small.store
        let shared = Shared()
        var threads = (0..<2).map { writer in TestThread { Self.write(store, writer, shared) } }
        for number in 1...10 {
            let tag = "a/\(number)"
            try store.backup(tag, ["0100"])
            let wanted = try small.channel.readAll(small.point(tag))
            try store.establish(
                [.init(source: "0100", tag: tag, target: "0400")], backgroundCopy: number % 2 == 0)
            let target = try small.device("0400")
            let first = try small.channel.readAll(target)
            #expect(first == wanted)
            #expect(small.channel.write(target, 300_000, block(number)) == nil)
            try store.startBackgroundCopy(["0400"])
            #expect(try store.waitUntilDrained("0400"))
            var changed = wanted
            changed.replaceSubrange(300_000..<304_096, with: block(number))
            let copied = try small.channel.readAll(target)
            #expect(copied == changed)
            try store.withdraw(["0400"])
            try store.dropPoints(tags: [tag])
        }
        shared.stops.store(true, ordering: .relaxed)
        for thread in threads { thread.join() }
        threads = []
        #expect(shared.failures.withLock { $0 } == [])
    }
}
