import Glibc
import TrackBitmap

/// A volume as it is, as it was at a point, or its bare file.
struct ResolverView {
    var volume: Volume
    var point: Point?
    var isFile = false
}

/// Some blocks of one track that somebody wants to read.
struct Want {
    var view: ResolverView
    var track: UInt32
    /// The blocks.
    var mask: UInt16
    /// Where they go: the blocks of `layout` lie one after the other from `memory` on.
    var memory: UnsafeMutableRawPointer
    var layout: UInt16
    var failure: HostFailure?

    fileprivate func place(of bit: Int) -> UnsafeMutableRawPointer {
        memory + layout.rank(of: bit) * Geometry.block
    }

    /// True where a block of it goes to `place`.
    fileprivate func covers(_ place: UnsafeMutableRawPointer) -> Bool {
        place >= memory && place < memory + layout.nonzeroBitCount * Geometry.block
    }

    fileprivate var isDone = false
    fileprivate var mustRetry = false

    init(
        _ volume: Volume, at point: Point? = nil, track: UInt32, mask: UInt16,
        into memory: UnsafeMutableRawPointer, layout: UInt16
    ) {
        view = ResolverView(volume: volume, point: point)
        self.track = track
        self.mask = mask
        self.memory = memory
        self.layout = layout
    }

    /// Blocks of the volume's file, whatever the volume presents.
    init(
        fileOf volume: Volume, track: UInt32, mask: UInt16, into memory: UnsafeMutableRawPointer,
        layout: UInt16
    ) {
        self.init(volume, track: track, mask: mask, into: memory, layout: layout)
        view.isFile = true
    }
}

/// Reads volumes and points as the algebra defines it, without keeping anybody from writing.
///
///     read(V, t)      = the relationship's source at its point, if t is pending; else V's file
///     read(V at p, t) = block by block the first save at or after p; else read(V, t), or V's file
///                       where p is older than the relationship that V is the target of
///
/// V's file is seen through the write journal: what was written before p, or what was written last, and
/// has not reached the file yet. A volume with pending tracks has nothing there.
///
/// This ends: each step through a relationship leads to a point that is older than the relationship,
/// and one through a point leads to a relationship that is older than the point.
///
/// Everything is looked up first, then read in one batch, then checked: the stamps of tracks whose
/// points were read, and that the points are still live. Where a check fails, a writer has
/// overtaken the look-up, and the want is looked up again. One resolver serves one thread.
final class Resolver {
    private let stamps: Stamps
    private let index: IndexReader
    private let io: any BlockIO
    private var operations: [BlockOperation] = []
    /// For each operation the wants it serves.
    private var owners: [ClosedRange<Int>] = []
    private var stampChecks: [(want: Int, index: Int, value: UInt64)] = []
    private var pointChecks: [(want: Int, point: Point)] = []
    /// A track that is pending no more may have been read when nobody saved for it any more.
    private var pendingChecks: [(want: Int, relationship: Relationship)] = []
    private var checksums: [SavedBlock] = []
    /// Wants whose segment was gone when they were looked up.
    private var missing: [(want: Int, key: SavedKey)] = []
    private var found: [SavedEntry] = []
    private var journaled: [JournalRecord] = []
    /// Bytes that one operation reads at most.
    private let longest: Int

    private static let attempts = 10_000

    /// A block that was saved, and has to be what it was then.
    private struct SavedBlock {
        var want: Int
        var memory: UnsafeMutableRawPointer
        var checksum: UInt32
        /// Nil: it lies in the journal, not among what was saved.
        var key: SavedKey?
    }

    init(stamps: Stamps, index: IndexReader, io: any BlockIO, longest: Int = 1 << 20) {
        self.longest = longest
        self.stamps = stamps
        self.index = index
        self.io = io
    }

    /// Reads all wants; each is done or has a failure afterwards.
    func read(_ wants: inout [Want]) {
        for _ in 0..<Self.attempts {
            clear()
            var isOpen = false
            for number in wants.indices where !wants[number].isDone {
                isOpen = true
                wants[number].mustRetry = false
                resolve(number, &wants)
            }
            guard isOpen else { return }
            io.perform(&operations)
            check(&wants)
        }
        for number in wants.indices where !wants[number].isDone {
            wants[number].failure = .inputOutput
        }
    }

