import TrackBitmap

/// The regions of a volume for which the index may lack changes.
///
/// Under the volume's monitor, as everything that a write decides with.
struct ChangeIntents {
    /// Tracks of a region: 64 MiB of volume.
    static let regionTracks = 1024

    /// Regions that the index names.
    private(set) var durable: Set<UInt32> = []
    /// Those among them that were written to since the last look.
    private var touched: Set<UInt32> = []

    /// A track is being changed: gives its region where that must be named first.
    mutating func touch(_ track: UInt32) -> UInt32? {
        let region = track / UInt32(Self.regionTracks)
        touched.insert(region)
        return durable.contains(region) ? nil : region
    }

    /// The index names these.
    mutating func insert(_ regions: some Sequence<UInt32>) { durable.formUnion(regions) }

    /// Takes out the regions that nobody has written to since the last call, or all of them.
    mutating func takeIdle(all: Bool) -> Set<UInt32> {
        let idle = all ? durable : durable.subtracting(touched)
        durable.subtract(idle)
        touched = []
        return idle
    }
}

/// Keeps the changes that relationships record through a crash.
///
/// The bits themselves are stored now and then, behind the hosts' backs. What makes that safe: before
/// the first write into a region of 64 MiB, the index is told, durably, that tracks of this region may
/// change; after a crash every track of a named region counts as changed. A region that has not been
/// written to for a while, and whose bits are stored, is taken out again. So a write costs a commit of
/// the index once a region and while, and a crash costs copying some tracks that had not changed;
/// never does it cost a change. (The write-intent bitmap of Linux's md works like this.)
final class ChangeRecording: Sendable {
    private let catalogue: Catalogue
    /// One at a time stores bits and names regions, so that the rows are those of one order.
    private let storing = Monitor<Void>(())
    private let work = Monitor((isStopping: false, volumes: [UInt16: Volume]()))

    /// Milliseconds between two looks.
    private static let pause = 5_000

    init(catalogue: Catalogue) { self.catalogue = catalogue }

    /// Names regions, so that their tracks may be overwritten.
    func ensure(_ regions: Set<UInt32>, of volume: Volume) throws(TrackStoreError) {
        try storing.withLock { (_: inout Void) throws(TrackStoreError) in
            let missing = volume.state.withLock { regions.subtracting($0.intents.durable) }
            guard !missing.isEmpty else { return }
            try catalogue.write { (transaction) throws(TrackStoreError) in
                for region in missing {
                    try transaction.put(.intents, Key.intent(volume.number, region), [])
                }
            }
            volume.state.withLock { $0.intents.insert(missing) }
        }
        work.withLock { $0.volumes[volume.number] = volume }
    }

    /// Runs a transaction that also names the regions of tracks that are about to change all at once:
    /// what the targets of relationships show. What a target is given by its source is no change on the
    /// target's side; `countsForTargets` says that it is.
    func replacing(
        _ contents: [(volume: Volume, tracks: TrackBitmap)], countsForTargets: Bool = false,
        _ body: (borrowing Catalogue.Transaction) throws(TrackStoreError) -> Void
    ) throws(TrackStoreError) {
        let recorded = contents.filter { content in
            content.volume.state.withLock { state in
                state.recorders.contains { countsForTargets || $0.side == .source }
            }
        }
        try storing.withLock { (_: inout Void) throws(TrackStoreError) in
            try catalogue.write { (transaction) throws(TrackStoreError) in
                for (volume, tracks) in recorded {
                    for region in Self.regions(of: tracks) {
                        try transaction.put(.intents, Key.intent(volume.number, region), [])
                    }
                }
                try body(transaction)
            }
            for (volume, tracks) in recorded {
                volume.state.withLock { state in
                    state.intents.insert(Self.regions(of: tracks))
                    for recorder in state.recorders
                    where countsForTargets || recorder.side == .source {
                        recorder.bitmap.formUnion(tracks)
                    }
                }
            }
        }
        work.withLock { work in
            for (volume, _) in recorded { work.volumes[volume.number] = volume }
        }
    }

    private static func regions(of tracks: TrackBitmap) -> [UInt32] {
        var regions: [UInt32] = []
        var next = tracks.firstMember(from: 0)
        while let track = next {
            let region = track / ChangeIntents.regionTracks
            regions.append(UInt32(region))
            next = tracks.firstMember(from: (region + 1) * ChangeIntents.regionTracks)
        }
        return regions
    }

    /// At a start: what the index says of a volume's regions, and of bits that may be missing.
    func load(_ regions: [UInt32], of volume: Volume) {
        volume.state.withLock { state in
            state.intents.insert(regions)
            for region in regions {
                let first = Int(region) * ChangeIntents.regionTracks
                for recorder in state.recorders {
                    recorder.bitmap.insert(first..<first + ChangeIntents.regionTracks)
                }
            }
        }
        work.withLock { $0.volumes[volume.number] = volume }
    }

    /// Stores the bits that have changed, and takes back the names of regions that are at rest.
    func store(all: Bool) throws(TrackStoreError) {
        let volumes = work.withLock { Array($0.volumes.values) }
        for volume in volumes where !volume.isDeleted.load(ordering: .acquiring) {
            try storing.withLock { (_: inout Void) throws(TrackStoreError) in
                try store(volume, all: all)
            }
        }
    }

    private func store(_ volume: Volume, all: Bool) throws(TrackStoreError) {
        // While an instant is being settled, the old rows must stay, and the regions named.
        let found = volume.state.withLock { state -> (Set<UInt32>, [ChangeRecorder])? in
            state.materialise()
            guard state.prepared == nil,
                state.recorders.allSatisfy({ $0.isSettled.load(ordering: .acquiring) })
            else { return nil }
            // First the regions go from memory: whoever writes to one from now on names it again.
            // Whoever did before has entered its tracks before, and they are in what is copied next.
            return (state.intents.takeIdle(all: all), state.recorders)
        }
        guard let (idle, recorders) = found else { return }
        let pages = recorders.map { recorder in
            (
                recorder,
                recorder.bitmap.takeChangedPages().map { number in
                    (number: number, bytes: recorder.bitmap.bytes(ofPage: number))
                }
            )
        }
        guard !idle.isEmpty || pages.contains(where: { !$0.1.isEmpty }) else { return }
        do throws(TrackStoreError) {
            try catalogue.write { (transaction) throws(TrackStoreError) in
                for (recorder, pages) in pages {
                    for page in pages {
                        try transaction.put(
                            .changes, Key.changes(recorder.target, recorder.side, page.number),
                            page.bytes)
                    }
                }
                for region in idle {
                    try transaction.delete(.intents, Key.intent(volume.number, region))
                }
            }
        } catch {
            volume.state.withLock { $0.intents.insert(idle) }
            for (recorder, pages) in pages {
                for page in pages { recorder.bitmap.markChanged(page: page.number) }
            }
            throw error
        }
    }

    /// The recording thread.
    func run(_ tell: (TrackStoreFact) -> Void) {
        while true {
            let stops = work.withLock(
                waitingWhile: { !$0.isStopping }, milliseconds: Self.pause, { $0.isStopping })
            if stops == true { return }
            do throws(TrackStoreError) {
                try store(all: false)
            } catch {
                tell(.storageFailed(place: error.place, errno: error.errno))
            }
        }
    }

    /// The store is closed.
    func forgetAll() { work.withLock { $0.volumes = [:] } }

    /// Lets the thread end.
    func stop() {
        work.withLock { $0.isStopping = true }
        work.notifyAll()
    }
}
