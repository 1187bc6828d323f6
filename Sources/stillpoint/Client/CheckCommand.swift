import ArgumentParser
import CommandSchema
import ConsoleText

/// `stillpoint check`: whether everything is in place.
struct CheckCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Check the configuration, the broker, the store, the storage and the ports.",
        discussion: """
            One line a finding: ok, warning or failed, with what clears it. Nothing is
            changed, so it may be run at any time: beside a running worker, or before the
            first start.

            EXAMPLES
              stillpoint check
              stillpoint check --config /etc/stillpoint/stillpoint.yaml
              stillpoint check --output json
              stillpoint check --scrub

            EXIT STATUS
              0 nothing failed (warnings may be there), 4 something failed, 69 broker unreachable.
            """)

    @Flag(
        help: """
            Also read back everything that the storage has saved for backups, and say what is damaged and \
            which backups need it. The worker is left word, looks itself, and publishes \
            backup.unrecoverable for each. Takes as long as reading it takes.
            """)
    var scrub = false

    @OptionGroup var configurationOptions: ConfigurationOptions
    @OptionGroup var outputOptions: OutputOptions

    func run() async throws {
        let findings = await findings()
        if outputOptions.isJSON {
            Console.show(json: CheckText.json(findings))
        } else {
            Console.show(CheckText.lines(findings, Console.painter))
        }
        throw CommandLineRun.exitCode(CheckText.status(findings))
    }

    private func findings() async -> [Finding] {
        let site: Site
        do {
            site = try Site(configurationOptions.load())
        } catch {
            return [
                Finding(
                    .failed, "configuration", "\(error)",
                    remedy: "correct the named key; deploy/stillpoint.yaml has all of them")
            ]
        }
        var findings = [Finding(.ok, "configuration", "can be read")]
        let probes = Probes.all(site) + (scrub ? Probes.scrubs(site) : [])
        for probe in probes { findings += await probe.look() }
        return findings
    }
}