    private func clear() {
        operations.removeAll(keepingCapacity: true)
        owners.removeAll(keepingCapacity: true)
        stampChecks.removeAll(keepingCapacity: true)
        pointChecks.removeAll(keepingCapacity: true)
        pendingChecks.removeAll(keepingCapacity: true)
        checksums.removeAll(keepingCapacity: true)
        missing.removeAll(keepingCapacity: true)
    }

    private func resolve(_ number: Int, _ wants: inout [Want]) {
        let want = wants[number]
        do throws(TrackStoreError) {
            if let point = want.view.point {
                try resolve(want.mask, of: want, number, at: point, of: want.view.volume)
            } else if want.view.isFile {
                try readFile(want.mask, of: want, number, want.view.volume)
            } else {
                let volume = want.view.volume
                let inbound = volume.presentsPoint ? volume.inbound : nil
                try resolve(want.mask, of: want, number, in: volume, inbound)
            }
        } catch {
            wants[number].failure = HostFailure(error)
        }
    }

    /// read(V at p, t)
    private func resolve(
        _ mask: UInt16, of want: Want, _ number: Int, at point: Point, of volume: Volume
    ) throws(TrackStoreError) {
        pointChecks.append((number, point))
        let stamp = stamps.index(volume: volume.number, track: want.track)
        stampChecks.append((number, stamp, stamps.load(stamp)))
        try index.find(
            volume, track: want.track, from: point.sequence, covering: mask, into: &found)
        var rest = mask
        for entry in found {
            let hit = entry.mask & rest
            guard hit != 0 else { continue }
            rest &= ~hit
            // A segment can only be gone with every point that needs it: a second look will tell.
            let file = volume.log.file(of: entry.segment)
            if file == nil, hit & entry.dataMask != 0 {
                missing.append((number, SavedKey(volume.number, entry)))
            } else {
                take(
                    hit, of: want, number, from: entry, SavedKey(volume.number, entry),
                    in: file ?? -1)
            }
        }
        guard rest != 0 else { return }
        let inbound = volume.presentsPoint ? volume.inbound : nil
        if let inbound, inbound.base > point.sequence {
            try readFile(rest, of: want, number, volume)
        } else {
            try resolve(rest, of: want, number, in: volume, inbound, before: point.sequence)
        }
    }

    /// read(V, t), V being the target of `inbound`, without what was written after the point `end`
    private func resolve(
        _ mask: UInt16, of want: Want, _ number: Int, in volume: Volume, _ inbound: Relationship?,
        before end: UInt64 = .max
    ) throws(TrackStoreError) {
        if let relationship = inbound, relationship.pending.contains(Int(want.track)) {
            pendingChecks.append((number, relationship))
            guard let point = relationship.point else {
                throw TrackStoreError(
                    .damaged, "a pending track without a point", place: volume.path)
            }
            return try resolve(mask, of: want, number, at: point, of: relationship.source)
        }
        var rest = mask
        volume.journaled.find(want.track, before: end, into: &journaled)
        for record in journaled {
            let hit = record.entry.mask & rest
            guard hit != 0 else { continue }
            rest &= ~hit
            take(hit, of: want, number, from: record.entry, nil, in: record.file)
        }
        if rest != 0 { try readFile(rest, of: want, number, volume) }
    }

    private func readFile(
        _ mask: UInt16, of want: Want, _ number: Int, _ volume: Volume
    ) throws(TrackStoreError) {
        let file = try volume.file()
        let start = Int(want.track) * Geometry.track
        var bit = 0
        while let run = mask.run(from: bit) {
            bit = run.upperBound
            add(file, start + run.lowerBound * Geometry.block, run, of: want, number)
        }
    }

