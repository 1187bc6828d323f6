import Glibc
import Synchronization
import TrackBitmap

/// A volume to be made.
public struct NewVolume: Sendable, Hashable {
    /// Four hexadecimal digits.
    public var id: String
    /// Bytes: a multiple of 512, at least 512.
    public var capacity: UInt64
    /// Safeguarded capacity as a multiple of the capacity; 0 for none.
    public var multiplier: UInt32

    /// Describes a volume to be made.
    public init(id: String, capacity: UInt64, multiplier: UInt32) {
        self.id = id
        self.capacity = capacity
        self.multiplier = multiplier
    }
}

extension TrackStore {
    /// Makes volumes, all or none. One that is there already with the same capacity and multiplier
    /// is made already.
    ///
    /// Errors: `invalidArgument`, `volumeExists`, `noSpace`, `inputOutput`.
    public func createVolumes(_ wanted: [NewVolume]) throws(TrackStoreError) {
        try parts.control.withLock { (_) throws(TrackStoreError) in
            try checkOpen()
            var fresh: [Volume] = []
            var numbers: Set<UInt16> = []
            for new in wanted {
                guard let volume = try volumeToMake(new) else { continue }
                guard numbers.insert(volume.number).inserted else {
                    throw TrackStoreError(
                        .invalidArgument, "the volume is named twice", place: new.id)
                }
                fresh.append(volume)
            }
            guard !fresh.isEmpty else { return }
            var made: [Volume] = []
            do throws(TrackStoreError) {
                for volume in fresh {
                    made.append(volume)
                    try makeFile(of: volume, sync: fresh.count <= 64)
                }
                if fresh.count > 64 { try Files.syncFileSystem(directory) }
                try Files.syncDirectory(directory + "/volumes")
                try catalogue.write { (transaction) throws(TrackStoreError) in
                    for volume in fresh { try Self.put(volume, in: transaction) }
                }
            } catch {
                for volume in made { unlink(volume.path) }
                throw error
            }
            volumes.withLock { volumes in for volume in fresh { volumes[volume.number] = volume } }
        }
    }

    /// Nil where there is such a volume.
    private func volumeToMake(_ new: NewVolume) throws(TrackStoreError) -> Volume? {
        guard let number = Volume.number(new.id) else {
            throw TrackStoreError(
                .invalidArgument, "a volume's id is four hexadecimal digits", place: new.id)
        }
        try Self.check(capacity: new.capacity, of: new.id)
        if let volume = volumes.withLock({ $0[number] }) {
            guard volume.capacity == new.capacity, volume.multiplier == new.multiplier else {
                throw TrackStoreError(
                    .volumeExists, "there is a volume '\(new.id)' already", place: new.id)
            }
            return nil
        }
        let path = path(ofVolume: number)
        guard Files.allocated(path) == 0 else {
            throw TrackStoreError(
                .volumeExists, "a file that is no volume of this store is in the way", place: path)
        }
        return Volume(
            number: number, path: path,
            record: VolumeRecord(capacity: new.capacity, multiplier: new.multiplier), points: [],
            log: SaveLog(volume: number, directory: self.path(ofSaves: number)))
    }

    private static func check(capacity: UInt64, of id: String) throws(TrackStoreError) {
        guard capacity > 0, capacity % 512 == 0, capacity <= 1 << 47 else {
            throw TrackStoreError(
                .invalidArgument, "a capacity is a multiple of 512 bytes up to 128 TiB", place: id)
        }
    }

    private func makeFile(of volume: Volume, sync: Bool) throws(TrackStoreError) {
        let file = try OpenFile(volume.path, .empty)
        try Files.setLength(file, Files.volumeLength(volume.capacity))
        guard !sync || fsync(file.descriptor) == 0 else {
            throw .system(errno, "sync a new volume", volume.path)
        }
    }

    static func put(
        _ volume: Volume, in transaction: borrowing Catalogue.Transaction
    ) throws(TrackStoreError) {
        let record = VolumeRecord(capacity: volume.capacity, multiplier: volume.multiplier)
        try transaction.put(.volumes, Key.volume(volume.number), record.bytes)
    }

