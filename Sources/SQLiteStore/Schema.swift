import GRDB
import SessionStore

/// The tables, and how a file comes to have them.
///
/// Names of subjects are kept once and numbered, so that keys are small. What is big (an outcome, a
/// message) lies in the order of arrival, so that a commit appends to one place, whatever its
/// subject; only narrow index entries are scattered. `inbox` is found by the 64-bit hash of a
/// command's id, which is also all that `load` has to read of it. `lastPosition` in `marks` is the
/// last position of the outbox that was ever given out; SQLite's own AUTOINCREMENT would say the
/// same, but write it down for every message rather than once a transaction.
enum Schema {
    /// Every change of the tables, the first first.
    ///
    /// None is edited once it was released: others are added.
    static func migrator() -> DatabaseMigrator {
        var migrator = DatabaseMigrator().disablingDeferredForeignKeyChecks()
        migrator.registerMigration("1 subjects, parts, inbox, intents, outbox") { database in
            try database.execute(sql: version1)
        }
        return migrator
    }

    private static let version1 = """
        CREATE TABLE subjects (
            number INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            lastSequence INTEGER NOT NULL);
        CREATE TABLE parts (
            subject INTEGER NOT NULL,
            key TEXT NOT NULL,
            bytes BLOB NOT NULL,
            PRIMARY KEY (subject, key));
        CREATE TABLE inbox (
            number INTEGER PRIMARY KEY,
            subject INTEGER NOT NULL,
            hash INTEGER NOT NULL,
            receivedAt INTEGER NOT NULL,
            id TEXT NOT NULL,
            request BLOB NOT NULL,
            outcome BLOB NOT NULL);
        CREATE INDEX inboxByCommand ON inbox (subject, hash);
        CREATE INDEX inboxByTime ON inbox (receivedAt);
        CREATE TABLE intents (
            number INTEGER PRIMARY KEY,
            subject INTEGER NOT NULL UNIQUE,
            bytes BLOB NOT NULL);
        CREATE TABLE outbox (
            position INTEGER PRIMARY KEY,
            exchange TEXT NOT NULL,
            routingKey TEXT NOT NULL,
            messageID TEXT,
            correlationID TEXT,
            contentType TEXT NOT NULL,
            traceparent TEXT,
            body BLOB NOT NULL);
        CREATE TABLE marks (
            name TEXT PRIMARY KEY,
            value INTEGER NOT NULL) WITHOUT ROWID;
        INSERT INTO marks VALUES ('lastPosition', 0);
        """
}
