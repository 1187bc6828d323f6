import Synchronization

/// A set of tracks that many threads test and change at once, one bit a track.
///
/// It is cut into pages of 32,768 tracks (4 KiB of bits, 2 GiB of volume). A page exists only once
/// it differs from the state in which the bitmap began, so that a bitmap of any size is made in the
/// time it takes to clear one word per 2 GiB. Pages that changed are handed out to be made durable.
///
/// Membership is atomic bit by bit: `remove` orders everything its thread did before it ahead of
/// whatever another thread does after `contains` told it that the track is gone.
///
/// Sendable: `table` is set once in `init`; its cells and the pages' words are atomics that are
/// only reached through atomic operations, and a page, once published, lives until `deinit`.
public final class TrackBitmap: @unchecked Sendable {
    /// Tracks of one page.
    public static let pageTracks = 32_768
    /// Bytes of one page's bits, as they are stored.
    public static let pageBytes = 4096

    /// The number of tracks, members or not.
    public let count: Int
    private let startsFull: Bool
    private let table: UnsafeMutablePointer<Atomic<UInt>>
    private let members: Atomic<Int>

    private static let wordsPerPage = 512
    private typealias Page = UnsafeMutablePointer<Atomic<UInt64>>

    /// A set out of `count` tracks (0 or more): all of them where `full`, otherwise none.
    public init(count: Int, full: Bool) {
        self.count = count
        startsFull = full
        members = Atomic(full ? count : 0)
        let pages = (count + Self.pageTracks - 1) / Self.pageTracks
        table = .allocate(capacity: max(pages, 1))
        for index in 0..<max(pages, 1) { (table + index).initialize(to: Atomic(0)) }
    }

    deinit {
        for index in 0..<max(pageCount, 1) {
            if let page = existingPage(index) {
                page.deinitialize(count: Self.wordsPerPage + 1)
                page.deallocate()
            }
        }
        table.deinitialize(count: max(pageCount, 1))
        table.deallocate()
    }

    /// The number of pages that cover all tracks.
    public var pageCount: Int { (count + Self.pageTracks - 1) / Self.pageTracks }

    /// The number of tracks in the set.
    public var memberCount: Int { members.load(ordering: .acquiring) }

    /// True where the track is in the set; false for a track beyond `count`.
    public func contains(_ track: Int) -> Bool {
        guard track < count else { return false }
        guard let page = existingPage(track / Self.pageTracks) else { return startsFull }
        let word = page[track % Self.pageTracks / 64].load(ordering: .acquiring)
        return word & (1 << UInt64(track % 64)) != 0
    }

    /// Takes a track out; true where it was in.
    @discardableResult
    public func remove(_ track: Int) -> Bool {
        guard contains(track) else { return false }
        let page = ownPage(track / Self.pageTracks)
        let bit = UInt64(1) << UInt64(track % 64)
        let before = page[track % Self.pageTracks / 64]
            .bitwiseAnd(~bit, ordering: .acquiringAndReleasing).oldValue
        guard before & bit != 0 else { return false }
        page[Self.wordsPerPage].store(1, ordering: .releasing)
        members.subtract(1, ordering: .acquiringAndReleasing)
        return true
    }

    /// Puts a track in; true where it was not.
    @discardableResult
    public func insert(_ track: Int) -> Bool {
        guard track < count, !contains(track) else { return false }
        let page = ownPage(track / Self.pageTracks)
        let bit = UInt64(1) << UInt64(track % 64)
        let before = page[track % Self.pageTracks / 64]
            .bitwiseOr(bit, ordering: .acquiringAndReleasing).oldValue
        guard before & bit == 0 else { return false }
        page[Self.wordsPerPage].store(1, ordering: .releasing)
        members.add(1, ordering: .acquiringAndReleasing)
        return true
    }

    /// The first member at or after `start`; nil where there is none.
    public func firstMember(from start: Int) -> Int? {
        var track = start
        while track < count {
            guard let page = existingPage(track / Self.pageTracks) else {
                if startsFull { return track }
                track = (track / Self.pageTracks + 1) * Self.pageTracks
                continue
            }
            let word = page[track % Self.pageTracks / 64].load(ordering: .acquiring)
            let rest = word >> UInt64(track % 64)
            if rest != 0 {
                let found = track + rest.trailingZeroBitCount
                return found < count ? found : nil
            }
            track = (track / 64 + 1) * 64
        }
        return nil
    }

    /// The first members at or after `start`, at most `limit` of them, in order.
    public func firstMembers(from start: Int, limit: Int) -> [Int] {
        var found: [Int] = []
        var next = start
        while found.count < limit, let member = firstMember(from: next) {
            found.append(member)
            next = member + 1
        }
        return found
    }
}

// Making pages durable. A page is named as changed until it is taken; whoever takes it copies its
// bits afterwards, so a change that comes in between is in the copy or names the page again, or
// both.
extension TrackBitmap {
    /// The pages changed since they were last taken.
    public func takeChangedPages() -> [Int] {
        (0..<pageCount).filter { index in
            guard let page = existingPage(index) else { return false }
            return page[Self.wordsPerPage].exchange(0, ordering: .acquiringAndReleasing) != 0
        }
    }

