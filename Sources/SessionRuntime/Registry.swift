import CopyModel
import Synchronization

/// Which sessions use which volumes, over all lanes.
///
/// Adding a copy set and deleting its volume are decided in different lanes. The registry closes the
/// race: a session reserves a volume before it looks whether it exists, a deletion marks it before it
/// looks who uses it; whichever comes second sees the first.
final class Registry: Sendable {
    private struct State {
        var users: [VolumeID: Set<SubjectName>] = [:]
        var volumes: [SubjectName: Set<VolumeID>] = [:]
        var deleting: Set<VolumeID> = []
    }

    private let state = Mutex(State())

    /// Says what a session uses from now on, reservations included; nil where it is gone.
    func set(_ session: Session?, named name: SubjectName) {
        let new = session.map { Set($0.copySets.flatMap(\.volumes)) }
        state.withLock { state in
            for volume in (state.volumes[name] ?? []).subtracting(new ?? []) {
                state.users[volume]?.remove(name)
                if state.users[volume]?.isEmpty == true { state.users[volume] = nil }
            }
            for volume in new ?? [] { state.users[volume, default: []].insert(name) }
            state.volumes[name] = new
        }
    }

    /// Reserves volumes for a session; returns those that are being deleted and cannot be had.
    func reserve(_ volumes: Set<VolumeID>, for name: SubjectName) -> Set<VolumeID> {
        state.withLock { state in
            let refused = volumes.intersection(state.deleting)
            for volume in volumes.subtracting(refused) {
                state.users[volume, default: []].insert(name)
                state.volumes[name, default: []].insert(volume)
            }
            return refused
        }
    }

    /// Marks volumes as being deleted until `endDeletion`.
    func beginDeletion(_ volumes: Set<VolumeID>) {
        state.withLock { $0.deleting.formUnion(volumes) }
    }

    /// Takes the marks back.
    func endDeletion(_ volumes: Set<VolumeID>) {
        state.withLock { $0.deleting.subtract(volumes) }
    }

    /// The sessions that use a volume.
    func users(of volume: VolumeID) -> Set<SubjectName> {
        state.withLock { $0.users[volume, default: []] }
    }

    /// The users of all these volumes; those without any are left out.
    func users(of volumes: [VolumeID]) -> [VolumeID: Set<SubjectName>] {
        state.withLock { state in
            Dictionary(
                volumes.compactMap { volume in state.users[volume].map { (volume, $0) } },
                uniquingKeysWith: { first, _ in first })
        }
    }

    /// Every session there is.
    var liveSessions: Set<SubjectName> { state.withLock { Set($0.volumes.keys) } }
}
