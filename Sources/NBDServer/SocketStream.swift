import Glibc

/// Nanoseconds on the machine's monotonic clock; for limits on connections only.
enum Monotonic {
    static var now: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

/// A connected stream socket, blocking, as its one thread uses it.
///
/// Does not own the descriptor.
///
/// A TLS stream would take this one's place: nothing else touches a connection's descriptor but
/// the server, which shuts it down to wake the thread.
struct SocketStream {
    enum Received: Equatable { case bytes(Int), end, nothingYet, broken }
    enum Sent: Equatable { case all, timedOut, broken }

    let descriptor: Int32
    private let tick: UInt64
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

    /// Receives what is there, waiting for a tick at most.
    func receive(into room: UnsafeMutableRawBufferPointer) -> Received {
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
            let now = Monotonic.now
            if let deadline, now >= deadline { return .timedOut }
            deadline = deadline ?? now + limit
        }
        return .all
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
        shutdown(descriptor, Int32(SHUT_WR))
        let deadline = Monotonic.now + 100_000_000
        while Monotonic.now < deadline {
            var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard Glibc.poll(&poll, 1, 100) > 0 else { return }
            let flags = Int32(MSG_DONTWAIT)
            guard recv(descriptor, room.baseAddress, room.count, flags) > 0 else { return }
        }
    }

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
