import CopyModel
import StoragePort

/// The suite that every storage passes, whatever it is made of.
///
/// Each check gets fresh systems `box1` and `box2` without volumes; together they state what
/// `StoragePort` promises beyond its signatures. A check that is not met throws a `Violation`.
public enum StorageConformance {
    /// Every check, in the order in which a new adapter is best made to pass them.
    public static let checks: [StorageCheck] =
        volumeChecks + pointChecks + instantChecks + refusalChecks + returnChecks + factChecks
        + repetitionChecks
}

/// A storage that is put to the test, and the hosts that use it.
public struct StorageUnderTest: Sendable {
    /// Opens the systems; opened again after they were closed or killed, they have the same content.
    public var open: @Sendable () async throws -> any StoragePort
    /// Ends the storage as a process that is killed does.
    public var kill: @Sendable (any StoragePort) async throws -> Void
    /// A host writes a few bytes into each of these tracks of a volume.
    public var write: @Sendable (any StoragePort, VolumeID, Range<UInt64>) async throws -> Void
    /// Lets background copies go on, where they do not by themselves.
    public var proceed: @Sendable (any StoragePort) -> Void

    /// Names how to handle a storage that is empty at first.
    public init(
        open: @escaping @Sendable () async throws -> any StoragePort,
        kill: @escaping @Sendable (any StoragePort) async throws -> Void,
        write: @escaping @Sendable (any StoragePort, VolumeID, Range<UInt64>) async throws -> Void,
        proceed: @escaping @Sendable (any StoragePort) -> Void = { _ in }
    ) {
        self.open = open
        self.kill = kill
        self.write = write
        self.proceed = proceed
    }
}

/// One promise of a storage, and how to see whether it is kept.
public struct StorageCheck: Sendable, CustomStringConvertible {
    /// The promise, as a sentence.
    public let claim: String
    private let body: @Sendable (inout Site) async throws -> Void

    init(_ claim: String, _ body: @escaping @Sendable (inout Site) async throws -> Void) {
        self.claim = claim
        self.body = body
    }

    /// Runs the check on fresh systems; throws a `Violation` where the promise is not kept.
    public func run(_ fixture: StorageUnderTest) async throws {
        var site = Site(fixture: fixture, storage: try await fixture.open())
        try await body(&site)
        try await site.storage.close()
    }

    /// The promise, as a sentence.
    public var description: String { claim }
}

/// A promise that was not kept.
public struct Violation: Error, Hashable, Sendable, CustomStringConvertible {
    /// What was seen.
    public var sentence: String
    /// Where it was looked for: file and line.
    public var place: String

    /// The sentence and the place.
    public var description: String { "\(sentence) (\(place))" }
}

/// Throws a violation unless something holds.
func require(
    _ isKept: Bool, _ sentence: @autoclosure () -> String, file: String = #fileID,
    line: Int = #line
) throws {
    if !isKept { throw Violation(sentence: sentence(), place: "\(file):\(line)") }
}

/// Throws a violation unless two values are equal.
func require<Value: Equatable>(
    _ value: Value, is expected: Value, file: String = #fileID, line: Int = #line
) throws {
    try require(value == expected, "\(value) is not \(expected)", file: file, line: line)
}
