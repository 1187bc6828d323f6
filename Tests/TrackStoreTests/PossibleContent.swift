/// What a volume or a point may read as, where writes have failed: of each block one of some contents,
/// mostly just one.
struct PossibleContent {
    /// Bytes that change together: 4 KiB, or a sector of 512 where writes may be torn.
    let unit: Int
    /// One possibility.
    private(set) var bytes: [UInt8]
    /// Blocks of which there are more, with all of them.
    private var doubts: [Int: [[UInt8]]] = [:]
    /// Nothing is known but the length: the next read tells.
    var isUnknown = false

    init(_ bytes: [UInt8], unit: Int = 4096) {
        self.bytes = bytes
        self.unit = unit
    }

    var count: Int { bytes.count }
    var isSure: Bool { doubts.isEmpty && !isUnknown }

    private func range(_ block: Int) -> Range<Int> {
        block * unit..<min((block + 1) * unit, bytes.count)
    }

    private func blocks(_ range: Range<Int>) -> ClosedRange<Int> {
        range.lowerBound / unit...(range.upperBound - 1) / unit
    }

    private func values(_ block: Int) -> [[UInt8]] { doubts[block] ?? [Array(bytes[range(block)])] }

    /// New bytes; `failed`: in every block of theirs what was there may still be there.
    mutating func write(_ offset: Int, _ new: [UInt8], failed: Bool = false) {
        guard !new.isEmpty else { return }
        for block in blocks(offset..<offset + new.count) {
            let place = range(block)
            let inside = place.clamped(to: offset..<offset + new.count)
            var after: [[UInt8]] = failed ? values(block) : []
            for value in values(block) {
                var value = value
                value.replaceSubrange(
                    inside.lowerBound - place.lowerBound..<inside.upperBound - place.lowerBound,
                    with: new[inside.lowerBound - offset..<inside.upperBound - offset])
                if !after.contains(value) { after.append(value) }
            }
            set(block, after)
        }
    }

    private mutating func set(_ block: Int, _ values: [[UInt8]]) {
        bytes.replaceSubrange(range(block), with: values[0])
        doubts[block] = values.count > 1 ? values : nil
    }

    /// The first `count` bytes become those of another content.
    mutating func give(_ other: PossibleContent, _ count: Int) {
        for block in blocks(0..<count) {
            let place = range(block)
            if place.lowerBound >= other.count {
                set(block, [[UInt8](repeating: 0, count: place.count)])
            } else {
                let zeroes = [UInt8](repeating: 0, count: place.count)
                set(block, other.values(block).map { Array(($0 + zeroes).prefix(place.count)) })
            }
        }
    }

    /// The first `count` bytes may have become those of another content, block by block.
    mutating func doubt(_ other: PossibleContent, _ count: Int) {
        var given = self
        given.give(other, count)
        for block in blocks(0..<count) {
            var all = values(block)
            for value in given.values(block) where !all.contains(value) { all.append(value) }
            set(block, all)
        }
    }

    /// The first place where this cannot be read; nil where it can. What has been read stays so: there
    /// are no more doubts then.
    mutating func settle(_ got: [UInt8]) -> Int? {
        guard got.count == bytes.count else { return 0 }
        if isUnknown {
            bytes = got
            doubts = [:]
            isUnknown = false
            return nil
        }
        for block in 0..<(bytes.count + unit - 1) / unit {
            let place = range(block)
            let isPossible =
                doubts[block]?.contains(Array(got[place])) ?? (got[place] == bytes[place])
            if !isPossible { return place.lowerBound }
        }
        bytes = got
        doubts = [:]
        return nil
    }
}
