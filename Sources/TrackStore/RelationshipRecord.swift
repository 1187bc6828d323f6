/// What is stored of a relationship, and never changes while it lasts but by `copying` and the rate.
struct RelationshipRecord: Record {
    /// One bit each, in the second number of the row.
    struct Flags: OptionSet {
        var rawValue: UInt16
        static let copying = Flags(rawValue: 1 << 0)
        static let persistent = Flags(rawValue: 1 << 1)
        static let recordsChanges = Flags(rawValue: 1 << 2)
        static let inhibitsTargetWrites = Flags(rawValue: 1 << 3)
        /// It began with some tracks pending, not with all.
        static let beganInPart = Flags(rawValue: 1 << 4)
        /// It brings back what the relationship into its source was made for, and ends with it.
        static let fastReverse = Flags(rawValue: 1 << 5)
        /// The row goes on behind the tag. Rows of the first version do not.
        static let isLong = Flags(rawValue: 1 << 15)
    }

    var source: UInt16
    var flags: Flags
    /// The sequence of the point.
    var sequence: UInt64
    /// The volume's size at the point.
    var capacity: UInt64
    /// Of the point; empty where it is not safeguarded.
    var tag: String
    /// When the target began to present the point, in the order of the store's points: those of the
    /// target that are older show what it held before.
    var base: UInt64
    /// MiB a second; 0 = no limit.
    var rateMiBps: UInt32 = 0
    /// As the caller gave it.
    var number: UInt64 = 0
    /// Milliseconds since 1970, as the caller gave them: of the first establish and of the last
    /// refresh or reverse.
    var established: Int64 = 0
    var refreshed: Int64 = 0

    var copying: Bool {
        get { flags.contains(.copying) }
        set { if newValue { flags.insert(.copying) } else { flags.remove(.copying) } }
    }

    /// The relationship goes on at a later point, by refresh or reverse; `time` is milliseconds since
    /// 1970.
    mutating func goOn(at point: Point, time: Int64) {
        sequence = point.sequence
        capacity = point.capacity
        tag = point.tag
        refreshed = time
        // Without a record of changes everything may differ.
        if flags.contains(.recordsChanges) {
            flags.insert(.beganInPart)
        } else {
            flags.remove(.beganInPart)
        }
    }

    var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.put(source)
        bytes.put(flags.union(.isLong).rawValue)
        bytes.put(sequence)
        bytes.put(capacity)
        bytes.put(tag)
        bytes.put(base)
        bytes.put(rateMiBps)
        bytes.put(number)
        bytes.put(established)
        bytes.put(refreshed)
        return bytes
    }
}

extension RelationshipRecord {
    init?(_ reader: inout ByteReader) {
        source = reader.take(UInt16.self)
        flags = Flags(rawValue: reader.take(UInt16.self))
        sequence = reader.take(UInt64.self)
        capacity = reader.take(UInt64.self)
        guard reader.remaining >= 4, let tag = reader.takeText(Int(reader.take(UInt32.self)))
        else { return nil }
        self.tag = tag
        guard flags.contains(.isLong) else {
            // Such a target had no points, and its relationship stayed.
            flags.insert(.persistent)
            base = sequence
            return
        }
        guard reader.remaining == 36 else { return nil }
        base = reader.take(UInt64.self)
        rateMiBps = reader.take(UInt32.self)
        number = reader.take(UInt64.self)
        established = reader.take(Int64.self)
        refreshed = reader.take(Int64.self)
    }
}
