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
struct SettlementLedger {
    private var settled = FIFO<Bool>()
    private var firstNumber: UInt64 = 1

    /// How many deliveries are open or wait behind an open one.
    var count: Int { settled.count }

    /// Notes a delivery.
    ///
    /// Numbers come from 1 without gaps; false where this one does not.
    mutating func delivered(_ number: UInt64) -> Bool {
        guard number == firstNumber + UInt64(settled.count) else { return false }
        settled.append(false)
        return true
    }

    /// The frames that settle these deliveries.
    mutating func settle(_ requests: [(number: UInt64, settlement: Settlement)])
        -> [SettlementFrame]
    {
        var frames: [SettlementFrame] = []
        var acknowledged: [UInt64] = []
        for request in requests where markSettled(request.number) {
            switch request.settlement {
            case .acknowledge: acknowledged.append(request.number)
            case .deadLetter: frames.append(.reject(request.number))
            }
        }
        while settled.first == true {
            _ = settled.popFirst()
            firstNumber += 1
        }
        // The number of a multiple acknowledgement must itself still be open at the broker: the
        // last of the prefix may have been rejected a moment ago.
        let prefix = acknowledged.filter { $0 < firstNumber }
        if let last = prefix.max() {
            frames.append(.acknowledge(last, multiple: prefix.count > 1))
        }
        for number in acknowledged where number >= firstNumber {
            frames.append(.acknowledge(number, multiple: false))
        }
        return frames
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
