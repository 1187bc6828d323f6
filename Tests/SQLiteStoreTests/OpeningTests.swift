import Foundation
import SQLiteStore
import SessionStore
import Testing

@Suite("Opening a SQLite store")
struct OpeningTests {
    @Test("missing directories are made")
    func directories() async throws {
        let scratch = try Scratch()
        let path = scratch.directory + "/var/lib/deep/store.sqlite"
        let store = try SQLiteStore(path: path)
        try await store.commit(try unit("a"))
        try await store.close()
        #expect(FileManager.default.fileExists(atPath: path))
    }

    @Test("a second one is locked out at once, until the first is closed")
    func locked() async throws {
        let scratch = try Scratch()
        let store = try scratch.open()
        let failure = try await failing { _ = try scratch.open() }
        #expect(failure.code == .locked)
        #expect(failure.place == scratch.database + ".lock")
        try await store.commit(try unit("a"))
        try await store.close()
        try await scratch.open().close()
    }

    @Test("a store that nobody closed lets the next one in when it goes")
    func released() async throws {
        let scratch = try Scratch()
        do {
            let store = try scratch.open()
            try await store.commit(try unit("a"))
        }
        var next: SQLiteStore?
        #expect(
            try await eventually {
                next = try? scratch.open()
                return next != nil
            })
        #expect(try await next?.load(subject("a")).lastSequence == 1)
        try await next?.close()
    }

    @Test("a database of a later version is refused and left as it is")
    func newer() async throws {
        let scratch = try Scratch()
        let store = try scratch.open()
        try await store.commit(try unit("a"))
        try await store.close()
        try scratch.execute("INSERT INTO grdb_migrations VALUES ('2 of the future')")
        let before = try Data(contentsOf: URL(fileURLWithPath: scratch.database))
        let failure = try await failing { _ = try scratch.open() }
        #expect(failure.code == .schemaNewer)
        #expect(try Data(contentsOf: URL(fileURLWithPath: scratch.database)) == before)
        try scratch.execute("DELETE FROM grdb_migrations WHERE identifier LIKE '2%'")
        let again = try scratch.open()
        #expect(try await again.load(subject("a")).lastSequence == 1)
        try await again.close()
    }

    @Test("a file that is no database is refused and left as it is")
    func damaged() async throws {
        let scratch = try Scratch()
        let text = Data(String(repeating: "no database at all ", count: 500).utf8)
        try text.write(to: URL(fileURLWithPath: scratch.database))
        let failure = try await failing { _ = try scratch.open() }
        #expect(failure.code == .failed)
        #expect(failure.place == scratch.database)
        #expect(try Data(contentsOf: URL(fileURLWithPath: scratch.database)) == text)
    }

    @Test("a path that cannot be opened is refused in words")
    func unusable() async throws {
        let scratch = try Scratch()
        try Data().write(to: URL(fileURLWithPath: scratch.directory + "/file"))
        let failure = try await failing {
            _ = try SQLiteStore(path: scratch.directory + "/file/store.sqlite")
        }
        #expect(failure.code == .failed)
        #expect(failure.message.contains("Not a directory"))
    }

    @Test("foreign rows that name no subject are told, not read")
    func foreignRows() async throws {
        let scratch = try Scratch()
        try await scratch.open().close()
        try scratch.execute(
            """
            INSERT INTO subjects VALUES (1, 'not a name', 0);
            INSERT INTO parts VALUES (1, 'summary', x'00');
            INSERT INTO intents VALUES (1, 1, x'00')
            """)
        let store = try scratch.open()
        let failure = try await failing { _ = try await store.subjects() }
        #expect(failure.code == .failed)
        #expect(failure.place == "subjects")
        let another = try await failing { _ = try await store.openIntents() }
        #expect(another.place == "intents")
        try await store.close()
    }

}