    private func take(
        _ hit: UInt16, of want: Want, _ number: Int, from entry: SavedEntry, _ key: SavedKey?,
        in file: Int32
    ) {
        for bit in 0..<Geometry.blocksPerTrack where hit & entry.zeroMask & (1 << UInt16(bit)) != 0
        {
            memset(want.place(of: bit), 0, Geometry.block)
        }
        let data = hit & entry.dataMask
        for bit in 0..<Geometry.blocksPerTrack where data & (1 << UInt16(bit)) != 0 {
            let rank = entry.rank(of: bit)
            let offset = (Int(entry.block) + rank) * Geometry.block
            add(file, offset, bit..<bit + 1, of: want, number)
            checksums.append(
                SavedBlock(
                    want: number, memory: want.place(of: bit), checksum: entry.checksums[rank],
                    key: key))
        }
    }

    /// Adds a read of consecutive blocks that lie together in the file, to the operation before
    /// where it goes on from there.
    private func add(_ file: Int32, _ offset: Int, _ run: Range<Int>, of want: Want, _ number: Int)
    {
        var offset = offset
        var bit = run.lowerBound
        while bit < run.upperBound {
            let memory = want.place(of: bit)
            var end = bit + 1
            while end < run.upperBound, want.place(of: end) == memory + (end - bit) * Geometry.block
            {
                end += 1
            }
            append(file, offset, (end - bit) * Geometry.block, memory, number)
            offset += (end - bit) * Geometry.block
            bit = end
        }
    }

    private func append(
        _ file: Int32, _ offset: Int, _ length: Int, _ memory: UnsafeMutableRawPointer,
        _ number: Int
    ) {
        if let last = operations.last, last.file == file, last.offset + last.length == offset,
            last.memory + last.length == memory, last.length + length <= longest
        {
            operations[operations.count - 1].length += length
            owners[owners.count - 1] = owners[owners.count - 1].lowerBound...number
            return
        }
        operations.append(
            BlockOperation(kind: .read, file: file, memory: memory, length: length, offset: offset))
        owners.append(number...number)
    }

    /// A segment can only be gone with every point that needs it: a second look will tell, and where
    /// all the points are there it is lost.
    private func checkMissing(_ wants: inout [Want]) {
        for (want, key) in missing {
            guard pointChecks.allSatisfy({ $0.want != want || $0.point.live }) else {
                wants[want].mustRetry = true
                continue
            }
            wants[want].failure = .inputOutput
            index.suspect(key)
        }
    }

    /// Reads the blocks of an operation that failed one by one: only those that cannot be read spoil
    /// the wants that they belong to.
    private func readAgain(_ number: Int, _ wants: inout [Want]) {
        let failed = operations[number]
        for offset in stride(from: 0, to: failed.length, by: Geometry.block) {
            let place = failed.memory + offset
            var block = [
                BlockOperation(
                    kind: .read, file: failed.file, memory: place, length: Geometry.block,
                    offset: failed.offset + offset)
            ]
            io.perform(&block)
            guard block[0].failure != 0 else { continue }
            for want in owners[number]
            where !wants[want].isDone && wants[want].failure == nil && wants[want].covers(place) {
                wants[want].failure = HostFailure(errno: block[0].failure)
            }
            if let key = checksums.first(where: { $0.memory == place })?.key {
                index.suspect(key)
            }
        }
    }

    private func check(_ wants: inout [Want]) {
        for number in operations.indices where operations[number].failure != 0 {
            readAgain(number, &wants)
        }
        checkMissing(&wants)
        for (want, index, value) in stampChecks where stamps.load(index) != value {
            wants[want].mustRetry = true
        }
        // One that is being replaced or withdrawn keeps its hold on its point until this operation is over.
        for (want, relationship) in pendingChecks
        where !relationship.pending.contains(Int(wants[want].track)) {
            wants[want].mustRetry = true
        }
        for (want, point) in pointChecks where !point.live {
            if wants[want].view.point === point {
                wants[want].failure = .gone
            } else {
                wants[want].mustRetry = true
            }
        }
        for saved in checksums
        where !wants[saved.want].mustRetry && wants[saved.want].failure == nil
            && Checksum.crc32c(saved.memory, count: Geometry.block) != saved.checksum
        {
            wants[saved.want].failure = .inputOutput
            if let key = saved.key { index.suspect(key) }
        }
        for number in wants.indices where !wants[number].isDone {
            if wants[number].failure == .gone { wants[number].mustRetry = false }
            if wants[number].mustRetry { wants[number].failure = nil }
            wants[number].isDone = !wants[number].mustRetry
        }
    }
}
