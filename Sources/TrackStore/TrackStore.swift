import Glibc
import Synchronization
import TrackBitmap

/// A storage system out of plain files: volumes, their points, and the relationships between them.
///
/// One directory belongs to one store at a time. Hosts go through `HostChannel`, any number of them
/// side by side. The control functions block their thread until what they did is durable; they may
/// be called from any thread that may block, and are done one after the other.
///
///     <directory>/lock           held while the store is open
///     <directory>/volumes/<id>   the volumes, sparse raw files
///     <directory>/saves/<id>/    what was saved of them, in segments
///     <directory>/index/         one LMDB environment
///     <directory>/journal/       hosts' writes that have not reached the volumes yet
public final class TrackStore: Sendable {
    /// What is fixed when a store is opened.
    public struct Configuration: Sendable {
        /// The storage directory; made when it is missing.
        public var directory: String
        /// Address space for the index, which bounds its size. Bytes.
        public var indexCapacity: Int = 64 << 30
        /// Bytes of disk for the write journal, at least some 8 MiB; 0: hosts' writes go to the volumes at
        /// once, after what they overwrite has been saved. What a journal holds when there is to be none
        /// any more reaches the volumes when the store is opened.
        public var journalCapacity: Int = 256 << 20
        /// True: plain system calls even where the kernel has io_uring.
        public var avoidsRing = false
        /// A disk to stand in for the real one; for tests.
        package var makeIO: BlockIOFactory?

        /// The defaults for a directory.
        public init(directory: String) { self.directory = directory }
    }

    let directory: String
    let parts: StoreParts
    let copier: BackgroundCopier
    let destager: Destager
    let volumes = Monitor<[UInt16: Volume]>([:])
    /// Volumes on which an instant is being taken.
    let busy = Monitor<Set<UInt16>>([])
    private let running = Atomic<Bool>(true)
    private let lock: StoreLock
    private let threads = Monitor<[EngineThread]>([])

    /// Opens a storage directory, or makes it, and brings it up to the last durable instant.
    ///
    /// `facts` is called from the engine's own threads and the hosts'. Errors: `inUse` where
    /// another store has the directory, `damaged`, `noSpace`, `inputOutput`.
    public init(
        _ configuration: Configuration,
        facts: @escaping @Sendable (TrackStoreFact) -> Void = { _ in }
    ) throws(TrackStoreError) {
        directory = configuration.directory
        let avoidsRing = configuration.avoidsRing
        let makeIO = configuration.makeIO ?? { avoidsRing ? PlainIO() : RingIO.orPlain() }
        Files.raiseOpenFileLimit()
        try Files.makeDirectory(directory)
        lock = try StoreLock(directory + "/lock")
        for name in ["volumes", "saves", "index", "journal"] {
            try Files.makeDirectory(directory + "/" + name)
        }
        try Files.syncDirectory(directory)
        let catalogue = try Catalogue(
            path: directory + "/index", mapSize: configuration.indexCapacity)
        let journal = WriteJournal(
            directory: directory + "/journal", capacity: configuration.journalCapacity)
        let isJournaling = configuration.journalCapacity > 0
        parts = StoreParts(
            catalogue: catalogue, journal: isJournaling ? journal : nil, makeIO: makeIO,
            makeControlIO: configuration.makeIO ?? { PlainIO() }, tell: facts)
        copier = BackgroundCopier(parts: parts)
        destager = Destager(
            journal: journal, volumes: directory + "/volumes", parts: parts)
        try load(journal)
        if !isJournaling {
            try destager.destageAll(through: parts.makeControlIO())
            try journal.removeFiles()
        }
        try start()
    }

    private func start() throws(TrackStoreError) {
        let (parts, copier, destager) = (parts, copier, destager)
        let committer = try EngineThread("index") { parts.index.run() }
        let copying = try EngineThread("copy") { copier.run() }
        let reclaiming = try EngineThread("reclaim") { parts.reclaimer.run() }
        let recording = try EngineThread("record") { parts.recording.run(parts.tell) }
        let destaging = try EngineThread("destage") { destager.run() }
        let (directory, volumes) = (directory, volumes)
        let looking = try EngineThread("damage") { parts.damages.run(in: directory, volumes) }
        threads.withLock {
            $0 = [committer, copying, reclaiming, recording, destaging, looking]
        }
    }

    deinit { abandon() }

    var isOpen: Bool { running.load(ordering: .sequentiallyConsistent) }

