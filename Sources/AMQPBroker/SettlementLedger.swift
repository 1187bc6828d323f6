// Consumer settlements: which deliveries of a channel are still open, and how few frames settle
// them.

import MessagePort

/// One frame to send.
enum SettlementFrame: Hashable {
    /// basic.ack of one delivery, or of it and all earlier ones.
    case acknowledge(UInt64, multiple: Bool)
    /// basic.nack of one delivery, without requeue: to the dead letters.
    case reject(UInt64)
}

/// The open deliveries of one channel.
///
/// The broker closes the channel when a delivery is settled twice or was never made, so such
/// requests end here. `multiple` is used only for what is provably a prefix: every delivery up to
/// that number has been settled by the worker.
///
/// A quorum queue writes one log entry a frame, so one frame for many deliveries spares it most of
/// its work: an acknowledgement that has an open delivery before it is held for a moment, in case
/// the delivery is settled meanwhile and both go in one frame.
struct SettlementLedger {
    /// How long an acknowledgement may be held, and how many: far below a prefetch.
    static let patience: Duration = .milliseconds(5)
    static let mostHeld = 256

    private var settled = FIFO<Bool>()
    private var firstNumber: UInt64 = 1
    /// In the order in which they were settled, and since when each is held.
    private var held: [(number: UInt64, since: Moment)] = []

    /// How many deliveries are open or wait behind an open one.
    var count: Int { settled.count }

    /// When what is held has to go; nil where nothing is.
    var deadline: Moment? { held.first.map { $0.since + Self.patience } }

    /// Notes a delivery.
    ///
    /// Numbers come from 1 without gaps; false where this one does not.
    mutating func delivered(_ number: UInt64) -> Bool {
        guard number == firstNumber + UInt64(settled.count) else { return false }
        settled.append(false)
        return true
    }

    /// The frames to send now that these deliveries are settled too; `holding` is false where
    /// nothing may be held any more.
    mutating func settle(
        _ requests: [(number: UInt64, settlement: Settlement)], at now: Moment,
        holding: Bool = true
    ) -> [SettlementFrame] {
        var frames: [SettlementFrame] = []
        for request in requests where markSettled(request.number) {
            switch request.settlement {
            case .acknowledge: held.append((request.number, now))
            case .deadLetter: frames.append(.reject(request.number))
            }
        }
        while settled.first == true {
            _ = settled.popFirst()
            firstNumber += 1
        }
        frames += takePrefix()
        if !holding || held.count > Self.mostHeld || deadline.map({ $0 <= now }) ?? false {
            frames += held.map { .acknowledge($0.number, multiple: false) }
            held = []
        }
        return frames
    }

    /// The number of a multiple acknowledgement must itself still be open at the broker: the last of
    /// the prefix may have been rejected a moment ago.
    private mutating func takePrefix() -> [SettlementFrame] {
        var (count, last): (Int, UInt64) = (0, 0)
        held.removeAll { entry in
            guard entry.number < firstNumber else { return false }
            count += 1
            last = max(last, entry.number)
            return true
        }
        return count == 0 ? [] : [.acknowledge(last, multiple: count > 1)]
    }

    private mutating func markSettled(_ number: UInt64) -> Bool {
        guard number >= firstNumber, number - firstNumber < UInt64(settled.count) else {
            return false
        }
        let position = Int(number - firstNumber)
        guard !settled[position] else { return false }
        settled[position] = true
        return true
    }
}
