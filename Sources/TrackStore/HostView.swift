import TrackBitmap

/// What a host can open.
public enum HostView: Sendable, Hashable {
    /// A volume by its id, e.g. `0100`: readable and writable.
    case volume(String)
    /// A volume as it was at a point: read-only, without any recovery.
    case point(volume: String, tag: String)
}

/// Something a host has open. It does not keep what it stands for from going away: requests then
/// fail with `.gone`.
public final class OpenDevice: Sendable {
    /// What was opened.
    public let view: HostView
    let volume: Volume
    let point: Point?

    init(view: HostView, volume: Volume, point: Point?) {
        self.view = view
        self.volume = volume
        self.point = point
    }

    /// Bytes: those of the volume now (it may grow), or those it had at the point.
    public var capacity: UInt64 { point?.capacity ?? volume.capacity }

    /// True for points.
    public var isReadOnly: Bool { point != nil }
}

extension TrackStore {
    /// Opens a volume or a point for hosts. From any thread.
    ///
    /// Errors: `unknownVolume`, `unknownPoint` (also where the point is not durable yet), `closed`.
    public func open(_ view: HostView) throws(TrackStoreError) -> OpenDevice {
        try checkOpen()
        switch view {
        case .volume(let id):
            let volume = try volume(id)
            _ = try volume.file()
            return OpenDevice(view: view, volume: volume, point: nil)
        case .point(let id, let tag):
            let volume = try volume(id)
            let point = volume.state.withLock { $0.point(tag) }
            guard let point, point.settled else {
                throw TrackStoreError(.unknownPoint, "the volume has no point '\(tag)'", place: id)
            }
            _ = try volume.file()
            return OpenDevice(view: view, volume: volume, point: point)
        }
    }

    /// Everything that can be opened: volumes by id, then points by volume and age. From any
    /// thread.
    public func exportNames() -> [HostView] {
        let volumes = sortedVolumes()
        let points = volumes.flatMap { volume in
            volume.state.withLock { state in
                state.points.filter(\.isRecoverable).map {
                    HostView.point(volume: volume.name, tag: $0.tag)
                }
            }
        }
        return volumes.map { .volume($0.name) } + points
    }
}
