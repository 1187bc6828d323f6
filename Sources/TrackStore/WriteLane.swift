import Glibc
import TrackBitmap

/// Writes waves to volumes, saving first what points need.
///
/// One wave goes through these steps; each is one batch of I/O for all of its tracks:
///
///     lock its tracks and decide  →  read old blocks  →  put blocks together
///       →  append what must be saved, make it durable, make it count  →  overwrite
///       →  clear pending bits  →  unlock
///
/// A track that fails in one step is left out of the next ones, and the requests that touch it
/// fail. One lane serves one thread.
///
/// With a journal, a wave of which anything must be saved goes there instead, and so does one of which
/// anything is there:
///
///     lock its tracks and decide  →  put blocks together  →  append to the journal, make it durable
///       →  unlock
///
/// Where the file holds, under a pending track, what points from before the relationship need, the
/// track is copied first, which saves that; then it is written like any other.
final class WriteLane {
    let store: TrackStore
    let io: any BlockIO
    private let resolver: Resolver
    private let index: IndexReader
    private let saver: Saver
    private lazy var copyLane = CopyLane(
        parts: store.parts, io: io, index: index, resolver: resolver)
    private let staging = AlignedMemory(count: (Wave.mostBlocks + 1) * Geometry.block)
    private let zeroes = AlignedMemory(count: Geometry.track)
    private let tracks = Arena(pieceSize: 2 * Geometry.track)
    private let journalLane: JournalLane?
    private var touches = WaveTouches()
    private var wants: [Want] = []
    private var operations: [BlockOperation] = []
    private var found: [SavedEntry] = []
    /// The sequence under which the wave saves.
    private var sequence: UInt64 = 0
    /// The relationship whose pending tracks the wave touches, as the decision found it.
    private var relationship: Relationship?
    /// Regions that must be named before they are overwritten.
    private var unnamed: Set<UInt32> = []
    /// Pending tracks that must be copied before they are written.
    private var unfinished: [UInt32] = []
    /// The wave goes to the journal.
    private var isJournaled = false

    /// A wave of so many blocks is saved for at once: one sync for all of it costs little, and writing it
    /// twice costs more.
    private static let bulk = 64

    private enum Decision {
        /// The tracks are the wave's.
        case taken
        /// Nothing is taken: tracks must be copied first.
        case unfinished
        /// Nothing is taken: what the journal holds of the blocks must reach the file first.
        case mustWait
    }

    init(store: TrackStore, io: any BlockIO, index: IndexReader, resolver: Resolver) {
        self.store = store
        self.io = io
        self.index = index
        self.resolver = resolver
        saver = Saver(parts: store.parts, io: io, blocks: Wave.mostBlocks)
        let zeroes = zeroes
        journalLane = store.parts.journal.map { JournalLane(journal: $0, io: io, zeroes: zeroes) }
    }

    /// Does the writes; sets the failures of the requests they belong to. False where they must wait for the
    /// journal, outside of any operation: nothing is done then.
    func write(
        _ items: inout [WriteItem], of requests: inout [HostRequest], to volume: Volume
    ) -> Bool {
        tracks.reset()
        touches.collect(items)
        do throws(TrackStoreError) {
            deciding: while true {
                switch try lockAndDecide(volume) {
                case .taken: break deciding
                case .unfinished: try finish(volume)
                case .mustWait: return false
                }
            }
        } catch {
            for item in items { requests[item.request].failure = HostFailure(error) }
            return true
        }
        defer { unlock(volume) }
        do throws(TrackStoreError) {
            if isJournaled {
                guard try writeToJournal(&items, volume) else { return false }
            } else {
                try writeToFile(&items, volume)
            }
        } catch {
            touches.fail(HostFailure(error))
        }
        for item in items { requests[item.request].failure ?= touches.failure(of: item) }
        return true
    }

    private func writeToFile(
        _ items: inout [WriteItem], _ volume: Volume
    ) throws(TrackStoreError) {
        try makeRoom(volume)
        let file = try volume.file()
        readOld(&items, volume)
        assemble(items)
        save(volume)
        if !unnamed.isEmpty { try store.parts.recording.ensure(unnamed, of: volume) }
        touches.spreadFailures(over: items)
        overwrite(items, volume, file)
        if let relationship { clearPending(relationship) }
    }

    /// False where the journal has no room.
    private func writeToJournal(
        _ items: inout [WriteItem], _ volume: Volume
    ) throws(TrackStoreError) -> Bool {
        readOld(&items, volume)
        assemble(items)
        if !unnamed.isEmpty { try store.parts.recording.ensure(unnamed, of: volume) }
        touches.spreadFailures(over: items)
        guard let journalLane else { return false }
        return try journalLane.write(items, on: touches.list, after: sequence, to: volume)
    }
}

