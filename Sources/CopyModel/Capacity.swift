/// A number of bytes, written by people as `10GiB`.
public struct Capacity: Hashable, Sendable, Comparable, Codable, CustomStringConvertible {
    /// The number of bytes.
    public let bytes: UInt64

    /// The unit of relationships, bitmaps and progress: 64 KiB.
    public static let track: UInt64 = 65_536

    /// So many bytes.
    public init(bytes: UInt64) { self.bytes = bytes }

    /// Reads a whole number with a unit of `B`, `KiB`, `MiB`, `GiB` or `TiB`; nil if it is not that.
    public init?(_ text: String) {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        let unit = text.dropFirst(digits.count)
        guard !digits.isEmpty, digits == "0" || digits.first != "0", let number = UInt64(digits),
            let shift = Self.units.first(where: { $0.name.utf8.elementsEqual(unit.utf8) })?.shift
        else { return nil }
        let (bytes, overflow) = number.multipliedReportingOverflow(by: 1 << shift)
        guard !overflow else { return nil }
        self.init(bytes: bytes)
    }

    private static let units: [(name: String, shift: UInt64)] = [
        ("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0),
    ]

    /// The number with the largest unit that divides it, e.g. `10GiB`.
    public var description: String {
        let unit = Self.units.first { bytes > 0 && bytes % (1 << $0.shift) == 0 } ?? ("B", 0)
        return "\(bytes >> unit.shift)\(unit.name)"
    }

    /// The number of 64 KiB tracks that cover it.
    public var tracks: UInt64 { bytes / Self.track + (bytes % Self.track == 0 ? 0 : 1) }

    /// Orders by size.
    public static func < (left: Capacity, right: Capacity) -> Bool { left.bytes < right.bytes }
}
