import CopyModel
import StoragePort

/// Relationships that begin with an instant.
let instantChecks: [StorageCheck] = [
    StorageCheck("pairs of several systems begin with one instant, and say all there is of them") {
        site in
        try await site.make("box1:0100", "box1:0200", "box1:0201", "box2:0100", "box2:0200")
        let pairs = [
            ("box1:0100", "box1:0201"), ("box2:0100", "box2:0200"), ("box1:0100", "box1:0200"),
        ]
        let terms = RelationshipTerms.with {
            $0.backgroundCopy = false
            $0.incremental = true
            $0.inhibitTargetWrites = true
            $0.copyRateMiBps = 7
        }
        try await site.perform(try .establish(41, pairs, terms), at: 5000)
        var attributes = RelationshipAttributes()
        attributes.persistent = true
        attributes.incremental = true
        attributes.inhibitTargetWrites = true
        attributes.tracksOutOfSync = Site.tracks
        attributes.copyRateMiBps = 7
        attributes.number = 41
        attributes.established = Timestamp(milliseconds: 5000)
        attributes.refreshed = Timestamp(milliseconds: 5000)
        for (source, target) in pairs {
            try require(
                try await site.inbound(target),
                is: RelationshipReport(
                    source: try .named(source), presents: .instant(41),
                    tracksRemaining: Site.tracks, tracks: Site.tracks, backgroundCopy: false,
                    attributes: attributes))
        }
        try require(
            try await site.volume("box1:0100").outbound.map(\.description),
            is: ["box1:0200", "box1:0201"])
        try require(try await site.volume("box1:0200").outbound, is: [])
    },
    StorageCheck("an instant that has been is not made again, whatever has become of it") { site in
        try await site.make("box1:0100", "box1:0200", "box1:0300", "box1:0400")
        let pairs = [("box1:0100", "box1:0200"), ("box1:0300", "box1:0400")]
        let establish = try Effect.establish(7, pairs, RelationshipTerms())
        try await site.perform(establish, at: 1)
        try await site.eventually("copies that are not to stay end") {
            try await site.picture().allSatisfy { $0.inbound == nil }
        }
        try await site.perform(establish, at: 2)
        try await site.crash()
        try await site.perform(establish, at: 3)
        for name in ["box1:0200", "box1:0400"] {
            try require(try await site.volume(name).inbound, is: nil)
        }
        try await site.perform(try .establish(8, pairs, .noCopy), at: 4)
        try await site.perform(try .withdraw("box1:0100", "box1:0200"))
        try await site.perform(try .establish(8, pairs, .noCopy), at: 5)
        try require(try await site.volume("box1:0200").inbound, is: nil)
        try require(try await site.inbound("box1:0400").attributes.refreshed.milliseconds, is: 4)
    },
    StorageCheck("an instant without a number is always another one") { site in
        try await site.make("box1:0100", "box1:0200")
        for time in [1, 2] as [Int64] {
            try await site.perform(
                try .establish(0, [("box1:0100", "box1:0200")], .noCopy), at: time)
            try require(try await site.inbound("box1:0200").presents, is: .instant(0))
            try require(
                try await site.inbound("box1:0200").attributes.established.milliseconds, is: time)
        }
    },
    StorageCheck("what does not stay ends when it is copied; incremental and persistent ones stay")
    {
        site in
        try await site.make("box1:0100", "box1:0200", "box1:0201", "box1:0202")
        try await site.perform(
            try .establish(1, [("box1:0100", "box1:0200")], RelationshipTerms()))
        try await site.perform(
            try .establish(2, [("box1:0100", "box1:0201")], .with { $0.persistent = true }))
        try await site.perform(try .establish(3, [("box1:0100", "box1:0202")]))
        try await site.rest()
        try require(try await site.volume("box1:0200").inbound, is: nil)
        try require(try await site.volume("box1:0200").completed, is: 1)
        for name in ["box1:0201", "box1:0202"] {
            try require(try await site.volume(name).completed, is: nil)
            let inbound = try await site.inbound(name)
            try require(inbound.tracksRemaining, is: 0)
            try require(inbound.backgroundCopy && inbound.attributes.persistent, "\(inbound)")
        }
    },
    StorageCheck("that a copy has ended by itself is noted until another begins") { site in
        try await site.make("box1:0100", "box1:0200", multiplier: 4)
        try await site.perform(try .take("s/1", "box1:0100"))
        let pair = [("box1:0100", "box1:0200")]
        let recovery = [try PairTerms("box1:0100", "box1:0200")]
        for number in [5, 0] as [UInt64] {
            try await site.perform(try .establish(number, pair, RelationshipTerms()))
            try await site.rest()
            try await site.crash()
            try require(try await site.volume("box1:0200").completed, is: number)
            if number > 0 {
                try await site.perform(try .establish(6, pair, .noCopy))
                try require(try await site.volume("box1:0200").completed, is: nil)
                try await site.perform(try .withdraw("box1:0100", "box1:0200"))
            } else {
                try await site.perform(
                    .establish(recovery, try .named("s/1"), backgroundCopy: false))
                try await site.perform(.withdraw(recovery, try .named("s/1")))
            }
            try await site.reopen()
            try require(try await site.volume("box1:0200").completed, is: nil)
        }
    },
    StorageCheck("an establish ends what there is of the same pair, and copies everything again") {
        site in
        try await site.make("box1:0100", "box1:0200")
        let pair = [("box1:0100", "box1:0200")]
        try await site.perform(try .establish(1, pair), at: 100)
        try await site.rest()
        try await site.perform(try .establish(2, pair, .noCopy), at: 200)
        let inbound = try await site.inbound("box1:0200")
        try require(inbound.tracksRemaining, is: Site.tracks)
        try require(inbound.presents, is: .instant(2))
        try require(inbound.attributes.established.milliseconds, is: 200)
        try require(!inbound.attributes.incremental && !inbound.attributes.persistent, "terms")
        try require(try await site.volume("box1:0100").outbound.count, is: 1)
    },
    StorageCheck("a refresh copies what hosts have written to on either side, and takes new terms")
    {
        site in
        try await site.make("box1:0100", "box1:0200")
        let pair = [("box1:0100", "box1:0200")]
        try await site.perform(try .establish(1, pair), at: 100)
        try await site.rest()
        try require(try await site.inbound("box1:0200").attributes.tracksOutOfSync, is: 0)
        try await site.write("box1:0100", tracks: 2..<4)
        try await site.write("box1:0200", tracks: 3..<6)
        try require(try await site.inbound("box1:0200").attributes.tracksOutOfSync, is: 4)
        let terms = RelationshipTerms.with {
            $0.backgroundCopy = false
            $0.incremental = true
            $0.copyRateMiBps = 9
        }
        for time in [200, 300] as [Int64] {
            try await site.perform(try .refresh(2, pair, terms), at: time)
        }
        let inbound = try await site.inbound("box1:0200")
        try require(inbound.tracksRemaining, is: 4)
        try require(inbound.presents, is: .instant(2))
        try require(inbound.attributes.established.milliseconds, is: 100)
        try require(inbound.attributes.refreshed.milliseconds, is: 200)
        try require(inbound.attributes.copyRateMiBps, is: 9)
        try require(!inbound.backgroundCopy && inbound.attributes.incremental, "\(inbound)")
    },
    StorageCheck("a refresh of what records no changes copies everything") { site in
        try await site.make("box1:0100", "box1:0200")
        let pair = [("box1:0100", "box1:0200")]
        try await site.perform(try .establish(1, pair, .with { $0.persistent = true }))
        try await site.rest()
        try await site.perform(try .refresh(2, pair, .resting))
        try require(try await site.inbound("box1:0200").tracksRemaining, is: Site.tracks)
    },
    StorageCheck("relationships of pairs are withdrawn where they have the number, or any of them")
    {
        site in
        try await site.make("box1:0100", "box1:0200", "box1:0300")
        try await site.perform(try .establish(5, [("box1:0100", "box1:0200")], .noCopy))
        try await site.perform(try .withdraw("box1:0100", "box1:0200", number: 4))
        try await site.perform(try .withdraw("box1:0300", "box1:0200"))
        _ = try await site.inbound("box1:0200")
        for number in [5, nil] as [UInt64?] {
            try await site.perform(try .withdraw("box1:0100", "box1:0200", number: number))
            try require(try await site.volume("box1:0200").inbound, is: nil)
        }
        try await site.perform(try .establish(6, [("box1:0100", "box1:0200")], .noCopy))
        try await site.perform(try .withdraw("box1:0100", "box1:0200"))
        try require(try await site.volume("box1:0200").inbound, is: nil)
    },
]
