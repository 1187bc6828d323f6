import CURing
import Glibc
import TrackBitmap

/// Reading everything back that a storage directory has saved for points.
///
/// The directory may belong to a store that is open in another process: what that one gives up meanwhile
/// is not missed. What was saved within the last second may not be looked at yet. Not for a directory that
/// is open in this process.
///
/// Nothing is changed, but where anything is damaged, or was, word is left for the store: it looks at it
/// within a second or two, or when it is opened, and tells which points are lost (`pointsDamaged`).
public struct StorageScrub {
    /// A block that was saved, and cannot be read, or is not what was saved.
    public struct Damage: Sendable, Hashable {
        /// The volume whose old content it is.
        public var volume: String
        /// The track, and the block of it: 0 to 15.
        public var track: UInt32
        /// The block of the track: 0 to 15.
        public var block: Int
        /// The segment's file.
        public var file: String
        /// The error number; 0 where the bytes are there and others than were saved.
        public var errno: Int32
        /// The safeguarded points that need it, oldest first.
        public var tags: [String]
        /// The targets of relationships that may need it: of points that are not safeguarded.
        public var targets: [String]
        /// The entry, by which the store finds it.
        let key: SavedKey
    }

    /// What was read, and what of it is damaged.
    public struct Report: Sendable, Hashable {
        /// Blocks that were read back.
        public var blocks = 0
        /// What is damaged, by volume, track and block.
        public var damages: [Damage] = []
        /// There was something to say, and the store could not be left word of it.
        public var isUntold = false

        package init(blocks: Int = 0, damages: [Damage] = []) {
            self.blocks = blocks
            self.damages = damages
        }
    }

    private struct NeededPoint {
        var sequence: UInt64
        var tag: String
        var targets: [String]
    }

    private let directory: String
    private let catalogue: Catalogue
    private let check = EntryCheck(io: PlainIO())
    /// Rows that one transaction reads: an old one would keep LMDB from reusing space.
    private static let group = 4096

    private init(directory: String) throws(TrackStoreError) {
        self.directory = directory
        catalogue = try Catalogue(reading: directory + "/index")
    }

    /// Reads a storage directory through, on the calling thread.
    ///
    /// Errors: `inputOutput` or `damaged` where its index cannot be read.
    public static func run(directory: String) throws(TrackStoreError) -> Report {
        let scrub = try StorageScrub(directory: directory)
        defer { scrub.catalogue.close() }
        var report = Report()
        for volume in try scrub.volumes() { try scrub.read(volume, into: &report) }
        // What is known to be damaged may be whole again.
        let suspects = Set(try scrub.knownDamages() + report.damages.map(\.key))
        if !suspects.isEmpty {
            report.isUntold = !SuspectFile(in: directory).leave(Array(suspects))
        }
        return report
    }

    private func knownDamages() throws(TrackStoreError) -> [SavedKey] {
        try catalogue.read { (transaction) throws(TrackStoreError) in
            var keys: [SavedKey] = []
            try transaction.scan(.damages, prefix: []) { (key, _) throws(TrackStoreError) in
                var reader = KeyReader(key)
                keys.append(SavedKey(&reader))
                return true
            }
            return keys
        }
    }

    private func volumes() throws(TrackStoreError) -> [UInt16] {
        try catalogue.read { (transaction) throws(TrackStoreError) in
            var volumes: [UInt16] = []
            try transaction.scan(.volumes, prefix: []) { (key, _) throws(TrackStoreError) in
                var reader = KeyReader(key)
                volumes.append(reader.take(UInt16.self))
                return true
            }
            return volumes
        }
    }

