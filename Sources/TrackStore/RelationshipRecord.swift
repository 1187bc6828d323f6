/// What is stored of a relationship, and never changes while it lasts but by `copying`, the rate, and
/// `held`, which a commit takes out.
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
        /// The row tells of a refresh that can be reverted; only in rows.
        static let holds = Flags(rawValue: 1 << 6)
        /// The row is that of a revert; only in rows.
        static let reverts = Flags(rawValue: 1 << 7)
        /// The row goes on behind the tag. Rows of the first version do not.
        static let isLong = Flags(rawValue: 1 << 15)
    }

    /// Of a relationship before its last refresh, as a revert brings it back.
    struct Former: Equatable {
        var sequence: UInt64
        var tag: String
        var refreshed: Int64
        var number: UInt64
        var flags: Flags
        var rateMiBps: UInt32
    }

    /// What is kept of the target until a refresh is committed: a point of it, by sequence.
    struct Held: Equatable {
        var sequence: UInt64
        var former: Former
    }

    /// What holds after a revert. Number, rate and times are those of the revert's record.
    struct Successor: Equatable {
        var source: UInt16
        var flags: Flags
        var sequence: UInt64
        var capacity: UInt64
        var tag: String
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
    /// The last refresh can be reverted.
    var held: Held?
    /// This is a revert, of a target to its own point.
    var successor: Successor?

    var copying: Bool {
        get { flags.contains(.copying) }
        set { if newValue { flags.insert(.copying) } else { flags.remove(.copying) } }
    }

    /// The relationship goes on at a later point, by refresh or reverse; `time` is milliseconds since
    /// 1970. The number stays where no other is given.
    mutating func goOn(at point: Point, time: Int64, _ number: UInt64?) {
        sequence = point.sequence
        capacity = point.capacity
        tag = ""
        refreshed = time
        held = nil
        if let number { self.number = number }
        // Without a record of changes everything may differ.
        if flags.contains(.recordsChanges) {
            flags.insert(.beganInPart)
        } else {
            flags.remove(.beganInPart)
        }
    }

    /// Goes on under other terms. Which tracks it begins with is settled by those before.
    mutating func take(_ terms: CopyTerms) {
        flags = terms.flags.union(flags.intersection(.beganInPart))
        rateMiBps = terms.rateMiBps
    }

    var bytes: [UInt8] {
        var bytes: [UInt8] = []
        var flags = flags.union(.isLong)
        if held != nil { flags.insert(.holds) }
        if successor != nil { flags.insert(.reverts) }
        bytes.put(source)
        bytes.put(flags.rawValue)
        bytes.put(sequence)
        bytes.put(capacity)
        bytes.put(tag)
        bytes.put(base)
        bytes.put(rateMiBps)
        bytes.put(number)
        bytes.put(established)
        bytes.put(refreshed)
        if let held {
            bytes.put(held.sequence)
            bytes.put(held.former.sequence)
            bytes.put(held.former.tag)
            bytes.put(held.former.refreshed)
            bytes.put(held.former.number)
            bytes.put(held.former.flags.rawValue)
            bytes.put(held.former.rateMiBps)
        }
        if let successor {
            bytes.put(successor.source)
            bytes.put(successor.flags.rawValue)
            bytes.put(successor.sequence)
            bytes.put(successor.capacity)
            bytes.put(successor.tag)
        }
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
        guard reader.remaining >= 36 else { return nil }
        base = reader.take(UInt64.self)
        rateMiBps = reader.take(UInt32.self)
        number = reader.take(UInt64.self)
        established = reader.take(Int64.self)
        refreshed = reader.take(Int64.self)
        if flags.contains(.holds) {
            guard let held = Held(&reader, under: flags, rateMiBps) else { return nil }
            self.held = held
        }
        if flags.contains(.reverts) {
            guard let successor = Successor(&reader) else { return nil }
            self.successor = successor
        }
        flags.subtract([.holds, .reverts])
        guard reader.remaining == 0 else { return nil }
    }
}

extension RelationshipRecord.Held {
    /// `flags` and `rateMiBps` are those of the row: where it ends early, no refresh has changed them.
    fileprivate init?(
        _ reader: inout ByteReader, under flags: RelationshipRecord.Flags, _ rateMiBps: UInt32
    ) {
        guard reader.remaining >= 36 else { return nil }
        sequence = reader.take(UInt64.self)
        former = .init(
            sequence: reader.take(UInt64.self), tag: "", refreshed: 0, number: 0,
            flags: flags.subtracting([.holds, .reverts]), rateMiBps: rateMiBps)
        guard let tag = reader.takeText(Int(reader.take(UInt32.self))), reader.remaining >= 16
        else { return nil }
        former.tag = tag
        former.refreshed = reader.take(Int64.self)
        former.number = reader.take(UInt64.self)
        guard reader.remaining >= 6 else { return }
        former.flags = .init(rawValue: reader.take(UInt16.self))
        former.rateMiBps = reader.take(UInt32.self)
    }
}

extension RelationshipRecord.Successor {
    fileprivate init?(_ reader: inout ByteReader) {
        guard reader.remaining >= 24 else { return nil }
        source = reader.take(UInt16.self)
        flags = .init(rawValue: reader.take(UInt16.self))
        sequence = reader.take(UInt64.self)
        capacity = reader.take(UInt64.self)
        guard let tag = reader.takeText(Int(reader.take(UInt32.self))) else { return nil }
        self.tag = tag
    }
}

// Reverting.
extension RelationshipRecord {
    /// As a later revert will bring it back.
    var former: Former {
        Former(
            sequence: sequence, tag: tag, refreshed: refreshed, number: number, flags: flags,
            rateMiBps: rateMiBps)
    }

    /// The record of a revert: its target presents the point that was held, and is to be as it was. Nil
    /// where nothing is held.
    func reverting(to point: Point, of target: UInt16, base: UInt64) -> RelationshipRecord? {
        guard let former = held?.former else { return nil }
        var record = self
        record.source = target
        record.flags = former.flags.intersection(.inhibitsTargetWrites)
        record.flags.formUnion([.copying, .persistent, .beganInPart])
        record.sequence = point.sequence
        record.capacity = point.capacity
        record.tag = former.tag
        record.base = base
        record.rateMiBps = former.rateMiBps
        record.refreshed = former.refreshed
        record.number = former.number
        record.held = nil
        // It records changes as far as the refresh reached; what it has of them stays.
        record.successor = Successor(
            source: source, flags: former.flags.union(.beganInPart), sequence: former.sequence,
            capacity: capacity, tag: former.tag)
        return record
    }

    /// The record of what holds after this revert; nil where it is none.
    var afterRevert: RelationshipRecord? {
        guard let successor else { return nil }
        var record = self
        record.source = successor.source
        record.flags = successor.flags
        record.sequence = successor.sequence
        record.capacity = successor.capacity
        record.tag = successor.tag
        record.successor = nil
        return record
    }
}
