import CopyModel
import SessionStore

/// The suite that every session store passes, whatever it keeps its bytes in.
///
/// Each check gets a fresh, empty store; together they state what `SessionStore` promises beyond
/// its signatures. A check that is not met throws a `Violation`.
public enum StoreConformance {
    /// Every check, in the order in which a new adapter is best made to pass them.
    public static let checks: [StoreCheck] =
        sessionChecks + commandChecks + outboxChecks + durabilityChecks

    /// Runs every check, each on a fresh store out of `make`; throws at the first that is not met.
    public static func run(make: @Sendable () async throws -> StoreUnderTest) async throws {
        for check in checks { try await check.run(try await make()) }
    }
}

/// A store that is put to the test.
public struct StoreUnderTest: Sendable {
    /// Opens the store; opened again after it was closed, it has the same content.
    public var open: @Sendable () async throws -> any SessionStore

    /// Names how to open a store that is empty at first.
    public init(open: @escaping @Sendable () async throws -> any SessionStore) {
        self.open = open
    }

    /// Closes a store and opens it again.
    func reopen(_ store: any SessionStore) async throws -> any SessionStore {
        try await store.close()
        return try await open()
    }
}

/// One promise of a store, and how to see whether it is kept.
public struct StoreCheck: Sendable, CustomStringConvertible {
    /// The promise, as a sentence.
    public let claim: String
    private let body: @Sendable (StoreUnderTest) async throws -> Void

    init(_ claim: String, _ body: @escaping @Sendable (StoreUnderTest) async throws -> Void) {
        self.claim = claim
        self.body = body
    }

    /// Runs the check on a fresh store; throws a `Violation` where the promise is not kept.
    public func run(_ store: StoreUnderTest) async throws { try await body(store) }

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

/// Throws a violation unless a body fails with a code.
func require(
    _ code: StoreFailure.Code, from body: () async throws -> Void, file: String = #fileID,
    line: Int = #line
) async throws {
    do {
        try await body()
    } catch let failure as StoreFailure {
        try require(failure.code == code, "failed otherwise: \(failure)", file: file, line: line)
        try require(!failure.message.isEmpty, "failed without words", file: file, line: line)
        return
    }
    try require(false, "did not fail, but should have: \(code)", file: file, line: line)
}

/// Waits until a condition holds; throws a violation where it does not within ten seconds.
func eventually(
    _ sentence: String, file: String = #fileID, line: Int = #line,
    _ condition: () async throws -> Bool
) async throws {
    let clock = ContinuousClock()
    let deadline = clock.now + .seconds(10)
    while try await !condition() {
        try require(clock.now < deadline, "not in time: \(sentence)", file: file, line: line)
        await Task.yield()
    }
}
