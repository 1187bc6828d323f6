import CopyModel
import FoundationEssentials
import Yams

/// A configuration's keys and values before they mean anything: a YAML file, overridden by environment
/// variables. Keys are compared without regard to case, since variables are written in capitals.
struct Settings {
    private struct Setting {
        var written: String
        var value: String
        var place: String
    }

    private var values: [String: Setting] = [:]
    private var origin: String

    private static let sections = ["instance", "broker", "store", "storage", "nbd", "http", "log"]

    /// Reads a YAML text (empty = no settings) and overrides it by the environment.
    init(yaml: String, origin: String, environment: [String: String]) throws(ConfigurationError) {
        self.origin = origin
        do {
            if let root = try Yams.compose(yaml: yaml) { try collect(root, path: [], in: origin) }
        } catch let error as ConfigurationError {
            throw error
        } catch {
            throw ConfigurationError(key: "YAML", place: origin, problem: "\(error)".oneLine)
        }
        try override(by: environment)
    }

    private mutating func collect(
        _ node: Node, path: [String], in origin: String
    ) throws(ConfigurationError) {
        let key = path.joined(separator: ".")
        let place = node.mark.map { "\(origin):\($0.line)" } ?? origin
        switch node {
        case .mapping(let mapping):
            for (name, child) in mapping {
                try collect(child, path: path + [name.scalar?.string ?? "?"], in: origin)
            }
        case .scalar(let scalar):
            if path.isEmpty {
                if scalar.string.isEmpty { return }
                throw ConfigurationError(
                    key: "YAML", place: place, problem: "is not a mapping of keys")
            }
            // `off` is YAML 1.1's false; its text is what was written, so nothing is lost here.
            let isSection = path.count == 1 && path[0] != "instance"
            if isSection, scalar.string.isEmpty { return }
            values[key.lowercased()] = Setting(written: key, value: scalar.string, place: place)
        case .sequence, .alias:
            throw ConfigurationError(
                key: key, place: place, problem: "is a list, where one value is due")
        }
    }

    /// `STILLPOINT_BROKER_URI` is `broker.uri`. Storage systems' names may hold `_` themselves: the
    /// name is what stands between `STORAGE_` and `_PATH`, `_JOURNAL` or `_COPYRATEMIBPS`.
    private mutating func override(by environment: [String: String]) throws(ConfigurationError) {
        for (name, value) in environment.sorted(by: { $0.key < $1.key }) {
            guard name.hasPrefix("STILLPOINT_") else { continue }
            let words = name.dropFirst("STILLPOINT_".count).lowercased()
            guard let section = words.split(separator: "_").first.map(String.init),
                Self.sections.contains(section)
            else { continue }
            var key = words.split(separator: "_").joined(separator: ".")
            for last in ["path", "journal", "copyratemibps"]
            where section == "storage" && words.hasSuffix("_" + last) {
                let system = words.dropFirst("storage_".count).dropLast(last.count + 1)
                key = "storage.\(existingName(String(system))).\(last)"
            }
            values[key.lowercased()] = Setting(
                written: key, value: value, place: "environment \(name)")
        }
    }

    /// The configured storage system whose name is that variable's, `-` and case apart.
    private func existingName(_ word: String) -> String {
        children(of: "storage").first {
            $0.lowercased().replacing("-", with: "_") == word
        } ?? word
    }

    /// The names directly below a key, as they were written, in order.
    func children(of key: String) -> [String] {
        let names = values.values.compactMap { setting -> String? in
            let parts = setting.written.split(separator: ".").map(String.init)
            guard parts.count > 2, parts[0].lowercased() == key else { return nil }
            return parts[1]
        }
        return Set(names).sorted()
    }

    /// Takes the text of a key; nil where it is absent.
    mutating func text(_ key: String) throws(ConfigurationError) -> String? {
        guard let setting = values.removeValue(forKey: key.lowercased()) else { return nil }
        origin = setting.place
        guard !setting.value.isEmpty else {
            throw ConfigurationError(key: key, place: setting.place, problem: "is empty")
        }
        return setting.value
    }

    /// Takes the whole number of a key; nil where it is absent.
    mutating func number(_ key: String, in range: ClosedRange<Int>) throws(ConfigurationError)
        -> Int?
    {
        guard let value = try text(key) else { return nil }
        guard let number = Int(value), range.contains(number) else {
            throw error(
                key,
                "'\(value)' is not a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    /// Reads `host:port`, or `off` as nil.
    func address(_ key: String, _ value: String) throws(ConfigurationError) -> Configuration
        .Address?
    {
        if value == "off" || value == "false" { return nil }
        guard let colon = value.lastIndex(of: ":"),
            let port = Int(value[value.index(after: colon)...]),
            (0...65_535).contains(port), colon != value.startIndex
        else { throw error(key, "'\(value)' is neither host:port nor off") }
        var host = String(value[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        return Configuration.Address(host: host, port: port)
    }

    /// An error about the key that was taken last.
    func error(_ key: String, _ problem: String) -> ConfigurationError {
        ConfigurationError(key: key, place: origin, problem: problem)
    }

    /// Refuses the first key that nobody took.
    func refuseWhatIsLeft() throws(ConfigurationError) {
        guard let left = values.values.min(by: { $0.written < $1.written }) else { return }
        throw ConfigurationError(
            key: left.written, place: left.place, problem: "is not a known key")
    }
}

extension String {
    /// The text with line breaks as spaces: an error is one line.
    var oneLine: String { split(whereSeparator: \.isNewline).joined(separator: " ") }
}
