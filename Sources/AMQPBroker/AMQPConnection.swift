// One connection of librabbitmq with one open channel: opening, logging in, closing.
//
// The owner is one thread for the connection's whole life; nothing here locks. Only this file and
// its neighbours `AMQPConnection+….swift` see the C library. Bytes are copied out of its memory
// before a call returns, and errors leave as `BrokerError`.

import CRabbitMQ
import Glibc

struct AMQPConnection: ~Copyable {
    static let channel: amqp_channel_t = 1

    let state: amqp_connection_state_t
    /// The socket, for `poll` and, by another thread, `shutdown`; never to be read or written.
    let descriptor: Int32
    let place: String
    /// How long the owner may sleep between two looks at the connection, which is also what sends
    /// and checks heartbeats.
    let tick: Duration
    /// A message of which the body has not come wholly yet.
    var partial: PartialMessage?
    /// So many bytes of a body are kept; the rest is read and let go.
    var bodyLimit = Int.max
    /// Where the strings of a message are laid side by side while C looks at them.
    var scratch: [UInt8] = []

    /// Connects, logs in and opens the channel; blocks for a few times `connectTimeout` at the
    /// worst.
    init(to endpoint: BrokerEndpoint, name: String) throws(BrokerError) {
        guard let state = amqp_new_connection() else {
            throw BrokerError(.systemLimit, "no memory for a connection", at: endpoint.place)
        }
        var opened = false
        defer { if !opened { amqp_destroy_connection(state) } }
        var limit = endpoint.connectTimeout.timeValue
        amqp_set_handshake_timeout(state, &limit)
        amqp_set_rpc_timeout(state, &limit)
        try Self.openSocket(state, endpoint)
        try Self.logIn(state, endpoint, name)
        amqp_channel_open(state, Self.channel)
        try Self.check(amqp_get_rpc_reply(state), at: endpoint.place)
        opened = true
        self.state = state
        descriptor = amqp_get_sockfd(state)
        place = endpoint.place
        let heartbeat = Int(amqp_get_heartbeat(state))
        tick = heartbeat > 0 ? min(.seconds(heartbeat) / 3, .seconds(5)) : .seconds(5)
    }

    // Closes the socket too, where `close` did not.
    deinit { amqp_destroy_connection(state) }

    /// Closes the channel, then the connection, each with the broker's answer; at most the
    /// connection's time-out each.
    ///
    /// Unsettled deliveries go back to their queues, in order.
    consuming func close() {
        // Whatever goes wrong here, the connection is given up next: there is nobody to tell.
        if amqp_channel_close(state, Self.channel, AMQP_REPLY_SUCCESS).reply_type
            == AMQP_RESPONSE_NORMAL
        {
            _ = amqp_connection_close(state, AMQP_REPLY_SUCCESS)
        }
    }

    /// Closes the connection after the broker has closed the channel.
    consuming func closeAfterChannelError() {
        rmq_send_close_ok(state, Self.channel)
        _ = amqp_connection_close(state, AMQP_REPLY_SUCCESS)
    }

    /// Holds small writes back until `false`, so that a batch goes out in full packets.
    func cork(_ held: Bool) {
        var value: Int32 = held ? 1 : 0
        setsockopt(
            descriptor, Int32(IPPROTO_TCP), TCP_CORK, &value, socklen_t(MemoryLayout<Int32>.size))
    }
}

extension AMQPConnection {
    private static func openSocket(
        _ state: amqp_connection_state_t, _ endpoint: BrokerEndpoint
    ) throws(BrokerError) {
        let socket: OpaquePointer
        if let tls = endpoint.tls {
            socket = try secureSocket(state, tls, endpoint.place)
        } else {
            guard let plain = amqp_tcp_socket_new(state) else {
                throw BrokerError(.systemLimit, "no memory for a socket", at: endpoint.place)
            }
            socket = plain
        }
        var limit = endpoint.connectTimeout.timeValue
        let status = amqp_socket_open_noblock(socket, endpoint.host, Int32(endpoint.port), &limit)
        guard status == 0 else { throw failure(status, at: endpoint.place) }
    }

