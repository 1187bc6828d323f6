import Glibc
import Testing
import TrackStore

/// The child (`track-crash-child`) numbers its writes: number n fills block `n * 7919 % blocks` of
/// volume `n % 2` with n. It says `flushed n` and `backup n` once that is so.
@Suite("Killed")
struct KillTests {
    private static let blocks = 512
    private static let volumes = ["0100", "0101"]

    private static func childPath() -> String? {
        let own = linkTarget("/proc/self/exe")
        for program in [own] + CommandLine.arguments {
            guard let slash = program.lastIndex(of: "/") else { continue }
            let child = program[..<slash] + "/track-crash-child"
            if access(String(child), X_OK) == 0 { return String(child) }
        }
        return nil
    }

    /// Starts the child and kills it after so many lines of output. Gives the lines.
    private func runAndKill(_ child: String, _ directory: String, first: Int, lines: Int)
        -> [String]
    {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { return [] }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
        posix_spawn_file_actions_addclose(&actions, ends[0])
        defer { posix_spawn_file_actions_destroy(&actions) }
        let words: [String] = [child, directory, "\(first)", "\(Self.blocks)"]
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var process: pid_t = 0
        guard posix_spawn(&process, child, &actions, nil, &arguments, environ) == 0 else {
            return []
        }
        close(ends[1])
        var text: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        var isKilled = false
        while true {
            let count = Glibc.read(ends[0], &buffer, buffer.count)
            guard count > 0 else { break }
            text += buffer[..<count]
            if !isKilled, text.count(where: { $0 == UInt8(ascii: "\n") }) >= lines {
                kill(process, SIGKILL)
                isKilled = true
            }
        }
        close(ends[0])
        var status: Int32 = 0
        waitpid(process, &status, 0)
        return String(decoding: text, as: UTF8.self).split(separator: "\n").map(String.init)
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
        let child = try #require(Self.childPath(), "track-crash-child is not built")
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
