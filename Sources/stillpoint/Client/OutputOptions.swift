import ArgumentParser
import ConsoleText
import CopyModel
import Glibc

/// How a client shows what it has got.
enum OutputForm: String, ExpressibleByArgument, CaseIterable {
    /// For people.
    case table
    /// For programs.
    case json
}

/// `--output`, shared by the clients.
struct OutputOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "table for people, json for programs: the documents as the worker sends them."))
    var output: OutputForm = .table

    /// True where programs read it.
    var isJSON: Bool { output == .json }
}

/// `--timeout` as a length of time.
enum Seconds {
    /// Reads a positive number of seconds, fractions allowed, up to a year.
    static func duration(_ seconds: Double, _ option: String) throws(UsageFault) -> Duration {
        guard seconds > 0, seconds <= 31_536_000 else {
            throw UsageFault("\(option): a number of seconds above 0 and up to 31536000 is due")
        }
        return .milliseconds(Int64((seconds * 1000).rounded(.up)))
    }
}

/// What only a composition root may take from the machine: the time and chance.
enum Fresh {
    /// An id that no other command has: the second, for people, and 64 random bits.
    static func commandID() -> String {
        let second = Timestamp(milliseconds: Int64(time(nil)) * 1000).shortDescription
        let digits = String(UInt64.random(in: .min ... .max), radix: 16)
        return "cli-\(second)-" + String(repeating: "0", count: 16 - digits.count) + digits
    }
}
