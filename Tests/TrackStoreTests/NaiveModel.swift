/// What a storage system must do, told in the plainest way: whole copies of everything.
struct NaiveModel {
    struct Point {
        var tag: String
        var content: [UInt8]
        /// The blocks of 4 KiB that have been written since, whatever with, or replaced.
        var written: Set<Int> = []
    }

    /// What a volume is the target of.
    struct Copy {
        var source: String
        /// Empty where the point is not safeguarded.
        var tag: String
        /// What the target was given, as far as the relationship reaches.
        var content: [UInt8]
        var isPersistent = true
        var inhibits = false
        /// A fast reverse restore: what its source holds afterwards is nobody's business.
        var isFastReverse = false
        /// What the target held before a refresh that is neither committed nor reverted.
        var held: [UInt8]?
        /// Of the point that the target has of that instant, where it is safeguarded.
        var heldTag = ""
        /// Of the point before that refresh.
        var formerTag = ""
        /// Before that refresh.
        var formerInhibits = false
        /// Of the instant that began it; 0 where none was given.
        var number: UInt64 = 0
        var formerNumber: UInt64 = 0
        /// What was held may still be on its way back.
        var isReverting = false
    }

    struct Volume {
        var content: [UInt8]
        var multiplier: UInt32
        var points: [Point] = []
        var presents: Copy?
        /// Of the last instant that changed what it is the target of.
        var lastNumber: UInt64 = 0
        /// Its content may be lost at any moment.
        var isUnsure = false
        /// What a power cut cannot take away, and what was written since: a cut keeps any part of it.
        var durable: [UInt8] = []
        var since: [(offset: Int, bytes: [UInt8])] = []

        init(content: [UInt8], multiplier: UInt32) {
            self.content = content
            self.multiplier = multiplier
            durable = content
        }

        /// What the volume reads as now survives a power cut.
        mutating func settle() {
            durable = content
            since = []
        }

        /// What the volume reads as before `end` survives a power cut.
        mutating func settle(_ end: Int) {
            durable.replaceSubrange(0..<end, with: content[..<end])
            since = since.compactMap { write in
                let inside = max(write.offset, end)..<max(write.offset + write.bytes.count, end)
                guard !inside.isEmpty else { return nil }
                return (
                    inside.lowerBound,
                    Array(write.bytes[(inside.lowerBound - write.offset)...])
                )
            }
        }

        /// Every sector is one that it may be after a power cut. Gives the first place that is not.
        func impossible(_ got: [UInt8]) -> Int? {
            for start in stride(from: 0, to: got.count, by: 512) {
                let sector = start..<min(start + 512, got.count)
                if got[sector] == durable[sector] || got[sector] == content[sector] { continue }
                if !mayBe(got, sector) { return start }
            }
            return nil
        }

        private func mayBe(_ got: [UInt8], _ sector: Range<Int>) -> Bool {
            // A write within the sector builds on what was there.
            var values = [Array(durable[sector])]
            for write in since {
                let inside = sector.clamped(to: write.offset..<write.offset + write.bytes.count)
                guard !inside.isEmpty else { continue }
                for value in values {
                    var new = value
                    for place in inside {
                        new[place - sector.lowerBound] = write.bytes[place - write.offset]
                    }
                    if !values.contains(new) { values.append(new) }
                }
            }
            return values.contains(Array(got[sector]))
        }
    }

    var volumes: [String: Volume] = [:]

    mutating func write(_ volume: String, _ offset: Int, _ bytes: [UInt8]) {
        guard !bytes.isEmpty else { return }
        volumes[volume]?.content.replaceSubrange(offset..<offset + bytes.count, with: bytes)
        volumes[volume]?.since.append((offset, bytes))
        noteWritten(volume, offset..<offset + bytes.count)
    }

    mutating func noteWritten(_ volume: String, _ range: Range<Int>) {
        guard !range.isEmpty else { return }
        let blocks = range.lowerBound / 4096...(range.upperBound - 1) / 4096
        for index in volumes[volume]?.points.indices ?? 0..<0 {
            volumes[volume]?.points[index].written.formUnion(blocks)
        }
    }

    mutating func backup(_ tag: String, _ names: [String]) {
        for name in names {
            guard let content = volumes[name]?.content else { continue }
            volumes[name]?.points.append(Point(tag: tag, content: content))
            volumes[name]?.settle()
        }
    }

    func point(_ volume: String, _ tag: String) -> [UInt8]? {
        volumes[volume]?.points.first { $0.tag == tag }?.content
    }

    /// The target's tracks that cover the content become it; beyond its end they are zeroes.
    mutating func give(_ target: String, _ content: [UInt8], _ copy: Copy) {
        guard var new = volumes[target]?.content else { return }
        let covered = min((content.count + 65_535) / 65_536 * 65_536, new.count)
        new.replaceSubrange(
            0..<covered,
            with: content[..<min(content.count, covered)]
                + [UInt8](repeating: 0, count: max(covered - content.count, 0)))
        volumes[target]?.content = new
        var copy = copy
        copy.content = Array(new[..<covered])
        volumes[target]?.isUnsure = false
        volumes[target]?.presents = copy
        volumes[target]?.settle(covered)
        noteWritten(target, 0..<covered)
    }

    mutating func drop(_ volume: String, _ tags: [String]) {
        volumes[volume]?.points.removeAll { tags.contains($0.tag) }
    }
}
