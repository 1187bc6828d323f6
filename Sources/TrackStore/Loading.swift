import Glibc
import Synchronization
import TrackBitmap

// Bringing a store up from what is on disk, before any other thread knows it.
extension TrackStore {
    /// What the index says, read in one transaction.
    private struct Rows {
        var nextSequence: UInt64 = 1
        var removed: [UInt16] = []
        var volumes: [(number: UInt16, record: VolumeRecord)] = []
        var points: [UInt16: [Point]] = [:]
        var logs: [UInt16: SaveLog.Recorded] = [:]
        var relationships: [(target: UInt16, record: RelationshipRecord)] = []
        var intents: [UInt16: [UInt32]] = [:]
        var notes: [UInt16: TargetNote] = [:]
    }

    func load(_ journal: WriteJournal) throws(TrackStoreError) {
        let io = makeIO()
        let rows = try readRows()
        var next = rows.nextSequence
        var loaded: [UInt16: Volume] = [:]
        for (number, record) in rows.volumes {
            let points = rows.points[number] ?? []
            let log = SaveLog(volume: number, directory: path(ofSaves: number))
            let newest = try log.recover(rows.logs[number] ?? .init(), through: io)
            next = max(next, newest + 1, (points.last?.sequence ?? 0) + 1)
            let volume = Volume(
                number: number, path: path(ofVolume: number), record: record, points: points,
                log: log)
            volume.note.withLock { $0 = rows.notes[number] ?? TargetNote() }
            loaded[number] = volume
            if !log.pending.isEmpty { parts.index.note(volume, entries: 0) }
        }
        let volumes = loaded
        let recovered = try journal.recover(volumes, through: io)
        // Damage of what was saved is found by block; here hosts' writes may be missing.
        for place in recovered.damages { parts.tell(.storageFailed(place: place, errno: EIO)) }
        let nextSequence = max(next, recovered.newest + 1)
        self.volumes.withLock { $0 = volumes }
        parts.control.withLock { $0.nextSequence = nextSequence }
        for number in rows.removed where volumes[number] == nil {
            try removeFiles(ofVolume: number)
        }
        try parts.index.commit(through: io)
        // What another one feeds comes after that.
        for isFast in [false, true] {
            for (target, record) in rows.relationships
            where record.flags.contains(.fastReverse) == isFast {
                try loadRelationship(target, record)
            }
        }
        for (number, regions) in rows.intents {
            if let volume = volumes[number] { parts.recording.load(regions, of: volume) }
        }
        try dropUnread(volumes.values)
        for volume in volumes.values {
            try completeFile(of: volume)
            parts.remove([], from: volume)
        }
        try parts.damages.refresh(volumes)
        try resumeSweeps()
    }

    private func readRows() throws(TrackStoreError) -> Rows {
        let place = directory + "/index"
        return try catalogue.read { (transaction) throws(TrackStoreError) in
            var rows = Rows()
            try transaction.scan(.meta, prefix: []) { (key, value) throws(TrackStoreError) in
                if key.elementsEqual(Key.nextSequence) {
                    rows.nextSequence = try NumberRecord(row: value, place).number
                } else if key.starts(with: Key.removedPrefix) {
                    let name = String(
                        decoding: key.dropFirst(Key.removedPrefix.count), as: UTF8.self)
                    if let number = Volume.number(name) { rows.removed.append(number) }
                }
                return true
            }
            try transaction.scan(.volumes, prefix: []) { (key, value) throws(TrackStoreError) in
                var reader = KeyReader(key)
                rows.volumes.append((reader.take(UInt16.self), try VolumeRecord(row: value, place)))
                return true
            }
            try transaction.scan(.points, prefix: []) { (key, value) throws(TrackStoreError) in
                var reader = KeyReader(key)
                let volume = reader.take(UInt16.self)
                let record = try PointRecord(row: value, place)
                rows.points[volume, default: []].append(
                    Point(
                        sequence: reader.take(UInt64.self), tag: record.tag, time: record.time,
                        capacity: record.capacity, settled: true))
                return true
            }
            try transaction.scan(.relationships, prefix: []) {
                (key, value) throws(TrackStoreError) in
                var reader = KeyReader(key)
                let record = try RelationshipRecord(row: value, place)
                rows.relationships.append((reader.take(UInt16.self), record))
                return true
            }
            try transaction.scan(.intents, prefix: []) { (key, _) throws(TrackStoreError) in
                var reader = KeyReader(key)
                rows.intents[reader.take(UInt16.self), default: []].append(
                    reader.take(UInt32.self))
                return true
            }
            try readNotes(transaction, into: &rows.notes, place)
            try readLogs(transaction, into: &rows.logs, place)
            return rows
        }
    }

