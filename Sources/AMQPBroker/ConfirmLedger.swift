// Publisher confirms: which of the messages sent on a channel the broker still owes an answer.

/// The messages sent on one channel, by their publish sequence number, until they are confirmed.
///
/// The broker numbers publishes from 1 on each channel. Its answers may come in any order and may
/// answer several at once (`multiple`: all up to and including a number). An answer to something
/// that is no longer owed is no fault: it is what comes after a deadline passed.
struct ConfirmLedger<Entry> {
    private var entries = FIFO<Entry?>()
    private var firstSequence: UInt64 = 1
    /// How many answers are owed.
    private(set) var outstanding = 0

    /// Notes one message as sent and gives its sequence number.
    @discardableResult
    mutating func append(_ entry: Entry) -> UInt64 {
        entries.append(entry)
        outstanding += 1
        return firstSequence + UInt64(entries.count) - 1
    }

    /// The entries that this answer settles, in the order they were sent.
    mutating func settle(_ sequence: UInt64, multiple: Bool) -> [Entry] {
        if multiple { return settleUpTo(sequence) }
        guard let position = position(of: sequence), let entry = entries[position] else {
            return []
        }
        entries[position] = nil
        outstanding -= 1
        trim()
        return [entry]
    }

    /// Stops waiting for whatever the closure picks; a late answer to it is then without effect.
    mutating func forget(where isGivenUp: (Entry) -> Bool) {
        for position in 0..<entries.count {
            guard let entry = entries[position], isGivenUp(entry) else { continue }
            entries[position] = nil
            outstanding -= 1
        }
        trim()
    }

    /// The oldest owed entry that the closure picks.
    func first(where matches: (Entry) -> Bool) -> Entry? {
        for position in 0..<entries.count {
            if let entry = entries[position], matches(entry) { return entry }
        }
        return nil
    }

    // AMQP: number 0 with `multiple` means everything outstanding.
    private mutating func settleUpTo(_ sequence: UInt64) -> [Entry] {
        let last = sequence == 0 ? UInt64.max : sequence
        var settled: [Entry] = []
        while !entries.isEmpty, firstSequence <= last {
            if let entry = entries.popFirst().flatMap({ $0 }) {
                settled.append(entry)
                outstanding -= 1
            }
            firstSequence += 1
        }
        trim()
        return settled
    }

    private func position(of sequence: UInt64) -> Int? {
        guard sequence >= firstSequence, sequence - firstSequence < UInt64(entries.count) else {
            return nil
        }
        return Int(sequence - firstSequence)
    }

    private mutating func trim() {
        while let front = entries.first, front == nil {
            _ = entries.popFirst()
            firstSequence += 1
        }
    }
}
