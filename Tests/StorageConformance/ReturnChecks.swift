import CopyModel
import StoragePort

/// Copies that go back: reversed, committed or reverted.
let returnChecks: [StorageCheck] = [
    StorageCheck("a reverse makes the source the target, over what differs, once") { site in
        try await site.make("box1:0100", "box1:0200")
        try await site.perform(try .establish(1, [("box1:0100", "box1:0200")]), at: 100)
        try await site.rest()
        try await site.write("box1:0100", tracks: 1..<3)
        try await site.write("box1:0200", tracks: 9..<10)
        for time in [200, 300] as [Int64] {
            try await site.perform(try .reverse(2, "box1:0100", "box1:0200"), at: time)
            try require(try await site.volume("box1:0200").inbound, is: nil)
            let inbound = try await site.inbound("box1:0100")
            try require(inbound.source.description, is: "box1:0200")
            try require(inbound.presents, is: .instant(2))
            try require(inbound.attributes.refreshed.milliseconds, is: 200)
            try require(inbound.attributes.incremental && inbound.backgroundCopy, "\(inbound)")
            try require(inbound.tracksRemaining <= 3, "\(inbound)")
            try await site.crash()
        }
        try await site.rest()
        try require(try await site.inbound("box1:0100").tracksRemaining, is: 0)
        try await site.perform(try .reverse(3, "box1:0200", "box1:0100"))
        try require(
            try await site.inbound("box1:0200").source.description, is: "box1:0100")
    },
    StorageCheck("a fast reverse waits for nothing, and ends with both relationships") { site in
        try await site.make("box1:0100", "box1:0200")
        try await site.perform(try .establish(1, [("box1:0100", "box1:0200")], .noCopy))
        try await site.write("box1:0100", tracks: 1..<3)
        for _ in 0..<2 {
            try await site.perform(try .reverse(2, "box1:0100", "box1:0200", fast: true))
        }
        try await site.eventually("the last track comes back") {
            try await site.picture().allSatisfy { $0.inbound == nil && $0.outbound.isEmpty }
        }
        try await site.crash()
        try await site.perform(try .reverse(2, "box1:0100", "box1:0200", fast: true))
        try require(try await site.picture().map(\.inbound), is: [nil, nil])
        try require(try await site.picture().map(\.completed), is: [2, nil])
    },
    StorageCheck("what waits for a decision waits for nothing else; a commit lets it go on") {
        site in
        try await site.make("box1:0100", "box1:0200")
        let pair = [("box1:0100", "box1:0200")]
        try await site.perform(try .establish(1, pair))
        try await site.rest()
        try await site.write("box1:0100", tracks: 2..<4)
        try await site.perform(try .refresh(2, pair, .resting, revertible: true))
        try require(try await site.inbound("box1:0200").attributes.revertible, "not revertible")
        for effect in [
            try Effect.refresh(3, pair), try .establish(3, pair),
            try .reverse(3, "box1:0100", "box1:0200"), try .withdraw("box1:0100", "box1:0200"),
        ] {
            try await site.refuse(.notCommitted, effect)
        }
        let terms = [try PairTerms("box1:0100", "box1:0200")]
        try await site.refuse(.notRevertible, .commitRelationships(terms, number: 3))
        for _ in 0..<2 { try await site.perform(.commitRelationships(terms, number: 2)) }
        try require(try await site.inbound("box1:0200").presents, is: .instant(2))
        try require(!(try await site.inbound("box1:0200").attributes.revertible), "revertible")
        try await site.refuse(.notRevertible, .revertRelationships(terms, number: 2))
        try await site.perform(try .withdraw("box1:0100", "box1:0200"))
    },
    StorageCheck("a revert brings back what there was before, and its number and terms") { site in
        try await site.make("box1:0100", "box1:0200")
        let pair = [("box1:0100", "box1:0200")]
        let rated = RelationshipTerms.with {
            $0.incremental = true
            $0.copyRateMiBps = 8
        }
        try await site.perform(try .establish(1, pair, rated), at: 100)
        try await site.rest()
        let before = try await site.picture()
        try await site.write("box1:0100", tracks: 2..<4)
        try await site.perform(try .refresh(2, pair, .resting, revertible: true), at: 200)
        try await site.write("box1:0200", tracks: 5..<6)
        let terms = [try PairTerms("box1:0100", "box1:0200")]
        for _ in 0..<2 { try await site.perform(.revertRelationships(terms, number: 2)) }
        try await site.rest()
        try require(try await site.picture(), is: before)
        try await site.crash()
        try await site.perform(.revertRelationships(terms, number: 2))
        try require(try await site.picture(), is: before)
        let left = try await site.inbound("box1:0200").attributes.tracksOutOfSync ?? 0
        try require(left >= 3, "\(left) tracks would be refreshed")
    },
]
