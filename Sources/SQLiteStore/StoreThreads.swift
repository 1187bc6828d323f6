import CopyModel
import Foundation
import GRDB
import SessionStore

/// The two threads of a store. Each opens its connection, owns it, and closes it; each keeps the
/// owner's lock, so that nobody else can come in before both are through.
extension SQLiteStore {
    /// Starts the thread that writes, and waits until its connection is open.
    func startWriting(_ options: Options) throws(StoreFailure) {
        let (path, writes, gauges, tail, lock) = (path, writes, gauges, tail, lock)
        try start("store writer") { opened in
            defer { withExtendedLifetime(lock) {} }
            let queue = try Connections.openWriter(path: path, options: options)
            let closing = try queue.inDatabase { database in
                var writer = try Writer(
                    database, path: path, options: options, gauges: gauges, tail: tail)
                opened()
                return writer.work(from: writes)
            }
            let result = Self.close(queue, path: path)
            closing.reply?.resume(returning: closing.failure.map { .failure($0) } ?? result)
        }
    }

    /// Starts the thread that reads, and waits until its connection is open.
    func startReading() throws(StoreFailure) {
        let (path, reads, lock) = (path, reads, lock)
        try start("store reader") { opened in
            defer { withExtendedLifetime(lock) {} }
            let queue = try Connections.openReader(path: path)
            let reply = try queue.inDatabase { database in
                let statements = try ReadStatements(database)
                opened()
                return Self.answer(reads, with: statements)
            }
            reply?.resume(returning: Self.close(queue, path: path))
        }
    }

    /// Closes after what is under way; closing again does nothing.
    ///
    /// Throws what the last transaction or the closing itself failed with. The store is closed even
    /// so.
    public func close() async throws(StoreFailure) {
        // The last connection to close carries the log over, which must not happen once a sync has
        // failed: then the one that may not write is the last.
        let isWritingEnded = gauges.now.ended != nil
        tail.end()
        var failures: [StoreFailure] = []
        for isWriter in isWritingEnded ? [true, false] : [false, true] {
            let result = await withCheckedContinuation { (reply: Reply<Void>) in
                let isPosted =
                    isWriter
                    ? writes.post(.close(reply), isLast: true)
                    : reads.post(.close(reply), isLast: true)
                if !isPosted { reply.resume(returning: .success(())) }
            }
            if case .failure(let failure) = result { failures.append(failure) }
        }
        lock.release()
        if let failure = failures.first { throw failure }
    }

    /// Hands work to the writing thread and waits for its answer.
    func write<Value: Sendable>(
        _ work: (Reply<Value>) -> WriteWork
    ) async throws(StoreFailure) -> Value {
        try await withCheckedContinuation { (reply: Reply<Value>) in
            if !writes.post(work(reply)) { reply.resume(returning: .failure(.closed(place: path))) }
        }.get()
    }

    /// Hands a question to the reading thread and waits for its answer.
    func read<Value: Sendable>(
        _ body: @escaping @Sendable (ReadStatements) throws(StoreFailure) -> Value
    ) async throws(StoreFailure) -> Value {
        try await withCheckedContinuation { (reply: Reply<Value>) in
            let isPosted = reads.post(
                .read { statements in
                    reply.resume(
                        returning: Result { () throws(StoreFailure) in try body(statements) })
                })
            if !isPosted { reply.resume(returning: .failure(.closed(place: path))) }
        }.get()
    }

    /// Answers questions until the store is closed; returns who waits for that.
    private static func answer(
        _ reads: Mailbox<ReadWork>, with statements: ReadStatements
    ) -> Reply<Void>? {
        while true {
            for work in reads.take(waiting: -1) {
                switch work {
                case .read(let body): body(statements)
                case .close(let reply): return reply
                }
            }
        }
    }

    private static func close(_ queue: DatabaseQueue, path: String) -> Result<Void, StoreFailure> {
        Result { () throws(StoreFailure) in
            try inWords("Closing the database", place: path) { try queue.close() }
        }
    }

    /// Starts a thread and waits until it calls `opened`, or throws what it threw before.
    private func start(
        _ name: String, _ body: @escaping @Sendable (_ opened: () -> Void) throws -> Void
    ) throws(StoreFailure) {
        let path = path
        let door = try Mailbox<StoreFailure?>(place: path)
        let thread = Thread {
            Thread.current.name = name
            do {
                try body { _ = door.post(nil, isLast: true) }
            } catch {
                let failure = StoreFailure(error, doing: "Opening the store", place: path)
                _ = door.post(failure, isLast: true)
            }
        }
        thread.start()
        if let failure = door.take(waiting: -1)[0] { throw failure }
    }
}