    /// Deletes volumes with their content, all or none. One that is not there is deleted already.
    ///
    /// Errors: `volumeInUse` where one has points or relationships, or is about to get them;
    /// `inputOutput`.
    public func deleteVolumes(_ ids: [String]) throws(TrackStoreError) {
        try parts.control.withLock { (_) throws(TrackStoreError) in
            try checkOpen()
            let known = ids.filter { id in
                Volume.number(id).map { number in volumes.withLock { $0[number] } != nil } ?? false
            }
            let leaving = try volumes(known)
            for volume in leaving { try checkUnused(volume) }
            // Who has entered one meanwhile relies on its being out of the journal.
            defer {
                let busy = busy.withLock { $0 }
                giveToJournal(leaving.map(\.number).filter { !busy.contains($0) })
            }
            try takeOutOfJournal(leaving)
            try catalogue.write { (transaction) throws(TrackStoreError) in
                for volume in leaving {
                    let key = Key.volume(volume.number)
                    try transaction.delete(.volumes, key)
                    try transaction.delete(.tails, key)
                    try transaction.delete(.sweeps, key)
                    try transaction.delete(.targetNotes, key)
                    for table in [Catalogue.Table.segments, .punched, .saved, .damages, .pending] {
                        _ = try transaction.deleteAll(table, prefix: key)
                    }
                    try transaction.put(.meta, Key.removed(volume.name), [])
                }
            }
            volumes.withLock { volumes in
                for volume in leaving {
                    volume.isDeleted.store(true, ordering: .sequentiallyConsistent)
                    volumes[volume.number] = nil
                }
            }
            parts.epochs.quiesce()
            // The reclaimer may be making a segment for one of them.
            parts.reclaimer.drain()
            for volume in leaving { try removeFiles(ofVolume: volume.number) }
        }
    }

    private func checkUnused(_ volume: Volume) throws(TrackStoreError) {
        let hasPoints = volume.state.withLock { !$0.points.isEmpty || $0.prepared != nil }
        guard !hasPoints, copier.targets(of: volume) == 0, volume.inbound == nil else {
            throw TrackStoreError(
                .volumeInUse, "the volume has points or a relationship", place: volume.name)
        }
        // What it may be the target of, once an instant has come, knows it already.
        guard busy.withLock({ !$0.contains(volume.number) }) else {
            throw TrackStoreError(
                .volumeInUse, "the volume takes part in an instant", place: volume.name)
        }
    }

    /// Removes what a deleted volume leaves, then the note that it has to be removed.
    func removeFiles(ofVolume number: UInt16) throws(TrackStoreError) {
        let saves = path(ofSaves: number)
        for name in try Files.names(in: saves) { try Files.remove(saves + "/" + name) }
        try Files.removeDirectory(saves)
        try Files.remove(path(ofVolume: number))
        try catalogue.write { (transaction) throws(TrackStoreError) in
            try transaction.delete(.meta, Key.removed(Volume.name(number)))
        }
    }

    /// Makes volumes larger, all or none; the new space reads as zeroes. The same size changes
    /// nothing.
    ///
    /// Errors: `unknownVolume`, `wouldShrink`, `invalidArgument`, `noSpace`, `inputOutput`.
    public func expandVolumes(_ changes: [(id: String, capacity: UInt64)]) throws(TrackStoreError) {
        try parts.control.withLock { (_) throws(TrackStoreError) in
            try checkOpen()
            var growing: [(volume: Volume, capacity: UInt64)] = []
            for (id, capacity) in changes {
                let volume = try volume(id)
                try Self.check(capacity: capacity, of: id)
                guard capacity >= volume.capacity else {
                    throw TrackStoreError(
                        .wouldShrink, "a volume never shrinks", place: id)
                }
                growing.append((volume, capacity))
            }
            for (volume, capacity) in growing {
                let file = try volume.file()
                guard ftruncate(file, Files.volumeLength(capacity)) == 0, fsync(file) == 0 else {
                    throw .system(errno, "enlarge a volume", volume.path)
                }
            }
            let larger = growing
            try catalogue.write { (transaction) throws(TrackStoreError) in
                for (volume, capacity) in larger {
                    let record = VolumeRecord(capacity: capacity, multiplier: volume.multiplier)
                    try transaction.put(.volumes, Key.volume(volume.number), record.bytes)
                }
            }
            for (volume, capacity) in growing {
                volume.capacity = capacity
                parts.noteUsage(of: volume)
            }
        }
    }

    /// Sets the new totals of safeguarded capacity, as multiples of the volumes' capacity, all or
    /// none. A smaller total takes effect with the next save.
    ///
    /// Errors: `unknownVolume`, `inputOutput`.
    public func setSafeguardedMultiplier(
        _ changes: [(id: String, multiplier: UInt32)]
    ) throws(TrackStoreError) {
        try parts.control.withLock { (_) throws(TrackStoreError) in
            try checkOpen()
            var changing: [(volume: Volume, multiplier: UInt32)] = []
            for (id, multiplier) in changes { changing.append((try volume(id), multiplier)) }
            let new = changing
            try catalogue.write { (transaction) throws(TrackStoreError) in
                for (volume, multiplier) in new {
                    let record = VolumeRecord(capacity: volume.capacity, multiplier: multiplier)
                    try transaction.put(.volumes, Key.volume(volume.number), record.bytes)
                }
            }
            for (volume, multiplier) in changing {
                volume.multiplier = multiplier
                parts.noteUsage(of: volume)
            }
        }
    }
}
