import CopyModel

/// The storage port: all storage systems of a worker, whatever they are made of.
///
/// Every member may be called from any task; effects of different sessions run side by side. A point on
/// volumes of several systems is one instant all the same.
public protocol StoragePort: Sendable {
    /// What the storage says of these volumes; those that do not exist are absent from the report.
    func report(on volumes: [VolumeID]) async throws(StorageFailure) -> StorageReport
    /// All volumes of one system; nil where there is no such system.
    func inventory(of system: SubjectName) async throws(StorageFailure) -> [VolumeReport]?
    /// Every volume that has a point of this session or is the target of a relationship to one.
    func volumes(ofSession session: SubjectName) async throws(StorageFailure) -> [VolumeID]
    /// Does one thing, durably. Idempotent: what is already so is answered as done.
    ///
    /// `time` is when relationships of an instant are said to have begun; only `changeRelationships` uses
    /// it. Points have the time that their name tells.
    func perform(_ effect: Effect, at time: Timestamp) async throws(StorageFailure)
    /// The next fact the storage has to report, in order; nil once the storage is closed.
    func nextFact() async -> StorageFact?
    /// Stops background copies, makes everything durable and lets go of the storage.
    func close() async throws(StorageFailure)
}

/// The storage was asked and could not.
public struct StorageFailure: Error, Hashable, Sendable {
    /// What to branch on, of the published codes.
    public var code: RefusalCode
    /// One sentence for people.
    public var message: String
    /// The volume or path it happened at.
    public var subject: String
    /// What clears it.
    public var remedy: String
    /// True where asking again later may succeed without anybody doing anything.
    public var isRetriable: Bool

    /// States a failure.
    public init(
        _ code: RefusalCode, _ message: String, subject: String, remedy: String,
        isRetriable: Bool = false
    ) {
        self.code = code
        self.message = message
        self.subject = subject
        self.remedy = remedy
        self.isRetriable = isRetriable
    }

    /// The failure as an outcome's error.
    public var refusal: Refusal { Refusal(code, message, subject: subject, remedy: remedy) }
}
