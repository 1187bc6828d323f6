import Glibc
import SessionStore
import Synchronization

/// The lock file beside a database: whoever holds it owns the store, among processes and within
/// one.
///
/// The kernel releases it when its holder dies, so a killed worker never leaves a store locked.
final class OwnerLock: Sendable {
    private let descriptor: Mutex<Int32>

    /// Takes the lock at once, or throws `.locked`.
    init(path: String) throws(StoreFailure) {
        let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw .system(errno, doing: "Opening the lock file", place: path) }
        guard flock(file, LOCK_EX | LOCK_NB) == 0 else {
            let reason = errno
            close(file)
            throw reason == EWOULDBLOCK
                ? StoreFailure(.locked, "Another worker has this store open.", place: path)
                : .system(reason, doing: "Locking the lock file", place: path)
        }
        descriptor = Mutex(file)
    }

    deinit { release() }

    /// Lets the next one in; the file stays, since removing it would let two in.
    func release() {
        descriptor.withLock { file in
            guard file >= 0 else { return }
            // Closing is not enough: a process that is just being started may still have a copy.
            flock(file, LOCK_UN)
            close(file)
            file = -1
        }
    }
}

/// What has to be right in the file system before SQLite may look.
enum StoreFiles {
    /// Makes a file's directory, and those above it, each durable in the one that holds it.
    static func makeDirectory(of path: String) throws(StoreFailure) {
        guard let slash = path.lastIndex(of: "/"), slash != path.startIndex else { return }
        let directory = String(path[..<slash])
        guard access(directory, F_OK) != 0 else { return }
        try makeDirectory(of: directory)
        guard mkdir(directory, 0o700) == 0 || errno == EEXIST else {
            throw .system(errno, doing: "Making the directory", place: directory)
        }
        let parent = directory.lastIndex(of: "/").map { String(directory[...$0]) } ?? "."
        try syncing(parent, flags: O_RDONLY | O_DIRECTORY) { _ in }
    }

    /// Makes the write-ahead log in memory the same as the one on the disk.
    ///
    /// After a failed sync the kernel's cache shows frames that the disk does not have. Recovering
    /// those would make a promise that the next power cut breaks; so what can be written is, and
    /// the rest is dropped from the cache and read anew.
    static func settleLog(of path: String) throws(StoreFailure) {
        let log = path + "-wal"
        guard access(log, F_OK) == 0 else { return }
        try syncing(log, flags: O_RDONLY) { file in
            posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED)
        }
    }

    /// Whether a file is there and has something in it.
    static func hasContent(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_size > 0
    }

    private static func syncing(
        _ path: String, flags: Int32, then body: (Int32) -> Void
    ) throws(StoreFailure) {
        let file = open(path, flags | O_CLOEXEC)
        guard file >= 0 else { throw .system(errno, doing: "Opening", place: path) }
        defer { close(file) }
        guard fsync(file) == 0 else { throw .system(errno, doing: "Syncing", place: path) }
        body(file)
    }
}
