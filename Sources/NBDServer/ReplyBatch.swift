import Glibc

/// The replies of one batch, as the vectors of one send: headers lie in a buffer of their own, data
/// is sent from where the channel left it.
struct ReplyBatch: ~Copyable {
    /// How much one batch may hold; the receive loop stops gathering there.
    enum Limit {
        static let replies = 256
        static let statuses = 8
        static let extents = 1024
        static let readBytes = Size.largestPayload
    }

    // The longest fixed part is an error's: 20 header, 4 number, 2 length, and the sentence.
    private static let longestSentence = 128
    private static let longestFixed = 26 + longestSentence
    // One chunk a context, which share the extents.
    private static let longestStatus = SelectedContext.most * 24 + Limit.extents * 8
    private static let arenaSize =
        Limit.replies * longestFixed + Limit.statuses * longestStatus

    private let arena = UnsafeMutableRawPointer.allocate(byteCount: arenaSize, alignment: 16)
    private let vectors = UnsafeMutablePointer<iovec>.allocate(capacity: Limit.replies * 2 + 1)
    private var used = 0
    private var count = 0
    private let structured: Bool

    init(structured: Bool) { self.structured = structured }

    deinit {
        arena.deallocate()
        vectors.deallocate()
    }

    /// What is to be sent; the caller may consume the vectors as it sends them.
    var contents: UnsafeMutableBufferPointer<iovec> {
        UnsafeMutableBufferPointer(start: vectors, count: count)
    }

    mutating func removeAll() {
        used = 0
        count = 0
    }

    /// A success without data.
    ///
    /// Such a reply may be simple whatever was agreed, and is shorter.
    mutating func appendDone(_ cookie: UInt64) {
        let start = arena + used
        start.storeBigEndian(Magic.simpleReply, at: 0)
        start.storeBigEndian(UInt32(0), at: 4)
        start.storeBigEndian(cookie, at: 8)
        commit(16)
    }

    /// The data of a read, which must stay where it is until it is sent.
    mutating func appendData(
        _ cookie: UInt64, offset: UInt64, data: UnsafeMutableRawPointer?, length: Int
    ) {
        guard let data, length > 0 else { return appendEmptyData(cookie) }
        if structured {
            chunk(cookie, .offsetData, length: 8 + length)
            (arena + used).storeBigEndian(offset, at: 0)
            commit(8)
        } else {
            appendDone(cookie)
        }
        vectors[count] = iovec(iov_base: data, iov_len: length)
        count += 1
    }

    /// What one context tells of a range that begins where the request did; `isLast` where no other
    /// context's follows.
    mutating func appendStatus(
        _ cookie: UInt64, _ identifier: UInt32, _ extents: [(length: UInt32, status: UInt32)],
        isLast: Bool
    ) {
        let sent = min(extents.count, Limit.extents)
        chunk(cookie, .blockStatus, length: 4 + 8 * sent, isLast: isLast)
        let start = arena + used
        start.storeBigEndian(identifier, at: 0)
        for (index, extent) in extents.prefix(sent).enumerated() {
            start.storeBigEndian(extent.length, at: 4 + 8 * index)
            start.storeBigEndian(extent.status, at: 8 + 8 * index)
        }
        commit(4 + 8 * sent)
    }

    mutating func appendError(_ cookie: UInt64, _ refusal: Refusal) {
        guard structured else {
            appendDone(cookie)
            (arena + used - 16).storeBigEndian(refusal.error.rawValue, at: 4)
            return
        }
        let length = min(refusal.sentence.utf8CodeUnitCount, Self.longestSentence)
        chunk(cookie, .error, length: 6 + length)
        let start = arena + used
        start.storeBigEndian(refusal.error.rawValue, at: 0)
        start.storeBigEndian(UInt16(length), at: 4)
        (start + 6).copyMemory(from: refusal.sentence.utf8Start, byteCount: length)
        commit(6 + length)
    }

    private mutating func appendEmptyData(_ cookie: UInt64) {
        guard structured else { return appendDone(cookie) }
        chunk(cookie, .none, length: 0)
    }

    /// All replies but those of several contexts are one chunk, the last of its reply.
    private mutating func chunk(
        _ cookie: UInt64, _ type: ChunkType, length: Int, isLast: Bool = true
    ) {
        let start = arena + used
        start.storeBigEndian(Magic.structuredReply, at: 0)
        start.storeBigEndian(UInt16(isLast ? 1 : 0), at: 4)
        start.storeBigEndian(type.rawValue, at: 6)
        start.storeBigEndian(cookie, at: 8)
        start.storeBigEndian(UInt32(length), at: 16)
        commit(20)
    }

    /// Takes in bytes that were written at the arena's end; neighbours share a vector.
    private mutating func commit(_ length: Int) {
        let start = arena + used
        used += length
        if count > 0, let base = vectors[count - 1].iov_base,
            base + vectors[count - 1].iov_len == start
        {
            vectors[count - 1].iov_len += length
            return
        }
        vectors[count] = iovec(iov_base: start, iov_len: length)
        count += 1
    }
}
