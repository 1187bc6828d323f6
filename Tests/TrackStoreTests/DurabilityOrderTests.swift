import Glibc
import Synchronization
import Testing
import TrackStore

/// A disk that notes what has been written to saved segments and not synced since, and whoever writes
/// to a volume while its own saves are not durable: the order on which every point rests.
private final class WatchedIO: BlockIO {
    /// What all threads of a store have done.
    final class Ledger: Sendable {
        struct State {
            var written: [String: Int] = [:]
            var synced: [String: Int] = [:]
            var overwrites = 0
            var violations: [String] = []
        }
        let state = Mutex(State())
    }

    private let ledger: Ledger
    private let plain = PlainIO()
    /// This thread's last write to each segment, as the ledger counted it.
    private var mine: [String: Int] = [:]

    init(_ ledger: Ledger) { self.ledger = ledger }

    private func path(_ file: Int32) -> String { linkTarget("/proc/self/fd/\(file)") }

    func perform(_ operations: inout [BlockOperation]) {
        for operation in operations where operation.kind == .write {
            let path = path(operation.file)
            if path.contains("/saves/") {
                mine[path] = ledger.state.withLock { state in
                    state.written[path, default: 0] += 1
                    return state.written[path]
                }
            } else if path.contains("/volumes/") {
                check(path)
            }
        }
        plain.perform(&operations)
    }

    private func check(_ volume: String) {
        ledger.state.withLock { state in
            state.overwrites += 1
            for (path, number) in mine where state.synced[path, default: 0] < number {
                state.violations.append("\(volume) was overwritten before \(path) was durable")
            }
        }
    }

    func sync(_ file: Int32) -> Int32 {
        let path = path(file)
        let count = ledger.state.withLock { $0.written[path, default: 0] }
        let failure = plain.sync(file)
        if failure == 0 { ledger.state.withLock { $0.synced[path] = count } }
        return failure
    }

    func punch(_ file: Int32, offset: Int, length: Int) -> Int32 {
        if path(file).contains("/volumes/") { check(path(file)) }
        return plain.punch(file, offset: offset, length: length)
    }

    func reserve(_ file: Int32, offset: Int, length: Int) -> Int32 {
        plain.reserve(file, offset: offset, length: length)
    }
}

@Suite("Saved content is durable before the blocks are overwritten")
struct DurabilityOrderTests {
    private func write(_ channel: HostChannel, _ device: OpenDevice, _ tracks: Range<Int>) {
        var data = block(tracks.lowerBound &+ 7, count: 65_536)
        data.withUnsafeMutableBytes { bytes in
            var requests = tracks.map { track in
                HostRequest(
                    kind: .write, offset: UInt64(track * 65_536), length: 65_536,
                    data: bytes.baseAddress)
            }
            channel.perform(&requests, on: device)
            #expect(requests.allSatisfy { $0.failure == nil })
        }
    }

    /// A wave larger than the spare segment begins another one; the spare, overtaken, must not follow.
    @Test("also where a wave is larger than the segment that was made ahead")
    func overtakenSpare() throws {
        let scratch = Scratch()
        let ledger = WatchedIO.Ledger()
        var configuration = TrackStore.Configuration.test(scratch.path)
        configuration.makeIO = { WatchedIO(ledger) }
        let store = try TrackStore(configuration)
        try store.createVolumes([.init(id: "0100", capacity: 1024 * 65_536, multiplier: 16)])
        let channel = try HostChannel(store: store)
        let device = try store.open(.volume("0100"))
        for first in stride(from: 0, to: 1024, by: 32) {
            write(channel, device, first..<first + 32)
        }
        for round in 0..<3 {
            try store.backup("a/\(round + 1)", ["0100"])
            for first in stride(from: 0, to: 12, by: 1) {
                write(channel, device, first..<first + 1)
            }
            let saves = scratch.path + "/saves/0100"
            for _ in 0..<200 where Scratch.names(saves).count < 2 { usleep(10_000) }
            for first in stride(from: 32, to: 512, by: 32) {
                write(channel, device, first..<first + 32)
                write(channel, device, 512 + first..<513 + first)
            }
        }
        let state = ledger.state.withLock { $0 }
        #expect(state.violations.isEmpty, "\(state.violations.prefix(3))")
        #expect(state.overwrites > 1000)
        try store.close()
    }
}
