import Testing
import TrackBitmap

@Suite("Track bitmaps")
struct TrackBitmapTests {
    @Test(
        "a full bitmap has every track and none beyond its end",
        arguments: [1, 63, 64, 65, 32_768, 32_769, 70_001])
    func full(count: Int) {
        let bitmap = TrackBitmap(count: count, full: true)
        #expect(bitmap.memberCount == count)
        #expect(bitmap.contains(0) && bitmap.contains(count - 1) && !bitmap.contains(count))
        #expect(bitmap.takeChangedPages().isEmpty)
        bitmap.remove(count - 1)
        #expect(!bitmap.contains(count - 1))
        #expect(bitmap.memberCount == count - 1)
        #expect(bitmap.firstMember(from: count - 1) == nil)
    }

    @Test("removing and inserting twice counts once")
    func twice() {
        let bitmap = TrackBitmap(count: 100, full: true)
        #expect(bitmap.remove(7) && !bitmap.remove(7))
        #expect(bitmap.memberCount == 99)
        #expect(bitmap.insert(7) && !bitmap.insert(7))
        #expect(bitmap.memberCount == 100)
        #expect(!bitmap.insert(100))
    }

    @Test("members agree with a plain set, whatever is removed and inserted")
    func agreesWithSet() {
        var numbers = SystemRandomNumberGenerator()
        for _ in 0..<20 {
            let count = Int.random(in: 1...100_000, using: &numbers)
            let isFull = Bool.random(using: &numbers)
            let bitmap = TrackBitmap(count: count, full: isFull)
            var plain = isFull ? Set(0..<count) : []
            for _ in 0..<500 {
                let track = Int.random(in: 0..<count, using: &numbers)
                if Bool.random(using: &numbers) {
                    #expect(bitmap.remove(track) == (plain.remove(track) != nil))
                } else {
                    #expect(bitmap.insert(track) == plain.insert(track).inserted)
                }
            }
            var found: [Int] = []
            while case let members = bitmap.firstMembers(
                from: (found.last ?? -1) + 1, limit: Int.random(in: 1...1000, using: &numbers)),
                !members.isEmpty
            {
                found += members
            }
            #expect(found == plain.sorted())
            #expect(bitmap.memberCount == plain.count)
        }
    }

    @Test("pages that changed are given out once, and load into the same set")
    func pages() {
        let bitmap = TrackBitmap(count: 100_000, full: true)
        for track in [0, 5, 32_768, 99_999] { bitmap.remove(track) }
        let pages = bitmap.takeChangedPages()
        #expect(pages == [0, 1, 3])
        #expect(bitmap.takeChangedPages().isEmpty)
        let copy = TrackBitmap(count: 100_000, full: true)
        for page in pages {
            let isLoaded = bitmap.bytes(ofPage: page).withUnsafeBytes {
                copy.load(page: page, from: $0)
            }
            #expect(isLoaded)
        }
        #expect(copy.memberCount == 99_996)
        #expect(!copy.contains(5) && !copy.contains(99_999) && copy.contains(6))
        bitmap.markChanged(page: 1)
        #expect(bitmap.takeChangedPages() == [1])
    }

    @Test("bytes that are no page are refused")
    func badPages() {
        let bitmap = TrackBitmap(count: 10, full: false)
        let refused = [UInt8](repeating: 255, count: 10).withUnsafeBytes {
            bitmap.load(page: 0, from: $0)
        }
        #expect(!refused)
        let beyond = [UInt8](repeating: 255, count: 4096).withUnsafeBytes {
            bitmap.load(page: 1, from: $0)
        }
        #expect(!beyond)
        let whole = [UInt8](repeating: 255, count: 4096).withUnsafeBytes {
            bitmap.load(page: 0, from: $0)
        }
        #expect(whole)
        #expect(bitmap.memberCount == 10)
    }
}

@Suite("Whole sets of tracks")
struct WholeSetTests {
    @Test(
        "a union and a range agree with plain sets, whatever the sizes and whether they began full",
        arguments: 0..<40)
    func agrees(seed: Int) {
        var numbers = SystemRandomNumberGenerator()
        let counts = [1, 63, 64, 1000, 32_768, 40_000, 70_001]
        let mine = TrackBitmap(
            count: counts.randomElement(using: &numbers) ?? 1, full: seed % 7 == 0)
        let theirs = TrackBitmap(
            count: counts.randomElement(using: &numbers) ?? 1, full: seed % 5 == 0)
        var plain = seed % 7 == 0 ? Set(0..<mine.count) : []
        var other = seed % 5 == 0 ? Set(0..<theirs.count) : []
        for _ in 0..<50 {
            let track = Int.random(in: 0..<theirs.count, using: &numbers)
            theirs.insert(track)
            other.insert(track)
            let gone = Int.random(in: 0..<theirs.count, using: &numbers)
            theirs.remove(gone)
            other.remove(gone)
        }
        let excluded = TrackBitmap(
            count: counts.randomElement(using: &numbers) ?? 1, full: seed % 3 == 0)
        excluded.insert(0..<Int.random(in: 0..<excluded.count, using: &numbers))
        if seed % 2 == 0 {
            mine.formUnion(theirs)
            plain.formUnion(other.filter { $0 < mine.count })
        } else {
            mine.formUnion(theirs, except: excluded)
            plain.formUnion(other.filter { $0 < mine.count && !excluded.contains($0) })
        }
        let first = Int.random(in: 0..<mine.count, using: &numbers)
        let range = first..<first + Int.random(in: 0..<200, using: &numbers)
        mine.insert(range)
        plain.formUnion(range.filter { $0 < mine.count })
        #expect(mine.memberCount == plain.count)
        #expect((0..<mine.count + 5).allSatisfy { mine.contains($0) == plain.contains($0) })
    }
}
