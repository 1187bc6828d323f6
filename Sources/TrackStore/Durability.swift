import Synchronization
import TrackBitmap

extension TrackStore {
    /// Makes what was written to a volume durable: data first, then the bits that say that its file
    /// holds them. By the caller's thread.
    func flush(_ volume: Volume, through io: any BlockIO) throws(TrackStoreError) {
        if let relationship = volume.inbound, !relationship.drained {
            try relationship.persist(in: catalogue, through: io)
        } else {
            try Self.sync(volume, through: io)
        }
    }

    /// The same for many volumes, as far as they have been written to: with many, the file system
    /// is synced once instead.
    func makeDurable(_ volumes: [Volume], through io: any BlockIO) throws(TrackStoreError) {
        let dirty = volumes.compactMap { volume in
            volume.unsynced.map { (volume: volume, written: $0) }
        }
        if dirty.count > 64 { try Files.syncFileSystem(directory) }
        for (volume, written) in dirty {
            if let relationship = volume.inbound, !relationship.drained {
                try relationship.persist(in: catalogue, through: io)
                volume.noteSync(written)
            } else if dirty.count <= 64 {
                try Self.sync(volume, through: io)
            } else {
                volume.noteSync(written)
            }
        }
    }

    /// Nothing to do where a sync has covered everything that was written: what is in the journal is
    /// durable there.
    private static func sync(_ volume: Volume, through io: any BlockIO) throws(TrackStoreError) {
        guard let written = volume.unsynced else { return }
        let failure = io.sync(try volume.file())
        guard failure == 0 else { throw .system(failure, "sync a volume", volume.path) }
        volume.noteSync(written)
    }
}

extension Relationship {
    /// Makes the target's data durable, and then the bits that were clear before; or finds that the
    /// relationship is one no more.
    func persist(in catalogue: Catalogue, through io: any BlockIO) throws(TrackStoreError) {
        while try !store(in: catalogue, through: io), target.inbound === self {
            // The transaction that was to end it may have failed.
            target.waitWhileReplacing(self)
        }
    }

    /// False where it was marked as withdrawn.
    private func store(
        in catalogue: Catalogue, through io: any BlockIO
    ) throws(TrackStoreError) -> Bool {
        try persisting.withLock { (_: inout Void) throws(TrackStoreError) -> Bool in
            let changed = pending.takeChangedPages()
            let pages = changed.map { (number: $0, bytes: pending.bytes(ofPage: $0)) }
            do throws(TrackStoreError) {
                let failure = io.sync(try target.file())
                guard failure == 0 else { throw .system(failure, "sync a volume", target.path) }
                guard !pages.isEmpty else { return true }
                let isStored = try catalogue.write { (transaction) throws(TrackStoreError) in
                    // Once withdrawn, the rows may be another relationship's.
                    guard !withdrawn else { return false }
                    for page in pages {
                        try transaction.put(
                            .pending, Key.page(target.number, page.number), page.bytes)
                    }
                    return true
                }
                guard isStored else {
                    for page in changed { pending.markChanged(page: page) }
                    return false
                }
                // Nothing is saved any more for tracks that are durably here.
                for page in pages {
                    page.bytes.withUnsafeBytes { _ = stored.load(page: page.number, from: $0) }
                }
                return true
            } catch {
                for page in changed { pending.markChanged(page: page) }
                throw error
            }
        }
    }
}
