import TrackStore

/// The volumes of storage systems, and their points, as exports.
///
/// A volume is called `box1:0100` and can be written to; a point of it carries its tag before that,
/// as in `payroll/1795226400/box1:0100`, and cannot.
public final class TrackStoreCatalogue: ExportCatalogue {
    /// A storage system's name and where its data is.
    public struct System: Sendable {
        /// Without `:` and `/`.
        public let name: String
        /// Open while the catalogue is in use.
        public let store: TrackStore

        /// Names a store.
        public init(name: String, store: TrackStore) {
            self.name = name
            self.store = store
        }
    }

    private let systems: [System]

    /// Lists the systems in the order given.
    public init(_ systems: [System]) { self.systems = systems }

    /// See `ExportCatalogue`.
    public func exportNames() -> [String] {
        systems.flatMap { system in
            system.store.exportNames().map { Self.name(of: $0, in: system.name) }
        }
    }

    /// See `ExportCatalogue`.
    public func shape(of name: String) -> ExportShape? {
        // What is opened is a reference to the volume; rings and buffers come with the channel.
        guard let (system, view) = find(name), let device = try? system.store.open(view) else {
            return nil
        }
        return Self.shape(of: device, in: system)
    }

    /// See `ExportCatalogue`.
    public func open(_ name: String) throws(ExportRefusal) -> any Export {
        guard let (system, view) = find(name) else { throw .unknown }
        do throws(TrackStoreError) {
            let device = try system.store.open(view)
            return TrackStoreExport(
                store: system.store, device: device,
                shape: Self.shape(of: device, in: system))
        } catch {
            throw ExportRefusal(error)
        }
    }

    // MARK: Names

    static func name(of view: HostView, in system: String) -> String {
        switch view {
        case .volume(let volume): "\(system):\(volume)"
        case .point(let volume, let tag): "\(tag)/\(system):\(volume)"
        }
    }

    /// The system's name and the view that an export's name stands for; nil where it has not the
    /// form of one.
    ///
    /// A tag contains exactly one `/`.
    static func parse(_ name: String) -> (system: String, view: HostView)? {
        let parts = name.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 1 || parts.count == 3, let last = parts.last,
            let colon = last.firstIndex(of: ":")
        else { return nil }
        let system = String(last[..<colon])
        let volume = String(last[last.index(after: colon)...])
        guard !system.isEmpty, !volume.isEmpty, !volume.contains(":") else { return nil }
        guard parts.count == 3 else { return (system, .volume(volume)) }
        guard !parts[0].isEmpty, !parts[1].isEmpty else { return nil }
        return (system, .point(volume: volume, tag: "\(parts[0])/\(parts[1])"))
    }

    private func find(_ name: String) -> (system: System, view: HostView)? {
        guard let (name, view) = Self.parse(name),
            let system = systems.first(where: { $0.name == name })
        else { return nil }
        return (system, view)
    }

    private static func shape(of device: OpenDevice, in system: System) -> ExportShape {
        let description =
            switch device.view {
            case .volume(let volume): "Volume \(volume) of \(system.name)"
            case .point(let volume, let tag): "Volume \(volume) of \(system.name) as of \(tag)"
            }
        // Whole tracks are what becomes holes.
        return ExportShape(
            capacity: device.capacity, isReadOnly: device.isReadOnly, holeSize: 64 * 1024,
            description: description,
            changeBases: changeBases(of: device, in: system.store).map(\.backup))
    }

    /// The backups that clients may name for a device, with their tags.
    ///
    /// A client names a backup by its id alone. On a backup's own export that is one of the same
    /// session; on a volume, one that no other session's backup shares.
    static func changeBases(
        of device: OpenDevice, in store: TrackStore
    ) -> [(backup: String, tag: String)] {
        let own: String? =
            switch device.view {
            case .volume: nil
            case .point(_, let tag): tag.split(separator: "/").first.map(String.init)
            }
        let bases = store.changeBases(of: device).compactMap {
            tag -> (backup: String, tag: String)? in
            let parts = tag.split(separator: "/")
            guard parts.count == 2, own == nil || parts[0] == own! else { return nil }
            return (String(parts[1]), tag)
        }
        let counts = Dictionary(bases.map { ($0.backup, 1) }, uniquingKeysWith: +)
        return bases.filter { counts[$0.backup] == 1 }
    }
}

extension ExportRefusal {
    init(_ error: TrackStoreError) {
        switch error.code {
        case .unknownVolume, .unknownPoint, .invalidArgument: self = .unknown
        case .inUse, .closed, .volumeExists, .volumeInUse, .wouldShrink, .pointExists, .pointInUse,
            .noSafeguardedCapacity, .instantInProgress, .noInstant, .targetSmaller,
            .relationshipExists, .cycle, .noRelationship, .tracksPending, .tooManyTargets,
            .reverseUnderWay, .notRevertible, .uncommitted, .revertUnderWay,
            .noSpace, .damaged, .inputOutput:
            self = .unavailable(error.message)
        }
    }
}

private struct TrackStoreExport: Export {
    let store: TrackStore
    let device: OpenDevice
    let shape: ExportShape

    func makeChannel() throws(ExportRefusal) -> any ExportChannel {
        do throws(TrackStoreError) {
            return TrackStoreChannel(try HostChannel(store: store), device, store)
        } catch {
            throw ExportRefusal(error)
        }
    }
}

private final class TrackStoreChannel: ExportChannel {
    private let channel: HostChannel
    private let device: OpenDevice
    private let store: TrackStore
    /// The batch in the store's words; kept, so that a batch costs no allocation.
    private var batch: [HostRequest] = []

    init(_ channel: HostChannel, _ device: OpenDevice, _ store: TrackStore) {
        self.channel = channel
        self.device = device
        self.store = store
    }

    func perform(_ requests: inout [BlockRequest]) {
        batch.removeAll(keepingCapacity: true)
        for request in requests { batch.append(HostRequest(request)) }
        channel.perform(&batch, on: device)
        for index in requests.indices {
            requests[index].data = batch[index].data
            requests[index].failure = batch[index].failure.map(BlockFailure.init)
        }
    }

    func allocation(offset: UInt64, length: UInt64, limit: Int) -> [BlockExtent] {
        channel.allocation(of: device, offset: offset, length: length, limit: limit)
            .map { BlockExtent(length: $0.length, isHole: $0.isHole) }
    }

    func changes(
        since backup: String, offset: UInt64, length: UInt64, limit: Int
    ) -> [ChangedExtent]? {
        let bases = TrackStoreCatalogue.changeBases(of: device, in: store)
        guard let tag = bases.first(where: { $0.backup == backup })?.tag,
            let pieces = try? channel.changes(
                of: device, since: tag, offset: offset, length: length, limit: limit)
        else { return nil }
        return pieces.map { ChangedExtent(length: $0.length, isChanged: $0.isChanged) }
    }
}

extension HostRequest {
    fileprivate init(_ request: BlockRequest) {
        let kind: Kind =
            switch request.kind {
            case .read: .read
            case .write: .write
            case .zero: .zero
            case .flush: .flush
            }
        self.init(
            kind: kind, offset: request.offset, length: request.length,
            forceUnitAccess: request.forceUnitAccess, mayPunch: request.mayPunch,
            data: request.data)
    }
}

extension BlockFailure {
    fileprivate init(_ failure: HostFailure) {
        switch failure {
        case .noSpace: self = .noSpace
        case .inputOutput: self = .inputOutput
        case .gone: self = .gone
        case .readOnly: self = .readOnly
        case .outOfRange: self = .outOfRange
        }
    }
}
