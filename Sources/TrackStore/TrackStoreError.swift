import Glibc

/// Why the engine did not do what a control call asked; nothing was changed unless the call says
/// so.
public struct TrackStoreError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What to branch on.
    public enum Code: String, Sendable, Hashable, CaseIterable {
        /// The storage directory belongs to another store, in this process or another.
        case inUse
        /// The store was closed.
        case closed
        /// A volume id is not four hexadecimal digits, a capacity is 0 or no multiple of 512, and
        /// so on.
        case invalidArgument
        /// No volume has this id.
        case unknownVolume
        /// A volume has this id already.
        case volumeExists
        /// The volume has points or relationships.
        case volumeInUse
        /// A volume never shrinks.
        case wouldShrink
        /// The volume has no such point.
        case unknownPoint
        /// The volume has a point with this tag already.
        case pointExists
        /// A relationship still reads the point.
        case pointInUse
        /// The volume has no safeguarded capacity to keep points in.
        case noSafeguardedCapacity
        /// Another instant is being taken on the volume and did not end in time.
        case instantInProgress
        /// The instant has not been committed, or is not of this store.
        case noInstant
        /// The target is smaller than the point.
        case targetSmaller
        /// The target presents a point already.
        case relationshipExists
        /// The target would be read through itself.
        case cycle
        /// The volume presents no point.
        case noRelationship
        /// The target does not hold every track yet.
        case tracksPending
        /// The source has as many targets as a source can have.
        case tooManyTargets
        /// A fast reverse restore is under way.
        case reverseUnderWay
        /// There is no refresh of the relationship that could be committed or reverted, or changes are not
        /// recorded, so that there can be none.
        case notRevertible
        /// The last refresh of the relationship is neither committed nor reverted.
        case uncommitted
        /// The last refresh of the relationship is being reverted.
        case revertUnderWay
        /// The file system, the index or the open-file table is full.
        case noSpace
        /// What is on disk cannot be understood.
        case damaged
        /// The operating system refused.
        case inputOutput
    }

    /// What to branch on.
    public var code: Code
    /// One sentence for people.
    public var message: String
    /// The volume or path it is about; may be empty.
    public var place: String
    /// The operating system's error number; 0 where it had no part.
    public var errno: Int32

    /// States an error.
    public init(_ code: Code, _ message: String, place: String = "", errno: Int32 = 0) {
        self.code = code
        self.message = message
        self.place = place
        self.errno = errno
    }

    /// Code, sentence, place and errno in one line.
    public var description: String {
        var text = "\(code.rawValue): \(message)"
        if !place.isEmpty { text += " [\(place)]" }
        if errno != 0 { text += " (errno \(errno))" }
        return text
    }

    /// An error of the operating system; out-of-space numbers get their own code.
    static func system(_ number: Int32, _ what: String, _ place: String) -> TrackStoreError {
        let full = number == ENOSPC || number == EDQUOT || number == EMFILE || number == ENFILE
        return TrackStoreError(
            full ? .noSpace : .inputOutput,
            "could not \(what): \(String(cString: strerror(number)))",
            place: place, errno: number)
    }
}