    private static func secureSocket(
        _ state: amqp_connection_state_t, _ files: BrokerTLSFiles, _ place: String
    ) throws(BrokerError) -> OpaquePointer {
        guard let socket = amqp_ssl_socket_new(state) else {
            throw BrokerError(.systemLimit, "no memory for a TLS socket", at: place)
        }
        amqp_ssl_socket_set_verify_peer(socket, 1)
        amqp_ssl_socket_set_verify_hostname(socket, 1)
        guard amqp_ssl_socket_set_ssl_versions(socket, AMQP_TLSv1_2, AMQP_TLSvLATEST) == 0 else {
            throw BrokerError(.tlsFailed, "the TLS library has no TLS 1.2", at: place)
        }
        // librabbitmq 0.11 cannot be told to use the system's authorities; this is where Debian
        // keeps them.
        let ca = files.ca ?? "/etc/ssl/certs/ca-certificates.crt"
        guard amqp_ssl_socket_set_cacert(socket, ca) == 0 else {
            throw BrokerError(.tlsFailed, "cannot read the certificate authorities", at: ca)
        }
        if let certificate = files.certificate, let key = files.key {
            guard amqp_ssl_socket_set_key(socket, certificate, key) == 0 else {
                throw BrokerError(
                    .tlsFailed, "cannot use the client certificate with the key \(key)",
                    at: certificate)
            }
        }
        return socket
    }

    private static func logIn(
        _ state: amqp_connection_state_t, _ endpoint: BrokerEndpoint, _ name: String
    ) throws(BrokerError) {
        let beat = Int32(endpoint.heartbeatSeconds)
        let reply =
            switch endpoint.login {
            case .plain(let user, let password):
                rmq_log_in(state, endpoint.virtualHost, beat, false, user, password, name)
            case .external:
                // The broker takes the name from the certificate; the library wants some text.
                rmq_log_in(state, endpoint.virtualHost, beat, true, "certificate", "", name)
            }
        do throws(BrokerError) {
            try check(reply, at: endpoint.place)
        } catch {
            throw explainedLogin(error, endpoint)
        }
    }

    // A broker that refuses a virtual host closes the connection with 530 and says which one; a
    // refused user is 403, or, from very old brokers, a bare hang-up.
    private static func explainedLogin(
        _ error: BrokerError, _ endpoint: BrokerEndpoint
    ) -> BrokerError {
        var explained = error
        if error.code == .accessRefused {
            explained.message = "the broker refuses \(endpoint): \(error.message)"
        }
        return explained
    }

    /// Throws what an RPC's reply says went wrong.
    static func check(_ reply: amqp_rpc_reply_t, at place: String) throws(BrokerError) {
        switch reply.reply_type {
        case AMQP_RESPONSE_NORMAL:
            return
        case AMQP_RESPONSE_SERVER_EXCEPTION:
            guard let decoded = reply.reply.decoded else { break }
            // channel.close and connection.close begin with the same two fields.
            let close = decoded.assumingMemoryBound(to: amqp_channel_close_t.self).pointee
            throw BrokerError.closed(
                replyCode: Int(close.reply_code), text: text(close.reply_text), at: place)
        case AMQP_RESPONSE_LIBRARY_EXCEPTION:
            throw failure(reply.library_error, at: place)
        default:
            break
        }
        throw BrokerError(.protocolViolation, "the broker gave no usable answer", at: place)
    }

    /// The failure that a status of the library means.
    static func failure(_ status: Int32, at place: String) -> BrokerError {
        let said = String(cString: amqp_error_string2(status))
        let code: BrokerError.Code =
            switch amqp_status_enum(rawValue: status) {
            case AMQP_STATUS_SSL_ERROR, AMQP_STATUS_SSL_HOSTNAME_VERIFY_FAILED,
                AMQP_STATUS_SSL_PEER_VERIFY_FAILED, AMQP_STATUS_SSL_CONNECTION_FAILED:
                .tlsFailed
            case AMQP_STATUS_BAD_AMQP_DATA, AMQP_STATUS_UNKNOWN_CLASS, AMQP_STATUS_UNKNOWN_METHOD,
                AMQP_STATUS_WRONG_METHOD, AMQP_STATUS_UNEXPECTED_STATE,
                AMQP_STATUS_INCOMPATIBLE_AMQP_VERSION:
                .protocolViolation
            case AMQP_STATUS_NO_MEMORY: .systemLimit
            case AMQP_STATUS_BROKER_UNSUPPORTED_SASL_METHOD: .unsupported
            default: .unreachable
            }
        return BrokerError(code, said, at: place)
    }

    static func text(_ bytes: amqp_bytes_t) -> String {
        guard bytes.len > 0, let base = bytes.bytes else { return "" }
        return String(
            decoding: UnsafeRawBufferPointer(start: base, count: bytes.len), as: UTF8.self)
    }
}
