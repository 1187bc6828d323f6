/// Why a host's request was not done.
public enum HostFailure: Sendable, Hashable {
    /// The file system is full; nothing is lost.
    case noSpace
    /// The disk failed, or saved content does not have its checksum.
    case inputOutput
    /// The point has expired, the volume was deleted, or the store closed.
    case gone
    /// The device cannot be written to.
    case readOnly
    /// The range is not inside the device.
    case outOfRange

    init(_ error: TrackStoreError) {
        switch error.code {
        case .noSpace: self = .noSpace
        case .closed, .unknownVolume, .unknownPoint: self = .gone
        case .inUse, .invalidArgument, .volumeExists, .volumeInUse, .wouldShrink, .pointExists,
            .pointInUse, .noSafeguardedCapacity, .instantInProgress, .noInstant, .targetSmaller,
            .relationshipExists, .cycle, .noRelationship, .tracksPending, .tooManyTargets,
            .reverseUnderWay, .notRevertible, .uncommitted, .revertUnderWay,
            .damaged,
            .inputOutput:
            self = .inputOutput
        }
    }

    init(errno number: Int32) {
        self = HostFailure(TrackStoreError.system(number, "", ""))
    }
}

/// One request of a host, of any offset and length inside the device.
public struct HostRequest {
    /// What is asked.
    public enum Kind: Sendable, Hashable {
        /// The bytes of the range.
        case read
        /// Other bytes for the range.
        case write
        /// The range reads as zeroes afterwards: WRITE_ZEROES and TRIM.
        case zero
        /// Everything that was answered before survives a power cut; offset and length say nothing.
        case flush
    }

    /// What is asked.
    public var kind: Kind
    /// Where the range begins, in bytes.
    public var offset: UInt64
    /// How many bytes; 0 does nothing.
    public var length: Int
    /// The request itself survives a power cut before it is answered.
    public var forceUnitAccess: Bool
    /// For `zero`: whole tracks may become holes.
    public var mayPunch: Bool
    /// For `write`: the bytes, at any alignment, set by the caller and valid during `perform`. For
    /// `read`: set by `perform`, and valid until the next `perform` on the same channel.
    public var data: UnsafeMutableRawPointer?
    /// Set by `perform`: nil = done. A write that failed may have been done in part.
    public var failure: HostFailure?

    /// Describes a request.
    public init(
        kind: Kind, offset: UInt64, length: Int, forceUnitAccess: Bool = false,
        mayPunch: Bool = true,
        data: UnsafeMutableRawPointer? = nil
    ) {
        self.kind = kind
        self.offset = offset
        self.length = length
        self.forceUnitAccess = forceUnitAccess
        self.mayPunch = mayPunch
        self.data = data
        failure = nil
    }
}
