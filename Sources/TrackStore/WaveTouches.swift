import TrackBitmap

/// The tracks that a wave's writes touch.
struct WaveTouches {
    private(set) var list: [TrackTouch] = []

    var indices: Range<Int> { list.indices }

    subscript(index: Int) -> TrackTouch {
        get { list[index] }
        set { list[index] = newValue }
    }

    /// Begins anew, with the tracks of these items.
    mutating func collect(_ items: [WriteItem]) {
        list.removeAll(keepingCapacity: true)
        for item in items {
            var block = item.firstBlock
            while block < item.endBlock {
                let track = block / Geometry.blocksPerTrack
                let end = min(item.endBlock, (track + 1) * Geometry.blocksPerTrack)
                let start = track * Geometry.blocksPerTrack
                list[index(of: UInt32(track))].touched |= UInt16(
                    blocks: block - start..<end - start)
                block = end
            }
        }
    }

    /// Where a track is; it is added where it is not there yet.
    mutating func index(of track: UInt32) -> Int {
        if let index = list.lastIndex(where: { $0.track == track }) { return index }
        list.append(TrackTouch(track: track))
        return list.count - 1
    }

    /// Why an item cannot be done, if it cannot.
    func failure(of item: WriteItem) -> HostFailure? {
        list.first { $0.failure != nil && Self.isTouched($0.track, by: item) }?.failure
    }

    /// An item is done on all of its tracks or on none: where it fails on one, none of its other tracks
    /// may be taken for whole, nor any other item on them for done.
    mutating func spreadFailures(over items: [WriteItem]) {
        guard list.contains(where: { $0.failure != nil }) else { return }
        var isStable = false
        while !isStable {
            isStable = true
            for item in items {
                guard let failure = failure(of: item) else { continue }
                for index in list.indices
                where list[index].failure == nil && Self.isTouched(list[index].track, by: item) {
                    list[index].failure = failure
                    isStable = false
                }
            }
        }
    }

    /// Everything fails.
    mutating func fail(_ failure: HostFailure) {
        for index in list.indices { list[index].failure = failure }
    }

    private static func isTouched(_ track: UInt32, by item: WriteItem) -> Bool {
        let first = Int(track) * Geometry.blocksPerTrack
        return item.firstBlock < first + Geometry.blocksPerTrack && item.endBlock > first
    }
}

infix operator ?= : AssignmentPrecedence

/// Keeps the first failure.
func ?= (left: inout HostFailure?, right: HostFailure?) { if left == nil { left = right } }
