import Glibc
import Synchronization
import Testing

/// What the lanes of a run share.
private final class Shared: Sendable {
    let next: Atomic<Int>
    let counts = Mutex<[String: Int]>([:])

    init(first: Int) { next = Atomic(first) }
}

@Suite("The engine and whole copies")
struct ModelTests {
    /// Sized by STILLPOINT_SEQUENCES, STILLPOINT_STEPS and STILLPOINT_SEED.
    @Test("random lives of a store read the same as whole copies after every step")
    func randomLives() async {
        let sequences = environmentNumber("STILLPOINT_SEQUENCES", default: 20)
        let steps = environmentNumber("STILLPOINT_STEPS", default: 60)
        let first = environmentNumber("STILLPOINT_SEED", default: 1)
        let shared = Shared(first: first)
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<2 {
                group.addTask {
                    while true {
                        let seed = shared.next.add(1, ordering: .relaxed).oldValue
                        guard seed < first + sequences else { return }
                        var life: ModelRun?
                        do {
                            let run = try ModelRun(seed: UInt64(seed))
                            life = run
                            try run.run(steps: steps)
                            let counts = run.counts
                            shared.counts.withLock { $0.merge(counts, uniquingKeysWith: +) }
                        } catch {
                            let story =
                                life?.story.suffix(
                                    environmentNumber("STILLPOINT_STORY", default: 40)
                                ).joined(separator: "\n") ?? ""
                            Issue.record("seed \(seed): \(error), after\n\(story)")
                        }
                    }
                }
            }
        }
        let summary = shared.counts.withLock { $0 }.sorted { $0.key < $1.key }
            .map { "\($0.key) \($0.value)" }.joined(separator: ", ")
        print("model: seeds \(first)..<\(first + sequences), \(steps) steps each: \(summary)")
    }
}
