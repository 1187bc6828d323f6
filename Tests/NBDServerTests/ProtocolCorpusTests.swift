import Glibc
import Testing

@testable import NBDServer

extension LiveTests {
    @Suite("What the protocol asks of malformed streams")
    struct ProtocolCorpusTests {}
}

/// A server with an export that streams are sent to and one that nobody can write to, and a client who
/// behaves.
private final class WatchedServer {
    let live: LiveServer
    private let still: MemoryExport
    private let bystander: WireClient
    private var random: SplitMix

    init(seed: UInt64) throws {
        random = SplitMix(seed: seed)
        still = MemoryExport(capacity: 1 << 20, isReadOnly: true)
        for place in 0..<1 << 17 {
            still.bytes.storeBytes(
                of: UInt64(place) &* 0x9E37_79B9_7F4A_7C15, toByteOffset: place * 8, as: UInt64.self
            )
        }
        live = try LiveServer([
            (LiveServer.disk, MemoryExport(capacity: 1 << 20)), (CorpusEntry.still, still),
        ])
        bystander = try live.connect()
        try bystander.enter(CorpusEntry.still)
    }

    /// Whether the one who behaves reads what is there, on the connection that it has or on a new one.
    func readsRight(anew: Bool) -> Bool {
        guard let client = anew ? try? live.connect() : bystander else { return false }
        if anew, (try? client.enter(CorpusEntry.still, structured: false)) == nil { return false }
        let place = Int.random(in: 0..<255, using: &random) * 4096
        let length = Int.random(in: 1...4096, using: &random)
        client.send(
            Message.request(.read, cookie: 77, offset: UInt64(place), length: UInt32(length)))
        guard let reply = try? client.reply(read: length), reply.cookie == 77, reply.error == 0
        else { return false }
        // Before the data of a structured reply stands its offset.
        let got = reply.chunk == nil ? reply.payload[...] : reply.payload.dropFirst(8)
        return memcmp(Array(got), still.bytes + place, length) == 0 && got.count == length
    }

    /// Nobody but the bystander is connected any more.
    func isEmpty() -> Bool { eventually { live.server.report.connectionsOpen == 1 } }
}

extension LiveTests.ProtocolCorpusTests {
    @Test("entries have names of their own, and cover every phase")
    func corpus() {
        let names = CorpusEntry.all.map { "\($0.phase) \($0.name)" }
        #expect(Set(names).count == names.count)
        #expect(names.count >= 130)
        print("malformed streams: \(names.count) entries")
    }

    @Test("every malformed stream is answered as the text says, and nobody else suffers")
    func everyEntry() throws {
        let server = try WatchedServer(seed: 1)
        for entry in CorpusEntry.all {
            do {
                try check(entry, server.live)
            } catch {
                Issue.record("\(entry.phase), \(entry.name) (\(entry.rule)): \(error)")
            }
            #expect(server.isEmpty(), "\(entry.name): its connection stays")
            #expect(server.readsRight(anew: false), "\(entry.name): another client suffers")
        }
        #expect(server.readsRight(anew: true))
        #expect(eventually { server.live.descriptors() == 2 })
    }

    private func client(_ phase: CorpusEntry.Phase, _ live: LiveServer) throws -> WireClient {
        let client = try live.connect()
        switch phase {
        case .flags: _ = try client.receive(18)
        case .options: try client.greet()
        case .contexts:
            try client.greet()
            try client.option(Message.option(.structuredReply))
        case .requests: try client.enter()
        case .plainRequests: try client.enter(structured: false)
        case .readOnly: try client.enter(CorpusEntry.still)
        }
        return client
    }

    private func check(_ entry: CorpusEntry, _ live: LiveServer) throws {
        let client = try client(entry.phase, live)
        switch entry.demand {
        case .closed:
            client.send(entry.bytes)
            #expect(client.isClosed(), "\(entry.name): \(entry.rule)")
        case .waits:
            client.send(entry.bytes)
            #expect(!client.hears(milliseconds: 20), "\(entry.name): \(entry.rule)")
        case .reply(let replies):
            let got = try client.option(entry.bytes)
            #expect(got.map { replies.contains($0) } == true, "\(entry.name): \(entry.rule)")
        case .error(let errors):
            client.send(entry.bytes)
            let error = WireError(rawValue: try client.reply().error)
            #expect(error.map { errors.contains($0) } == true, "\(entry.name): \(entry.rule)")
            #expect(client.isInStep(), "\(entry.name) leaves the stream out of step")
        case .success:
            client.send(entry.bytes)
            let length = entry.phase == .plainRequests ? 512 : 0
            #expect(try client.reply(read: length).error == 0, "\(entry.name): \(entry.rule)")
            #expect(client.isInStep(), "\(entry.name) leaves the stream out of step")
        }
    }