    private func readNotes(
        _ transaction: borrowing Catalogue.Transaction, into notes: inout [UInt16: TargetNote],
        _ place: String
    ) throws(TrackStoreError) {
        var found = notes
        try transaction.scan(.targetNotes, prefix: []) { (key, value) throws(TrackStoreError) in
            var reader = KeyReader(key)
            found[reader.take(UInt16.self)] = try TargetNote(row: value, place)
            return true
        }
        notes = found
    }

    private func readLogs(
        _ transaction: borrowing Catalogue.Transaction, into logs: inout [UInt16: SaveLog.Recorded],
        _ place: String
    ) throws(TrackStoreError) {
        var found = logs
        try transaction.scan(.tails, prefix: []) { (key, value) throws(TrackStoreError) in
            var reader = KeyReader(key)
            found[reader.take(UInt16.self), default: .init()].tail = try TailRecord(
                row: value, place)
            return true
        }
        try transaction.scan(.segments, prefix: []) { (key, value) throws(TrackStoreError) in
            var reader = KeyReader(key)
            let volume = reader.take(UInt16.self)
            let segment = reader.take(UInt32.self)
            found[volume, default: .init()].segments[segment] = try SegmentRecord(
                row: value, place)
            return true
        }
        try transaction.scan(.punched, prefix: []) { (key, value) throws(TrackStoreError) in
            var reader = KeyReader(key)
            let volume = reader.take(UInt16.self)
            let segment = reader.take(UInt32.self)
            found[volume, default: .init()].punched[segment] = PunchedBlocks(value)
            return true
        }
        logs = found
    }

    private func loadRelationship(
        _ number: UInt16, _ record: RelationshipRecord
    ) throws(TrackStoreError) {
        let known = volumes.withLock { $0 }
        guard let target = known[number], let source = known[record.source] else {
            throw TrackStoreError(
                .damaged, "a relationship of a volume that is not there",
                place: Volume.name(number))
        }
        let point = source.state.withLock { state in
            state.points.first { $0.sequence == record.sequence }
        }
        let relationship = Relationship(
            source: source, target: target, point: point, record: record,
            changes: Self.changes(of: record, target),
            feeding: record.flags.contains(.fastReverse) ? feeding(target, source, record) : nil,
            held: try heldPoint(record, target), successor: try successor(record, target))
        try loadPages(of: relationship)
        // A revert that has every track is yet to be followed by what it leads to.
        let isDrained =
            relationship.pending.memberCount == 0 && relationship.successor == nil
            && (relationship.isPersistent || point == nil)
        if isDrained {
            relationship.isDrained.store(true, ordering: .releasing)
        } else if let point {
            point.pins.add(1, ordering: .acquiringAndReleasing)
        } else if relationship.pending.memberCount > 0 {
            throw TrackStoreError(
                .damaged, "a relationship whose point is not there", place: target.name)
        }
        if !isDrained, let point {
            source.state.withLock { state in
                state.readers.append(
                    PointReader(point: point, target: number, stored: relationship.stored))
            }
        }
        loadRecorders(of: relationship.shown)
        target.present(relationship)
        copier.add(relationship)
    }

    private static func changes(
        of record: RelationshipRecord, _ target: Volume
    ) -> RecordedChanges? {
        guard record.flags.contains(.recordsChanges) else { return nil }
        return RecordedChanges(
            tracks: Geometry.tracks(covering: record.capacity), target: target.number)
    }

