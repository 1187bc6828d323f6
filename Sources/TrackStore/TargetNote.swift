/// What is known of a volume as a target when the relationship that it was known from has ended.
struct TargetNote: Record, Equatable {
    /// Of the last instant that changed which relationship it is the target of; 0: it had none.
    var lastNumber: UInt64 = 0
    /// The number of the relationship that ended by itself, every track copied, where none has begun
    /// since.
    var completed: UInt64?

    init() {}

    var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.put(lastNumber)
        if let completed { bytes.put(completed) }
        return bytes
    }

    init?(_ reader: inout ByteReader) {
        guard reader.remaining == 8 || reader.remaining == 16 else { return nil }
        lastNumber = reader.take(UInt64.self)
        if reader.remaining > 0 { completed = reader.take(UInt64.self) }
    }
}
