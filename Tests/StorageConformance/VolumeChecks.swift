import CopyModel
import StoragePort

/// Volumes, and what is said of them.
let volumeChecks: [StorageCheck] = [
    StorageCheck("volumes are made, all or none, and are there when the storage is opened again") {
        site in
        try await site.make("box1:0100", "box1:0101", "box2:0100", multiplier: 4)
        let before = try await site.picture()
        try require(
            before.map(\.volume.description), is: ["box1:0100", "box1:0101", "box2:0100"])
        try require(before.map(\.safeguardedMultiplier), is: [4, 4, 4])
        try await site.make("box1:0100", multiplier: 4)
        try require(try await site.picture(), is: before)
        let id = try VolumeID.named("box1:0100").local
        let other = try VolumeID.named("box1:0109").local
        try await site.refuse(
            .volumeExists,
            .createVolumes(
                .named("box1"),
                [
                    VolumeSpecification(
                        id: other, capacity: Site.capacity, safeguardedMultiplier: 0),
                    VolumeSpecification(
                        id: id, capacity: Capacity(bytes: 2 << 20), safeguardedMultiplier: 4),
                ]))
        try await site.reopen()
        try require(try await site.picture(), is: before)
    },
    StorageCheck("a storage system that is not there is unknown") { site in
        let none = try SubjectName.named("box9")
        try require(try await site.storage.inventory(of: none) == nil, "box9 has volumes")
        try await site.refuse(
            .unknownStorage,
            .createVolumes(
                none,
                [
                    VolumeSpecification(
                        id: try VolumeID.named("box9:0100").local, capacity: Site.capacity,
                        safeguardedMultiplier: 0)
                ]))
        try await site.refuse(.unknownStorage, try .take("s/1", "box9:0100"))
        let report = try await site.storage.report(on: [.named("box9:0100"), .named("box1:0100")])
        try require(report.volumes.isEmpty, "volumes that are not there are reported")
        try require(report.systems, is: [try .named("box1"), try .named("box2")])
    },
    StorageCheck("volumes grow and never shrink, all or none") { site in
        try await site.make("box1:0100", "box1:0101")
        let box = try SubjectName.named("box1")
        func growing(_ bytes: UInt64) throws -> [VolumeExpansion] {
            [
                VolumeExpansion(
                    id: try VolumeID.named("box1:0100").local, capacity: Capacity(bytes: 2 << 20)),
                VolumeExpansion(
                    id: try VolumeID.named("box1:0101").local, capacity: Capacity(bytes: bytes)),
            ]
        }
        try await site.refuse(.volumeWouldShrink, .expandVolumes(box, try growing(1 << 19)))
        for _ in 0..<2 { try await site.perform(.expandVolumes(box, try growing(3 << 20))) }
        try await site.crash()
        try require(
            try await site.picture().map(\.capacity.bytes), is: [2 << 20, 3 << 20])
        try await site.refuse(
            .unknownVolume,
            .expandVolumes(
                box,
                [
                    VolumeExpansion(
                        id: try VolumeID.named("box1:0109").local, capacity: Site.capacity)
                ]))
    },
    StorageCheck("safeguarded capacity is set to new totals, of volumes that are there") { site in
        try await site.make("box1:0100", multiplier: 4)
        func totals(_ name: String) throws -> Effect {
            .setSafeguardedCapacity(
                try .named("box1"),
                [SafeguardedMultiplier(id: try VolumeID.named(name).local, multiplier: 7)])
        }
        try await site.refuse(.unknownVolume, try totals("box1:0109"))
        for _ in 0..<2 { try await site.perform(try totals("box1:0100")) }
        try await site.crash()
        try require(try await site.volume("box1:0100").safeguardedMultiplier, is: 7)
    },
    StorageCheck("volumes without points and relationships are deleted, all or none") { site in
        try await site.make("box1:0100", "box1:0200", "box1:0300", multiplier: 4)
        try await site.perform(try .take("s/1", "box1:0100"))
        try await site.perform(try .establish(1, [("box1:0200", "box1:0300")], .noCopy))
        let box = try SubjectName.named("box1")
        for name in ["box1:0100", "box1:0200", "box1:0300"] {
            try await site.make("box1:0400")
            try await site.refuse(
                .volumeInUse,
                .deleteVolumes(
                    box, [try VolumeID.named("box1:0400").local, try VolumeID.named(name).local]))
        }
        try await site.perform(.dropPoints([try .named("s/1")], sources: [.named("box1:0100")]))
        try await site.perform(try .withdraw("box1:0200", "box1:0300"))
        let all = try await site.picture().map(\.volume.local)
        for _ in 0..<2 { try await site.perform(.deleteVolumes(box, all)) }
        try await site.crash()
        try require(try await site.picture().isEmpty, "volumes are there that were deleted")
    },
]
