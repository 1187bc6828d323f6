import Synchronization

/// When a planned death strikes an operation.
public enum Fault: Sendable, Hashable, CaseIterable {
    /// Before the operation is done.
    case deathBefore
    /// After it is done, before the worker hears of it.
    case deathAfter
}

/// Plans one death of the worker, at the n-th durable operation over store, storage and broker together.
///
/// From then on the worker is dead: whatever it still asks of its surroundings has no effect.
public final class FaultPlan: Sendable {
    fileprivate struct State {
        var countdown: Int
        var fault: Fault?
        var seen = 0
        var isDead = false
    }

    private let state: Mutex<State>

    /// No fault, or one at the `operation`-th counted operation (from 1).
    public init(_ fault: Fault? = nil, at operation: Int = 0) {
        state = Mutex(State(countdown: operation, fault: fault))
    }

    /// How many operations were counted.
    public var seen: Int { state.withLock { $0.seen } }

    /// The worker has died.
    public var isDead: Bool { state.withLock { $0.isDead } }

    /// Counts one operation; `.deathBefore` also for everything a dead worker asks.
    public func strike() -> Fault? {
        state.withLock { state in
            if state.isDead { return .deathBefore }
            state.seen += 1
            guard let fault = state.fault else { return nil }
            state.countdown -= 1
            guard state.countdown == 0 else { return nil }
            state.isDead = true
            return fault
        }
    }
}
