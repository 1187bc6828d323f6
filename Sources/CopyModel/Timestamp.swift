/// An instant in UTC, in whole milliseconds since 1970, as messages carry it.
public struct Timestamp: Hashable, Sendable, Comparable, Codable, CustomStringConvertible {
    /// Milliseconds since 1970-01-01T00:00:00Z; years 0001 to 9999.
    public let milliseconds: Int64

    /// The instant so many milliseconds after the start of 1970.
    public init(milliseconds: Int64) { self.milliseconds = milliseconds }

    /// Whole seconds since 1970, rounded down.
    public var seconds: Int64 {
        milliseconds >= 0 ? milliseconds / 1000 : (milliseconds - 999) / 1000
    }

    /// The instant so many minutes later (or earlier).
    public func adding(minutes: Int64) -> Timestamp {
        Timestamp(milliseconds: milliseconds + minutes * 60_000)
    }

    /// The instant so many milliseconds later (or earlier).
    public func adding(milliseconds more: Int64) -> Timestamp {
        Timestamp(milliseconds: milliseconds + more)
    }

    /// Orders by time.
    public static func < (left: Timestamp, right: Timestamp) -> Bool {
        left.milliseconds < right.milliseconds
    }

    /// RFC 3339 in UTC with milliseconds, e.g. `2026-11-21T02:00:00.114Z`.
    public var description: String { rfc3339(withMilliseconds: true) }

    /// RFC 3339 in UTC, to the second where it is a whole one, e.g. `2026-11-21T02:00:00Z`.
    public var shortDescription: String { rfc3339(withMilliseconds: milliseconds % 1000 != 0) }

    private func rfc3339(withMilliseconds: Bool) -> String {
        let dayLength: Int64 = 86_400
        var day = seconds / dayLength
        var second = seconds % dayLength
        if second < 0 {
            second += dayLength
            day -= 1
        }
        let (year, month, dayOfMonth) = CivilDate.from(daysSince1970: day)
        let fraction = milliseconds - seconds * 1000
        return String(unsafeUninitializedCapacity: 24) { bytes in
            var place = 0
            func put(_ value: Int64, _ width: Int, then separator: Unicode.Scalar) {
                var rest = value
                for index in stride(from: place + width - 1, through: place, by: -1) {
                    bytes[index] = UInt8(ascii: "0") + UInt8(rest % 10)
                    rest /= 10
                }
                bytes[place + width] = UInt8(ascii: separator)
                place += width + 1
            }
            put(year, 4, then: "-")
            put(month, 2, then: "-")
            put(dayOfMonth, 2, then: "T")
            put(second / 3600, 2, then: ":")
            put(second / 60 % 60, 2, then: ":")
            put(second % 60, 2, then: withMilliseconds ? "." : "Z")
            if withMilliseconds { put(fraction, 3, then: "Z") }
            return place
        }
    }
}

extension Timestamp {
    /// Reads RFC 3339 (`2026-11-21T02:00:00Z`, fractions and offsets allowed); nil if it is not that.
    ///
    /// Fractions finer than a millisecond are cut. A leap second (`:60`) is read as the next second.
    public init?(rfc3339 text: String) {
        var reader = DigitReader(Array(text.utf8))
        guard let year = reader.digits(4), reader.take("-"), let month = reader.digits(2),
            reader.take("-"), let day = reader.digits(2), reader.take("T") || reader.take("t"),
            let hour = reader.digits(2), reader.take(":"), let minute = reader.digits(2),
            reader.take(":"), let second = reader.digits(2),
            let fraction = reader.fraction(), let offset = reader.offsetMinutes(), reader.isAtEnd,
            (1...9999).contains(year), (1...12).contains(month),
            (1...CivilDate.days(in: month, of: year)).contains(day),
            hour < 24, minute < 60, second <= 60
        else { return nil }
        let days = CivilDate.daysSince1970(year: year, month: month, day: day)
        let seconds = days * 86_400 + hour * 3600 + (minute - offset) * 60 + second
        self.init(milliseconds: seconds * 1000 + fraction)
    }
}

/// The proleptic Gregorian calendar, counted in days from 1970-01-01.
///
/// Years are counted from March, so that the leap day is the last of its year: then the months' lengths
/// follow one linear rule (153 days every five months), and 400 years are always 146,097 days.
enum CivilDate {
    static func daysSince1970(year: Int64, month: Int64, day: Int64) -> Int64 {
        let marchYear = month > 2 ? year : year - 1
        let era = marchYear.dividedDown(by: 400)
        let yearOfEra = marchYear - era * 400
        let monthFromMarch = (month + 9) % 12
        let dayOfYear = (153 * monthFromMarch + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }

    static func from(daysSince1970 days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let shifted = days + 719_468
        let era = shifted.dividedDown(by: 146_097)
        let dayOfEra = shifted - era * 146_097
        let leapless = dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096
        let yearOfEra = leapless / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
    }

    static func days(in month: Int64, of year: Int64) -> Int64 {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }
}

extension Int64 {
    fileprivate func dividedDown(by divisor: Int64) -> Int64 {
        self >= 0 ? self / divisor : (self - divisor + 1) / divisor
    }
}

private struct DigitReader {
    let bytes: [UInt8]
    var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { position == bytes.count }

    mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard position < bytes.count, bytes[position] == UInt8(ascii: character) else {
            return false
        }
        position += 1
        return true
    }

    mutating func digits(_ count: Int) -> Int64? {
        guard position + count <= bytes.count else { return nil }
        var value: Int64 = 0
        for byte in bytes[position..<position + count] {
            guard byte.isDigit else { return nil }
            value = value * 10 + Int64(byte - UInt8(ascii: "0"))
        }
        position += count
        return value
    }

    /// Milliseconds of an optional fraction; nil where a point is not followed by digits.
    mutating func fraction() -> Int64? {
        guard take(".") else { return 0 }
        var value: Int64 = 0
        var scale: Int64 = 100
        let start = position
        while position < bytes.count, bytes[position].isDigit {
            value += Int64(bytes[position] - UInt8(ascii: "0")) * scale
            scale /= 10
            position += 1
        }
        return position > start ? value : nil
    }

    mutating func offsetMinutes() -> Int64? {
        if take("Z") || take("z") { return 0 }
        let sign: Int64 = take("+") ? 1 : (take("-") ? -1 : 0)
        guard sign != 0, let hours = digits(2), take(":"), let minutes = digits(2), hours < 24,
            minutes < 60
        else { return nil }
        return sign * (hours * 60 + minutes)
    }
}
