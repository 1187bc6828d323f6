import CURing
import Glibc
import TrackBitmap

/// A file that is open: closed when the last reference goes.
final class OpenFile: Sendable {
    let descriptor: Int32
    let path: String

    /// What is to be at the path before.
    enum Beginning { case existing, empty, absent }

    /// Opens `path` for direct I/O, or through the page cache where the file system has no direct
    /// I/O. `empty` makes the file or empties it; `absent` makes it and fails with EEXIST where
    /// there is one.
    init(_ path: String, _ beginning: Beginning) throws(TrackStoreError) {
        let making: Int32 =
            switch beginning {
            case .existing: 0
            case .empty: O_CREAT | O_TRUNC
            case .absent: O_CREAT | O_EXCL
            }
        let flags = O_RDWR | O_CLOEXEC | making
        var file = open(path, flags | linux_open_direct, 0o600)
        // The first attempt may have made the file before it found that it cannot be opened
        // directly.
        if file < 0, errno == EINVAL { file = open(path, flags & ~O_EXCL, 0o600) }
        guard file >= 0 else {
            throw .system(errno, making == 0 ? "open a file" : "make a file", path)
        }
        descriptor = file
        self.path = path
    }

    deinit { close(descriptor) }
}

/// Names and sizes of files. Content goes through `BlockIO`.
enum Files {
    static func makeDirectory(_ path: String) throws(TrackStoreError) {
        guard mkdir(path, 0o700) == 0 || errno == EEXIST else {
            throw .system(errno, "make a directory", path)
        }
    }

    /// Makes the names in a directory durable.
    static func syncDirectory(_ path: String) throws(TrackStoreError) {
        let directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { throw .system(errno, "open a directory", path) }
        defer { close(directory) }
        guard fsync(directory) == 0 else { throw .system(errno, "sync a directory", path) }
    }

    /// Makes everything on the file system that holds `path` durable.
    static func syncFileSystem(_ path: String) throws(TrackStoreError) {
        let directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { throw .system(errno, "open a directory", path) }
        defer { close(directory) }
        guard linux_syncfs(directory) == 0 else {
            throw .system(errno, "sync the file system", path)
        }
    }

    /// Removes a file; one that is not there is removed already.
    static func remove(_ path: String) throws(TrackStoreError) {
        guard unlink(path) == 0 || errno == ENOENT else {
            throw .system(errno, "remove a file", path)
        }
    }

    static func removeDirectory(_ path: String) throws(TrackStoreError) {
        guard rmdir(path) == 0 || errno == ENOENT else {
            throw .system(errno, "remove a directory", path)
        }
    }

    /// The names in a directory, sorted; empty where there is no directory.
    static func names(in path: String) throws(TrackStoreError) -> [String] {
        guard let directory = opendir(path) else {
            if errno == ENOENT { return [] }
            throw .system(errno, "list a directory", path)
        }
        defer { closedir(directory) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(directory) else {
                guard errno == 0 else { throw .system(errno, "list a directory", path) }
                return names.sorted()
            }
            let name = withUnsafePointer(to: entry.pointee.d_name) { name in
                name.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
    }

    static func setLength(_ file: OpenFile, _ length: Int) throws(TrackStoreError) {
        guard ftruncate(file.descriptor, length) == 0 else {
            throw .system(errno, "set a file's length", file.path)
        }
    }

    static func length(_ file: OpenFile) throws(TrackStoreError) -> Int {
        var status = stat()
        guard fstat(file.descriptor, &status) == 0 else {
            throw .system(errno, "look at a file", file.path)
        }
        return Int(status.st_size)
    }

    /// Bytes on disk of a file, holes not counted; 0 where it cannot be told.
    static func allocated(_ path: String) -> UInt64 {
        var status = stat()
        return stat(path, &status) == 0 ? UInt64(status.st_blocks) * 512 : 0
    }

    /// The length of a volume's file: whole blocks, so that the last one can be written directly.
    static func volumeLength(_ capacity: UInt64) -> Int {
        Geometry.blocks(covering: capacity) * Geometry.block
    }

    /// A store of ten thousand volumes has as many files open, and more.
    static func raiseOpenFileLimit() {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }
}
