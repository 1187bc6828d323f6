import TrackBitmap

/// Which blocks of a volume need not be saved again before the next point.
///
/// For the sequence it is for, the map holds the blocks that have an entry with this sequence or a
/// later one. It may lack blocks that are saved (they are saved twice then, and the first copy
/// counts), never the other way round. A new point empties it in no time, by giving it a new
/// sequence: pages remember theirs. A map made at a restart does not know what the process before
/// has saved, and one for a point that is not safeguarded does not know which tracks anybody needs:
/// it asks once per track. The answer stays right, since what needs not be saved once need not be
/// saved later: relationships get tracks and do not lose them.
struct SavedMap {
    private final class Page {
        var sequence: UInt64
        var masks = [UInt16](repeating: 0, count: SavedMap.pageTracks)
        /// Tracks for which the index has been asked; only used by a map made at a restart.
        var known = [UInt64](repeating: 0, count: SavedMap.pageTracks / 64)

        init(sequence: UInt64) { self.sequence = sequence }

        func startOver(_ sequence: UInt64) {
            self.sequence = sequence
            for index in masks.indices { masks[index] = 0 }
            for index in known.indices { known[index] = 0 }
        }
    }

    private static let pageTracks = 1024
    private(set) var sequence: UInt64
    private var asksIndex: Bool
    private var pages: [UInt32: Page] = [:]

    /// The map at a start of the store, when entries may exist that it does not know.
    init(sequence: UInt64, asksIndex: Bool) {
        self.sequence = sequence
        self.asksIndex = asksIndex
    }

    /// A new point: nothing is saved for it yet. `asksIndex` where it may not need every track.
    mutating func startOver(_ sequence: UInt64, asksIndex: Bool) {
        self.sequence = sequence
        self.asksIndex = asksIndex
    }

    private mutating func page(_ track: UInt32) -> Page {
        let number = track / UInt32(Self.pageTracks)
        if let page = pages[number] {
            if page.sequence != sequence { page.startOver(sequence) }
            return page
        }
        let page = Page(sequence: sequence)
        pages[number] = page
        return page
    }

    /// The saved blocks of a track; `ask` finds them in the index where the map cannot know.
    mutating func mask<Failure: Error>(
        of track: UInt32, ask: (UInt32) throws(Failure) -> UInt16
    ) throws(Failure) -> UInt16 {
        let page = page(track)
        let place = Int(track) % Self.pageTracks
        guard asksIndex, page.known[place / 64] & (1 << UInt64(place % 64)) == 0 else {
            return page.masks[place]
        }
        page.masks[place] |= try ask(track)
        page.known[place / 64] |= 1 << UInt64(place % 64)
        return page.masks[place]
    }

    /// Blocks of a track have been saved, durably, with this sequence. Where a point has come
    /// since, they say nothing about it: it needs what has been written over them. What the journal held at
    /// a start may come with a later sequence, that of a point that is gone.
    mutating func add(_ mask: UInt16, track: UInt32, sequence: UInt64) {
        guard sequence >= self.sequence else { return }
        page(track).masks[Int(track) % Self.pageTracks] |= mask
    }
}
