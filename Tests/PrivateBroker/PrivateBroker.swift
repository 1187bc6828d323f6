// A RabbitMQ node for tests: started by `deploy/private-broker`, alone in a temporary directory.

import Foundation
import Glibc

/// A broker of the test's own, on loopback, that goes away with `stop()`.
public final class PrivateBroker: Sendable {
    /// What the script said instead of doing it.
    public struct Failure: Error, CustomStringConvertible {
        /// The script's words.
        public var description: String
    }

    /// Where the node keeps everything; removed by `stop()`.
    public let directory: String
    /// `amqp://…` of the node, the same after a restart.
    public let uri: String
    /// The AMQP port.
    public let port: Int
    /// The AMQPS port; nil without certificates.
    public let tlsPort: Int?

    /// Starts a node (about five seconds; fails after a minute).
    ///
    /// `certificates` is a directory with `ca.pem`, `server.pem` and `server.key`; `configuration`
    /// is appended to the node's.
    public init(
        certificates: String? = nil, configuration: String = "",
        plugins: [String] = ["rabbitmq_sharding"]
    ) async throws {
        directory = NSTemporaryDirectory() + "private-broker-" + UUID().uuidString
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: true)
        try Data(configuration.utf8).write(to: URL(fileURLWithPath: directory + "/extra.conf"))
        let enabled = "[" + plugins.joined(separator: ",") + "].\n"
        try Data(enabled.utf8).write(to: URL(fileURLWithPath: directory + "/enabled_plugins"))
        var arguments = ["start", directory]
        if let certificates { arguments += ["--tls", certificates] }
        let said: String
        do {
            said = try await Self.run(arguments)
        } catch {
            try? FileManager.default.removeItem(atPath: directory)
            throw error
        }
        var values: [Substring: Substring] = [:]
        for line in said.split(separator: "\n") {
            let pair = line.split(separator: "=", maxSplits: 1)
            if pair.count == 2 { values[pair[0]] = pair[1] }
        }
        guard let uri = values["URI"], let port = values["PORT"].flatMap({ Int($0) }) else {
            throw Failure(description: "the script said: \(said)")
        }
        self.uri = String(uri)
        self.port = port
        tlsPort = values["TLS_PORT"].flatMap { Int($0) }
    }

    /// Kills the node as a power cut would; `restart()` brings it back.
    ///
    /// RabbitMQ 3.10 does not get over losing what it has not yet written of a new queue: one
    /// declared within some five seconds before the kill comes back deaf, and never confirms again.
    public func kill() async throws { _ = try await Self.run(["kill", directory]) }

    /// Stops the node in good order, keeping its data; `restart()` brings it back.
    public func halt() async throws { _ = try await Self.run(["stop", directory]) }

    /// Starts the node again after `kill()` or `halt()`, on the same data and ports.
    public func restart() async throws { _ = try await Self.run(["start", directory]) }

    /// Runs `rabbitmqctl` against the node and gives its output.
    @discardableResult
    public func control(_ arguments: String...) async throws -> String {
        try await Self.run(["ctl", directory] + arguments)
    }

    /// Stops the node and removes its directory.
    public func stop() async {
        // Whether or not it still ran, it and its directory are gone afterwards.
        _ = try? await Self.run(["kill", directory])
        try? FileManager.default.removeItem(atPath: directory)
    }

    /// Sends a signal to the node's process: `SIGSTOP` makes it fall silent with its sockets open.
    public func signal(_ signal: Int32) throws {
        let text = try String(contentsOfFile: directory + "/node.pid", encoding: .utf8)
        guard let pid = pid_t(text.trimmingCharacters(in: .whitespacesAndNewlines)) else {
            throw Failure(description: "no process id in node.pid")
        }
        guard Glibc.kill(pid, signal) == 0 else {
            throw Failure(description: "cannot signal process \(pid)")
        }
    }

    /// The script: `STILLPOINT_PRIVATE_BROKER` where it is set, else the repository's.
    private static var script: String {
        ProcessInfo.processInfo.environment["STILLPOINT_PRIVATE_BROKER"]
            ?? URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("deploy/private-broker").path
    }

    // On a thread of its own: waiting for a child must not hold up a test's other tasks. The output
    // goes through files, since a pipe would stay open in the node that the script leaves behind.
    private static func run(_ arguments: [String]) async throws -> String {
        let result: Result<String, Failure> = await withCheckedContinuation { continuation in
            let thread = Thread { continuation.resume(returning: runBlocking(arguments)) }
            thread.start()
        }
        return try result.get()
    }

    private static func runBlocking(_ arguments: [String]) -> Result<String, Failure> {
        let base = NSTemporaryDirectory() + "private-broker-" + UUID().uuidString
        defer {
            unlink(base + ".out")
            unlink(base + ".err")
        }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        let create = O_WRONLY | O_CREAT | O_TRUNC
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, base + ".out", create, 0o600)
        posix_spawn_file_actions_addopen(&actions, 2, base + ".err", create, 0o600)
        // Pool threads block signals, and children would inherit that: a broker deaf to SIGTERM.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        var words = ([script] + arguments).map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        var pid = pid_t()
        var status: Int32 = 0
        guard posix_spawn(&pid, script, &actions, &attributes, &words, environ) == 0 else {
            return .failure(Failure(description: "cannot run \(script)"))
        }
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        func text(_ suffix: String) -> String {
            (try? String(contentsOfFile: base + suffix, encoding: .utf8)) ?? ""
        }
        guard status == 0 else {
            let words = arguments.joined(separator: " ")
            return .failure(Failure(description: "private-broker \(words): \(text(".err"))"))
        }
        return .success(text(".out"))
    }
}
