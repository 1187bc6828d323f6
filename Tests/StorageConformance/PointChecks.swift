import CopyModel
import StoragePort

/// Points, and recoveries to them.
let pointChecks: [StorageCheck] = [
    StorageCheck("a point is taken on volumes of several systems, once, with the time of its name")
    {
        site in
        try await site.make("box1:0100", "box2:0100", multiplier: 4)
        let take = try Effect.take("payroll/1795226400", "box1:0100", "box2:0100")
        for time in [5, 6] as [Int64] { try await site.perform(take, at: time) }
        try await site.crash()
        try await site.perform(take, at: 7)
        for name in ["box1:0100", "box2:0100"] {
            let points = try await site.volume(name).points
            try require(points.map(\.tag.description), is: ["payroll/1795226400"])
            try require(points.map(\.time.milliseconds), is: [1_795_226_400_000])
            try require(points.map(\.capacity), is: [Site.capacity])
            try require(points.map(\.damage), is: [nil])
        }
        try await site.perform(
            .verifyPoints(
                try .named("payroll/1795226400"),
                sources: [.named("box1:0100"), .named("box2:0100")]))
    },
    StorageCheck("a point is taken on all the volumes or on none") { site in
        try await site.make("box1:0100", multiplier: 4)
        try await site.make("box2:0100")
        try await site.refuse(
            .noSafeguardedCapacity, try .take("s/1", "box1:0100", "box2:0100"))
        try await site.refuse(.unknownVolume, try .take("s/1", "box1:0100", "box2:0101"))
    },
    StorageCheck("points are read back where they are") { site in
        try await site.make("box1:0100", multiplier: 4)
        let here = try [VolumeID.named("box1:0100")]
        try await site.refuse(.unknownBackup, .verifyPoints(try .named("s/1"), sources: here))
        try await site.perform(try .take("s/1", "box1:0100"))
        try await site.perform(.verifyPoints(try .named("s/1"), sources: here))
    },
    StorageCheck("points are given up where they are, and not while a target needs them") { site in
        try await site.make("box1:0100", "box1:0200", multiplier: 4)
        for tag in ["s/1", "s/2", "s/3"] { try await site.perform(try .take(tag, "box1:0100")) }
        let pairs = [try PairTerms("box1:0100", "box1:0200")]
        try await site.perform(
            .establish(pairs, try .named("s/2"), backgroundCopy: false))
        let here = try [VolumeID.named("box1:0100")]
        try await site.refuse(
            .backupInUse, .dropPoints([try .named("s/1"), try .named("s/2")], sources: here))
        let drop = Effect.dropPoints([try .named("s/1"), try .named("s/9")], sources: here)
        for _ in 0..<2 { try await site.perform(drop) }
        try await site.crash()
        try require(
            try await site.volume("box1:0100").points.map(\.tag.description), is: ["s/2", "s/3"])
    },
    StorageCheck("a recovery presents a backup, stays when it is copied, and is withdrawn by name")
    {
        site in
        try await site.make("box1:0100", "box1:0200", multiplier: 4)
        try await site.perform(try .take("s/1", "box1:0100"))
        let pairs = [try PairTerms("box1:0100", "box1:0200")]
        let establish = Effect.establish(pairs, try .named("s/1"), backgroundCopy: false)
        for _ in 0..<2 { try await site.perform(establish) }
        let inbound = try await site.inbound("box1:0200")
        try require(inbound.presents, is: .backup(try .named("s/1")))
        try require([inbound.tracksRemaining, inbound.tracks], is: [Site.tracks, Site.tracks])
        try require(!inbound.backgroundCopy, "it is copied")
        try require(inbound.attributes.persistent && !inbound.attributes.incremental, "ends")
        let copy = Effect.startBackgroundCopy(targets: [try .named("box1:0200")])
        for _ in 0..<2 { try await site.perform(copy) }
        try await site.eventually("the backup is copied") {
            try await site.inbound("box1:0200").tracksRemaining == 0
        }
        try require(!(try await site.inbound("box1:0200").backgroundCopy), "it is copied on")
        try await site.perform(.withdraw(pairs, try .named("s/9")))
        _ = try await site.inbound("box1:0200")
        for _ in 0..<2 { try await site.perform(.withdraw(pairs, try .named("s/1"))) }
        try require(try await site.volume("box1:0200").inbound, is: nil)
        try await site.refuse(.noRelationship, copy)
    },
    StorageCheck("a recovery is refused for every reason of its own, with nothing changed") {
        site in
        try await site.make("box1:0100", "box1:0200", "box2:0200", multiplier: 4)
        try await site.make("box1:0300", capacity: Capacity(bytes: 1 << 19))
        try await site.perform(try .take("s/1", "box1:0100"))
        func recover(_ target: String, _ tag: String = "s/1") throws -> Effect {
            .establish(
                [try PairTerms("box1:0100", target)], try .named(tag), backgroundCopy: false)
        }
        try await site.refuse(.unknownBackup, try recover("box1:0200", "s/2"))
        try await site.refuse(.targetSmaller, try recover("box1:0300"))
        try await site.refuse(.unknownVolume, try recover("box1:0400"))
        try await site.refuse(.storageMismatch, try recover("box2:0200"))
        try await site.perform(try .establish(1, [("box1:0100", "box1:0200")], .noCopy))
        try await site.refuse(.targetHasSource, try recover("box1:0200"))
    },
    StorageCheck("what a session has on the storage is found by its name") { site in
        try await site.make("box1:0100", "box1:0200", "box1:0300", "box2:0100", multiplier: 4)
        try await site.perform(try .take("payroll/1", "box1:0100", "box2:0100"))
        try await site.perform(try .take("books/1", "box1:0300"))
        try await site.perform(
            .establish(
                [try PairTerms("box1:0100", "box1:0200")], try .named("payroll/1"),
                backgroundCopy: false))
        let found = try await site.storage.volumes(ofSession: .named("payroll"))
        try require(
            found.map(\.description).sorted(), is: ["box1:0100", "box1:0200", "box2:0100"])
    },
]
