import ArgumentParser
import ConsoleText
import CopyModel
import Glibc

/// `stillpoint watch`: what happens, one line an event.
struct WatchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "watch",
        abstract: "Follow the events: live, or replayed from the event log.",
        discussion: """
            One line an event: when, what it is about, its number there, its type, and
            the essentials. A subject's events are numbered without gaps; where a number
            is missing, standard error says GAP. Repeats are left out.

            EXAMPLES
              stillpoint watch                              what happens from now on
              stillpoint watch payroll --from first         what is kept, what comes
              stillpoint watch --from 2026-11-21T02:00:00Z  since then
              stillpoint watch --from last --timeout 2      the newest, then end
              stillpoint watch payroll --output json --count 10
                                                            ten CloudEvents

            The log is stored in chunks: last and a time begin at the start of a chunk, so
            some earlier events come first. It ends with Ctrl-C, --count or --timeout.

            EXIT STATUS
              0 ended, 2 usage, 5 timed out before --count events had come,
              69 broker unreachable.
            """)

    @OptionGroup var configurationOptions: ConfigurationOptions
    @OptionGroup var outputOptions: OutputOptions

    @Argument(help: "Only this session's or storage system's events.")
    var session: String?

    @Option(
        help: ArgumentHelp(
            "Where to begin: next (only what comes), first (the oldest kept), last (the last chunk), "
                + "an offset in the log, or an RFC 3339 time.", valueName: "place"))
    var from = "next"

    @Option(help: ArgumentHelp("End after so many events.", valueName: "n"))
    var count: UInt64?

    @Option(help: ArgumentHelp("End after this time.", valueName: "seconds"))
    var timeout: Double?

    func run() async throws {
        guard let start = ReplayStart(from) else {
            throw UsageFault(
                "--from \(from): first, last, next, a whole number or an RFC 3339 time is due")
        }
        guard session.map({ $0 == "_" || SubjectName($0) != nil }) ?? true else {
            throw UsageFault("'\(session ?? "")' is not a session's name")
        }
        let limit = try timeout.map { seconds throws(UsageFault) in
            try Seconds.duration(seconds, "--timeout")
        }
        let site = try Site(configurationOptions.load())
        let events = try site.events(of: session, from: start == .next ? nil : start)
        try await events.started()
        let enough = await Self.follow(
            events, count: count, limit: limit,
            text: WatchText(
                subject: session, asJSON: outputOptions.isJSON, escapesJSON: Console.isTerminal,
                painter: Console.painter))
        await events.close()
        throw CommandLineRun.exitCode(enough ? .completed : .timedOut)
    }

    /// Prints events until a signal, the limit or the count; false where the limit came before the
    /// count.
    private static func follow(
        _ events: any EventFollowing, count: UInt64?, limit: Duration?, text: WatchText
    ) async -> Bool {
        let printing = Task {
            var text = text
            var printed: UInt64 = 0
            while count.map({ printed < $0 }) ?? true, !Task.isCancelled,
                let event = await events.next()
            {
                let output = text.take(event)
                if let warning = output.warning { Console.complain(warning) }
                guard let line = output.line else { continue }
                Console.show([line])
                printed += 1
            }
            if text.repeats > 0 { Console.complain("repeats left out: \(text.repeats)") }
            return printed
        }
        // The data path has no part in this: cancelling the task ends its wait for the next event.
        let signals = Signals([SIGINT, SIGTERM]) { _ in printing.cancel() }
        let timer = limit.map { limit in
            Task {
                guard (try? await Task.sleep(for: limit)) != nil else { return false }
                printing.cancel()
                return true
            }
        }
        let printed = await printing.value
        timer?.cancel()
        let timedOut = await timer?.value ?? false
        withExtendedLifetime(signals) {}
        return !timedOut || count.map { printed >= $0 } ?? true
    }
}
