import CopyModel
import StoragePort

/// What cannot begin with an instant: none of it does then.
let refusalChecks: [StorageCheck] = [
    StorageCheck("one pair that is refused keeps the others of its instant from beginning") {
        site in
        let (one, two) = ("box1:0300", "box2:0300")
        try await site.make("box1:0100", "box1:0200", one, "box2:0100", "box2:0200", two)
        try await site.perform(
            try .establish(
                1, [("box1:0100", "box1:0200"), ("box2:0100", "box2:0200")], .noCopy))
        for bad in [(one, "box1:0200"), (two, "box2:0200")] {
            let pairs = [("box1:0100", one), bad, ("box2:0100", two)]
            try await site.refuse(.targetHasSource, try .establish(2, pairs, .noCopy))
        }
        try await site.perform(
            try .establish(2, [("box1:0100", one), ("box2:0100", two)], .noCopy))
    },
    StorageCheck("a target is as large as its source, on its system, and not read through itself") {
        site in
        try await site.make("box1:0100", "box1:0200", "box1:0300", "box2:0200")
        try await site.make("box1:0400", capacity: Capacity(bytes: 1 << 19))
        func establish(_ source: String, _ target: String) throws -> Effect {
            try .establish(9, [(source, target)], .noCopy)
        }
        try await site.refuse(.targetSmaller, try establish("box1:0100", "box1:0400"))
        try await site.refuse(.unknownVolume, try establish("box1:0100", "box1:0999"))
        try await site.refuse(.unknownVolume, try establish("box1:0999", "box1:0200"))
        try await site.refuse(.storageMismatch, try establish("box1:0100", "box2:0200"))
        try await site.refuse(.cycle, try establish("box1:0100", "box1:0100"))
        try await site.perform(
            try .establish(1, [("box1:0100", "box1:0200"), ("box1:0200", "box1:0300")], .noCopy))
        try await site.refuse(.cycle, try establish("box1:0300", "box1:0100"))
    },
    StorageCheck("a source has twelve targets and no more; one of them can be established anew") {
        site in
        var pairs: [(String, String)] = []
        for digit in "0123456789abc" {
            try await site.make("box1:020\(digit)")
            pairs.append(("box1:0100", "box1:020\(digit)"))
        }
        try await site.make("box1:0100")
        try await site.refuse(.tooManyTargets, try .establish(1, pairs, .noCopy))
        let last = pairs.removeLast()
        try await site.perform(try .establish(1, pairs, .noCopy))
        try await site.refuse(.tooManyTargets, try .establish(2, [last], .noCopy))
        try await site.perform(try .establish(2, [pairs[0]], .noCopy))
    },
    StorageCheck("what is not there is neither refreshed nor reversed, committed nor reverted") {
        site in
        try await site.make("box1:0100", "box1:0200", "box1:0300")
        try await site.perform(try .establish(1, [("box1:0300", "box1:0200")], .noCopy))
        let pair = [try PairTerms("box1:0100", "box1:0200")]
        let effects: [Effect] = [
            try .refresh(2, [("box1:0100", "box1:0200")]),
            try .reverse(2, "box1:0100", "box1:0200"),
            try .reverse(2, "box1:0100", "box1:0200", fast: true),
            .commitRelationships(pair, number: 1), .revertRelationships(pair, number: 1),
        ]
        for effect in effects { try await site.refuse(.noRelationship, effect) }
    },
    StorageCheck("a refresh is revertible where changes are recorded, before and after") { site in
        try await site.make("box1:0100", "box1:0200")
        let pair = [("box1:0100", "box1:0200")]
        try await site.perform(try .establish(1, pair, .with { $0.persistent = true }))
        try await site.rest()
        try await site.refuse(.notRevertible, try .refresh(2, pair, revertible: true))
        try await site.perform(try .refresh(2, pair))
        try await site.rest()
        try await site.refuse(
            .notRevertible,
            try .refresh(3, pair, .with { $0.persistent = true }, revertible: true))
    },
    StorageCheck("a reverse waits for the last track, and for a place where nothing is presented") {
        site in
        try await site.make("box1:0100", "box1:0200", "box1:0300")
        try await site.perform(
            try .establish(1, [("box1:0100", "box1:0200"), ("box1:0200", "box1:0300")], .resting))
        try await site.refuse(.copyIncomplete, try .reverse(2, "box1:0100", "box1:0200"))
        try await site.perform(
            .startBackgroundCopy(targets: [try .named("box1:0200"), try .named("box1:0300")]))
        try await site.rest()
        try await site.refuse(.targetHasSource, try .reverse(2, "box1:0200", "box1:0300"))
        try await site.perform(try .reverse(2, "box1:0100", "box1:0200"))
    },
]