// Deciding.
extension WriteLane {
    /// Takes all tracks or none, so that two waves never wait for each other, and decides in the
    /// same breath what must be saved: on which side of an instant the wave falls is settled here.
    private func lockAndDecide(_ volume: Volume) throws(TrackStoreError) -> Decision {
        try volume.state.withLock(waitingWhile: { state in
            touches.list.contains { state.lockedTracks.contains($0.track) }
        }) { (state) throws(TrackStoreError) -> Decision in
            guard !volume.isDeleted.load(ordering: .acquiring) else {
                throw TrackStoreError(.unknownVolume, "the volume was deleted", place: volume.name)
            }
            try decide(&state, volume)
            guard unfinished.isEmpty else { return .unfinished }
            guard try chooseWay(state, volume) else { return .mustWait }
            for touch in touches.list { state.lockedTracks.insert(touch.track) }
            record(&state)
            return .taken
        }
    }

    /// Whether the wave goes to the journal; false where it may not, and its blocks are there.
    ///
    /// The decision holds: whoever else writes these tracks waits for the wave, and what is in the journal
    /// goes away only once the file has it.
    private func chooseWay(
        _ state: VolumeState, _ volume: Volume
    ) throws(TrackStoreError) -> Bool {
        isJournaled = false
        guard let journal = store.parts.journal else { return true }
        let isThere =
            !volume.journaled.isEmpty
            && touches.list.contains { volume.journaled.blocks(of: $0.track) & $0.touched != 0 }
        if state.writesDirectly || relationship != nil { return !isThere }
        if journal.hasFailed {
            guard !isThere else {
                throw .system(EIO, "write to the journal after it has failed", volume.name)
            }
            return true
        }
        let blocks = touches.list.reduce(0) { $0 + $1.touched.nonzeroBitCount }
        let gains = blocks < Self.bulk && touches.list.contains { $0.need != 0 }
        guard isThere || gains else { return true }
        isJournaled = true
        for index in touches.indices { touches[index].need = 0 }
        return true
    }

    private func decide(
        _ state: inout VolumeState, _ volume: Volume
    ) throws(TrackStoreError) {
        state.materialise()
        sequence = state.saved.sequence
        relationship = volume.presentsPoint ? volume.inbound : nil
        unfinished.removeAll(keepingCapacity: true)
        let base = relationship?.base ?? 0
        for index in touches.indices {
            let track = touches[index].track
            touches[index].isPending = relationship?.pending.contains(Int(track)) ?? false
            touches[index].missing = 0
            if let relationship, touches[index].isPending {
                touches[index].missing = volume.blocks(ofTrack: track) & ~touches[index].touched
                let old = try self.index.oldNeed(of: track, state, relationship, volume, &found)
                if old.mask != 0 { unfinished.append(track) }
            }
            touches[index].need = try need(
                of: touches[index], &state, volume, after: touches[index].isPending ? base : 0)
        }
    }

    /// The blocks that must be saved before they are overwritten, for points newer than `base`.
    private func need(
        of touch: TrackTouch, _ state: inout VolumeState, _ volume: Volume, after base: UInt64
    ) throws(TrackStoreError) -> UInt16 {
        guard let newest = state.points.last, newest.sequence > base else { return 0 }
        let (points, readers) = (state.points, state.readers)
        // The map is about all points: what only the younger ones need is not for it.
        if touch.isPending {
            guard
                let point = VolumeState.newestNeeding(touch.track, points, readers, after: base)
            else { return 0 }
            try index.findSaved(
                volume, track: touch.track, from: point.sequence, covering: touch.touched,
                into: &found)
            return touch.touched & ~found.reduce(0) { $0 | $1.mask }
        }
        let covered = try state.saved.mask(of: touch.track) { (track) throws(TrackStoreError) in
            guard let point = VolumeState.newestNeeding(track, points, readers) else {
                return .max
            }
            try index.findSaved(
                volume, track: track, from: point.sequence, covering: .max, into: &found)
            return found.reduce(0) { $0 | $1.mask }
        }
        return touch.touched & ~covered
    }

    /// Tells whoever records changes.
    private func record(_ state: inout VolumeState) {
        unnamed.removeAll(keepingCapacity: true)
        guard !state.recorders.isEmpty else { return }
        for touch in touches.list {
            for recorder in state.recorders { recorder.bitmap.insert(Int(touch.track)) }
            if let region = state.intents.touch(touch.track) { unnamed.insert(region) }
        }
    }

