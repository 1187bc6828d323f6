import Foundation
import GRDBSQLite
import Synchronization

/// SQLite's own way to the disk, watched: syncs are counted, can be held, can be made to fail, and
/// what a sync has made safe is copied aside, as the disk would have it after a power cut.
///
/// It stands before the usual file system for the whole test process and lets everything else
/// through.
final class WatchedDisk: Sendable {
    static let shared = WatchedDisk()

    private struct State {
        /// Path and own methods of every open file, by its address.
        var files: [UInt: (path: String, methods: UInt)] = [:]
        /// Our methods, by the address of those they stand for.
        var methods: [UInt: UInt] = [:]
        var syncs: [String: Int] = [:]
        var held: Set<String> = []
        var failing: Set<String> = []
        var safe: [String: Data] = [:]
        var watched: Set<String> = []
    }

    private let state = Mutex(State())
    private let original: UInt

    private init() {
        let usual = sqlite3_vfs_find(nil)
        original = UInt(bitPattern: usual)
        guard let usual else { return }
        let watching = UnsafeMutablePointer<sqlite3_vfs>.allocate(capacity: 1)
        watching.initialize(to: usual.pointee)
        watching.pointee.zName = UnsafePointer(strdup("watched"))
        watching.pointee.pNext = nil
        watching.pointee.xOpen = { _, path, file, flags, outFlags in
            WatchedDisk.shared.open(path, file, flags, outFlags)
        }
        sqlite3_vfs_register(watching, 1)
    }

    /// How many syncs a file has had.
    func syncs(of path: String) -> Int { state.withLock { $0.syncs[path] ?? 0 } }

    /// Makes every sync of a file wait until it is released.
    func hold(_ path: String) { state.withLock { _ = $0.held.insert(path) } }

    /// Lets the syncs of a file go on.
    func release(_ path: String) { state.withLock { _ = $0.held.remove(path) } }

    /// Makes the syncs of a file fail, or succeed again.
    func fail(_ path: String, _ isFailing: Bool) {
        state.withLock { state in
            if isFailing { state.failing.insert(path) } else { state.failing.remove(path) }
        }
    }

    /// Copies what each sync of a file makes safe, from now on.
    func watch(_ path: String) { state.withLock { _ = $0.watched.insert(path) } }

    /// What is safe of a watched file; nil where it was never synced.
    func safe(_ path: String) -> Data? { state.withLock { $0.safe[path] } }

    private func open(
        _ path: UnsafePointer<CChar>?, _ file: UnsafeMutablePointer<sqlite3_file>?,
        _ flags: Int32, _ outFlags: UnsafeMutablePointer<Int32>?
    ) -> Int32 {
        guard let usual = UnsafeMutablePointer<sqlite3_vfs>(bitPattern: original),
            let code = usual.pointee.xOpen?(usual, path, file, flags, outFlags)
        else { return SQLITE_CANTOPEN }
        guard code == SQLITE_OK, let path, let file, let methods = file.pointee.pMethods else {
            return code
        }
        state.withLock { state in
            let theirs = UInt(bitPattern: methods)
            state.files[UInt(bitPattern: file)] = (String(cString: path), theirs)
            let ours = state.methods[theirs] ?? Self.watching(methods)
            state.methods[theirs] = ours
            file.pointee.pMethods = UnsafePointer(bitPattern: ours)
        }
        return code
    }

    private static func watching(_ methods: UnsafePointer<sqlite3_io_methods>) -> UInt {
        let ours = UnsafeMutablePointer<sqlite3_io_methods>.allocate(capacity: 1)
        ours.initialize(to: methods.pointee)
        ours.pointee.xSync = { WatchedDisk.shared.sync($0, $1) }
        return UInt(bitPattern: ours)
    }

    private func sync(_ file: UnsafeMutablePointer<sqlite3_file>?, _ flags: Int32) -> Int32 {
        let found = state.withLock { $0.files[UInt(bitPattern: file)] }
        guard let (path, address) = found,
            let methods = UnsafePointer<sqlite3_io_methods>(bitPattern: address)
        else { return SQLITE_IOERR }
        let isFailing = state.withLock { state in
            state.syncs[path, default: 0] += 1
            return state.failing.contains(path)
        }
        while state.withLock({ $0.held.contains(path) }) { usleep(100) }
        if isFailing { return SQLITE_IOERR | (4 << 8) }
        let code = methods.pointee.xSync?(file, flags) ?? SQLITE_IOERR
        if code == SQLITE_OK, state.withLock({ $0.watched.contains(path) }) {
            let content = try? Data(contentsOf: URL(fileURLWithPath: path))
            state.withLock { $0.safe[path] = content }
        }
        return code
    }
}
