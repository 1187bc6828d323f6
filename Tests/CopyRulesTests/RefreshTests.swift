import CopyModel
import CopyRules
import Testing

@Suite("Refresh States repairs the session to what the storage says")
struct RefreshTests {
    private func refreshed(
        _ session: Session, _ storage: StorageReport, live: Set<SubjectName> = [World.payroll]
    )
        -> Session
    {
        guard let plan = World.decide(.refreshStates, session, storage, live: live).plan else {
            return session
        }
        return plan.steps.reduce(session) { $0.applying($1.change) }
    }

    @Test("backups found on a newly added copy set bring a session from Defined to Protected")
    func definedToProtected() {
        let fresh = World.session(sets: [World.set("0100", "0200")])
        let after = refreshed(fresh, World.storage([World.report("0100", points: [World.tag(77)])]))
        #expect(after.state == .protected && after.status == .normal)
        #expect(after.backups.map(\.id.seconds) == [77])
        #expect(after.lastBackupID == BackupID(seconds: 77))
    }

    @Test("points of a session that lives are not adopted by another, those of a gone one are")
    func adoption() {
        let other = SubjectName("old")!
        let tag = PointTag(session: other, backup: BackupID(seconds: 5))
        let fresh = World.session(sets: [World.set("0100", "0200")])
        let storage = World.storage([World.report("0100", points: [tag])])
        #expect(refreshed(fresh, storage, live: [World.payroll, other]).backups.isEmpty)
        #expect(refreshed(fresh, storage).backups.map(\.tag) == [tag])
    }

    @Test("a point that is gone makes the backup unrecoverable, one that is back makes it whole")
    func lostAndFound() {
        let session = World.session(sets: [World.set("0100", nil)], backups: [5, 6])
        let gone = refreshed(session, World.storage([World.report("0100", points: [World.tag(6)])]))
        #expect(gone.backups.map(\.isRecoverable) == [false, true])
        let back = refreshed(
            gone, World.storage([World.report("0100", points: [World.tag(5), World.tag(6)])]))
        #expect(back.backups.map(\.isRecoverable) == [true, true])
    }

    @Test("a recovery that the storage no longer has is no longer in place")
    func recoveryGone() {
        let session = World.session(sets: [World.set("0100", "0200")], backups: [5])
            .recovering(BackupID(seconds: 5))
        let storage = World.storage([
            World.report("0100", points: [World.tag(5)]), World.report("0200"),
        ])
        #expect(refreshed(session, storage).recovery == nil)
    }

    @Test("a recovery that the storage has is found again, with its progress")
    func recoveryFound() {
        let session = World.session(sets: [World.set("0100", "0200")], backups: [5])
        let inbound = RelationshipReport(
            source: World.volume("0100"), tag: World.tag(5), tracksRemaining: 3, tracks: 16,
            backgroundCopy: true)
        let storage = World.storage([
            World.report("0100", points: [World.tag(5)]), World.report("0200", inbound: inbound),
        ])
        let after = refreshed(session, storage)
        #expect(after.recovery?.backup == BackupID(seconds: 5))
        #expect(after.recovery?.pairs.first?.tracksRemaining == 3 && after.isCopying)
    }

    @Test("a session that agrees with the storage has nothing to repair")
    func agreement() {
        let session = World.session(sets: [World.set("0100", nil)], backups: [5])
        let facts = Facts(
            now: World.start,
            storage: World.storage([World.report("0100", points: [World.tag(5)])]),
            liveSessions: [World.payroll])
        #expect(CopyRules.repairs(of: session, facts: facts).isEmpty)
    }
}
