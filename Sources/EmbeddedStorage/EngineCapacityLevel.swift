import TrackStore

/// The engine's level, by a name of its own: the model's has the same one, and the engine's module has a
/// type of the module's name, so it cannot be qualified.
typealias EngineCapacityLevel = CapacityLevel
