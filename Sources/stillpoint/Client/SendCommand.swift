import ArgumentParser
import CommandSchema
import ConsoleText

/// `stillpoint send`: one command, its outcome, and where asked the end of its background copy.
struct SendCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "send",
        abstract: "Send a command and wait for its outcome.",
        discussion: SendHelp.discussion)

    @OptionGroup var configurationOptions: ConfigurationOptions
    @OptionGroup var outputOptions: OutputOptions

    @Argument(help: "The command, e.g. Backup; case does not matter.")
    var command: String?

    @Argument(help: "The session, or for commands on volumes the storage system.")
    var target: String?

    @Option(
        name: [.customLong("parameter"), .customShort("p")], parsing: .singleValue,
        help: ArgumentHelp(
            "A parameter; repeat for more. See PARAMETERS above.", valueName: "name=value"))
    var parameters: [String] = []

    @Option(
        help: ArgumentHelp(
            "The idempotency key: the same one is executed once, however often it is sent. Without it "
                + "a fresh one is made."))
    var id: String?

    @Option(
        help: ArgumentHelp(
            "A JSON file with the command, or with some of its members; - is standard input."))
    var file: String?

    @Option(help: ArgumentHelp("Refuse to start after this time.", valueName: "rfc3339"))
    var notAfter: String?

    @Flag(help: "Decide only: say what would be done, or every reason against it.")
    var dryRun = false

    @Flag(help: "Also wait until the background copy that the command starts is complete.")
    var wait = false

    @Option(help: ArgumentHelp("How long to wait for the outcome.", valueName: "seconds"))
    var timeout: Double = 60

    @Option(
        help: ArgumentHelp(
            "With --wait: how long to wait for the copy; without it, as long as it takes.",
            valueName: "seconds"))
    var waitTimeout: Double?

    func run() async throws {
        let limit = try Seconds.duration(timeout, "--timeout")
        let copyLimit = try waitTimeout.map { seconds throws(UsageFault) in
            try Seconds.duration(seconds, "--wait-timeout")
        }
        let request = try assembled()
        let site = try Site(configurationOptions.load())
        let copies =
            wait && request.node["dryRun"]?.bool != true && CopyWait.startsCopy(request.node)
        // Subscribed before the command is sent: nothing that it causes can be missed.
        let events = copies ? try site.events(of: request.target, from: nil) : nil
        try await events?.started()
        let status = try await send(request, with: site.sender, within: limit)
        guard status == .completed, let events else { throw CommandLineRun.exitCode(status) }
        let follower = CopyFollower(
            session: request.target, sender: site.sender, events: events, replyLimit: limit,
            copyLimit: copyLimit, display: ProgressDisplay(isSilent: outputOptions.isJSON))
        let end = try await follower.run()
        await events.close()
        throw CommandLineRun.exitCode(end)
    }

    private func assembled() throws -> CommandRequest.Assembled {
        var request = CommandRequest()
        request.name = command
        request.target = target
        request.id = id
        request.parameters = parameters
        request.notAfter = notAfter
        request.dryRun = dryRun
        if let file {
            guard let bytes = InputFile.bytes(of: file), !bytes.isEmpty else {
                throw UsageFault("--file \(file): the file is empty or cannot be read")
            }
            request.file = bytes
        }
        return try request.assembled(freshID: Fresh.commandID)
    }

    /// Sends, shows the outcome and says what it means.
    private func send(
        _ request: CommandRequest.Assembled, with sender: any CommandSending, within limit: Duration
    ) async throws -> ExitStatus {
        let bytes: [UInt8]
        do throws(ClientFailure) {
            bytes = try await sender.outcome(of: request, within: limit)
        } catch {
            guard error.outcomeIsOpen else { throw error }
            throw ClientFailure(
                error.status,
                "\(error.description). The outcome is not known; send it again with --id "
                    + "'\(request.id)': what was executed is not executed again")
        }
        return try Outcomes.show(bytes, asJSON: outputOptions.isJSON)
    }
}

/// Outcomes on standard output.
enum Outcomes {
    /// Reads an outcome; throws where a worker answers with something else.
    static func read(_ bytes: [UInt8]) throws(ClientFailure) -> JSONNode {
        do throws(JSONFault) {
            return try JSONNode(document: bytes)
        } catch {
            throw ClientFailure(
                .failed, "the answer is not an outcome: byte \(error.offset): \(error.sentence)")
        }
    }

    /// Shows an outcome and says what it means for the exit status.
    static func show(_ bytes: [UInt8], asJSON: Bool) throws(ClientFailure) -> ExitStatus {
        let outcome = try read(bytes)
        if asJSON {
            Console.show(json: bytes)
        } else {
            Console.show(OutcomeText.lines(outcome, Console.painter))
        }
        return ExitStatus(outcome: outcome)
    }
}
