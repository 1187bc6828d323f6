import TrackBitmap

// What has changed since a point: what a backup program has to pull.
//
// Exact by block, without any bitmap beside the saves. While a volume has safeguarded points, a block is
// saved before it is first overwritten after the newest of them, so the blocks that differ between a
// point p and a later instant are among those saved at or after p and before that instant. A volume with
// points has one other way to change: something is established onto it. Tracks that it presents and does
// not hold have changed as a whole; when they are copied, the file's blocks are saved for p. A block
// overwritten by what it held before counts as changed.
extension TrackStore {
    /// The tags of the points that changes of a device can be asked against, oldest first: those of its
    /// volume that can be read and are not later than what the device shows. From any thread.
    public func changeBases(of device: OpenDevice) -> [String] {
        let last = device.point?.sequence ?? .max
        return device.volume.state.withLock { state in
            state.points.filter { $0.isRecoverable && $0.sequence <= last }.map(\.tag)
        }
    }
}

extension HostChannel {
    /// How many tracks one question is answered for at most: some 50 ms of looking up.
    private static let mostTracks = 16_384

    /// Which parts of a range of the device differ from what the volume held at the point `tag`, in
    /// order, in at most `limit` pieces (1 or more); their lengths, in bytes, may sum to less than the
    /// range. What lies beyond the volume's size at the point counts as changed. Empty where the range
    /// is not inside the device.
    ///
    /// Errors: `unknownPoint` where the volume has no such point, or only one later than the device
    /// shows; `inputOutput`, `damaged`, `closed`.
    public func changes(
        of device: OpenDevice, since tag: String, offset: UInt64, length: UInt64, limit: Int
    ) throws(TrackStoreError) -> [(length: UInt64, isChanged: Bool)] {
        guard length > 0, offset <= device.capacity, length <= device.capacity - offset else {
            return []
        }
        var pieces = ChangePieces(offset: offset, end: offset + length, limit: max(limit, 1))
        var failure: TrackStoreError?
        during {
            do throws(TrackStoreError) {
                try collectChanges(of: device, since: tag, into: &pieces)
            } catch { failure = error }
        }
        if let failure { throw failure }
        return pieces.done
    }

    private func collectChanges(
        of device: OpenDevice, since tag: String, into pieces: inout ChangePieces
    ) throws(TrackStoreError) {
        try store.checkOpen()
        let volume = device.volume
        let end = device.point?.sequence ?? .max
        guard let base = volume.state.withLock({ $0.point(tag) }), base.settled,
            base.sequence <= end
        else {
            throw TrackStoreError(
                .unknownPoint, "the volume has no point '\(tag)' before this", place: volume.name)
        }
        // The last block of a volume that has grown since may have been inside in part only.
        let known =
            base.capacity == device.capacity
            ? Geometry.blocks(covering: base.capacity) : Int(base.capacity) / Geometry.block
        let inbound = volume.presentsPoint ? volume.inbound : nil
        let replaced = inbound.flatMap { base.sequence < $0.base && $0.base < end ? $0 : nil }
        var found: [SavedEntry] = []
        var track = Int(pieces.position) / Geometry.track
        let last = min((Int(pieces.end) - 1) / Geometry.track, track + Self.mostTracks - 1)
        while track <= last, !pieces.isFull {
            // Asked first: what is copied from now on is saved before it is pending no more.
            let isReplaced = replaced?.pending.contains(track) ?? false
            let journaled = volume.journaled.blocks(
                of: UInt32(track), from: base.sequence, before: end)
            try index.find(volume, track: UInt32(track), from: base.sequence, into: &found)
            var mask = found.reduce(UInt16(0)) { $1.sequence < end ? $0 | $1.mask : $0 }
            // What a relationship presents instead of the file, once it is copied, is saved for too.
            if isReplaced { mask = .max }
            mask |= journaled
            let inside = min(
                max(known - track * Geometry.blocksPerTrack, 0), Geometry.blocksPerTrack)
            mask |= ~UInt16(blocks: 0..<inside)
            pieces.add(mask, track: track)
            track += 1
        }
        // A point that went meanwhile may have taken with it what was saved for it.
        let isGone = !base.live || device.point.map { !$0.live } ?? false
        if isGone {
            throw TrackStoreError(.unknownPoint, "the point has just gone", place: volume.name)
        }
    }
}

/// Runs of changed and unchanged bytes, as they are put together.
private struct ChangePieces {
    private(set) var done: [(length: UInt64, isChanged: Bool)] = []
    private(set) var position: UInt64
    let end: UInt64
    private let limit: Int

    init(offset: UInt64, end: UInt64, limit: Int) {
        position = offset
        self.end = end
        self.limit = limit
    }

    /// True where another piece would be one too many; the last may still grow.
    private(set) var isFull = false

    /// Adds the blocks of a track from the present position on.
    mutating func add(_ mask: UInt16, track: Int) {
        let start = UInt64(track * Geometry.track)
        for block in 0..<Geometry.blocksPerTrack {
            let blockEnd = min(start + UInt64((block + 1) * Geometry.block), end)
            guard blockEnd > position else { continue }
            append(blockEnd - position, isChanged: mask & (1 << UInt16(block)) != 0)
            if isFull || position == end { return }
        }
    }

    private mutating func append(_ length: UInt64, isChanged: Bool) {
        if let last = done.last, last.isChanged == isChanged {
            done[done.count - 1].length += length
        } else if done.count < limit {
            done.append((length, isChanged))
        } else {
            isFull = true
            return
        }
        position += length
    }
}
