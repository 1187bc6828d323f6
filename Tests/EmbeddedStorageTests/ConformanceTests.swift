import CopyModel
import CopyTestKit
import EmbeddedStorage
import StorageConformance
import StoragePort
import Testing
import TrackStore

@Suite("The storage port", .serialized)
struct ConformanceTests {
    @Test(
        "embedded systems keep every promise, with a write journal and without",
        arguments: StorageConformance.checks, [true, false])
    func embedded(check: StorageCheck, hasJournal: Bool) async throws {
        let site = try EmbeddedSite(hasJournal: hasJournal)
        try await check.run(
            StorageUnderTest(
                open: { try site.open() }, kill: { try await site.kill($0) },
                write: { try site.write($0, $1, tracks: $2) }))
    }

    @Test("simulated systems keep every promise", arguments: StorageConformance.checks)
    func simulated(check: StorageCheck) async throws {
        let storage = SimulatedStorage(systems: Set(EmbeddedSite.systems))
        try await check.run(
            StorageUnderTest(
                open: {
                    storage.plan(FaultPlan())
                    return storage
                },
                kill: { _ in try await storage.close() },
                write: { storage.write(to: $1, tracks: $2) },
                proceed: { _ in storage.finishBackgroundCopies() }))
    }
}
