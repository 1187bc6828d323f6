import CopyModel
import FoundationEssentials

/// What a worker and the clients are told about their site.
struct Configuration: Sendable, Equatable {
    /// The broker and how to reach it.
    struct Broker: Sendable, Equatable {
        var uri = "amqp://guest:guest@127.0.0.1:5672/%2f"
        var prefix = "stillpoint"
        var partitions = 8
        var eventLogDays = 30
        var tlsAuthority: String?
        var tlsCertificate: String?
        var tlsKey: String?
    }

    /// The session store.
    struct Store: Sendable, Equatable {
        var sqlite = "var/stillpoint.sqlite"
        var outcomeDays = 7
    }

    /// One embedded storage system.
    struct Storage: Sendable, Equatable {
        var name: SubjectName
        var path: String
        /// Writes that must save are answered when they are in the write journal.
        var hasJournal = true
        /// Limits all background copies of the system together: MiB a second, 0 = no limit.
        var copyRateMiBps = 0
    }

    /// TLS for hosts; without a certificate there is none.
    struct HostSecurity: Sendable, Equatable {
        var certificate: String?
        var key: String?
        var authority: String?
        var isRequired = false
    }

    /// An address to listen on; nil = off.
    struct Address: Sendable, Equatable {
        var host: String
        var port: Int
    }

    var instance = "dev"
    var broker = Broker()
    var store = Store()
    var storage: [Storage] = []
    var nbd: Address? = Address(host: "127.0.0.1", port: 10809)
    var nbdSecurity = HostSecurity()
    var http: Address? = Address(host: "127.0.0.1", port: 8080)
    var logLevel = "info"
}

/// Why a configuration cannot be used: one line that names the key.
struct ConfigurationError: Error, Equatable, CustomStringConvertible {
    var key: String
    var place: String
    var problem: String

    var description: String { "\(place): \(key): \(problem)" }
}

extension Configuration {
    /// Builds a configuration from settings, taking every key that it knows; what is left is unknown.
    init(_ settings: Settings) throws(ConfigurationError) {
        var settings = settings
        self.init()
        if let value = try settings.text("instance") {
            guard let name = SubjectName(value) else {
                throw settings.error(
                    "instance", "'\(value)' is not a name ([A-Za-z0-9][A-Za-z0-9_-]{0,63})")
            }
            instance = name.text
        }
        try readBroker(&settings)
        if let value = try settings.text("store.sqlite") { store.sqlite = value }
        if let value = try settings.number("store.outcomedays", in: 7...3650) {
            store.outcomeDays = value
        }
        try readStorage(&settings)
        if let value = try settings.text("nbd.listen") {
            nbd = try settings.address("nbd.listen", value)
        }
        try readHostSecurity(&settings)
        if let value = try settings.text("http.listen") {
            http = try settings.address("http.listen", value)
        }
        if let value = try settings.text("log.level") {
            let levels = ["trace", "debug", "info", "notice", "warning", "error", "critical"]
            guard levels.contains(value) else {
                throw settings.error(
                    "log.level", "'\(value)' is none of \(levels.joined(separator: ", "))")
            }
            logLevel = value
        }
        try settings.refuseWhatIsLeft()
    }

    private mutating func readBroker(_ settings: inout Settings) throws(ConfigurationError) {
        if let value = try settings.text("broker.uri") { broker.uri = value }
        if let value = try settings.text("broker.prefix") {
            guard (1...200).contains(value.utf8.count), !value.hasPrefix("amq.") else {
                throw settings.error(
                    "broker.prefix", "'\(value)' has not 1 to 200 bytes, or begins with amq.")
            }
            broker.prefix = value
        }
        if let value = try settings.number("broker.partitions", in: 1...256) {
            broker.partitions = value
        }
        if let value = try settings.number("broker.eventlogdays", in: 1...3650) {
            broker.eventLogDays = value
        }
        broker.tlsAuthority = try settings.text("broker.tls.ca")
        broker.tlsCertificate = try settings.text("broker.tls.certificate")
        broker.tlsKey = try settings.text("broker.tls.key")
    }

    private mutating func readHostSecurity(
        _ settings: inout Settings
    ) throws(ConfigurationError) {
        nbdSecurity.certificate = try settings.text("nbd.tls.certificate")
        nbdSecurity.key = try settings.text("nbd.tls.key")
        nbdSecurity.authority = try settings.text("nbd.tls.ca")
        if let value = try settings.text("nbd.tls.required") {
            guard value == "true" || value == "false" else {
                throw settings.error("nbd.tls.required", "'\(value)' is neither true nor false")
            }
            nbdSecurity.isRequired = value == "true"
        }
        if (nbdSecurity.certificate == nil) != (nbdSecurity.key == nil) {
            let missing = nbdSecurity.key == nil ? "nbd.tls.key" : "nbd.tls.certificate"
            throw settings.error(missing, "is missing: a certificate and its key go together")
        }
        if nbdSecurity.certificate == nil, nbdSecurity.isRequired || nbdSecurity.authority != nil {
            throw settings.error("nbd.tls.certificate", "is missing, and TLS is asked for")
        }
    }

    private mutating func readStorage(_ settings: inout Settings) throws(ConfigurationError) {
        for name in settings.children(of: "storage") {
            let key = "storage.\(name).path"
            guard let subject = SubjectName(name) else {
                throw settings.error("storage.\(name)", "'\(name)' is not a name")
            }
            guard let path = try settings.text(key) else {
                throw settings.error(key, "is missing")
            }
            var system = Storage(name: subject, path: path)
            let journal = "storage.\(name).journal"
            if let value = try settings.text(journal) {
                guard value == "on" || value == "off" else {
                    throw settings.error(journal, "'\(value)' is neither on nor off")
                }
                system.hasJournal = value == "on"
            }
            let rate = "storage.\(name).copyRateMiBps"
            if let value = try settings.number(rate, in: 0...1_000_000) {
                system.copyRateMiBps = value
            }
            storage.append(system)
        }
        if storage.isEmpty, let box = SubjectName("box1") {
            storage = [Storage(name: box, path: "var/box1")]
        }
    }
}
