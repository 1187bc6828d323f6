import ArgumentParser

/// The one executable: a worker, and the clients of its contract.
@main
struct Stillpoint: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stillpoint",
        abstract:
            "Copy services driven by messages: immutable backups at one instant, and recovery.",
        discussion: """
            Schedulers put commands on RabbitMQ queues; a worker runs them and tells every change as an \
            event. Start here:

              stillpoint check                          is everything in place?
              stillpoint worker                         run
              stillpoint send DescribeStorage box1      which volumes are there?
              stillpoint show                           where does every session stand?
              stillpoint watch                          what happens?

            Exit status: 0 completed, 2 usage, 3 refused, 4 failed, 5 timed out, 69 broker unreachable.
            """,
        version: "0.1.0",
        subcommands: [
            WorkerCommand.self, SendCommand.self, WatchCommand.self, ShowCommand.self,
            CheckCommand.self,
        ])

    static func main() async { await CommandLineRun.main(Stillpoint.self) }
}
