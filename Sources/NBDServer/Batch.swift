/// The requests that were received together, performed together and answered together.
struct Batch: ~Copyable {
    /// What stands behind the requests that were gathered.
    enum Rest: Equatable { case more(Int), full, leave, violation }

    private struct Entry {
        var reply: Transmission.Reply
        /// The place in `requests`; -1 where there is nothing to perform.
        var request: Int
    }

    private var requests: [BlockRequest] = []
    private var entries: [Entry] = []
    private var replies: ReplyBatch
    private var readBytes = 0
    private var statuses = 0
    private let contexts: [SelectedContext]

    init(_ terms: TransmissionTerms) {
        replies = ReplyBatch(structured: terms.structuredReplies)
        contexts = terms.contexts
        requests.reserveCapacity(ReplyBatch.Limit.replies)
        entries.reserveCapacity(ReplyBatch.Limit.replies)
    }

    var isEmpty: Bool { entries.isEmpty }

    private var isFull: Bool {
        entries.count >= ReplyBatch.Limit.replies || readBytes >= ReplyBatch.Limit.readBytes
            || statuses >= ReplyBatch.Limit.statuses
    }

    /// Takes all complete requests out of the buffer, as far as one batch goes.
    ///
    /// The requests point into the buffer, which must not move until they are answered.
    mutating func gather(_ machine: inout Transmission, _ buffer: inout ReceiveBuffer) -> Rest {
        while !isFull {
            let (consumed, step) = machine.next(buffer.readable)
            buffer.consume(consumed)
            switch step {
            case .more(let count): return .more(count)
            case .skipped: continue
            case .leave: return .leave
            case .violation: return .violation
            case .answer(let reply): append(reply)
            case .perform(let request, let reply):
                if request.kind == .read { readBytes += request.length }
                entries.append(Entry(reply: reply, request: requests.count))
                requests.append(request)
            }
        }
        return .full
    }

    /// Refuses the write that the buffer could not be made large enough for.
    mutating func refuseForMemory(
        _ machine: inout Transmission, _ buffer: inout ReceiveBuffer
    ) {
        let (consumed, reply) = machine.refuseForMemory(buffer.readable)
        buffer.consume(consumed)
        append(reply)
    }

    /// Performs what was gathered, sends all replies at once, and leaves the batch empty.
    mutating func answer(
        _ channel: any ExportChannel, _ stream: SocketStream, _ limit: UInt64,
        _ counters: Counters
    ) -> SocketStream.Sent {
        if !requests.isEmpty { channel.perform(&requests) }
        var tally = Tally()
        for request in requests { tally.count(request) }
        for entry in entries { encode(entry, channel, &tally) }
        counters.add(tally)
        let sent = stream.send(replies.contents, limit: limit)
        replies.removeAll()
        requests.removeAll(keepingCapacity: true)
        entries.removeAll(keepingCapacity: true)
        readBytes = 0
        statuses = 0
        return sent
    }

    private mutating func append(_ reply: Transmission.Reply) {
        if case .status = reply.content { statuses += 1 }
        entries.append(Entry(reply: reply, request: -1))
    }

    private mutating func encode(
        _ entry: Entry, _ channel: any ExportChannel, _ tally: inout Tally
    ) {
        let cookie = entry.reply.cookie
        let request: BlockRequest? = entry.request >= 0 ? requests[entry.request] : nil
        if let request, let failure = request.failure {
            return replies.appendError(cookie, Refusal(failure, of: request.kind))
        }
        switch entry.reply.content {
        case .plain: replies.appendDone(cookie)
        case .data(let offset, let length):
            if length > 0, request?.data == nil {
                tally.errors += 1
                return replies.appendError(cookie, .inputOutput)
            }
            replies.appendData(cookie, offset: offset, data: request?.data, length: length)
        case .status(let offset, let length, let one):
            tally.statuses += 1
            let limit = one ? 1 : ReplyBatch.Limit.extents / max(contexts.count, 1)
            let told = contexts.map { selected in
                StatusExtents.of(selected.context, channel, offset, length, limit)
            }
            guard told.allSatisfy({ $0 != nil }) else {
                tally.errors += 1
                return replies.appendError(cookie, .backupGone)
            }
            for (number, extents) in told.enumerated() {
                replies.appendStatus(
                    cookie, contexts[number].identifier, extents ?? [],
                    isLast: number == told.count - 1)
            }
        case .refusal(let refusal):
            tally.errors += 1
            replies.appendError(cookie, refusal)
        }
    }
}

/// Brings what the storage says of a range into the form that a reply may have.
enum StatusExtents {
    /// What a context tells of a range; nil where it cannot tell any more.
    static func of(
        _ context: MetaContext, _ channel: any ExportChannel, _ offset: UInt64, _ length: UInt32,
        _ limit: Int
    ) -> [(length: UInt32, status: UInt32)]? {
        switch context {
        case .allocation:
            let extents = channel.allocation(
                offset: offset, length: UInt64(length), limit: limit)
            return clip(
                extents.map { ($0.length, $0.isHole ? MetaContext.holeStatus : 0) }, to: length,
                limit: limit, otherwise: 0)
        case .changedSince(let backup):
            let extents = channel.changes(
                since: backup, offset: offset, length: UInt64(length), limit: limit)
            return extents.map { extents in
                clip(
                    extents.map { ($0.length, $0.isChanged ? MetaContext.changedStatus : 0) },
                    to: length, limit: limit, otherwise: MetaContext.changedStatus)
            }
        }
    }

    /// At least one extent, none empty, none beyond the range, neighbours of one status joined;
    /// `otherwise` for a range of which nothing was told.
    static func clip(
        _ extents: [(length: UInt64, status: UInt32)], to length: UInt32, limit: Int,
        otherwise: UInt32
    ) -> [(length: UInt32, status: UInt32)] {
        var clipped: [(length: UInt32, status: UInt32)] = []
        var left = length
        for extent in extents where extent.length > 0 && left > 0 {
            let taken = UInt32(min(extent.length, UInt64(left)))
            let status = extent.status
            left -= taken
            if let last = clipped.last, last.status == status {
                clipped[clipped.count - 1].length += taken
            } else if clipped.count < limit {
                clipped.append((length: taken, status: status))
            } else {
                break
            }
        }
        return clipped.isEmpty ? [(length: length, status: otherwise)] : clipped
    }
}
