import Glibc

/// Why the server could not be started.
public struct NBDServerError: Error, Sendable, Equatable, CustomStringConvertible {
    /// To branch on.
    public enum Code: String, Sendable {
        /// Another server listens there.
        case addressInUse = "address-in-use"
        /// The host name, path or port cannot be used on this machine.
        case addressUnusable = "address-unusable"
        /// This user may not listen there.
        case notPermitted = "not-permitted"
        /// A certificate, key or authority cannot be read, or they do not belong together.
        case certificateUnusable = "certificate-unusable"
        /// The system lacks descriptors, memory or threads.
        case outOfResources = "out-of-resources"
        /// The server was started before; a closed server is not started again.
        case alreadyStarted = "already-started"
    }

    /// To branch on.
    public let code: Code
    /// One sentence for people.
    public let message: String
    /// Where the server was to listen.
    public let address: NBDAddress?

    /// The message.
    public var description: String { message }

    init(_ code: Code, _ message: String, _ address: NBDAddress? = nil) {
        self.code = code
        self.message = message
        self.address = address
    }

    /// From the `errno` of a call, which is named for people.
    init(_ number: Int32, call: String, _ address: NBDAddress? = nil) {
        let place = address.map { " for \($0)" } ?? ""
        let reason = String(cString: strerror(number))
        let code: Code
        switch number {
        case EADDRINUSE: code = .addressInUse
        case EACCES, EPERM, EROFS: code = .notPermitted
        case EMFILE, ENFILE, ENOMEM, ENOBUFS, EAGAIN: code = .outOfResources
        default: code = .addressUnusable
        }
        self.init(code, "\(call) failed\(place): \(reason).", address)
    }
}
