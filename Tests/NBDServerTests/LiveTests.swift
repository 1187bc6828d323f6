import Glibc
import Testing

@testable import NBDServer

/// What needs a running server.
///
/// One at a time, since each may use the whole machine.
@Suite("A running server", .serialized)
struct LiveTests {}

extension LiveTests {
    @Suite("Requests of a live client")
    struct RequestTests {
        @Test("what was written is read back, at any offset and length", arguments: [true, false])
        func writeAndRead(structured: Bool) throws {
            let live = try LiveServer()
            let client = try live.connect()
            try client.enter(structured: structured)
            for (offset, length) in [(0, 1), (4095, 2), (511, 70_001), (1 << 20 - 1, 0)] {
                let payload = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ offset) }
                client.send(Message.write(payload, at: UInt64(offset), cookie: 5))
                #expect(try client.reply() == .init(cookie: 5))
                client.send(
                    Message.request(
                        .read, cookie: 6, offset: UInt64(offset), length: UInt32(length)))
                let reply = try client.reply(read: length)
                #expect(reply.cookie == 6 && reply.error == 0)
                let data = structured ? Array(reply.payload.dropFirst(8)) : reply.payload
                #expect(data == payload)
                if structured, length > 0 {
                    let place = reply.payload.withUnsafeBytes {
                        $0.bigEndian(at: 0, as: UInt64.self)
                    }
                    #expect(reply.chunk == .offsetData && place == UInt64(offset))
                }
            }
        }

        @Test("a write of 32 MiB is taken, and the requests behind it too")
        func largest() throws {
            let live = try LiveServer([(LiveServer.disk, MemoryExport(capacity: 64 << 20))])
            let client = try live.connect()
            try client.enter()
            let payload = [UInt8](repeating: 0xA5, count: 32 << 20)
            #expect(client.send(Message.write(payload, at: 12_345)))
            #expect(try client.reply() == .init(cookie: 1))
            #expect(client.isInStep())
            client.send(Message.request(.read, cookie: 2, offset: 12_345, length: 32 << 20))
            let reply = try client.reply()
            #expect(Array(reply.payload.dropFirst(8)) == payload)
        }

        @Test("without memory for a large write it fails with ENOMEM, and the next one is taken")
        func noMemory() throws {
            var limits = NBDLimits()
            limits.receiveMemory = 1 << 20
            let live = try LiveServer(
                [(LiveServer.disk, MemoryExport(capacity: 64 << 20))], limits: limits)
            let client = try live.connect()
            try client.enter()
            client.send(Message.write([UInt8](repeating: 1, count: 8 << 20), at: 0, cookie: 3))
            #expect(try client.reply().error == WireError.noMemory.rawValue)
            #expect(client.isInStep())
            client.send(Message.write([UInt8](repeating: 1, count: 400_000), at: 0, cookie: 4))
            #expect(try client.reply() == .init(cookie: 4))
        }

        @Test("all requests that arrive together are one batch, and all are answered")
        func batching() throws {
            let live = try LiveServer()
            let client = try live.connect()
            try client.enter()
            live.export.gate.shut()
            client.send(Message.request(.flush, cookie: 100))
            #expect(eventually { live.export.gate.waiting.load(ordering: .relaxed) == 1 })
            var bytes: [UInt8] = []
            for cookie in 0..<50 as Range<UInt64> {
                bytes += Message.write([UInt8(cookie)], at: cookie, cookie: cookie)
            }
            client.send(bytes)
            live.export.gate.open()
            #expect(try client.reply() == .init(cookie: 100))
            for cookie in 0..<50 as Range<UInt64> {
                #expect(try client.reply() == .init(cookie: cookie))
            }
            #expect(live.export.largestBatch.load(ordering: .relaxed) == 50)
            #expect(live.server.report.batches == 2)
        }

        @Test("more requests than one batch holds are all answered")
        func manyRequests() throws {
            let live = try LiveServer()
            let client = try live.connect()
            try client.enter()
            let count = 1000 as UInt64
            client.send((0..<count).flatMap { Message.request(.read, cookie: $0, length: 1) })
            for cookie in 0..<count {
                #expect(try client.reply().cookie == cookie)
            }
        }

        @Test("failures of the storage reach the client with the protocol's numbers")
        func failures() throws {
            let live = try LiveServer()
            live.export.fail(0..<10, with: .noSpace)
            live.export.fail(100..<110, with: .inputOutput)
            live.export.fail(200..<210, with: .gone)
            live.export.fail(300..<310, with: .readOnly)
            live.export.fail(400..<410, with: .outOfRange)
            let expected: [(UInt64, UInt32, UInt32)] = [
                (0, 28, 28), (100, 5, 5), (200, 108, 108), (300, 1, 1), (400, 28, 22),
            ]
            for structured in [true, false] {
                let client = try live.connect()
                try client.enter(structured: structured)
                for (offset, write, read) in expected {
                    client.send(Message.write([1], at: offset))
                    #expect(try client.reply().error == write)
                    client.send(Message.request(.read, offset: offset, length: 1))
                    #expect(try client.reply(read: 1).error == read)
                }
                #expect(client.isInStep())
            }
            #expect(live.server.report.errors == 20)
        }

        @Test("an error carries a sentence")
        func sentence() throws {
            let live = try LiveServer()
            let client = try live.connect()
            try client.enter()
            client.send(Message.request(.read, offset: 1 << 20, length: 1))
            let reply = try client.reply()
            let text = String(decoding: reply.payload.dropFirst(6), as: UTF8.self)
            #expect(text == "The range reaches beyond the end of the export.")
        }

        @Test("the allocation of a range is told, in one extent where one is asked for")
        func status() throws {
            let live = try LiveServer()
            let client = try live.connect()
            try client.enter()
            client.send(Message.write([UInt8](repeating: 1, count: 8192), at: 4096))
            _ = try client.reply()
            client.send(Message.request(.blockStatus, offset: 0, length: 20_000))
            let all = try client.reply()
            #expect(all.chunk == .blockStatus)
            let words: [UInt32] = [1, 4096, 3, 8192, 0, 7712, 3]
            #expect(all.payload == words.flatMap { Message.integer($0) })
            client.send(
                Message.request(.blockStatus, flags: .requestOne, offset: 100, length: 20_000))
            let one: [UInt32] = [1, 3996, 3]
            #expect(try client.reply().payload == one.flatMap { Message.integer($0) })
        }

        @Test("FLUSH, FUA and leave to punch reach the storage")
        func durability() throws {
            let live = try LiveServer()
            let client = try live.connect()
            try client.enter()
            #expect(client.isInStep())
            #expect(live.export.flushes.load(ordering: .relaxed) == 1)
            client.send(
                Message.request(.write, flags: .forceUnitAccess, length: 1, payload: [1]))
            _ = try client.reply()
            #expect(live.export.forced.load(ordering: .relaxed) == 1)
            client.send(Message.request(.writeZeroes, flags: .noHole, length: 4096))
            _ = try client.reply()
            #expect(live.export.punched.load(ordering: .relaxed) == 0)
            client.send(Message.request(.trim, length: 4096))
            _ = try client.reply()
            #expect(live.export.punched.load(ordering: .relaxed) == 1)
        }

        @Test("an old client gets in with EXPORT_NAME")
        func exportName() throws {
            let live = try LiveServer()
            let client = try live.connect()
            try client.greet(flags: 1)
            client.send(Message.option(.exportName, Array(LiveServer.disk.utf8)))
            let answer = try client.receive(134)
            #expect(answer.prefix(8).elementsEqual(Message.integer(UInt64(1 << 20))))
            client.send(Message.request(.read, cookie: 8, length: 4))
            #expect(try client.reply(read: 4).payload == [0, 0, 0, 0])
        }

        @Test("the export is opened by GO and by nothing before it")
        func openedLate() throws {
            let live = try LiveServer()
            let client = try live.connect()
            try client.greet()
            let question = Message.information(LiveServer.disk, [3])
            #expect(try client.option(Message.option(.inform, question)) == .acknowledge)
            #expect(try client.option(Message.option(.list)) == .acknowledge)
            #expect(live.catalogue.opened.count.load(ordering: .relaxed) == 0)
            #expect(try client.option(Message.go(LiveServer.disk)) == .acknowledge)
            #expect(live.catalogue.opened.count.load(ordering: .relaxed) == 1)
        }

        @Test("an export that cannot be opened is refused, and the client may ask again")
        func unavailable() throws {
            let live = try LiveServer()
            live.export.refusesChannels.store(true, ordering: .relaxed)
            let client = try live.connect()
            try client.greet()
            #expect(try client.option(Message.go(LiveServer.disk)) == .unknown)
            live.export.refusesChannels.store(false, ordering: .relaxed)
            #expect(try client.option(Message.go(LiveServer.disk)) == .acknowledge)
        }

        @Test("the report counts what was done")
        func report() throws {
            let live = try LiveServer()
            let client = try live.connect()
            try client.enter()
            client.send(Message.write([1, 2, 3], at: 0))
            _ = try client.reply()
            client.send(Message.request(.read, length: 5))
            _ = try client.reply()
            client.send(Message.request(.writeZeroes, length: 5))
            _ = try client.reply()
            client.send(Message.request(.blockStatus, length: 5))
            _ = try client.reply()
            client.send(Message.request(.read, offset: .max, length: 5))
            _ = try client.reply()
            var expected = NBDServerReport()
            expected.connections = 1
            expected.connectionsOpen = 1
            expected.reads = 1
            expected.writes = 1
            expected.zeroes = 1
            expected.statuses = 1
            expected.errors = 1
            expected.bytesRead = 5
            expected.bytesWritten = 3
            expected.batches = 5
            #expect(live.server.report == expected)
        }
    }
}
