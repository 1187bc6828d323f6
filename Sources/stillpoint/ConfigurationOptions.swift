import ArgumentParser
import FoundationEssentials

#if canImport(Glibc)
    import Glibc
#endif

/// Where the configuration is read from; shared by every command.
struct ConfigurationOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The configuration file. Without it: $STILLPOINT_CONFIG, then stillpoint.yaml, then the "
                + "built-in defaults.", valueName: "file"))
    var config: String?

    /// Reads the configuration; the file must exist where one was named.
    func load() throws -> Configuration {
        let environment = ProcessInfo.processInfo.environment
        let named = config ?? environment["STILLPOINT_CONFIG"]
        let path = named ?? "stillpoint.yaml"
        guard let bytes = FileManager.default.contents(atPath: path) else {
            guard named == nil, !FileManager.default.fileExists(atPath: path) else {
                throw ConfigurationError(
                    key: "--config", place: path, problem: "the file cannot be read")
            }
            return try Configuration(
                Settings(yaml: "", origin: "built-in defaults", environment: environment))
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw ConfigurationError(key: "YAML", place: path, problem: "is not UTF-8")
        }
        return try Configuration(Settings(yaml: text, origin: path, environment: environment))
    }
}
