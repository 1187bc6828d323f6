import CopyModel

/// Amounts as people read them.
public enum Amounts {
    private static let units: [(name: String, shift: UInt64)] = [
        ("PiB", 50), ("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10),
    ]

    /// Bytes in the largest unit of which there is at least one, rounded down to a tenth: `1.5
    /// GiB`.
    public static func bytes(_ bytes: UInt64) -> String {
        guard let unit = units.first(where: { bytes >> $0.shift > 0 }) else { return "\(bytes) B" }
        let whole = bytes >> unit.shift
        let rest = bytes & ((1 << unit.shift) - 1)
        let tenths = ((rest >> (unit.shift - 10)) * 10) >> 10
        guard whole < 100, tenths > 0 else { return "\(whole) \(unit.name)" }
        return "\(whole).\(tenths) \(unit.name)"
    }

    /// Tracks of 64 KiB as bytes.
    public static func tracks(_ count: UInt64) -> String {
        let (product, overflow) = count.multipliedReportingOverflow(by: Capacity.track)
        return bytes(overflow ? .max : product)
    }

    /// A rate: `210 MiB/s`.
    public static func rate(bytesPerSecond: UInt64) -> String { bytes(bytesPerSecond) + "/s" }

    /// Milliseconds as `16 ms`, `2.5 s`, `3 min 20 s` or `2 h 5 min`.
    public static func duration(milliseconds: Int64) -> String {
        let time = max(0, milliseconds)
        let seconds = time / 1000
        switch time {
        case ..<1000: return "\(time) ms"
        case ..<60_000:
            let tenths = time % 1000 / 100
            return tenths == 0 || seconds >= 10 ? "\(seconds) s" : "\(seconds).\(tenths) s"
        case ..<3_600_000: return "\(seconds / 60) min \(seconds % 60) s"
        default: return "\(seconds / 3600) h \(seconds / 60 % 60) min"
        }
    }

    /// A number with its noun: `1 pair`, `12 pairs`.
    public static func count(_ number: Int64, _ noun: String) -> String {
        "\(number) \(noun)\(number == 1 ? "" : "s")"
    }
}