    var catalogue: Catalogue { parts.catalogue }

    var makeIO: BlockIOFactory { parts.makeIO }

    func checkOpen() throws(TrackStoreError) {
        guard isOpen else {
            throw TrackStoreError(.closed, "the store is closed", place: directory)
        }
    }

    /// Makes everything durable and gives the directory up. Requests of hosts fail with `.gone`
    /// from now on. Closing twice is closing once. Where something cannot be made durable, the
    /// first error is thrown, and the store is closed all the same: what is missing is found again
    /// at the next start.
    public func close() throws(TrackStoreError) {
        guard stopThreads() else { return }
        var failure: TrackStoreError?
        let io = parts.makeControlIO()
        do throws(TrackStoreError) {
            try destager.destageAll(through: io)
        } catch { failure = error }
        do throws(TrackStoreError) {
            try parts.index.commit(through: io)
        } catch { failure = failure ?? error }
        do throws(TrackStoreError) {
            try makeDurable(sortedVolumes(), through: io)
        } catch { failure = failure ?? error }
        do throws(TrackStoreError) {
            try parts.recording.store(all: true)
        } catch { failure = failure ?? error }
        letGo()
        if let failure { throw failure }
    }

    /// Gives the directory up as a killed process would: nothing that is in memory only is kept.
    package func abandon() {
        guard stopThreads() else { return }
        letGo()
    }

    /// False where it has been done before.
    private func stopThreads() -> Bool {
        guard
            parts.control.withLock({ _ in
                running.exchange(false, ordering: .sequentiallyConsistent)
            })
        else { return false }
        // Hosts that wait for the journal are let go first.
        destager.stop()
        parts.epochs.quiesce()
        parts.index.stop()
        copier.stop()
        parts.reclaimer.stop()
        parts.recording.stop()
        parts.index.suspicions.stop()
        for thread in threads.withLock({ $0 }) { thread.join() }
        return true
    }

    private func letGo() {
        catalogue.close()
        lock.release()
        for volume in sortedVolumes() { volume.letGo() }
        copier.remove(copier.relationships())
        parts.recording.forgetAll()
    }

    func volume(_ id: String) throws(TrackStoreError) -> Volume {
        guard let number = Volume.number(id) else {
            throw TrackStoreError(
                .invalidArgument, "a volume's id is four hexadecimal digits", place: id)
        }
        guard let volume = volumes.withLock({ $0[number] }) else {
            throw TrackStoreError(.unknownVolume, "there is no volume '\(id)'", place: id)
        }
        return volume
    }

    func volumes(_ ids: [String]) throws(TrackStoreError) -> [Volume] {
        var found: [Volume] = []
        var seen: Set<UInt16> = []
        for id in ids {
            let volume = try volume(id)
            if seen.insert(volume.number).inserted { found.append(volume) }
        }
        return found
    }

    func sortedVolumes() -> [Volume] {
        volumes.withLock { Array($0.values) }.sorted { $0.number < $1.number }
    }

    func path(ofVolume number: UInt16) -> String { directory + "/volumes/" + Volume.name(number) }
    func path(ofSaves number: UInt16) -> String { directory + "/saves/" + Volume.name(number) }
}

/// What control functions keep between calls.
struct ControlState {
    var nextSequence: UInt64 = 1
    var instants: [ObjectIdentifier: Instant] = [:]

    /// What is prepared on volumes of this store.
    struct Instant {
        /// Held so that its identity is not given to another group.
        var group: InstantGroup
        var plan: InstantPlan
        /// The volumes that take part.
        var numbers: [UInt16]
    }
}

/// The sign that a directory has an owner: an advisory lock, which goes with the process.
final class StoreLock: Sendable {
    private let file: Atomic<Int32>

    init(_ path: String) throws(TrackStoreError) {
        let descriptor = Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .system(errno, "open the lock file", path) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let number = errno
            Glibc.close(descriptor)
            if number == EWOULDBLOCK {
                throw TrackStoreError(
                    .inUse, "the storage directory is in use by another store", place: path)
            }
            throw .system(number, "lock the storage directory", path)
        }
        file = Atomic(descriptor)
    }

    deinit { release() }

    func release() {
        let descriptor = file.exchange(-1, ordering: .acquiringAndReleasing)
        guard descriptor >= 0 else { return }
        // A child process that has just been forked may hold the file open until it runs its program;
        // the lock must not wait for that.
        flock(descriptor, LOCK_UN)
        Glibc.close(descriptor)
    }
}
