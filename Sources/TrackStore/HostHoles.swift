import CURing
import Glibc
import TrackBitmap

// Where a device holds data, and where nothing: a backup program need not read what is a hole.
extension HostChannel {
    /// Data and holes of a range, in order, in at most `limit` pieces (1 or more); their lengths
    /// may sum to less than the range. What may have to be read through a relationship, or from the journal,
    /// counts as data; a hole always reads as zeroes. Empty where the range is not inside the device.
    public func allocation(
        of device: OpenDevice, offset: UInt64, length: UInt64, limit: Int
    ) -> [(length: UInt64, isHole: Bool)] {
        guard length > 0, offset <= device.capacity, length <= device.capacity - offset else {
            return []
        }
        var pieces: [(length: UInt64, isHole: Bool)] = []
        during { pieces = holes(of: device, Int(offset)..<Int(offset + length), limit) ?? [] }
        return pieces.isEmpty ? [(length, false)] : pieces
    }

    /// Nil where everything counts as data.
    private func holes(
        of device: OpenDevice, _ range: Range<Int>, _ limit: Int
    ) -> [(length: UInt64, isHole: Bool)]? {
        let volume = device.volume
        guard !volume.presentsPoint, store.isOpen, let file = try? volume.file() else { return nil }
        var pieces: [(length: UInt64, isHole: Bool)] = []
        var position = range.lowerBound
        // Asked first: what leaves the journal from now on is in the file, and saved for points.
        let journaled = volume.journaled.tracks(
            in: UInt32(
                position / Geometry.track)..<UInt32((range.upperBound - 1) / Geometry.track + 1))
        while position < range.upperBound, pieces.count < max(limit, 1) {
            var (next, isHole) = Self.piece(of: file, position..<range.upperBound)
            if isHole, !journaled.isEmpty {
                let tracks = position / Geometry.track...(next - 1) / Geometry.track
                isHole = !journaled.contains { tracks ~= Int($0) }
            }
            // Asked after the file: what is overwritten from now on was a hole for the point.
            if isHole, let point = device.point {
                guard let end = savedNothing(of: volume, at: point, from: position, to: next) else {
                    return nil
                }
                isHole = end > position
                next = isHole ? end : min(next, (position / Geometry.track + 1) * Geometry.track)
            }
            pieces.append((UInt64(next - position), isHole))
            position = next
        }
        // A point that went meanwhile may have taken with it what was saved for it.
        return device.point?.live == false ? nil : pieces
    }

    /// Data or a hole of a file from the front of a range on, and where it ends.
    private static func piece(of file: Int32, _ range: Range<Int>) -> (end: Int, isHole: Bool) {
        var next = lseek(file, range.lowerBound, linux_seek_data)
        var isHole = next != range.lowerBound
        if next < 0 { next = errno == ENXIO ? range.upperBound : range.lowerBound }
        if next == range.lowerBound {
            isHole = false
            next = lseek(file, range.lowerBound, linux_seek_hole)
        }
        return (next <= range.lowerBound ? range.upperBound : min(next, range.upperBound), isHole)
    }

    /// How far from `start` on nothing has been saved at or after a point, at most to `end`; nil where that
    /// cannot be told.
    private func savedNothing(
        of volume: Volume, at point: Point, from start: Int, to end: Int
    ) -> Int? {
        let tracks = UInt32(start / Geometry.track)..<UInt32((end - 1) / Geometry.track + 1)
        guard
            let track = try? index.firstTrack(of: volume, in: tracks, savedFrom: point.sequence)
        else { return nil }
        return track < tracks.upperBound ? max(Int(track) * Geometry.track, start) : end
    }
}
