import ArgumentParser
import CommandSchema
import ConsoleText
import CopyModel
import Glibc

/// `stillpoint show`: where sessions and storage systems stand.
struct ShowCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Show where every session stands, or one session or storage system in full.",
        discussion: """
            Without a name: one line a session. The worker on http.listen is asked; where
            none answers, the event log is read from its beginning, which takes longer and
            shows what it still holds.

            With a name: the session's worker is asked with DescribeSession (for --storage
            with DescribeStorage), and everything it says is shown: options, copy sets,
            role pairs, pairs, backups.

            EXAMPLES
              stillpoint show
              stillpoint show payroll
              stillpoint show payroll --output json
              stillpoint show --storage box1

            EXIT STATUS
              0 shown, 2 usage, 3 refused (no such session), 4 failed, 5 timed out,
              69 broker unreachable.
            """)

    @OptionGroup var configurationOptions: ConfigurationOptions
    @OptionGroup var outputOptions: OutputOptions

    @Argument(help: "The session to show in full.")
    var session: String?

    @Option(help: ArgumentHelp("The storage system to show in full.", valueName: "name"))
    var storage: String?

    @Option(help: ArgumentHelp("How long to wait for an answer.", valueName: "seconds"))
    var timeout: Double = 60

    func run() async throws {
        let limit = try Seconds.duration(timeout, "--timeout")
        guard session == nil || storage == nil else {
            throw UsageFault("a session or --storage: one of the two")
        }
        let site = try Site(configurationOptions.load())
        if let name = session ?? storage {
            let command = storage == nil ? "DescribeSession" : "DescribeStorage"
            try await describe(name, with: command, at: site, within: limit)
        } else {
            try await list(at: site, within: limit)
        }
    }

    private func describe(
        _ name: String, with command: String, at site: Site, within limit: Duration
    ) async throws {
        var request = CommandRequest()
        request.name = command
        request.target = name
        let bytes = try await site.sender.outcome(
            of: try request.assembled(freshID: Fresh.commandID), within: limit)
        let outcome = try Outcomes.read(bytes)
        guard ExitStatus(outcome: outcome) == .completed, let document = outcome["result"] else {
            throw CommandLineRun.exitCode(try Outcomes.show(bytes, asJSON: outputOptions.isJSON))
        }
        if outputOptions.isJSON {
            Console.show(json: document.compact())
        } else if storage == nil {
            Console.show(SessionText.lines(document, Console.painter))
        } else {
            Console.show(StorageText.lines(document, Console.painter))
        }
    }

    private func list(at site: Site, within limit: Duration) async throws {
        let sessions: [JSONNode]
        if let known = Self.fromWorker(site) {
            sessions = known
        } else {
            sessions = try await Self.fromLog(site, within: limit)
        }
        if outputOptions.isJSON {
            let members = [JSONMember(key: "sessions", value: .array(sessions))]
            Console.show(json: JSONNode.object(members).compact())
        } else if sessions.isEmpty {
            Console.show(["No sessions. Make one: stillpoint send CreateSession --help"])
        } else {
            Console.show(SessionText.table(ofSummaries: sessions, Console.painter))
        }
    }

    /// What the worker on `http.listen` says; nil where none answers.
    private static func fromWorker(_ site: Site) -> [JSONNode]? {
        guard let address = site.http, address.port > 0,
            let response = HTTPGet.get("/sessions", from: address), response.status == 200,
            let document = try? JSONNode(document: response.body),
            case .array(let sessions) = document["sessions"]
        else { return nil }
        return sessions.sorted { ($0["session"]?.text ?? "") < ($1["session"]?.text ?? "") }
    }

    /// What the event log says up to now.
    ///
    /// The log has no mark for its present end: it is reached with an
    /// event from after the start of this, or when nothing has come for a second.
    private static func fromLog(_ site: Site, within limit: Duration) async throws -> [JSONNode] {
        let started = Timestamp(milliseconds: Int64(time(nil)) * 1000)
        let events = try site.events(of: nil, from: .first)
        try await events.started()
        Console.complain("no worker answers on http.listen; reading the event log instead")
        let quiet = QuietTime(limit: limit)
        let reading = Task {
            var fold = SessionFold()
            while !Task.isCancelled, let bytes = await events.next() {
                quiet.heard()
                guard let event = try? JSONNode(document: bytes) else { continue }
                fold.take(event)
                let time = event["time"]?.text.flatMap { Timestamp(rfc3339: $0) }
                if let time, time > started { break }
            }
            return fold.sessions
        }
        let watching = Task {
            while !Task.isCancelled, !quiet.isOver {
                try? await Task.sleep(for: .milliseconds(100))
            }
            reading.cancel()
        }
        let sessions = await reading.value
        watching.cancel()
        await events.close()
        guard !quiet.limitPassed else {
            throw ClientFailure(.timedOut, "the event log could not be read to its end in time")
        }
        return sessions
    }
}
