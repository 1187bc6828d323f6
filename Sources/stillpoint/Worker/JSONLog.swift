import CommandSchema
import CopyModel
import Glibc
import Logging
import Synchronization

/// A level for all loggers, changed by SIGHUP.
final class LogLevel: Sendable {
    private let level: Mutex<Logger.Level>

    init(_ level: Logger.Level) { self.level = Mutex(level) }

    var current: Logger.Level {
        get { level.withLock { $0 } }
        set { level.withLock { $0 = newValue } }
    }
}

/// Structured logs: one JSON object a line, on standard error.
struct JSONLog: LogHandler {
    var metadata: Logger.Metadata = [:]
    let label: String
    let shared: LogLevel

    var logLevel: Logger.Level {
        get { shared.current }
        set { shared.current = newValue }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var writer = JSONWriter()
        writer.openObject()
        writer.member("time", SystemClock().now())
        writer.member("level", event.level.rawValue)
        writer.member("label", label)
        writer.member("message", event.message.description)
        let all = metadata.merging(event.metadata ?? [:]) { _, new in new }
        for (key, value) in all.sorted(by: { $0.key < $1.key }) {
            writer.key(text: key)
            writer.string(value.description)
        }
        writer.closeObject()
        let line = writer.bytes + [UInt8(ascii: "\n")]
        // One write a line, so that lines of several threads do not mix. There is nowhere left to
        // report that standard error cannot be written.
        _ = line.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}
