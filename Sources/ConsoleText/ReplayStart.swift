import CopyModel

/// Where reading of the event log begins.
public enum ReplayStart: Sendable, Hashable {
    /// With the oldest event that is still kept.
    case first
    /// With the last chunk that was written: the last events, then what comes.
    case last
    /// With what comes.
    case next
    /// At an offset of the log, from 0.
    case offset(UInt64)
    /// With what was written at that time or later; exact to a chunk of the log, so a little
    /// earlier.
    case time(Timestamp)

    /// Reads `first`, `last`, `next`, a whole number, or an RFC 3339 time; nil if it is none of
    /// these.
    public init?(_ text: String) {
        switch text {
        case "first": self = .first
        case "last": self = .last
        case "next": self = .next
        default:
            if let offset = UInt64(text), text.utf8.allSatisfy({ $0 != UInt8(ascii: "+") }) {
                self = .offset(offset)
            } else if let time = Timestamp(rfc3339: text), time.milliseconds >= 0 {
                self = .time(time)
            } else {
                return nil
            }
        }
    }
}
