import Glibc
import Synchronization

/// A program that a test runs, and talks to by lines.
final class ChildProcess {
    struct Failure: Error, CustomStringConvertible { var description: String }

    let process: pid_t
    private let output: Int32
    private let input: Int32
    private var rest: [UInt8] = []

    /// One at a time starts, so that no child holds another one's pipes open.
    private static let starting = Mutex<Void>(())

    /// Starts a program by its path. Its errors are not shown.
    init(_ words: [String]) throws {
        // It may be gone when it is told something.
        signal(SIGPIPE, SIG_IGN)
        (process, input, output) = try Self.starting.withLock { _ in try Self.start(words) }
    }

    private static func start(_ words: [String]) throws -> (pid_t, Int32, Int32) {
        var (inward, outward): ([Int32], [Int32]) = ([0, 0], [0, 0])
        guard pipe(&inward) == 0, pipe(&outward) == 0 else {
            throw Failure(description: "no pipe: errno \(errno)")
        }
        for end in inward + outward { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawn_file_actions_adddup2(&actions, inward[0], 0)
        posix_spawn_file_actions_adddup2(&actions, outward[1], 1)
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
        defer { posix_spawn_file_actions_destroy(&actions) }
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var process: pid_t = 0
        let failure = posix_spawn(&process, words[0], &actions, nil, &arguments, environ)
        close(inward[0])
        close(outward[1])
        guard failure == 0 else {
            close(inward[1])
            close(outward[0])
            throw Failure(description: "cannot start \(words[0]): errno \(failure)")
        }
        return (process, inward[1], outward[0])
    }

    deinit {
        close(input)
        close(output)
    }

    /// The next line of its output; nil at the end.
    func line() -> String? {
        while true {
            if let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
                defer { rest.removeFirst(end + 1) }
                return String(decoding: rest[..<end], as: UTF8.self)
            }
            var buffer = [UInt8](repeating: 0, count: 4096)
            let count = read(output, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return nil }
            rest += buffer[..<count]
        }
    }

    func lines() -> [String] {
        var lines: [String] = []
        while let line = line() { lines.append(line) }
        return lines
    }

    func say(_ line: String) {
        let bytes = Array((line + "\n").utf8)
        _ = write(input, bytes, bytes.count)
    }

    /// Waits for its end. True where it was killed by SIGKILL.
    func wait() -> Bool {
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        return status & 0x7F == SIGKILL
    }

    /// A program that was built beside this test.
    static func built(_ name: String) -> String? {
        for program in [linkTarget("/proc/self/exe")] + CommandLine.arguments {
            guard let slash = program.lastIndex(of: "/") else { continue }
            let child = program[..<slash] + "/" + name
            if access(String(child), X_OK) == 0 { return String(child) }
        }
        return nil
    }

    /// A program of the machine.
    static func installed(_ name: String) -> String? {
        ["/usr/bin/", "/bin/", "/usr/local/bin/"].map { $0 + name }
            .first { access($0, X_OK) == 0 }
    }
}
