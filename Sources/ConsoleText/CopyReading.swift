import CommandSchema
import CopyModel

/// How far a background copy is, as an event or a document says it.
public struct CopyReading: Sendable, Hashable {
    /// Which role pair.
    public let rolePair: String
    /// Whole per cent, 0 to 100.
    public let percent: Int
    /// Tracks that are not copied yet, where it is said.
    public let tracksRemaining: UInt64?
    /// Bytes a second, where it is said.
    public let bytesPerSecond: UInt64?
    /// When it should be done, where it is said.
    public let estimatedCompletion: String?

    /// Reads the data of `copy.progress`, or a role pair of a session's document; nil if it is
    /// neither.
    public init?(_ data: JSONNode) {
        guard let rolePair = data["rolePair"]?.text, let percent = data["percent"]?.integer else {
            return nil
        }
        self.rolePair = SafeText.escaped(rolePair)
        self.percent = Int(min(max(percent, 0), 100))
        tracksRemaining = data["tracksRemaining"]?.integer.flatMap(UInt64.init(exactly:))
        bytesPerSecond = data["bytesPerSecond"]?.integer.flatMap(UInt64.init(exactly:))
        estimatedCompletion = data["estimatedCompletion"]?.text.map(SafeText.escaped)
    }

    /// What is known besides the per cent, most important first.
    var details: [String] {
        var details: [String] = []
        if let tracksRemaining {
            let number = tracksRemaining == 1 ? "1 track" : "\(tracksRemaining) tracks"
            details.append(
                tracksRemaining == 0
                    ? "0 tracks left"
                    : "\(number) (\(Amounts.tracks(tracksRemaining))) left")
        }
        if let bytesPerSecond, percent < 100 {
            details.append(Amounts.rate(bytesPerSecond: bytesPerSecond))
        }
        if let estimatedCompletion, percent < 100 {
            details.append("done about \(estimatedCompletion)")
        }
        return details
    }
}

/// A background copy's progress: a bar that is drawn over itself, or now and then a line.
public struct ProgressText: Sendable {
    private let painter: Painter
    private var shown: (percent: Int, time: Timestamp?)?

    /// Nothing shown so far.
    public init(painter: Painter) { self.painter = painter }

    /// A bar for a terminal of so many columns, never wider than those: details that have no room
    /// are left out, least important first.
    public func bar(_ reading: CopyReading, columns: Int) -> String {
        let head = "\(reading.rolePair) ["
        let percent = String(repeating: " ", count: 3 - String(reading.percent).count)
        var tail = "] \(percent)\(reading.percent) %"
        let room = max(0, columns - 1)
        let smallest = 10
        for detail in reading.details {
            let longer = tail + "  \(detail)"
            guard head.displayWidth + smallest + longer.displayWidth <= room else { break }
            tail = longer
        }
        let width = min(30, room - head.displayWidth - tail.displayWidth)
        guard width > 0 else { return String(tail.dropFirst(2).prefix(room)) }
        let done = width * reading.percent / 100
        let bar =
            painter.paint(String(repeating: "#", count: done), .good)
            + String(repeating: "-", count: width - done)
        return head + bar + tail
    }

    /// A line for an output that cannot be drawn over; nil while there is too little news: five
    /// more per cent, ten seconds more and any progress, the first and the last are worth a line.
    public mutating func line(_ reading: CopyReading, at time: Timestamp?) -> String? {
        if let shown {
            let gained = reading.percent - shown.percent
            let waited = zip(time, shown.time).map { $0.milliseconds - $1.milliseconds >= 10_000 }
            let isNews =
                gained >= 5 || gained < 0
                || (gained > 0 && (reading.percent == 100 || waited == true))
            guard isNews else { return nil }
        }
        shown = (reading.percent, time)
        let details = reading.details.map { ", \($0)" }.joined()
        return "\(reading.rolePair) \(reading.percent) %\(details)"
    }
}

private func zip<First, Second>(_ first: First?, _ second: Second?) -> (First, Second)? {
    guard let first, let second else { return nil }
    return (first, second)
}
