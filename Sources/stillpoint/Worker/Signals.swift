import Dispatch
import Glibc

/// Signals as calls: taken from their default action for as long as this lives.
final class Signals {
    private var sources: [any DispatchSourceSignal] = []
    private let queue = DispatchQueue(label: "signals")

    /// Calls `taken` for each arrival of the signals, on a queue of its own; ignores PIPE.
    init(_ numbers: [Int32], _ taken: @escaping @Sendable (Int32) -> Void) {
        signal(SIGPIPE, SIG_IGN)
        for number in numbers {
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
            source.setEventHandler { taken(number) }
            source.resume()
            sources.append(source)
        }
    }

    deinit {
        for source in sources { source.cancel() }
    }
}
