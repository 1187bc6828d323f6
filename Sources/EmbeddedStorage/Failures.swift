import CopyModel
import StoragePort
import TrackStore

// The engine's errors in the model's words.

extension StorageFailure {
    /// The engine's error with a published code and a remedy.
    init(_ error: TrackStoreError, system: SubjectName) {
        let place = error.place.isEmpty ? system.text : "\(system) \(error.place)"
        self.init(
            Self.code(error.code), "Storage system \(system): \(error.message).", subject: place,
            remedy: Self.remedy(error.code), isRetriable: error.code == .instantInProgress)
    }

    private static func code(_ code: TrackStoreError.Code) -> RefusalCode {
        switch code {
        case .unknownVolume: .unknownVolume
        case .volumeExists: .volumeExists
        case .volumeInUse: .volumeInUse
        case .tracksPending, .reverseUnderWay, .revertUnderWay: .copyIncomplete
        case .tooManyTargets: .tooManyTargets
        case .uncommitted: .notCommitted
        case .notRevertible: .notRevertible
        case .wouldShrink: .volumeWouldShrink
        case .unknownPoint: .unknownBackup
        case .pointInUse: .backupInUse
        case .noSafeguardedCapacity: .noSafeguardedCapacity
        case .targetSmaller: .targetSmaller
        case .relationshipExists: .targetHasSource
        case .cycle: .cycle
        case .noRelationship: .noRelationship
        case .noSpace: .notEnoughSpace
        case .inUse, .closed, .invalidArgument, .pointExists, .instantInProgress, .noInstant,
            .damaged, .inputOutput:
            .storageFailed
        }
    }

    private static func remedy(_ code: TrackStoreError.Code) -> String {
        switch code {
        case .inUse: "Stop the other worker that has the directory."
        case .closed: "Wait until the worker has started again, and send the command again."
        case .unknownVolume, .noRelationship, .unknownPoint: "RefreshStates, then send it again."
        case .volumeExists, .wouldShrink, .invalidArgument: "DescribeStorage shows what is there."
        case .volumeInUse, .tooManyTargets, .pointInUse, .pointExists, .relationshipExists:
            "Terminate what uses it, or RefreshStates to find it."
        case .tracksPending: "InitiateBackgroundCopy, and wait until it is done."
        case .reverseUnderWay, .revertUnderWay: "Wait until the background copy is done."
        case .uncommitted: "Commit or Revert first."
        case .notRevertible: "QueryRelationships shows which relationships are revertible."
        case .noSafeguardedCapacity: "SetSafeguardedCapacity for the volume."
        case .targetSmaller: "ExpandVolumes for the target."
        case .cycle: "Give another target."
        case .instantInProgress, .noInstant: "Send it again."
        case .noSpace: "Free space on the host's file system, or raise the limit on open files."
        case .damaged, .inputOutput: "See the host's kernel log for the disk, then RefreshStates."
        }
    }
}
