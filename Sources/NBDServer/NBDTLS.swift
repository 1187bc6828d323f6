import COpenSSL
import Glibc

/// The certificate with which a server answers `STARTTLS`: TLS 1.2 or newer.
///
/// Sendable: OpenSSL lets any number of threads make sessions of one context; it is set up in `init` and
/// not changed afterwards.
public final class NBDTLS: @unchecked Sendable {
    let context: OpaquePointer
    /// Clients that do not start TLS are refused everything else.
    public let isRequired: Bool

    /// Reads a chain of certificates and its key, both PEM files. With `clientAuthority`, clients must
    /// show a certificate that it has signed.
    ///
    /// Errors: `certificateUnusable`, `outOfResources`.
    public init(
        certificate: String, key: String, clientAuthority: String? = nil, isRequired: Bool = false
    ) throws(NBDServerError) {
        guard let context = tls_server_context() else {
            throw NBDServerError(.outOfResources, "OpenSSL has no memory to give.")
        }
        do throws(NBDServerError) {
            try Self.load(context, certificate, key, clientAuthority)
        } catch {
            SSL_CTX_free(context)
            throw error
        }
        self.context = context
        self.isRequired = isRequired
    }

    deinit { SSL_CTX_free(context) }

    private static func load(
        _ context: OpaquePointer, _ certificate: String, _ key: String, _ authority: String?
    ) throws(NBDServerError) {
        guard SSL_CTX_use_certificate_chain_file(context, certificate) == 1 else {
            throw unusable("The certificate \(certificate) cannot be used")
        }
        guard SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) == 1,
            SSL_CTX_check_private_key(context) == 1
        else { throw unusable("The key \(key) cannot be used with \(certificate)") }
        guard let authority else { return }
        guard tls_require_clients(context, authority) == 1 else {
            throw unusable("The authority \(authority) cannot be used")
        }
    }

    private static func unusable(_ sentence: String) -> NBDServerError {
        let reason = ERR_reason_error_string(ERR_get_error()).map { String(cString: $0) }
        ERR_clear_error()
        return NBDServerError(.certificateUnusable, "\(sentence): \(reason ?? "unreadable").")
    }
}

/// One connection's TLS, on the connection's thread.
final class TLSSession {
    /// What came of an attempt that may have to be made again.
    enum Attempt: Equatable { case done, again, failed }

    private let session: OpaquePointer
    private let tls: NBDTLS

    /// Nil where OpenSSL has no memory to give.
    static func begin(_ tls: NBDTLS, on descriptor: Int32) -> TLSSession? {
        guard let session = SSL_new(tls.context) else { return nil }
        guard SSL_set_fd(session, descriptor) == 1 else {
            SSL_free(session)
            return nil
        }
        // OpenSSL writes without a way to ask for no signal when the client is gone.
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGPIPE)
        pthread_sigmask(SIG_BLOCK, &signals, nil)
        return TLSSession(session, tls)
    }

    private init(_ session: OpaquePointer, _ tls: NBDTLS) {
        self.session = session
        self.tls = tls
    }

    deinit { SSL_free(session) }

    /// Goes on with the handshake.
    func shakeHands() -> Attempt {
        ERR_clear_error()
        let result = SSL_accept(session)
        return result == 1 ? .done : attempt(result)
    }

    /// Receives what is there, waiting as long as the socket does.
    func receive(into room: UnsafeMutableRawBufferPointer) -> SocketStream.Received {
        ERR_clear_error()
        let length = Int32(clamping: room.count)
        let count = SSL_read(session, room.baseAddress, length)
        if count > 0 { return .bytes(Int(count)) }
        if SSL_get_error(session, count) == SSL_ERROR_ZERO_RETURN { return .end }
        return attempt(count) == .again ? .nothingYet : .broken
    }

    /// Sends some of it: the number of bytes taken, 0 where it has to be tried again, nil where the
    /// connection is broken.
    func send(_ bytes: UnsafeRawBufferPointer) -> Int? {
        guard !bytes.isEmpty else { return 0 }
        ERR_clear_error()
        let count = SSL_write(session, bytes.baseAddress, Int32(clamping: bytes.count))
        if count > 0 { return Int(count) }
        return attempt(count) == .again ? 0 : nil
    }

    /// Says farewell; the client's is not waited for.
    func close() {
        ERR_clear_error()
        SSL_shutdown(session)
    }

    private func attempt(_ result: Int32) -> Attempt {
        let number = errno
        switch SSL_get_error(session, result) {
        case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE: return .again
        case SSL_ERROR_SYSCALL where number == EINTR || number == EAGAIN: return .again
        default: return .failed
        }
    }
}
