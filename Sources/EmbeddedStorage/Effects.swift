import CopyModel
import StoragePort
import TrackStore

/// Effects as calls of the engines. Blocks; runs on the storage's own threads.
struct Effects: Sendable {
    let stores: [SubjectName: TrackStore]

    func perform(_ effect: Effect, at time: Timestamp) throws(StorageFailure) {
        switch effect {
        case .takePoints(let tag, let sources): try take(tag, sources)
        case .verifyPoints(let tag, let sources):
            try each(sources) { (store, ids) throws(TrackStoreError) in
                try store.verify(tag: tag.description, volumes: ids)
            }
        case .dropPoints(let tags, let sources):
            let names = tags.map(\.description)
            try each(sources) { (store, ids) throws(TrackStoreError) in
                try store.dropPoints(tags: names, volumes: ids)
            }
        case .establish(let terms, let tag, let copy):
            try eachPair(terms, of: tag) { (store, pairs) throws(TrackStoreError) in
                try store.establish(pairs, backgroundCopy: copy)
            }
        case .startBackgroundCopy(let targets):
            try each(targets) { (store, ids) throws(TrackStoreError) in
                try store.startBackgroundCopy(ids)
            }
        case .withdraw(let terms, let tag):
            try eachPair(terms, of: tag) { (store, pairs) throws(TrackStoreError) in
                try store.withdraw(pairs)
            }
        case .changeRelationships(let instant): try change(instant, at: time)
        case .withdrawRelationships(let pairs, let number):
            try withdraw(pairs, number: number)
        case .commitRelationships(let pairs, let number): try commit(pairs, number)
        case .revertRelationships(let pairs, let number): try revert(pairs, number)
        case .createVolumes(let system, let volumes):
            try on(system) { (store) throws(TrackStoreError) in
                try store.createVolumes(volumes.map(NewVolume.init))
            }
        case .deleteVolumes(let system, let ids):
            try on(system) { (store) throws(TrackStoreError) in
                try store.deleteVolumes(ids.map(\.text))
            }
        case .expandVolumes(let system, let changes):
            try on(system) { (store) throws(TrackStoreError) in
                try store.expandVolumes(changes.map { ($0.id.text, $0.capacity.bytes) })
            }
        case .setSafeguardedCapacity(let system, let totals):
            try on(system) { (store) throws(TrackStoreError) in
                try store.setSafeguardedMultiplier(
                    totals.map { ($0.id.text, UInt32(clamping: $0.multiplier)) })
            }
        }
    }

    /// What an interrupted attempt left on some of the volumes is dropped first: those points are of
    /// another instant.
    private func take(_ tag: PointTag, _ sources: [VolumeID]) throws(StorageFailure) {
        let name = tag.description
        let present = try holders(of: tag, among: sources)
        if present.count == sources.count { return }
        if !present.isEmpty {
            try each(present) { (store, ids) throws(TrackStoreError) in
                try store.dropPoints(tags: [name], volumes: ids)
            }
        }
        let parts = grouped(sources, by: \.storage).map { system, volumes in
            (system, volumes.map { InstantAction.point(volume: $0.local.text, tag: name) })
        }
        try atOneInstant(parts, at: tag.backup.time)
    }

    /// One instant on several systems: prepared everywhere, in the order of their names, so that two
    /// instants never wait for each other; committed once; settled everywhere.
    func atOneInstant(
        _ parts: [(SubjectName, [InstantAction])], at time: Timestamp
    ) throws(StorageFailure) {
        let group = InstantGroup()
        var prepared: [(SubjectName, TrackStore)] = []
        do throws(StorageFailure) {
            for (system, actions) in parts {
                try on(system) { (store) throws(TrackStoreError) in
                    try store.prepare(group, actions, time: time.milliseconds)
                    prepared.append((system, store))
                }
            }
        } catch {
            for (_, store) in prepared { store.abandon(group) }
            throw error
        }
        group.commit()
        var failure: StorageFailure?
        for (system, store) in prepared {
            do throws(TrackStoreError) {
                try store.settle(group)
            } catch {
                failure = failure ?? StorageFailure(error, system: system)
                store.abandon(group)
            }
        }
        if let failure { throw failure }
    }

    /// The volumes that have a point of that name already.
    private func holders(
        of tag: PointTag, among volumes: [VolumeID]
    ) throws(StorageFailure) -> [VolumeID] {
        var found: [VolumeID] = []
        for (system, members) in grouped(volumes, by: \.storage) {
            guard let store = stores[system] else { continue }
            found += try describe(store, members.map(\.local.text), on: system)
                .filter { $0.points.contains { $0.tag == tag } }.map(\.volume)
        }
        return found
    }

    /// Calls `body` once a system with its pairs.
    private func eachPair(
        _ terms: [PairTerms], of tag: PointTag,
        _ body: (TrackStore, [NewRelationship]) throws(TrackStoreError) -> Void
    ) throws(StorageFailure) {
        for pair in terms { try checkOneSystem(pair) }
        for (system, pairs) in grouped(terms, by: \.target.storage) {
            try on(system) { (store) throws(TrackStoreError) in
                try body(
                    store,
                    pairs.map {
                        NewRelationship(
                            source: $0.source.local.text, tag: tag.description,
                            target: $0.target.local.text)
                    })
            }
        }
    }

    func on(
        _ system: SubjectName, _ body: (TrackStore) throws(TrackStoreError) -> Void
    ) throws(StorageFailure) {
        guard let store = stores[system] else {
            throw StorageFailure(
                .unknownStorage, "There is no storage system \(system).", subject: system.text,
                remedy: "Configure it under storage, and start the worker again.")
        }
        do throws(TrackStoreError) {
            try body(store)
        } catch {
            throw StorageFailure(error, system: system)
        }
    }

    /// Calls `body` once a system, in the order of their names.
    private func each(
        _ volumes: [VolumeID],
        _ body: (TrackStore, [String]) throws(TrackStoreError) -> Void
    ) throws(StorageFailure) {
        for (system, members) in grouped(volumes, by: \.storage) {
            try on(system) { (store) throws(TrackStoreError) in
                try body(store, members.map(\.local.text))
            }
        }
    }

    /// What belongs to each system, in the order of their names.
    func grouped<Member>(
        _ members: [Member], by system: (Member) -> SubjectName
    ) -> [(SubjectName, [Member])] {
        Dictionary(grouping: members, by: system).sorted { $0.key < $1.key }
    }
}

extension NewVolume {
    fileprivate init(_ volume: VolumeSpecification) {
        self.init(
            id: volume.id.text, capacity: volume.capacity.bytes,
            multiplier: UInt32(clamping: volume.safeguardedMultiplier))
    }
}