    /// Names a page as changed again, because making it durable failed.
    public func markChanged(page index: Int) {
        ownPage(index)[Self.wordsPerPage].store(1, ordering: .releasing)
    }

    /// The bits of a page as they are now: `pageBytes` bytes, least significant bit first.
    public func bytes(ofPage index: Int) -> [UInt8] {
        let page = ownPage(index)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Self.pageBytes)
        for word in 0..<Self.wordsPerPage {
            withUnsafeBytes(of: page[word].load(ordering: .acquiring).littleEndian) {
                bytes.append(contentsOf: $0)
            }
        }
        return bytes
    }

    /// Sets a page's bits from stored bytes; false, and nothing changed, where they are not a page.
    ///
    /// To be called before the bitmap is shared with other threads.
    public func load(page index: Int, from bytes: UnsafeRawBufferPointer) -> Bool {
        guard index < pageCount, bytes.count == Self.pageBytes else { return false }
        let page = ownPage(index)
        for word in 0..<Self.wordsPerPage {
            let stored = UInt64(
                littleEndian: bytes.loadUnaligned(fromByteOffset: word * 8, as: UInt64.self))
            let new = stored & initialWord(page: index, word: word, full: true)
            let old = page[word].exchange(new, ordering: .acquiringAndReleasing)
            members.add(
                new.nonzeroBitCount - old.nonzeroBitCount, ordering: .acquiringAndReleasing)
        }
        return true
    }
}

extension TrackBitmap {
    private func existingPage(_ index: Int) -> Page? {
        Page(bitPattern: table[index].load(ordering: .acquiring))
    }

    /// Bits beyond `count` are never set, so that counting and searching need not look for the end.
    private func initialWord(page: Int, word: Int, full: Bool) -> UInt64 {
        guard full else { return 0 }
        let first = page * Self.pageTracks + word * 64
        if first + 64 <= count { return .max }
        return first >= count ? 0 : (UInt64(1) << UInt64(count - first)) - 1
    }

    /// The page, made in the state the bitmap began in where it does not exist; of two threads that
    /// make it at once, the second finds the first one's and gives its own back.
    private func ownPage(_ index: Int) -> Page {
        if let page = existingPage(index) { return page }
        let fresh = Page.allocate(capacity: Self.wordsPerPage + 1)
        for word in 0..<Self.wordsPerPage {
            (fresh + word).initialize(
                to: Atomic(initialWord(page: index, word: word, full: startsFull)))
        }
        (fresh + Self.wordsPerPage).initialize(to: Atomic(0))
        let (exchanged, current) = table[index].compareExchange(
            expected: 0, desired: UInt(bitPattern: fresh), ordering: .acquiringAndReleasing)
        guard !exchanged else { return fresh }
        fresh.deinitialize(count: Self.wordsPerPage + 1)
        fresh.deallocate()
        return Page(bitPattern: current) ?? fresh
    }
}

// Whole sets at once, a word at a time.
extension TrackBitmap {
    /// Puts in every track that is in `other`, and not in `excluded` where one is given, as far as this
    /// set reaches.
    public func formUnion(_ other: TrackBitmap, except excluded: TrackBitmap? = nil) {
        for page in 0..<min(pageCount, other.pageCount) {
            guard other.existingPage(page) != nil || other.startsFull else { continue }
            for word in 0..<Self.wordsPerPage {
                let out = excluded?.bits(page: page, word: word) ?? 0
                insert(other.bits(page: page, word: word) & ~out, page: page, word: word)
            }
        }
    }

    private func bits(page index: Int, word: Int) -> UInt64 {
        guard index < pageCount else { return 0 }
        return existingPage(index).map { $0[word].load(ordering: .acquiring) }
            ?? initialWord(page: index, word: word, full: startsFull)
    }

    /// Puts in the tracks of a range, as far as this set reaches.
    public func insert(_ tracks: Range<Int>) {
        var track = max(tracks.lowerBound, 0)
        let end = min(tracks.upperBound, count)
        while track < end {
            let next = min((track / 64 + 1) * 64, end)
            let length = UInt64(next - track)
            let run: UInt64 = length == 64 ? .max : (UInt64(1) << length) - 1
            let bits = run << UInt64(track % 64)
            insert(bits, page: track / Self.pageTracks, word: track % Self.pageTracks / 64)
            track = next
        }
    }

    private func insert(_ bits: UInt64, page index: Int, word: Int) {
        let inside = bits & initialWord(page: index, word: word, full: true)
        guard inside != 0 else { return }
        let page = ownPage(index)
        let before = page[word].bitwiseOr(inside, ordering: .acquiringAndReleasing).oldValue
        let added = inside & ~before
        guard added != 0 else { return }
        page[Self.wordsPerPage].store(1, ordering: .releasing)
        members.add(added.nonzeroBitCount, ordering: .acquiringAndReleasing)
    }
}
