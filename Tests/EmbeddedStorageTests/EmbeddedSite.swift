import CopyModel
import EmbeddedStorage
import Foundation
import StoragePort
import TrackStore

/// Directories for two storage systems, which go with the test.
final class EmbeddedSite: Sendable {
    static let systems = ["box1", "box2"].compactMap { SubjectName($0) }

    private let path: String
    private let hasJournal: Bool

    /// A host's request that failed where the test needs it not to.
    struct Failed: Error { var failure: HostFailure }

    init(hasJournal: Bool = true) throws {
        let memory = FileManager.default.isWritableFile(atPath: "/dev/shm")
        let root =
            memory ? URL(fileURLWithPath: "/dev/shm") : FileManager.default.temporaryDirectory
        path = root.appendingPathComponent("embedded-\(UUID().uuidString)").path
        self.hasJournal = hasJournal
        try FileManager.default.createDirectory(
            atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Opens `box1` and `box2`.
    func open() throws -> EmbeddedStorage {
        try EmbeddedStorage(
            systems: Self.systems.map {
                ($0, "\(path)/\($0.text)", hasJournal)
            })
    }

    /// Ends the storage as a process that is killed does.
    func kill(_ storage: any StoragePort) async throws {
        guard let storage = storage as? EmbeddedStorage else { return }
        for store in storage.stores.values { store.abandon() }
        try await storage.close()
    }

    /// Writes a block into each of these tracks.
    func write(_ storage: any StoragePort, _ volume: VolumeID, tracks: Range<UInt64>) throws {
        guard let store = (storage as? EmbeddedStorage)?.stores[volume.storage] else { return }
        let device = try store.open(.volume(volume.local.text))
        let channel = try HostChannel(store: store)
        var bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: tracks.lowerBound), count: 4096)
        try bytes.withUnsafeMutableBytes { bytes in
            var requests = tracks.map { track in
                HostRequest(
                    kind: .write, offset: track * Capacity.track, length: bytes.count,
                    forceUnitAccess: true, data: bytes.baseAddress)
            }
            channel.perform(&requests, on: device)
            for case let failure? in requests.map(\.failure) { throw Failed(failure: failure) }
        }
    }
}
