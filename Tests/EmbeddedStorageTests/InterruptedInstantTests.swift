import CopyModel
import EmbeddedStorage
import StoragePort
import Testing
import TrackStore

/// An instant over two systems of which one has made it durable when the process is killed.
@Suite("Instants that came to be on one system only")
struct InterruptedInstantTests {
    private let site: EmbeddedSite
    private let storage: EmbeddedStorage

    /// 0200 is a target of 0100 on both systems, and wholly copied.
    init() async throws {
        site = try EmbeddedSite()
        storage = try site.open()
        for system in EmbeddedSite.systems {
            let volumes = ["0100", "0200"].compactMap { LocalVolumeID($0) }.map {
                VolumeSpecification(
                    id: $0, capacity: Capacity(bytes: 1 << 20), safeguardedMultiplier: 0)
            }
            try await perform(.createVolumes(system, volumes), at: 0)
        }
        try await perform(instant(1) { .establish($0, Self.incremental) }, at: 100)
        try await rest()
    }

    private static var incremental: RelationshipTerms {
        var terms = RelationshipTerms()
        terms.incremental = true
        return terms
    }

    private func volume(_ text: String) throws -> VolumeID { try #require(VolumeID(text)) }

    private func pairs() throws -> [PairTerms] {
        try ["box1", "box2"].map {
            PairTerms(source: try volume("\($0):0100"), target: try volume("\($0):0200"))
        }
    }

    private func instant(
        _ number: UInt64, _ change: (PairTerms) -> RelationshipChange
    ) throws -> Effect {
        .changeRelationships(
            RelationshipInstant(number: number, changes: try pairs().map(change)))
    }

    private func perform(_ effect: Effect, at time: Int64) async throws {
        try await storage.perform(effect, at: Timestamp(milliseconds: time))
    }

    /// Lets the first system alone make something of an instant.
    private func interrupt(_ action: InstantAction, at time: Int64) throws {
        let store = try #require(storage.stores[EmbeddedSite.systems[0]])
        let group = InstantGroup()
        try store.prepare(group, [action], time: time)
        group.commit()
        try store.settle(group)
    }

    private func inbound(_ target: String) async throws -> RelationshipReport? {
        let id = try volume(target)
        return try await storage.report(on: [id]).volumes[id]?.inbound
    }

    private func rest() async throws {
        for pair in try pairs() {
            while let inbound = try await inbound("\(pair.target)"),
                inbound.tracksRemaining > 0 || inbound.attributes.reverting
            {
                try await Task.sleep(for: .milliseconds(1))
            }
        }
    }

    /// When what the targets present was begun.
    private func times(_ targets: String...) async throws -> [Int64?] {
        var times: [Int64?] = []
        for target in targets {
            times.append(try await inbound(target)?.attributes.refreshed.milliseconds)
        }
        return times
    }

    @Test("establishes and refreshes are made once more, at one instant for all")
    func refreshes() async throws {
        try interrupt(.refresh(target: "0200", number: 2), at: 200)
        try await perform(
            instant(2) { .refresh($0, Self.incremental, revertible: false) }, at: 300)
        #expect(try await times("box1:0200", "box2:0200") == [300, 300])
        try await perform(
            instant(2) { .refresh($0, Self.incremental, revertible: false) }, at: 400)
        #expect(try await times("box1:0200", "box2:0200") == [300, 300])
        var copy = NewCopy(source: "0100", target: "0200")
        copy.replaces = true
        copy.number = 3
        try interrupt(.establish(copy), at: 500)
        try await perform(instant(3) { .establish($0, Self.incremental) }, at: 600)
        #expect(try await times("box1:0200", "box2:0200") == [600, 600])
    }

    @Test("a revertible refresh made once more goes back to before the first time")
    func reverts() async throws {
        try interrupt(.refresh(target: "0200", revertible: true, number: 2), at: 200)
        try site.write(storage, volume("box1:0100"), tracks: 3..<5)
        try await perform(instant(2) { .refresh($0, Self.incremental, revertible: true) }, at: 300)
        #expect(try await times("box1:0200", "box2:0200") == [300, 300])
        for pair in try pairs() {
            #expect(try await inbound("\(pair.target)")?.attributes.revertible == true)
        }
        try await perform(.revertRelationships(pairs(), number: 2), at: 400)
        try await rest()
        #expect(try await times("box1:0200", "box2:0200") == [100, 100])
        #expect(try await inbound("box1:0200")?.presents == .instant(1))
    }

    @Test("a reverse that has been made is not made again, and the others still are")
    func reverses() async throws {
        try interrupt(.reverse(target: "0200", fast: false, number: 2), at: 200)
        try await perform(instant(2) { .reverse($0, fast: false) }, at: 300)
        #expect(try await times("box1:0100", "box2:0100") == [200, 300])
        #expect(try await times("box1:0200", "box2:0200") == [nil, nil])
    }

    @Test("a refresh that has ended by itself since is made once more as a copy")
    func ended() async throws {
        var refresh = CopyRefresh(target: "0200", number: 2)
        refresh.terms = CopyTerms()
        try interrupt(.refresh(refresh), at: 200)
        while try await inbound("box1:0200") != nil { try await Task.sleep(for: .milliseconds(1)) }
        try await perform(
            instant(2) { .refresh($0, Self.incremental, revertible: false) }, at: 300)
        #expect(try await times("box1:0200", "box2:0200") == [300, 300])
    }
}
