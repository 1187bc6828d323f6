import Synchronization
import TrackBitmap

/// A volume: a sparse file, its points, what is saved for them, and the point it presents, if any.
final class Volume: Sendable {
    /// The four hexadecimal digits as a number.
    let number: UInt16
    let path: String
    let state: Monitor<VolumeState>
    let log: SaveLog
    /// One roll-off at a time.
    let rollingOff = Monitor<Void>(())

    private let bytes: Atomic<UInt64>
    private let safeguarded: Atomic<UInt32>
    private let opened = Monitor<OpenFile?>(nil)
    private let descriptor = Atomic<Int32>(-1)
    private let presented = Monitor<Relationship?>(nil)
    private let presents = Atomic<Bool>(false)
    /// Data was written that no sync has covered since. Set when a write is complete, before its
    /// operation ends: whoever waits for operations and then looks, misses none.
    let isDirty = Atomic<Bool>(false)
    let isDeleted = Atomic<Bool>(false)
    let level = Atomic<Int>(0)

    init(number: UInt16, path: String, record: VolumeRecord, points: [Point], log: SaveLog) {
        self.number = number
        self.path = path
        state = Monitor(VolumeState(points: points))
        self.log = log
        bytes = Atomic(record.capacity)
        safeguarded = Atomic(record.multiplier)
    }

    /// Four lower-case hexadecimal digits.
    var name: String { Volume.name(number) }

    static func name(_ number: UInt16) -> String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: 4 - digits.utf8.count) + digits
    }

    /// The number of four hexadecimal digits; nil where the text is something else.
    static func number(_ name: String) -> UInt16? {
        guard name.utf8.count == 4,
            name.utf8.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit })
        else { return nil }
        return UInt16(name, radix: 16)
    }

    var capacity: UInt64 {
        get { bytes.load(ordering: .acquiring) }
        set { bytes.store(newValue, ordering: .releasing) }
    }

    var multiplier: UInt32 {
        get { safeguarded.load(ordering: .acquiring) }
        set { safeguarded.store(newValue, ordering: .releasing) }
    }

    /// Bytes that saved content may take.
    var safeguardedCapacity: UInt64 {
        let (bytes, overflow) = capacity.multipliedReportingOverflow(by: UInt64(multiplier))
        return overflow ? .max : bytes
    }

    /// The blocks of a track that lie inside the volume.
    func blocks(ofTrack track: UInt32) -> UInt16 {
        let all = Geometry.blocks(covering: capacity)
        let first = Int(track) * Geometry.blocksPerTrack
        return UInt16(blocks: 0..<min(max(all - first, 0), Geometry.blocksPerTrack))
    }

    /// The file, opened when it is first wanted: a store may have more volumes than busy ones.
    func file() throws(TrackStoreError) -> Int32 {
        let known = descriptor.load(ordering: .acquiring)
        if known >= 0 { return known }
        return try opened.withLock { (opened) throws(TrackStoreError) in
            if let opened { return opened.descriptor }
            let file = try OpenFile(path, .existing)
            opened = file
            descriptor.store(file.descriptor, ordering: .releasing)
            return file.descriptor
        }
    }

    /// True where some track may have to be read through a relationship.
    @inline(__always)
    var presentsPoint: Bool { presents.load(ordering: .sequentiallyConsistent) }

    /// The relationship whose target this volume is. Setting it makes the tracks pending, or takes
    /// them back, for every operation that begins afterwards.
    var inbound: Relationship? {
        get { presented.withLock { $0 } }
        set {
            presented.withLock { presented in
                presented = newValue
                presents.store(newValue != nil, ordering: .sequentiallyConsistent)
            }
        }
    }

    /// The relationship is drained: it stays, but nothing is read through it any more.
    func stopPresenting(_ relationship: Relationship) {
        presented.withLock { presented in
            if presented === relationship {
                presents.store(false, ordering: .sequentiallyConsistent)
            }
        }
    }
}

/// What a volume's monitor protects.
///
/// Whoever changes a track's blocks (a host's write, a background copy) has the track in
/// `lockedTracks` from before it reads the old blocks until its write is done. So nobody overwrites
/// a block between its being read to be saved and its being saved, and two writes of a block are
/// saved and done in order.
struct VolumeState {
    /// Points from oldest to newest, those included whose removal is not durable yet: writers save
    /// for them until it is.
    var points: [Point]
    /// A point that begins when its group is committed.
    var prepared: (point: Point, group: InstantGroup)?
    var saved: SavedMap
    var lockedTracks: Set<UInt32> = []

    init(points: [Point]) {
        self.points = points
        saved = SavedMap(sequence: points.last?.sequence ?? 0, asksIndex: true)
    }

    /// Lets a prepared point begin if its instant has come. Whoever decides anything about the
    /// volume does this first, so that the decision falls on the right side of the instant.
    mutating func materialise() {
        guard let (point, group) = prepared, group.isCommitted else { return }
        prepared = nil
        points.append(point)
        saved.startOver(point.sequence)
    }

    func point(_ tag: String) -> Point? { points.first { $0.tag == tag && $0.live } }

    /// The sequence before which nothing saved is needed any more.
    var oldestNeeded: UInt64 { points.first?.sequence ?? .max }
}