    /// Copies the tracks that must be copied before they are written. Where the relationship is about to be
    /// replaced, nothing is copied for it any more: the decision waits for what comes.
    private func finish(_ volume: Volume) throws(TrackStoreError) {
        guard let relationship else { return }
        volume.waitWhileReplacing(relationship)
        for start in stride(from: 0, to: unfinished.count, by: CopyLane.run) {
            let some = Array(unfinished[start..<min(start + CopyLane.run, unfinished.count)])
            let failure = copyLane.copy(some, of: relationship).failure
            guard failure == 0 else { throw .system(failure, "copy tracks", volume.name) }
        }
    }

    /// Lets the oldest points go where there is no room for what must be saved. Then there may be
    /// nothing left to save for, so the wave decides anew what to save; an instant that has come
    /// meanwhile has come before it. What it presents and has pending stays as it was found.
    private func makeRoom(_ volume: Volume) throws(TrackStoreError) {
        let blocks = touches.list.reduce(0) { $0 + $1.need.nonzeroBitCount }
        guard blocks > 0, try store.parts.makeRoom(on: volume, blocks: blocks + 1) else { return }
        try volume.state.withLock { (state) throws(TrackStoreError) in
            state.materialise()
            sequence = state.saved.sequence
            let base = relationship?.base ?? 0
            for index in touches.indices {
                touches[index].need = try need(
                    of: touches[index], &state, volume, after: touches[index].isPending ? base : 0)
            }
            record(&state)
        }
    }

    private func unlock(_ volume: Volume) {
        volume.state.withLock { state in
            for touch in touches.list { state.lockedTracks.remove(touch.track) }
        }
        volume.state.notifyAll()
    }
}

// Reading what was there.
extension WriteLane {
    private func readOld(_ items: inout [WriteItem], _ volume: Volume) {
        wants.removeAll(keepingCapacity: true)
        var place = saver.firstBlock
        for index in touches.indices {
            let touch = touches[index]
            if touch.need != 0 {
                touches[index].saved = place
                wants.append(want(touch, touch.need, place, touch.need, volume))
                place += touch.need.nonzeroBitCount * Geometry.block
            }
            if touch.missing != 0 {
                let memory = tracks.take(Geometry.track)
                touches[index].copied = memory
                wants.append(want(touch, touch.missing, memory, .max, volume))
            }
        }
        stage(&items, volume)
        guard !wants.isEmpty else { return }
        resolver.read(&wants)
        for want in wants {
            guard let failure = want.failure else { continue }
            touches[touches.index(of: want.track)].failure ?= failure
        }
    }

    /// Blocks as the decision found them: what the volume presents may be replaced meanwhile.
    private func want(
        _ touch: TrackTouch, _ mask: UInt16, _ memory: UnsafeMutableRawPointer, _ layout: UInt16,
        _ volume: Volume
    ) -> Want {
        if touch.isPending, let relationship, let point = relationship.point {
            return Want(
                relationship.source, at: point, track: touch.track, mask: mask, into: memory,
                layout: layout)
        }
        if isJournaled {
            return Want(volume, track: touch.track, mask: mask, into: memory, layout: layout)
        }
        return Want(
            fileOf: volume, track: touch.track, mask: mask, into: memory, layout: layout)
    }

    /// Gives items their staging places, and wants the blocks that they overwrite in part, unless
    /// these are read to be saved anyway.
    private func stage(_ items: inout [WriteItem], _ volume: Volume) {
        var place = staging.start
        for number in items.indices {
            let item = items[number]
            let partial = item.partialBlocks
            if item.isZero, partial.isEmpty { continue }
            items[number].staged = place
            for block in partial {
                let track = UInt32(block / Geometry.blocksPerTrack)
                let bit = block % Geometry.blocksPerTrack
                let mask = UInt16(1) << UInt16(bit)
                let touch = touches[touches.index(of: track)]
                guard touch.need & mask == 0 else { continue }
                let memory = place + (block - item.firstBlock) * Geometry.block
                wants.append(want(touch, mask, memory, mask, volume))
            }
            place += (item.endBlock - item.firstBlock) * Geometry.block
        }
    }

    /// Puts the new blocks together in the staging places.
    private func assemble(_ items: [WriteItem]) {
        for item in items {
            guard let staged = item.staged else { continue }
            for block in item.partialBlocks {
                let touch = touches[touches.index(of: UInt32(block / Geometry.blocksPerTrack))]
                let bit = block % Geometry.blocksPerTrack
                guard let saved = touch.saved, touch.need & (1 << UInt16(bit)) != 0 else {
                    continue
                }
                memcpy(
                    staged + (block - item.firstBlock) * Geometry.block,
                    saved + touch.need.rank(of: bit) * Geometry.block, Geometry.block)
            }
            let inside = Int(item.offset) % Geometry.block
            if let source = item.source {
                memcpy(staged + inside, source, item.length)
            } else {
                memset(staged + inside, 0, item.length)
            }
        }
    }
}

