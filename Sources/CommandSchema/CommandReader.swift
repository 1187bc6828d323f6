import CopyModel

/// Reads command messages, strictly: what it accepts, every other strict reader reads alike.
///
/// Pure and fast; any thread. Nothing in a message can make it trap, recurse without bound or take
/// more than time linear in the message's length.
public enum CommandReader {
    /// The longest body, in bytes: 1 MiB.
    public static let largestBody = 1_048_576

    /// Reads one message.
    ///
    /// - Parameters:
    ///   - body: the message's body.
    ///   - messageID: AMQP `message_id`; nil where the property is absent.
    ///   - contentType: AMQP `content_type`; nil where absent, which is taken as JSON.
    ///   - contentEncoding: AMQP `content_encoding`; nil where absent.
    ///   - receivedSize: the body's size in bytes as announced, where `body` was cut short for it.
    public static func read(
        body: [UInt8], messageID: String?, contentType: String? = nil,
        contentEncoding: String? = nil,
        receivedSize: Int? = nil
    ) -> ReadResult {
        let size = max(body.count, receivedSize ?? 0)
        if let refusal = refusedUnread(size: size, contentType, contentEncoding) {
            return .unattributable(
                UnattributableCommand(
                    id: messageID.flatMap { CommandID($0) }, commandName: nil, refusal: refusal))
        }
        var scanner = JSONScanner(body, numbers: .safeIntegers)
        var envelope = EnvelopeReading(messageID: messageID)
        do throws(JSONFault) {
            let root = try scanner.scan()
            envelope.read(root)
            return envelope.result(of: root)
        } catch {
            if let start = scanner.readSoFar() { envelope.read(start) }
            return .unattributable(envelope.unattributable(for: error, open: scanner.openPointers))
        }
    }

    private static func refusedUnread(
        size: Int, _ contentType: String?, _ contentEncoding: String?
    ) -> Refusal? {
        guard size <= largestBody else {
            return Refusal(
                .messageTooLarge,
                "The message has \(size) bytes; \(largestBody) are the most that is read.",
                remedy:
                    "Split the command, for example into several AddCopySets, each with its own id."
            )
        }
        if let contentType, !isJSON(contentType) {
            return Refusal(
                .malformedCommand,
                "The content_type is \(contentType.quoted), not application/json.",
                subject: "content_type", remedy: "Publish with content_type application/json.")
        }
        if let contentEncoding, !["", "identity", "utf-8"].contains(contentEncoding.lowercased()) {
            return Refusal(
                .malformedCommand,
                "The content_encoding is \(contentEncoding.quoted): only plain UTF-8 is read.",
                subject: "content_encoding",
                remedy: "Publish the body as it is, without an encoding.")
        }
        return nil
    }

    /// True for `application/json`, alone or with the character set that JSON has anyway.
    private static func isJSON(_ contentType: String) -> Bool {
        if contentType == "application/json" { return true }
        var plain = contentType.lowercased()
        plain.removeAll { $0 == " " || $0 == "\t" || $0 == "\"" }
        return plain == "application/json" || plain == "application/json;charset=utf-8"
    }
}

/// A fault of content: which value, and what is wrong with it.
struct Malformed: Error, Hashable {
    /// The JSON pointer of the value.
    let pointer: String
    /// One sentence.
    let sentence: String
    /// Where the fault is that something is missing: the pointer of the container that lacks it.
    let lackingContainer: String?

    init(_ pointer: String, _ sentence: String, lackingIn container: String? = nil) {
        self.pointer = pointer
        self.sentence = sentence
        self.lackingContainer = container
    }

    /// The refusal that says so.
    var refusal: Refusal {
        Refusal(
            .malformedCommand, "\(pointer.isEmpty ? "The body" : pointer): \(sentence)",
            subject: pointer,
            remedy: "Correct it, and send it with a new id; schemas/command.json tells the form.")
    }
}
