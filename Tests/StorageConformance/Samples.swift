import CopyModel
import StoragePort

extension SubjectName {
    /// A name out of a literal, for tests.
    static func named(_ text: String) throws -> SubjectName {
        guard let name = SubjectName(text) else {
            throw Violation(sentence: "“\(text)” is not a subject's name", place: "the suite")
        }
        return name
    }
}

extension VolumeID {
    /// A volume out of a literal, for tests.
    static func named(_ text: String) throws -> VolumeID {
        guard let volume = VolumeID(text) else {
            throw Violation(sentence: "“\(text)” is not a volume's name", place: "the suite")
        }
        return volume
    }
}

extension PointTag {
    /// A tag out of a literal, for tests.
    static func named(_ text: String) throws -> PointTag {
        guard let tag = PointTag(text) else {
            throw Violation(sentence: "“\(text)” is not a point's name", place: "the suite")
        }
        return tag
    }
}

extension PairTerms {
    /// A pair out of literals, for tests.
    init(_ source: String, _ target: String) throws {
        self.init(source: try .named(source), target: try .named(target))
    }
}

extension RelationshipTerms {
    /// Terms with something set.
    static func with(_ change: (inout RelationshipTerms) -> Void) -> RelationshipTerms {
        var terms = RelationshipTerms()
        change(&terms)
        return terms
    }

    /// Changes are recorded; tracks come over by themselves.
    static let recording = with { $0.incremental = true }
    /// Changes are recorded; tracks come over when they are written to.
    static let resting = with {
        $0.incremental = true
        $0.backgroundCopy = false
    }
    /// Nothing is recorded, and nothing comes over by itself.
    static let noCopy = with { $0.backgroundCopy = false }
}

extension Effect {
    /// Establishes pairs of source and target at one instant.
    static func establish(
        _ number: UInt64, _ pairs: [(String, String)], _ terms: RelationshipTerms = .recording
    ) throws -> Effect {
        .changeRelationships(
            RelationshipInstant(
                number: number,
                changes: try pairs.map { .establish(try PairTerms($0.0, $0.1), terms) }))
    }

    /// Refreshes pairs at one instant.
    static func refresh(
        _ number: UInt64, _ pairs: [(String, String)], _ terms: RelationshipTerms = .recording,
        revertible: Bool = false
    ) throws -> Effect {
        .changeRelationships(
            RelationshipInstant(
                number: number,
                changes: try pairs.map {
                    .refresh(try PairTerms($0.0, $0.1), terms, revertible: revertible)
                }))
    }

    /// Reverses a pair.
    static func reverse(
        _ number: UInt64, _ source: String, _ target: String, fast: Bool = false
    ) throws -> Effect {
        .changeRelationships(
            RelationshipInstant(
                number: number, changes: [.reverse(try PairTerms(source, target), fast: fast)]))
    }

    /// A backup of volumes.
    static func take(_ tag: String, _ volumes: String...) throws -> Effect {
        .takePoints(try .named(tag), sources: try volumes.map(VolumeID.named))
    }

    /// An end to one relationship.
    static func withdraw(
        _ source: String, _ target: String, number: UInt64? = nil
    ) throws -> Effect {
        .withdrawRelationships([try PairTerms(source, target)], number: number)
    }
}
