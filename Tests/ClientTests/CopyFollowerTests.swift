import ConsoleText
import Synchronization
import Testing

@testable import stillpoint

/// Answers every command with the next of some texts; a nil is a failure, the last one stays.
private final class ScriptedSender: CommandSending {
    private let answers: Mutex<[String?]>
    let asked = Mutex(0)

    init(_ answers: String?...) { self.answers = Mutex(answers) }

    func outcome(
        of command: CommandRequest.Assembled, within limit: Duration
    ) async throws(ClientFailure) -> [UInt8] {
        asked.withLock { $0 += 1 }
        let answer = answers.withLock { $0.count > 1 ? $0.removeFirst() : $0[0] }
        guard let answer else { throw ClientFailure(.timedOut, "no reply", outcomeIsOpen: true) }
        return Array(answer.utf8)
    }
}

/// Gives the events that it was made with, then is silent until it is cancelled.
private struct ScriptedEvents: EventFollowing {
    private let stream: AsyncStream<[UInt8]>

    init(_ events: String...) {
        let (stream, inlet) = AsyncStream.makeStream(of: [UInt8].self)
        for event in events { inlet.yield(Array(event.utf8)) }
        self.stream = stream
    }

    func started() async throws(ClientFailure) {}

    func next() async -> [UInt8]? {
        for await event in stream { return event }
        return nil
    }

    func close() async {}
}

private let copying = document(#""copying":true,"rolePairs":[{"rolePair":"H1-R1","percent":37}]"#)
private let complete = document(
    #""copying":false,"rolePairs":[{"rolePair":"H1-R1","percent":100}]"#)
private let withdrawn = document(#""copying":false,"rolePairs":[]"#)

private func document(_ members: String) -> String {
    #"{"outcome":"completed","result":{"session":"payroll",\#(members)}}"#
}

private let atTheEnd = """
    {"type":"stillpoint.copy.progress","subject":"payroll","time":"2026-11-21T02:00:00Z",
     "sequence":"00000000000000000001","data":{"rolePair":"H1-R1","percent":100,"tracksRemaining":0}}
    """

@Suite("Following a background copy")
struct CopyFollowerTests {
    private func follow(
        _ sender: ScriptedSender, _ events: ScriptedEvents, limit: Duration? = nil,
        silence: Duration = .seconds(3600)
    ) async throws -> ConsoleText.ExitStatus {
        var follower = CopyFollower(
            session: "payroll", sender: sender, events: events, replyLimit: .seconds(1),
            copyLimit: limit, display: ProgressDisplay(isSilent: true))
        follower.pace.tick = .milliseconds(1)
        follower.pace.silence = silence
        follower.pace.patience = 3
        return try await follower.run()
    }

    @Test("a copy that is complete before the first look needs no event")
    func atOnce() async throws {
        #expect(try await follow(ScriptedSender(complete), ScriptedEvents()) == .completed)
    }

    @Test("an event at 100 per cent makes it look, and the document decides")
    func event() async throws {
        let sender = ScriptedSender(copying, complete)
        #expect(try await follow(sender, ScriptedEvents(atTheEnd)) == .completed)
        #expect(sender.asked.withLock { $0 } == 2)
    }

    @Test("a lost event only makes it take longer: silence makes it look")
    func silence() async throws {
        let sender = ScriptedSender(copying, copying, complete)
        #expect(try await follow(sender, ScriptedEvents(), silence: .zero) == .completed)
    }

    @Test("a copy that is withdrawn ends as failed")
    func withdrawnCopy() async throws {
        let sender = ScriptedSender(copying, withdrawn)
        #expect(try await follow(sender, ScriptedEvents(atTheEnd)) == .failed)
    }

    @Test("a worker that is away for a moment does not end the wait")
    func patience() async throws {
        let sender = ScriptedSender(copying, nil, nil, complete)
        #expect(try await follow(sender, ScriptedEvents(), silence: .zero) == .completed)
    }

    @Test("a worker that stays away does")
    func impatience() async throws {
        let sender = ScriptedSender(copying, nil)
        await #expect(throws: ClientFailure.self) {
            try await follow(sender, ScriptedEvents(), silence: .zero)
        }
        #expect(sender.asked.withLock { $0 } == 4)
    }

    @Test("the limit ends the wait as timed out")
    func limit() async throws {
        let status = try await follow(
            ScriptedSender(copying), ScriptedEvents(), limit: .milliseconds(5))
        #expect(status == .timedOut)
    }
}