    private func points(of volume: UInt16) throws(TrackStoreError) -> [NeededPoint] {
        try catalogue.read { (transaction) throws(TrackStoreError) in
            var targets: [UInt64: [String]] = [:]
            try transaction.scan(.relationships, prefix: []) {
                (key, value) throws(TrackStoreError) in
                var reader = KeyReader(key)
                let record = try RelationshipRecord(row: value, directory)
                let target = reader.take(UInt16.self)
                if record.source == volume {
                    targets[record.sequence, default: []].append(Volume.name(target))
                }
                if target == volume, let held = record.held {
                    targets[held.sequence, default: []].append(Volume.name(target))
                }
                return true
            }
            var points: [NeededPoint] = []
            try transaction.scan(.points, prefix: Key.volume(volume)) {
                (key, value) throws(TrackStoreError) in
                var reader = KeyReader(key)
                _ = reader.take(UInt16.self)
                let sequence = reader.take(UInt64.self)
                let tag = try PointRecord(row: value, directory).tag
                points.append(
                    NeededPoint(
                        sequence: sequence, tag: tag, targets: targets[sequence] ?? []))
                return true
            }
            return points
        }
    }

    /// Goes through the volume's entries track by track, in the order in which they are looked up.
    private func read(_ volume: UInt16, into report: inout Report) throws(TrackStoreError) {
        var start = Key.volume(volume)
        var ofTrack: [SavedEntry] = []
        while true {
            let rows = try catalogue.read { (transaction) throws(TrackStoreError) in
                try transaction.entries(of: volume, from: start, limit: Self.group)
            }
            for entry in rows {
                if ofTrack.last.map({ $0.track != entry.track }) ?? false { ofTrack = [] }
                try read(entry, after: ofTrack, volume, into: &report)
                ofTrack.append(entry)
            }
            guard rows.count == Self.group, let last = rows.last else { return }
            start = Key.saved(volume, last) + [0]
        }
    }

    private func read(
        _ entry: SavedEntry, after others: [SavedEntry], _ volume: UInt16,
        into report: inout Report
    ) throws(TrackStoreError) {
        guard entry.dataBlocks > 0 else { return }
        let path = "\(directory)/saves/\(Volume.name(volume))/\(SaveSegment.name(entry.segment))"
        let finding = look(at: entry, path)
        report.blocks += entry.dataBlocks
        for bit in 0..<Geometry.blocksPerTrack where finding.mask & (1 << UInt16(bit)) != 0 {
            // What serves a point is the first entry at or after it.
            let before = others.last { $0.mask & (1 << UInt16(bit)) != 0 }?.sequence
            let needing = try points(of: volume).filter { point in
                point.sequence <= entry.sequence && before.map { point.sequence > $0 } ?? true
            }
            guard !needing.isEmpty, try isStillThere(entry, volume) else { continue }
            report.damages.append(
                Damage(
                    volume: Volume.name(volume), track: entry.track, block: bit, file: path,
                    errno: finding.errno, tags: needing.map(\.tag).filter { !$0.isEmpty },
                    targets: needing.flatMap(\.targets), key: SavedKey(volume, entry)))
        }
    }

    /// Reads past the cache where that can be.
    private func look(at entry: SavedEntry, _ path: String) -> EntryCheck.Finding {
        var file = open(path, O_RDONLY | O_CLOEXEC | linux_open_direct)
        if file < 0, errno == EINVAL { file = open(path, O_RDONLY | O_CLOEXEC) }
        guard file >= 0 else { return .init(mask: entry.dataMask, errno: errno) }
        defer { close(file) }
        return check.look(at: entry, in: file)
    }

    private func isStillThere(
        _ entry: SavedEntry, _ volume: UInt16
    ) throws(TrackStoreError) -> Bool {
        try catalogue.read { (transaction) throws(TrackStoreError) in
            try transaction.get(.saved, Key.saved(volume, entry)) != nil
        }
    }
}

extension Catalogue.Transaction {
    /// The entries of a volume in the order of their keys, from the first at or after `start`.
    func entries(
        of volume: UInt16, from start: [UInt8], limit: Int
    ) throws(TrackStoreError) -> [SavedEntry] {
        var found: [SavedEntry] = []
        var failure: TrackStoreError?
        start.withUnsafeBytes { start in
            do throws(TrackStoreError) {
                try scan(.saved, from: start) { (key, value) throws(TrackStoreError) in
                    var reader = KeyReader(key)
                    let key = SavedKey(&reader)
                    guard key.volume == volume, found.count < limit else { return false }
                    let record = try SavedRecord(row: value, Volume.name(volume))
                    found.append(SavedEntry(key, record))
                    return true
                }
            } catch { failure = error }
        }
        if let failure { throw failure }
        return found
    }
}
