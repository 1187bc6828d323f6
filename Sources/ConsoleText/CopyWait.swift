import CommandSchema
import CopyModel

/// Waiting for the end of a session's background copy.
///
/// Events say how far it is and when it is time to look; whether it is over is read off the
/// session's document only. So neither the order of events, nor one from before the command, nor a
/// lost one can make the wait end early.
///
///     waiting --progress below 100--> waiting (shown)
///     waiting --progress at 100, a session or pair changed, or silence--> looking
///     looking --document: copying--> waiting
///     looking --document: not copying, or a refusal--> over
public struct CopyWait: Sendable {
    /// What to do next.
    public enum Step: Sendable, Hashable {
        /// Nothing: wait for the next event.
        case wait
        /// Show how far it is, then wait.
        case show(CopyReading, at: Timestamp?)
        /// Ask for the session's document.
        case look
        /// The copy is complete.
        case complete
        /// The copy is over and not complete: why, one sentence.
        case ended(String)
    }

    private let session: String

    /// Waits for the copy of that session.
    public init(session: String) { self.session = session }

    /// True where a command starts a background copy, so that waiting for one makes sense.
    public static func startsCopy(_ command: JSONNode) -> Bool {
        switch CommandName(rawValue: command["command"]?.text ?? "") {
        case .initiateBackgroundCopy, .flash, .reverseRestore: true
        case .recover: command["parameters"]?["backgroundCopy"]?.bool == true
        case .createSession, .modifySession, .deleteSession, .addCopySets, .removeCopySets,
            .describeSession, .refreshStates, .terminate, .backup, .expireBackup, .terminateH1R1,
            .discover,
            .queryRelationships, .commit, .revert, .createVolumes, .deleteVolumes, .expandVolumes,
            .setSafeguardedCapacity, .describeStorage, .establishRelationships,
            .withdrawRelationships, .listRelationships, nil:
            false
        }
    }

    /// Takes an event of any subject.
    public func event(_ event: JSONNode) -> Step {
        guard event["subject"]?.text == session else { return .wait }
        switch event["type"]?.text {
        case "stillpoint.copy.progress":
            guard let data = event["data"], let reading = CopyReading(data) else { return .wait }
            guard reading.percent < 100 else { return .look }
            return .show(reading, at: event["time"]?.text.flatMap { Timestamp(rfc3339: $0) })
        case "stillpoint.session.changed", "stillpoint.session.deleted":
            return event["data"]?["copying"]?.bool == true ? .wait : .look
        default: return .wait
        }
    }

    /// Takes the outcome of `DescribeSession`.
    public func described(_ outcome: JSONNode) -> [Step] {
        guard ExitStatus(outcome: outcome) == .completed, let document = outcome["result"] else {
            let reason = outcome["refusals"]?[0] ?? outcome["error"]
            let why = reason?["message"]?.text ?? "The session cannot be described."
            return [.ended("the session can no longer be followed: \(SafeText.escaped(why))")]
        }
        let readings = (document["rolePairs"]?.items ?? []).compactMap { CopyReading($0) }
        let shown = readings.map { Step.show($0, at: nil) }
        if document["copying"]?.bool == true { return shown + [.wait] }
        guard let least = readings.min(by: { $0.percent < $1.percent }) else {
            return [.ended("the recovery was withdrawn before the copy was complete")]
        }
        guard least.percent == 100 else {
            let why =
                document["options"]?["noCopy"]?.bool == true
                ? ": the session's option noCopy is on" : ""
            return shown + [
                .ended("\(least.rolePair) stands at \(least.percent) % and is not copying\(why)")
            ]
        }
        return shown + [.complete]
    }
}
