import CopyModel

// The only place where a session changes.

extension CopyRules {
    /// What a change makes of a session; nil where it is gone.
    ///
    /// Facts may not be refused: a change that no longer has anything to say (progress of a recovery
    /// that was withdrawn meanwhile) leaves the session as it is.
    public static func apply(_ change: Change, to session: Session?, named name: SubjectName)
        -> Session?
    {
        if case .created(let description, let options) = change {
            return Session(name: name, description: description, services: options.services)
        }
        guard var next = session else { return nil }
        if case .deleted = change { return nil }
        mutate(&next, by: change)
        settleState(&next, after: change)
        return next
    }

    private static func mutate(_ session: inout Session, by change: Change) {
        switch change {
        case .modified(let description, let options):
            session.description = description
            session.services.options = options
        case .copySetsAdded(let sets):
            session.copySets = (session.copySets + sets).sorted { $0.h1 < $1.h1 }
        case .copySetsRemoved(let removed): remove(removed, from: &session)
        case .observed(_, _, let unseen), .flash(.observed(_, let unseen)),
            .flash(.discovered(_, let unseen)):
            session.unseen = unseen
        case .nothing, .created, .deleted, .terminating, .terminated, .backupTaken,
            .backupVerified, .backupsExpired, .recovered, .backgroundCopyStarted,
            .recoveryWithdrawn, .progressed, .copyFailed, .rolledOff, .damaged, .flash:
            break
        }
        switch session.services {
        case .safeguarded(var services):
            services.apply(change)
            session.services = .safeguarded(services)
        case .flash(var services):
            services.apply(change)
            session.services = .flash(services)
        }
    }

    /// A session is `Terminating` from the moment that its end is begun until nothing is left; else it rests
    /// where what it has on the storage puts it.
    private static func settleState(_ session: inout Session, after change: Change) {
        switch change {
        case .terminating: session.state = .terminating
        case .nothing, .created, .modified, .deleted, .copySetsAdded, .copySetsRemoved,
            .backupTaken, .backupVerified, .backupsExpired, .recovered, .backgroundCopyStarted,
            .recoveryWithdrawn, .terminated, .observed, .progressed, .copyFailed, .rolledOff,
            .damaged, .flash:
            if session.state == .terminating && change != .terminated { break }
            switch session.services {
            case .safeguarded(let services): session.state = services.restingState
            case .flash(let services): session.state = services.restingState
            }
        }
    }

    private static func remove(_ removed: [VolumeID], from session: inout Session) {
        let gone = Set(removed)
        let left = Set(session.copySets.filter { gone.contains($0.h1) }.flatMap(\.volumes))
        session.unseen.removeAll(where: left.contains)
        session.copySets.removeAll { gone.contains($0.h1) }
    }
}
