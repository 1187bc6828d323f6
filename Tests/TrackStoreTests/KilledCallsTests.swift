import Foundation
import Glibc
import Synchronization
import Testing
import TrackStore

/// Lives of `track-crash-child`, killed by `strace` as they enter a system call that changes what is on
/// disk: the first, the second and so on of each kind.
///
/// `strace` counts the calls of each thread by itself, so that the thread that serves hosts is always
/// the first to reach a number. The engine's own threads are therefore traced one by one, too.
@Suite("Killed at system calls")
struct KilledCallsTests {
    private static let calls = [
        "fsync", "fdatasync", "syncfs", "msync", "pwrite64", "pwritev", "writev", "fallocate",
        "ftruncate", "mkdir", "rename", "unlink", "rmdir", "io_uring_enter",
    ]

    /// One life.
    private struct Life: Sendable, CustomStringConvertible {
        var call: String
        var number: Int
        /// One of the engine's threads; nil: whichever is first.
        var thread: Int?
        /// The call fails so; nil: the process is killed.
        var error: String?

        var description: String {
            "\(call) \(number)" + (thread.map { " of thread \($0)" } ?? "")
                + (error.map { " fails with \($0)" } ?? "")
        }

        var injection: [String] {
            let what = error.map { "error=\($0)" } ?? "signal=SIGKILL"
            return [
                "-qq", "-o", "/dev/null", "-e", "trace=\(call)", "-e",
                "inject=\(call):\(what):when=\(number)",
            ]
        }
    }

    private struct Programs: Sendable {
        var strace: String
        var child: String
    }

