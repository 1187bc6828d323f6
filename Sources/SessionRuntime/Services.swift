import CopyModel
import Logging
import MessagePort
import SessionStore
import StoragePort

/// What every lane is given: the ports, the surroundings, and who else must hear of things.
struct Services: Sendable {
    let configuration: WorkerConfiguration
    let store: any SessionStore
    let storage: any StoragePort
    let source: any CommandSource
    let clock: any RuntimeClock
    let relay: Relay
    let registry: Registry
    let meters: Meters
    let log: Logger
    /// Stops the whole worker, since what was asked for cannot be made durable. Nothing that was not
    /// committed has been acknowledged or told, so another start takes it up.
    let halt: @Sendable (String) -> Void
    /// True once `halt` was called: lanes let go of what they have.
    let isHalted: @Sendable () -> Bool
    /// True once the worker was asked to stop: what cannot be finished soon is let go of, and comes
    /// again.
    let isDraining: @Sendable () -> Bool
}
