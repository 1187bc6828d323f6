import SQLiteStore
import StoreConformance
import Testing

@Suite("The session store port")
struct ConformanceTests {
    @Test("SQLite keeps every promise", arguments: StoreConformance.checks)
    func sqlite(check: StoreCheck) async throws {
        let scratch = try Scratch()
        try await check.run(StoreUnderTest { try scratch.open() })
    }

    @Test(
        "SQLite keeps every promise with a checkpoint after every transaction",
        arguments: StoreConformance.checks)
    func checkpointing(check: StoreCheck) async throws {
        let scratch = try Scratch()
        try await check.run(
            StoreUnderTest {
                try scratch.open {
                    $0.checkpointPages = 1
                    $0.forgetDelay = .zero
                }
            })
    }

    @Test("memory keeps every promise", arguments: StoreConformance.checks)
    func memory(check: StoreCheck) async throws {
        let contents = MemoryStore.Contents()
        try await check.run(StoreUnderTest { MemoryStore(contents) })
    }
}
