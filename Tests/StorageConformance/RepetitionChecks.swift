import CopyModel
import StoragePort

/// A worker that dies between an effect and the note of it asks again.
let repetitionChecks: [StorageCheck] = [
    StorageCheck("every effect, asked again, changes nothing: at once, after a stop, after a crash")
    {
        site in
        for (number, effect) in try life().enumerated() {
            let time = Int64(number) * 1000
            try await site.perform(effect, at: time)
            try await site.rest()
            let made = try await site.picture()
            for stop in 0..<4 {
                if stop == 1 { try await site.reopen() }
                if stop == 2 { try await site.crash() }
                try await site.perform(effect, at: time + Int64(stop) + 1)
                try await site.rest()
                let again = try await site.picture()
                try require(
                    again == made, "effect \(number), \(effect), asked again: \(again), not \(made)"
                )
            }
        }
    }
]

/// One effect of every kind, each possible after those before.
private func life() throws -> [Effect] {
    let box = try SubjectName.named("box1")
    func local(_ text: String) throws -> LocalVolumeID { try VolumeID.named("box1:\(text)").local }
    let names = ["0100", "0101", "0200", "0201", "0300"]
    let pair = [("box1:0101", "box1:0201")]
    let terms = [try PairTerms("box1:0101", "box1:0201")]
    let recovery = [try PairTerms("box1:0100", "box1:0200")]
    let (tag, later) = (try PointTag.named("s/1"), try PointTag.named("s/2"))
    let h1 = try [VolumeID.named("box1:0100")]
    return [
        .createVolumes(
            box,
            try names.map {
                VolumeSpecification(
                    id: try local($0), capacity: Site.capacity, safeguardedMultiplier: 4)
            }),
        .deleteVolumes(box, [try local("0300")]),
        .expandVolumes(
            box, [VolumeExpansion(id: try local("0200"), capacity: Capacity(bytes: 2 << 20))]),
        .setSafeguardedCapacity(
            box, [SafeguardedMultiplier(id: try local("0100"), multiplier: 9)]),
        .takePoints(tag, sources: h1), .takePoints(later, sources: h1),
        .verifyPoints(later, sources: h1), .dropPoints([tag], sources: h1),
        .establish(recovery, later, backgroundCopy: false),
        .startBackgroundCopy(targets: [try .named("box1:0200")]),
        .withdraw(recovery, later),
        try .establish(1, pair, .resting), try .refresh(2, pair, .resting),
        try .establish(3, pair), try .refresh(4, pair, revertible: true),
        .commitRelationships(terms, number: 4), try .refresh(5, pair, revertible: true),
        .revertRelationships(terms, number: 5), try .reverse(6, "box1:0101", "box1:0201"),
        try .reverse(7, "box1:0201", "box1:0101"),
        .withdrawRelationships(terms, number: 7),
        try .establish(8, pair, .noCopy), try .reverse(9, "box1:0101", "box1:0201", fast: true),
    ]
}
