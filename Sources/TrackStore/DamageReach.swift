import TrackBitmap

/// Which points cannot be read whole, because blocks that were saved are damaged.
///
/// An entry `(b, s)` serves the points `p ≤ s` for which there is no entry of `b` from `p` on and before
/// `s`: these need it, and no others do. A target that presents one of them, and has not got the track,
/// shows the damaged block too, and so do its own points from then on, unless the block was saved for
/// them. From point to point this goes the way that reading goes, backwards; so it ends as reading does.
struct DamageReach {
    /// A point that needs a damaged block.
    struct Damaged {
        var volume: Volume
        var point: Point
        var place: String
    }

    /// By volume, then oldest first; the place is that of the first damaged block.
    var damaged: [Damaged] {
        found.values.sorted {
            ($0.volume.number, $0.point.sequence) < ($1.volume.number, $1.point.sequence)
        }
    }

    private let volumes: [UInt16: Volume]
    private let relationships: [Relationship]
    private let reader: IndexReader
    private var found: [ObjectIdentifier: Damaged] = [:]
    private var entries: [SavedEntry] = []

    init(_ volumes: [UInt16: Volume], _ reader: IndexReader) {
        self.volumes = volumes
        self.reader = reader
        relationships = volumes.values.compactMap(\.inbound)
    }

    /// Adds a damaged entry, as its row says; the rows come in the order of their keys.
    mutating func add(_ key: SavedKey, _ record: DamageRecord) throws(TrackStoreError) {
        guard let volume = volumes[key.volume] else { return }
        defer { reader.end() }
        for bit in 0..<Geometry.blocksPerTrack where record.mask & (1 << UInt16(bit)) != 0 {
            try reader.find(volume, track: key.track, from: 0, into: &entries)
            let covering = entries.filter { $0.mask & (1 << UInt16(bit)) != 0 }
            guard let own = covering.firstIndex(where: { SavedKey(volume.number, $0) == key })
            else { continue }
            let before = covering[..<own].last?.sequence
            let points = volume.state.withLock { state in
                state.points.filter { point in
                    point.live && point.sequence <= key.sequence
                        && before.map { point.sequence > $0 } ?? true
                }
            }
            let place =
                "track \(key.track), block \(bit) in saves/\(volume.name)/"
                + SaveSegment.name(key.segment)
            try spread(over: points, of: volume, key.track, bit, place)
        }
    }

    private mutating func spread(
        over points: [Point], of volume: Volume, _ track: UInt32, _ bit: Int, _ place: String
    ) throws(TrackStoreError) {
        for point in points where found[ObjectIdentifier(point)] == nil {
            found[ObjectIdentifier(point)] = Damaged(volume: volume, point: point, place: place)
        }
        for relationship in relationships where relationship.source === volume {
            guard let point = relationship.point, points.contains(where: { $0 === point }),
                relationship.pending.contains(Int(track))
            else { continue }
            let target = relationship.target
            try reader.find(target, track: track, from: relationship.base, into: &entries)
            let last = entries.last { $0.mask & (1 << UInt16(bit)) != 0 }?.sequence ?? 0
            let showing = target.state.withLock { state in
                state.points.filter {
                    $0.live && $0.sequence > relationship.base && $0.sequence > last
                }
            }
            if !showing.isEmpty { try spread(over: showing, of: target, track, bit, place) }
        }
    }
}
