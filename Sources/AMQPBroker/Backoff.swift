// How long to wait before trying a lost connection again.

/// Waiting times that double up to a cap, each drawn from the upper half of its span, so that many
/// workers do not come back to a restarted broker at one instant.
struct Backoff: Sendable {
    private let base: Duration
    private let cap: Duration
    private let random: @Sendable () -> Double
    private var failures = 0

    /// `random` gives numbers from 0 up to, not including, 1.
    init(
        base: Duration = .milliseconds(100), cap: Duration = .seconds(5),
        random: @escaping @Sendable () -> Double
    ) {
        self.base = base
        self.cap = cap
        self.random = random
    }

    /// The wait after one more failure.
    mutating func next() -> Duration {
        var span = base
        for _ in 0..<failures where span < cap { span = span * 2 }
        span = min(span, cap)
        failures = min(failures + 1, 32)
        let draw = min(max(random(), 0), 1)
        return span * (0.5 + draw / 2)
    }

    /// Begins anew, after a connection that held.
    mutating func reset() { failures = 0 }
}
