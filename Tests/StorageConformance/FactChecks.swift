import CopyModel
import StoragePort

/// What is told unasked.
let factChecks: [StorageCheck] = [
    StorageCheck("the end of a copy is told, with the instant that the target presented") { site in
        try await site.make("box1:0100", "box1:0200")
        let target = try VolumeID.named("box1:0200")
        try await site.perform(
            try .establish(31, [("box1:0100", "box1:0200")], RelationshipTerms()))
        try await site.fact("0 tracks remain of instant 31") {
            $0
                == .copyProgress(
                    target: target, presents: .instant(31), tracksRemaining: 0,
                    tracks: Site.tracks)
        }
        try require(try await site.volume("box1:0200").inbound, is: nil)
    },
    StorageCheck("a refresh of what does not differ is told to be complete, too") { site in
        try await site.make("box1:0100", "box1:0200")
        let target = try VolumeID.named("box1:0200")
        for number in [1, 2] as [UInt64] {
            let pair = [("box1:0100", "box1:0200")]
            try await site.perform(
                number == 1 ? try .establish(1, pair) : try .refresh(number, pair))
            try await site.fact("0 tracks remain of instant \(number)") {
                $0
                    == .copyProgress(
                        target: target, presents: .instant(number), tracksRemaining: 0,
                        tracks: Site.tracks)
            }
        }
    },
    StorageCheck("the end of a recovery's copy is told, with the backup") { site in
        try await site.make("box1:0100", "box1:0200", multiplier: 4)
        try await site.perform(try .take("s/1", "box1:0100"))
        let (target, tag) = (try VolumeID.named("box1:0200"), try PointTag.named("s/1"))
        try await site.perform(
            .establish([try PairTerms("box1:0100", "box1:0200")], tag, backgroundCopy: true))
        try await site.fact("0 tracks remain of s/1") {
            $0
                == .copyProgress(
                    target: target, presents: .backup(tag), tracksRemaining: 0,
                    tracks: Site.tracks)
        }
    },
    StorageCheck("nothing is told any more when the storage is closed") { site in
        let storage = site.storage
        async let last = storage.nextFact()
        try await storage.close()
        try require(await last, is: nil)
        site.storage = try await site.fixture.open()
    },
]