    /// Sized by STILLPOINT_STREAMS; STILLPOINT_STREAM_SEED says which.
    @Test("thousands of mutated sessions harm neither the server nor another client")
    func mutations() throws {
        let seed = number("STILLPOINT_STREAM_SEED") ?? Int.random(in: 1...1_000_000_000)
        let streams = number("STILLPOINT_STREAMS") ?? 4000
        print("malformed streams: \(streams) mutated sessions, seed \(seed)")
        var random = SplitMix(seed: UInt64(seed))
        let server = try WatchedServer(seed: UInt64(seed))
        for round in 0..<streams {
            let stream = StreamMutation.mutated(&random)
            let client = try server.live.connect()
            client.send(stream)
            if Bool.random(using: &random) {
                // To the end, so that everything is answered.
                shutdown(client.descriptor, Int32(SHUT_WR))
                #expect(client.isClosed(), "seed \(seed), stream \(round) is not ended")
            }
            _ = consume client
            #expect(
                server.readsRight(anew: round % 50 == 0),
                "seed \(seed), stream \(round): another client suffers")
            if round % 20 == 0 {
                #expect(server.isEmpty(), "seed \(seed), stream \(round): a connection stays")
            }
        }
        #expect(server.isEmpty())
        #expect(eventually { server.live.export.channels.load(ordering: .relaxed) == 0 })
        #expect(eventually { server.live.descriptors() == 2 })
    }

    private func number(_ name: String) -> Int? {
        getenv(name).flatMap { Int(String(cString: $0)) }
    }
}

extension WireClient {
    /// Whether anything comes, or the end, within so many milliseconds.
    fileprivate func hears(milliseconds: Int32) -> Bool {
        var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&wait, 1, milliseconds) > 0
    }
}

/// Whole valid sessions as one stream each, and what can go wrong with such a stream.
private enum StreamMutation {
    static func mutated(_ random: inout SplitMix) -> [UInt8] {
        var stream = session(&random)
        for _ in 0..<Int.random(in: 1...4, using: &random) where !stream.isEmpty {
            mutate(&stream, &random)
        }
        return stream
    }

    private static func session(_ random: inout SplitMix) -> [UInt8] {
        var bytes = Message.flags()
        let options: [[UInt8]] = [
            Message.option(.list),
            Message.option(.structuredReply)
                + Message.option(
                    .setMetaContext, Message.contexts(LiveServer.disk, ["base:allocation"])),
            Message.option(.inform, Message.information(LiveServer.disk, [1, 2, 3])),
            Message.option(.listMetaContext, Message.contexts(LiveServer.disk, ["base:"])),
            Message.option(.startTLS),
        ]
        for option in options where Bool.random(using: &random) { bytes += option }
        bytes += Message.go(LiveServer.disk, [1, 3])
        for cookie in 0..<UInt64.random(in: 0...8, using: &random) {
            let length = UInt32.random(in: 0...9000, using: &random)
            let code = UInt16.random(in: 0...7, using: &random)
            // A disconnect in the middle is rarer.
            if code == 2, cookie < 6 { continue }
            let payload = code == 1 ? [UInt8](repeating: 5, count: Int(length)) : []
            bytes += Message.request(
                code, flags: UInt16.random(in: 0...1, using: &random), cookie: cookie,
                offset: UInt64.random(in: 0...1_039_000, using: &random),
                length: code == 3 ? 0 : length, payload: payload)
        }
        return bytes
    }

    /// A bit, a byte, a number, a piece: changed, gone, doubled or moved.
    private static func mutate(_ bytes: inout [UInt8], _ random: inout SplitMix) {
        let index = Int.random(in: bytes.indices, using: &random)
        let end = min(bytes.count, index + Int.random(in: 1...40, using: &random))
        switch Int.random(in: 0..<8, using: &random) {
        case 0: bytes[index] ^= 1 << UInt8.random(in: 0...7, using: &random)
        case 1: bytes[index] = UInt8.random(in: 0...255, using: &random)
        case 2: for place in index..<min(end, index + 4) { bytes[place] = 0xFF }
        case 3: for place in index..<min(end, index + 8) { bytes[place] = 0 }
        case 4: bytes.removeSubrange(index..<end)
        case 5: bytes.insert(contentsOf: bytes[index..<end], at: index)
        case 6: bytes.removeLast(bytes.count - index)
        default:
            let piece = Array(bytes[index..<end])
            bytes.removeSubrange(index..<end)
            bytes.insert(
                contentsOf: piece, at: Int.random(in: 0...bytes.count, using: &random))
        }
    }
}