    private func loadRecorders(of relationship: Relationship) {
        guard let changes = relationship.changes else { return }
        changes.settle()
        relationship.source.state.withLock { $0.recorders.append(changes.source) }
        relationship.target.state.withLock { $0.recorders.append(changes.target) }
    }

    /// The point of the target that is kept until a refresh is committed, pinned again.
    private func heldPoint(
        _ record: RelationshipRecord, _ target: Volume
    ) throws(TrackStoreError) -> Point? {
        guard let held = record.held else { return nil }
        return try target.state.withLock { (state) throws(TrackStoreError) in
            guard let point = state.points.first(where: { $0.sequence == held.sequence }) else {
                throw TrackStoreError(
                    .damaged, "what a refresh has replaced is not there", place: target.name)
            }
            point.pins.add(1, ordering: .acquiringAndReleasing)
            state.readers.append(
                PointReader(point: point, target: target.number, stored: nil))
            return point
        }
    }

    /// What holds after a revert.
    private func successor(
        _ record: RelationshipRecord, _ target: Volume
    ) throws(TrackStoreError) -> Relationship? {
        guard let after = record.afterRevert else { return nil }
        guard let source = volumes.withLock({ $0[after.source] }) else {
            throw TrackStoreError(
                .damaged, "a revert from a volume that is not there", place: target.name)
        }
        return .successor(after, source, target, Self.changes(of: after, target))
    }

    /// What feeds the source of a fast reverse restore: the older relationship the other way round.
    private func feeding(
        _ target: Volume, _ source: Volume, _ record: RelationshipRecord
    ) -> Relationship? {
        guard let inbound = source.inbound, inbound.source === target, inbound.base < record.base
        else { return nil }
        return inbound
    }

    private func loadPages(of relationship: Relationship) throws(TrackStoreError) {
        let target = relationship.target
        let unreadable = TrackStoreError(
            .damaged, "a page of tracks cannot be read", place: target.name)
        try catalogue.read { (transaction) throws(TrackStoreError) in
            let prefix = Key.volume(target.number)
            try transaction.scan(.pending, prefix: prefix) {
                (key, value) throws(TrackStoreError) in
                var reader = KeyReader(key)
                _ = reader.take(UInt16.self)
                let page = Int(reader.take(UInt32.self))
                guard relationship.pending.load(page: page, from: value),
                    relationship.stored.load(page: page, from: value)
                else { throw unreadable }
                return true
            }
            guard let changes = relationship.shown.changes else { return }
            try transaction.scan(.changes, prefix: prefix) {
                (key, value) throws(TrackStoreError) in
                var reader = KeyReader(key)
                _ = reader.take(UInt16.self)
                let isSource = reader.take(UInt8.self) == RelationshipSide.source.rawValue
                let page = Int(reader.take(UInt32.self))
                let recorder = isSource ? changes.source : changes.target
                guard recorder.bitmap.load(page: page, from: value) else { throw unreadable }
                return true
            }
        }
    }

    /// Lets go of points that only relationships kept which are gone, or have every track.
    private func dropUnread(_ volumes: some Sequence<Volume>) throws(TrackStoreError) {
        var unread: [(volume: Volume, point: Point)] = []
        for volume in volumes {
            for point in volume.state.withLock({ $0.points })
            where !point.isSafeguarded && !point.isPinned { unread.append((volume, point)) }
        }
        guard !unread.isEmpty else { return }
        let points = unread
        try catalogue.write { (transaction) throws(TrackStoreError) in
            try StoreParts.deleteRows(of: points, transaction)
        }
        for (volume, point) in points { parts.retire(point, of: volume) }
    }

    /// A file that is too short was to be enlarged when the store stopped; a missing one is damage.
    private func completeFile(of volume: Volume) throws(TrackStoreError) {
        let file = try OpenFile(volume.path, .existing)
        let length = Files.volumeLength(volume.capacity)
        if try Files.length(file) < length { try Files.setLength(file, length) }
    }
}