// Saving.
extension WriteLane {
    /// Saves what is to be overwritten, but for tracks that have failed.
    private func save(_ volume: Volume) {
        saver.begin()
        for touch in touches.list {
            guard let saved = touch.saved, touch.failure == nil else { continue }
            saver.add(track: touch.track, mask: touch.need, sequence: sequence, at: saved)
        }
        do throws(TrackStoreError) {
            try saver.save(to: volume)
        } catch {
            for index in touches.indices where touches[index].need != 0 {
                touches[index].failure ?= HostFailure(error)
            }
        }
    }
}

// Overwriting.
extension WriteLane {
    private func overwrite(_ items: [WriteItem], _ volume: Volume, _ file: Int32) {
        operations.removeAll(keepingCapacity: true)
        for item in items where touches.failure(of: item) == nil {
            if item.isZero {
                zero(item, volume, file)
            } else if let staged = item.staged {
                add(file, item.firstBlock, item.endBlock - item.firstBlock, staged)
            }
        }
        for touch in touches.list where touch.failure == nil {
            guard let copied = touch.copied else { continue }
            var bit = 0
            while let run = touch.missing.run(from: bit) {
                bit = run.upperBound
                add(
                    file, Int(touch.track) * Geometry.blocksPerTrack + run.lowerBound, run.count,
                    copied + run.lowerBound * Geometry.block)
            }
        }
        if !operations.isEmpty { io.perform(&operations) }
        volume.noteWrite()
        for operation in operations where operation.failure != 0 {
            fail(operation.offset, operation.length, operation.failure)
        }
    }

    private func add(_ file: Int32, _ block: Int, _ count: Int, _ memory: UnsafeMutableRawPointer) {
        operations.append(
            BlockOperation(
                kind: .write, file: file, memory: memory, length: count * Geometry.block,
                offset: block * Geometry.block))
    }

    private func fail(_ offset: Int, _ length: Int, _ number: Int32) {
        let tracks = offset / Geometry.track...(offset + length - 1) / Geometry.track
        for index in touches.indices where tracks.contains(Int(touches[index].track)) {
            touches[index].failure ?= HostFailure(errno: number)
        }
    }

    /// Whole tracks become holes where they may; other whole blocks are overwritten with zeroes;
    /// blocks zeroed in part have been staged.
    private func zero(_ item: WriteItem, _ volume: Volume, _ file: Int32) {
        let whole = item.wholeBlocks
        var holes = whole.lowerBound..<whole.lowerBound
        if item.mayPunch {
            let first = (whole.lowerBound + 15) / 16 * 16
            let isToTheEnd = whole.upperBound == Geometry.blocks(covering: volume.capacity)
            let end = isToTheEnd ? whole.upperBound : whole.upperBound / 16 * 16
            if end > first { holes = punch(first..<end, file) }
        }
        addZeroes(file, whole.lowerBound..<(holes.isEmpty ? whole.upperBound : holes.lowerBound))
        if !holes.isEmpty { addZeroes(file, holes.upperBound..<whole.upperBound) }
        guard let staged = item.staged else { return }
        for block in item.partialBlocks {
            add(file, block, 1, staged + (block - item.firstBlock) * Geometry.block)
        }
    }

    /// The blocks that are holes now: all of them, or none where the file system has no holes.
    private func punch(_ blocks: Range<Int>, _ file: Int32) -> Range<Int> {
        let offset = blocks.lowerBound * Geometry.block
        let length = blocks.count * Geometry.block
        let failure = io.punch(file, offset: offset, length: length)
        if failure == EOPNOTSUPP { return blocks.lowerBound..<blocks.lowerBound }
        if failure != 0 { fail(offset, length, failure) }
        return blocks
    }

    private func addZeroes(_ file: Int32, _ blocks: Range<Int>) {
        var block = blocks.lowerBound
        while block < blocks.upperBound {
            let count = min(Geometry.blocksPerTrack, blocks.upperBound - block)
            add(file, block, count, zeroes.start)
            block += count
        }
    }

    /// The tracks are whole in the target's file, so they are read from there from now on.
    private func clearPending(_ relationship: Relationship) {
        for touch in touches.list where touch.isPending && touch.failure == nil {
            relationship.pending.remove(Int(touch.track))
        }
        if relationship.pending.memberCount == 0, !relationship.drained { store.copier.wake() }
    }
}
