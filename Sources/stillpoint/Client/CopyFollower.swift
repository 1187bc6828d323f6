import CommandSchema
import ConsoleText
import CopyModel

/// Waits until the background copy of a session is over, and shows how far it is.
struct CopyFollower {
    let session: String
    let sender: any CommandSending
    let events: any EventFollowing
    let replyLimit: Duration
    let copyLimit: Duration?
    var display: ProgressDisplay
    var pace = Pace()

    /// How often the follower looks by itself.
    struct Pace {
        /// So long without an event and the session is asked: one may have been lost with a
        /// connection.
        var silence = Duration.seconds(15)
        /// How often the time is looked at.
        var tick = Duration.milliseconds(500)
        /// So often in a row the session may fail to answer: a worker is restarted in less.
        var patience = 8
    }

    /// What ends a wait for the next event.
    private enum Occurrence: Sendable {
        case event([UInt8])
        case tick
    }

    /// Waits; the status is `failed` where the copy ended incomplete, `timedOut` after the limit.
    func run() async throws -> ExitStatus {
        // Events only say when to look, so that a flood of them may lose its oldest.
        let (occurrences, inlet) = AsyncStream.makeStream(
            of: Occurrence.self, bufferingPolicy: .bufferingNewest(256))
        let reading = Task {
            while let event = await events.next() { inlet.yield(.event(event)) }
        }
        let ticking = Task { [pace] in
            while !Task.isCancelled {
                try? await Task.sleep(for: pace.tick)
                inlet.yield(.tick)
            }
        }
        defer {
            reading.cancel()
            ticking.cancel()
        }
        return try await follow(occurrences)
    }

    private func follow(_ occurrences: AsyncStream<Occurrence>) async throws -> ExitStatus {
        let wait = CopyWait(session: session)
        let clock = ContinuousClock()
        let end = copyLimit.map { clock.now + $0 }
        var display = display
        var failures = 0
        var heard = clock.now
        if let status = try await look(wait, &display, &failures) { return status }
        for await occurrence in occurrences {
            var mustLook = false
            switch occurrence {
            case .event(let bytes):
                guard let event = try? JSONNode(document: bytes) else { continue }
                heard = clock.now
                switch wait.event(event) {
                case .show(let reading, let time): display.show(reading, at: time)
                case .look: mustLook = true
                case .wait, .complete, .ended: break
                }
            case .tick:
                mustLook = clock.now - heard >= pace.silence
            }
            if mustLook {
                heard = clock.now
                if let status = try await look(wait, &display, &failures) { return status }
            }
            if let end, clock.now >= end {
                display.finish()
                Console.complain("the background copy of \(session) goes on, but the wait is over")
                return .timedOut
            }
        }
        return .failed
    }

    /// Asks for the document; nil while the copy goes on.
    private func look(
        _ wait: CopyWait, _ display: inout ProgressDisplay, _ failures: inout Int
    ) async throws -> ExitStatus? {
        var request = CommandRequest()
        request.name = "DescribeSession"
        request.target = session
        request.parameters = ["parts=summary,rolePairs"]
        let outcome: JSONNode
        do {
            let bytes = try await sender.outcome(
                of: try request.assembled(freshID: Fresh.commandID), within: replyLimit)
            outcome = try Outcomes.read(bytes)
            failures = 0
        } catch {
            failures += 1
            guard failures < pace.patience else { throw error }
            return nil
        }
        for step in wait.described(outcome) {
            switch step {
            case .show(let reading, let time): display.show(reading, at: time)
            case .complete:
                display.finish()
                return .completed
            case .ended(let sentence):
                display.finish()
                Console.complain("the background copy of \(session) is not complete: \(sentence)")
                return .failed
            case .wait, .look: break
            }
        }
        return nil
    }
}

/// Progress on standard output: a bar on a terminal, else now and then a line, nothing for
/// programs.
struct ProgressDisplay {
    private let isSilent: Bool
    private let isTerminal = Console.isTerminal
    private var text = ProgressText(painter: Console.painter)
    private var last: String?
    private var percent = 0

    /// A display; a silent one shows nothing.
    init(isSilent: Bool) { self.isSilent = isSilent }

    /// Shows how far it is. An event can be older than the answer that was shown last: a copy does not
    /// go backwards.
    mutating func show(_ reading: CopyReading, at time: Timestamp?) {
        guard !isSilent, reading.percent >= percent else { return }
        percent = reading.percent
        if isTerminal {
            let bar = text.bar(reading, columns: Console.columns)
            guard bar != last else { return }
            last = bar
            Console.redraw(bar)
        } else if let line = text.line(reading, at: time) {
            Console.show([line])
        }
    }

    /// Leaves the last bar where it is.
    mutating func finish() {
        if let last { Console.redraw(last, ends: true) }
        last = nil
    }
}
