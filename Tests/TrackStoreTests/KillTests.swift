import Glibc
import Testing
import TrackStore

/// The child (`track-crash-child`) numbers its writes: number n fills block `n * 7919 % blocks` of
/// volume `n % 2` with n. It says `flushed n` and `backup n` once that is so.
@Suite("Killed")
struct KillTests {
    private static let blocks = 512
    private static let volumes = ["0100", "0101"]

    /// Starts the child and kills it after so many lines of output. Gives the lines.
    private func runAndKill(_ child: String, _ directory: String, first: Int, lines: Int)
        -> [String]
    {
        guard
            let running = try? ChildProcess([child, directory, "\(first)", "\(Self.blocks)"])
        else { return [] }
        var said: [String] = []
        while let line = running.line() {
            said.append(line)
            if said.count == lines { kill(running.process, SIGKILL) }
        }
        _ = running.wait()
        return said
    }

    private typealias Content = [[UInt64]]

    private func apply(_ numbers: Range<Int>, to content: inout Content) {
        for number in numbers {
            content[number % 2][number * 7919 % Self.blocks] = UInt64(number)
        }
    }

    private func read(_ channel: HostChannel, _ device: OpenDevice) throws -> [UInt64] {
        let bytes = try channel.readAll(device)
        return bytes.withUnsafeBytes { bytes in
            (0..<Self.blocks).map { block in
                bytes.loadUnaligned(fromByteOffset: block * 4096, as: UInt64.self)
            }
        }
    }

    /// Sized by STILLPOINT_KILLS.
    @Test(
        "after SIGKILL every reported backup reads exactly, and every flushed write is there"
    )
    func sigkill() throws {
        let child = try #require(
            ChildProcess.built("track-crash-child"), "track-crash-child is not built")
        let scratch = Scratch()
        var current: Content = [[UInt64]](
            repeating: [UInt64](repeating: 0, count: Self.blocks), count: 2)
        var backups: [Int: Content] = [:]
        var first = 1
        var numbers = SeededNumbers(seed: 1)
        let kills = environmentNumber("STILLPOINT_KILLS", default: 6)
        for round in 1...kills {
            let lines = runAndKill(child, scratch.path, first: first, lines: 3 + numbers.below(40))
            var last = first - 1
            for line in lines {
                let words = line.split(separator: " ")
                guard words.count == 2, let number = Int(words[1]) else { continue }
                var content = current
                apply(first..<number + 1, to: &content)
                if words[0] == "backup" { backups[number] = content }
                last = number
            }
            let store = try TrackStore(.test(scratch.path))
            let channel = try HostChannel(store: store)
            var flushed = current
            apply(first..<last + 1, to: &flushed)
            for (index, volume) in Self.volumes.enumerated() {
                let got = try read(channel, store.open(.volume(volume)))
                for block in 0..<Self.blocks where got[block] != flushed[index][block] {
                    #expect(got[block] > last, "round \(round): a flushed write is lost")
                }
                current[index] = got
                let tags = Set(try store.points(of: volume).map(\.tag))
                for (number, content) in backups {
                    #expect(tags.contains("k/\(number)"))
                    let point = try store.open(.point(volume: volume, tag: "k/\(number)"))
                    let saved = try read(channel, point)
                    #expect(saved == content[index], "round \(round): backup \(number) differs")
                }
            }
            first = 1 + Int(current.joined().max() ?? 0)
            try store.close()
        }
        print("killed: \(kills) times, \(backups.count) backups, \(first - 1) writes")
    }
}