    /// Sized by STILLPOINT_CALLS: so many numbers of each call; 0 = all.
    @Test(
        "at every durable call: what was reported is there, and the rest is whole or absent",
        .timeLimit(.minutes(20)))
    func everyCall() throws {
        guard let strace = ChildProcess.installed("strace") else {
            print("killed at calls: not run, strace is not installed")
            #expect(getenv("STILLPOINT_REQUIRE_STRACE") == nil, "strace is not installed")
            return
        }
        let child = try #require(
            ChildProcess.built("track-crash-child"), "track-crash-child is not built")
        let programs = Programs(strace: strace, child: child)
        let most = environmentNumber("STILLPOINT_CALLS", default: 40)
        var lives: [Life] = []
        let counts = try Self.count(programs, "life").calls.values.reduce(into: [:]) {
            $0.merge($1, uniquingKeysWith: max)
        }
        for (call, count) in counts.sorted(by: { $0.key < $1.key }) {
            for number in Self.sample(count + 1, most) {
                lives.append(Life(call: call, number: number))
            }
            for (index, number) in Self.sample(count, most / 5).enumerated() {
                let error = index % 2 == 0 ? "EIO" : "ENOSPC"
                lives.append(Life(call: call, number: number, error: error))
            }
        }
        let quiet = try Self.count(programs, "threads")
        for (thread, number) in quiet.threads.enumerated() {
            for (call, count) in (quiet.calls[number] ?? [:]).sorted(by: { $0.key < $1.key }) {
                for number in Self.sample(count, most / 10) {
                    lives.append(Life(call: call, number: number, thread: thread))
                }
            }
        }
        #expect(counts["pwrite64"] ?? 0 > 100 && counts["syncfs"] ?? 0 > 0, "\(counts)")
        run(lives, programs)
    }

    /// At most so many of 1...count, evenly.
    private static func sample(_ count: Int, _ most: Int) -> [Int] {
        guard most > 0, count > most else { return Array(1...max(count, 1)) }
        return (0..<most).map { 1 + $0 * (count - 1) / max(most - 1, 1) }
    }

    /// The calls of a life that is not disturbed, by thread.
    private static func count(_ programs: Programs, _ mode: String) throws
        -> (calls: [Int: [String: Int]], threads: [Int])
    {
        let scratch = Scratch()
        let log = scratch.path + "/calls"
        let child = try ChildProcess(
            [
                programs.strace, "-f", "-qq", "-o", log, "-e",
                "trace=" + calls.joined(separator: ","), programs.child, scratch.path + "/store",
                mode,
            ])
        child.say("go")
        let lines = child.lines()
        _ = child.wait()
        guard ToldLife(lines).hasEnded else {
            throw ToldLife.Wrong(description: "an undisturbed life does not end well")
        }
        var counts: [Int: [String: Int]] = [:]
        for line in try String(contentsOfFile: log, encoding: .utf8).split(separator: "\n") {
            let words = line.split(separator: " ", maxSplits: 1)
            guard words.count == 2, let thread = Int(words[0]) else { continue }
            let name = words[1].drop { $0 == " " }.prefix { $0 != "(" }
            guard calls.contains(String(name)) else { continue }
            counts[thread, default: [:]][String(name), default: 0] += 1
        }
        return (counts, Self.threads(lines.first))
    }

    private final class Shared: Sendable {
        let next = Atomic<Int>(0)
        let lives: [Life]
        let failures = Mutex<[String]>([])
        /// By call: how many were killed, failed a call, ended.
        let counts = Mutex<[String: Int]>([:])

        init(_ lives: [Life]) { self.lives = lives }
    }

    private func run(_ lives: [Life], _ programs: Programs) {
        let shared = Shared(lives)
        let threads = (0..<8).map { _ in
            TestThread {
                while true {
                    let index = shared.next.add(1, ordering: .relaxed).oldValue
                    guard index < shared.lives.count else { return }
                    let life = shared.lives[index]
                    do {
                        let what = try Self.live(life, programs)
                        shared.counts.withLock { $0["\(life.call) \(what)", default: 0] += 1 }
                    } catch {
                        shared.failures.withLock { $0.append("\(life): \(error)") }
                    }
                }
            }
        }
        for thread in threads { thread.join() }
        for failure in shared.failures.withLock({ $0 }).sorted() { Issue.record("\(failure)") }
        let counts = shared.counts.withLock { $0 }
        let text = counts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
        print("killed at calls: \(lives.count) lives: \(text.joined(separator: ", "))")
        let killed = counts.filter { $0.key.hasSuffix("killed") }.values.reduce(0, +)
        #expect(killed > lives.count / 3)
    }

    /// Lives once, looks at what is left, and goes on with it.
    private static func live(_ life: Life, _ programs: Programs) throws -> String {
        let scratch = Scratch()
        let directory = scratch.path + "/store"
        let lines =
            life.thread == nil
            ? try liveWhole(life, programs, directory) : try liveByThread(life, programs, directory)
        let told = ToldLife(lines)
        let store = try TrackStore(.test(directory))
        defer { store.abandon() }
        try told.check(store)
        if store.exportNames().contains(.volume("0100")) {
            let channel = try HostChannel(store: store)
            let device = try store.open(.volume("0100"))
            guard channel.write(device, 0, block(1)) == nil, channel.flush(device) == nil else {
                throw ToldLife.Wrong(description: "the store takes no writes")
            }
        }
        try store.close()
        return told.hasEnded ? "ended" : told.hasFailed ? "failed" : "killed"
    }

    private static func liveWhole(_ life: Life, _ programs: Programs, _ directory: String) throws
        -> [String]
    {
        let child = try ChildProcess(
            // With --seccomp-bpf, strace 6.1 does not deliver the signal.
            [programs.strace, "-f"] + (life.error == nil ? [] : ["--seccomp-bpf"]) + life.injection
                + [programs.child, directory, "life"])
        defer { _ = child.wait() }
        return child.lines()
    }

    private static func liveByThread(
        _ life: Life, _ programs: Programs, _ directory: String
    ) throws -> [String] {
        let child = try ChildProcess([programs.child, directory, "threads"])
        defer { _ = child.wait() }
        let threads = Self.threads(child.line())
        guard let index = life.thread, index < threads.count else {
            throw ToldLife.Wrong(description: "the child does not name its threads")
        }
        let thread = threads[index]
        let tracer = try ChildProcess([programs.strace] + life.injection + ["-p", "\(thread)"])
        defer { _ = tracer.wait() }
        for _ in 0..<5000 where !isTraced(child.process, thread) { usleep(1000) }
        usleep(20_000)
        child.say("go")
        return child.lines()
    }

    /// Those that the child names.
    private static func threads(_ line: String?) -> [Int] {
        line?.split(separator: " ").compactMap { Int($0) } ?? []
    }

    private static func isTraced(_ process: pid_t, _ thread: Int) -> Bool {
        let path = "/proc/\(process)/task/\(thread)/status"
        guard let status = try? String(contentsOfFile: path, encoding: .utf8) else { return true }
        return status.split(separator: "\n").contains {
            $0.hasPrefix("TracerPid:") && !$0.hasSuffix("\t0")
        }
    }
}
