import Glibc
import Synchronization
import Testing
import TrackStore

@Suite("A disk that fails")
struct FaultTests {
    private final class Shared: Sendable {
        let next = Atomic<Int>(0)
        let hits = Atomic<Int>(0)
        let lost = Atomic<Int>(0)
        let failures = Mutex<[String]>([])
        let faults: [FailingDisk.Fault]

        init(_ faults: [FailingDisk.Fault]) { self.faults = faults }
    }

    /// Every operation of every kind, failing once and from then on, with either error.
    private static func faults(_ counts: [FailingDisk.Kind: Int]) -> [FailingDisk.Fault] {
        var faults: [FailingDisk.Fault] = []
        for errno in [EIO, ENOSPC] {
            for goesOn in [false, true] {
                for kind in FailingDisk.Kind.allCases {
                    for number in 1...max(counts[kind] ?? 0, 1) {
                        faults.append(
                            .init(kinds: [kind], number: number, errno: errno, goesOn: goesOn))
                    }
                }
            }
            for number in 1...max(counts.values.reduce(0, +), 1) {
                faults.append(
                    .init(
                        kinds: Set(FailingDisk.Kind.allCases), number: number, errno: errno,
                        goesOn: true))
            }
        }
        return faults
    }

    /// STILLPOINT_FAULTS: how many of them; 0 = all. STILLPOINT_FAULT_SEED: which.
    @Test(
        "points and other blocks are whole whichever operation fails, and somebody hears of it",
        .timeLimit(.minutes(20)))
    func everyOperation() throws {
        let whole = try FaultRun()
        try whole.run()
        let counts = whole.disk.counts
        let text = FailingDisk.Kind.allCases.map { "\($0) \(counts[$0] ?? 0)" }
            .joined(separator: ", ")
        let all = Self.faults(counts)
        let seed = environmentNumber(
            "STILLPOINT_FAULT_SEED", default: Int.random(in: 1...1_000_000_000))
        var numbers = SeededNumbers(seed: UInt64(seed))
        let wanted = environmentNumber("STILLPOINT_FAULTS", default: 400)
        let some = wanted == 0 ? all : Array(all.shuffled(using: &numbers).prefix(wanted))
        print("failing disk: \(text); \(some.count) of \(all.count) faults, seed \(seed)")
        let (hits, _) = live(some, cutsPower: false)
        print("failing disk: \(hits) faults happened")
        #expect(hits > some.count / 2)
    }

    /// STILLPOINT_CUTS: at how many of them; 0 = all. STILLPOINT_FAULT_SEED: which.
    @Test(
        "points are exact and durable writes there whichever operation was the last before a power cut",
        .timeLimit(.minutes(20)))
    func powerCuts() throws {
        let whole = try FaultRun(cutsPower: true)
        try whole.run()
        let kinds: Set<FailingDisk.Kind> = [.write, .sync, .punch, .reserve]
        let count = kinds.reduce(0) { $0 + (whole.disk.counts[$1] ?? 0) }
        let all = (1...count).map {
            FailingDisk.Fault(kinds: kinds, number: $0, errno: EIO, goesOn: true)
        }
        let seed = environmentNumber(
            "STILLPOINT_FAULT_SEED", default: Int.random(in: 1...1_000_000_000))
        var numbers = SeededNumbers(seed: UInt64(seed))
        let wanted = environmentNumber("STILLPOINT_CUTS", default: 150)
        let some = wanted == 0 ? all : Array(all.shuffled(using: &numbers).prefix(wanted))
        let (cuts, lost) = live(some, cutsPower: true)
        print(
            "power cuts: \(cuts) at \(some.count) of \(count) operations, \(lost) writes lost or torn, "
                + "seed \(seed)")
        #expect(cuts > some.count / 2)
        #expect(lost > 0)
    }

    /// One life for each fault; gives how many faults happened, and how many writes power cuts took.
    private func live(_ faults: [FailingDisk.Fault], cutsPower: Bool) -> (hits: Int, lost: Int) {
        let shared = Shared(faults)
        let threads = (0..<12).map { _ in
            TestThread {
                while true {
                    let index = shared.next.add(1, ordering: .relaxed).oldValue
                    guard index < shared.faults.count else { return }
                    let fault = shared.faults[index]
                    do {
                        let run = try FaultRun(fault, cutsPower: cutsPower)
                        try run.run()
                        if run.disk.firstHit != nil { shared.hits.add(1, ordering: .relaxed) }
                        shared.lost.add(run.lostWrites, ordering: .relaxed)
                    } catch {
                        shared.failures.withLock { $0.append("\(fault): \(error)") }
                    }
                }
            }
        }
        for thread in threads { thread.join() }
        for failure in shared.failures.withLock({ $0 }).sorted() { Issue.record("\(failure)") }
        return (
            shared.hits.load(ordering: .relaxed), shared.lost.load(ordering: .relaxed)
        )
    }
}
