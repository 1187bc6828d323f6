/// What a storage system must do, told in the plainest way: whole copies of everything.
struct NaiveModel {
    struct Point {
        var tag: String
        var content: [UInt8]
        /// The blocks of 4 KiB that have been written since, whatever with.
        var written: Set<Int> = []
    }

    struct Volume {
        var content: [UInt8]
        var multiplier: UInt32
        var points: [Point] = []
        var presents: (source: String, tag: String, content: [UInt8])?
    }

    var volumes: [String: Volume] = [:]

    mutating func write(_ volume: String, _ offset: Int, _ bytes: [UInt8]) {
        guard !bytes.isEmpty else { return }
        volumes[volume]?.content.replaceSubrange(offset..<offset + bytes.count, with: bytes)
        let blocks = offset / 4096...(offset + bytes.count - 1) / 4096
        for index in volumes[volume]?.points.indices ?? 0..<0 {
            volumes[volume]?.points[index].written.formUnion(blocks)
        }
    }

    mutating func backup(_ tag: String, _ names: [String]) {
        for name in names {
            guard let content = volumes[name]?.content else { continue }
            volumes[name]?.points.append(Point(tag: tag, content: content))
        }
    }

    func point(_ volume: String, _ tag: String) -> [UInt8]? {
        volumes[volume]?.points.first { $0.tag == tag }?.content
    }

    /// The target's tracks that cover the point become the point's; beyond its end they are zeroes.
    mutating func recover(_ source: String, _ tag: String, _ target: String) {
        guard let content = point(source, tag), var new = volumes[target]?.content else { return }
        let covered = min((content.count + 65_535) / 65_536 * 65_536, new.count)
        new.replaceSubrange(
            0..<covered, with: content + [UInt8](repeating: 0, count: covered - content.count))
        volumes[target]?.content = new
        volumes[target]?.presents = (source, tag, Array(new[..<covered]))
    }

    mutating func drop(_ volume: String, _ tags: [String]) {
        volumes[volume]?.points.removeAll { tags.contains($0.tag) }
    }
}
