import Glibc

/// Nanoseconds on the machine's monotonic clock; for limits on connections only.
enum Monotonic {
    static var now: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

/// A connected stream socket, blocking, as its one thread uses it; after `secure`, through TLS.
///
/// Does not own the descriptor. Nothing else touches it but the server, which shuts it down to wake the
/// thread.
struct SocketStream {
    enum Received: Equatable { case bytes(Int), end, nothingYet, broken }
    enum Sent: Equatable { case all, timedOut, broken }

    let descriptor: Int32
    private let tick: UInt64
    private var session: TLSSession?
    /// The system's own bound on one call.
    private static let mostVectors = 1024

    /// `tick`: nanoseconds after which a receive that got nothing comes back to look around.
    init(_ descriptor: Int32, tick: UInt64) {
        self.descriptor = descriptor
        self.tick = max(tick, 1_000_000)
        var interval = timeval(
            tv_sec: Int(self.tick / 1_000_000_000),
            tv_usec: Int(self.tick % 1_000_000_000 / 1000))
        let size = socklen_t(MemoryLayout<timeval>.size)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &interval, size)
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &interval, size)
    }

    /// Starts TLS as the server; false where the client does not get it done before `deadline`, or
    /// `isClosing` says that it is of no use any more.
    mutating func secure(
        _ tls: NBDTLS, before deadline: UInt64, isClosing: () -> Bool
    ) -> Bool {
        guard let session = TLSSession.begin(tls, on: descriptor) else { return false }
        while Monotonic.now < deadline, !isClosing() {
            switch session.shakeHands() {
            case .done:
                self.session = session
                return true
            case .again: continue
            case .failed: return false
            }
        }
        return false
    }

    /// Receives what is there, waiting for a tick at most.
    func receive(into room: UnsafeMutableRawBufferPointer) -> Received {
        if let session { return session.receive(into: room) }
        while true {
            let count = recv(descriptor, room.baseAddress, room.count, 0)
            if count > 0 { return .bytes(count) }
            if count == 0 { return .end }
            switch errno {
            case EINTR: continue
            case EAGAIN: return .nothingYet
            default: return .broken
            }
        }
    }

    /// Sends all of it within `limit` nanoseconds.
    ///
    /// Consumes the vectors.
    func send(_ vectors: UnsafeMutableBufferPointer<iovec>, limit: UInt64) -> Sent {
        var first = 0
        var deadline: UInt64?
        while first < vectors.count {
            if let session {
                guard let count = session.send(UnsafeRawBufferPointer(vectors[first])) else {
                    return .broken
                }
                first = advance(vectors, from: first, by: count)
                guard first < vectors.count else { break }
                if count > 0 { continue }
                guard isInTime(&deadline, limit) else { return .timedOut }
                continue
            }
            var message = msghdr()
            message.msg_iov = vectors.baseAddress! + first
            message.msg_iovlen = min(vectors.count - first, Self.mostVectors)
            let count = sendmsg(descriptor, &message, Int32(MSG_NOSIGNAL))
            if count < 0 {
                if errno != EINTR, errno != EAGAIN { return .broken }
            } else {
                first = advance(vectors, from: first, by: count)
            }
            guard first < vectors.count else { break }
            // The clock is only looked at when the client is slower than one send.
            guard isInTime(&deadline, limit) else { return .timedOut }
        }
        return .all
    }

    /// The deadline counts from the first look.
    private func isInTime(_ deadline: inout UInt64?, _ limit: UInt64) -> Bool {
        let now = Monotonic.now
        if let deadline, now >= deadline { return false }
        deadline = deadline ?? now + limit
        return true
    }

    /// Sends bytes that lie in an array.
    func send(_ bytes: [UInt8], limit: UInt64) -> Sent {
        guard !bytes.isEmpty else { return .all }
        return bytes.withUnsafeBytes { source in
            var vector = iovec(
                iov_base: UnsafeMutableRawPointer(mutating: source.baseAddress!),
                iov_len: source.count)
            return withUnsafeMutablePointer(to: &vector) {
                send(UnsafeMutableBufferPointer(start: $0, count: 1), limit: limit)
            }
        }
    }

    /// Ends the sending side, and takes in what the client still sends for a moment: closing on
    /// unread input would make the system drop the farewell that is on its way.
    func linger(_ room: UnsafeMutableRawBufferPointer) {
        session?.close()
        shutdown(descriptor, Int32(SHUT_WR))
        let deadline = Monotonic.now + 100_000_000
        while Monotonic.now < deadline {
            var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard Glibc.poll(&poll, 1, 100) > 0 else { return }
            let flags = Int32(MSG_DONTWAIT)
            guard recv(descriptor, room.baseAddress, room.count, flags) > 0 else { return }
        }
    }

    /// Skips vectors of nothing too.
    private func advance(
        _ vectors: UnsafeMutableBufferPointer<iovec>, from first: Int, by count: Int
    ) -> Int {
        var index = first
        var left = count
        while index < vectors.count, left >= vectors[index].iov_len {
            left -= vectors[index].iov_len
            index += 1
        }
        if left > 0 {
            vectors[index].iov_base += left
            vectors[index].iov_len -= left
        }
        return index
    }
}

extension UnsafeRawBufferPointer {
    fileprivate init(_ vector: iovec) { self.init(start: vector.iov_base, count: vector.iov_len) }
}
