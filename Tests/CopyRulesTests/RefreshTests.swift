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
        let after = refreshed(
            fresh,
            World.storage([World.report("0100", points: [World.tag(77)]), World.report("0200")]))
        #expect(after.state == .protected && after.status == .normal)
        #expect(after.backups.map(\.id.seconds) == [77])
        #expect(after.safeguarded?.lastBackupID == BackupID(seconds: 77))
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
            source: World.volume("0100"), presents: .backup(World.tag(5)), tracksRemaining: 3,
            tracks: 16,
            backgroundCopy: true)
        let storage = World.storage([
            World.report("0100", points: [World.tag(5)]), World.report("0200", inbound: inbound),
        ])
        let after = refreshed(session, storage)
        #expect(after.recovery?.backup == BackupID(seconds: 5))
        #expect(after.recovery?.pairs.first?.tracksRemaining == 3 && after.isCopying)
    }

    @Test(
        "a volume that the storage does not know is unknown: nothing of it is lost, and all comes back"
    )
    func unseen() {
        let session = World.session(
            sets: [World.set("0100", nil), World.set("0101", nil)], backups: [5, 6])
        let dark = refreshed(session, World.storage([]))
        #expect(
            dark.status == .unknown && dark.state == .protected && dark.backups == session.backups)
        #expect(CopyRules.owed(by: dark).isEmpty)
        #expect(
            CopyRules.events(from: session, to: dark).map(\.type) == ["stillpoint.session.changed"])
        let half = refreshed(
            dark, World.storage([World.report("0100", points: [World.tag(6)])]))
        #expect(half.unseen == [World.volume("0101")])
        #expect(half.backup(BackupID(seconds: 5))?.lost == [World.volume("0100")])
        let points = [World.tag(5), World.tag(6)]
        let whole = refreshed(
            half,
            World.storage([
                World.report("0100", points: points), World.report("0101", points: points),
            ]))
        #expect(whole.unseen.isEmpty && whole.status == .normal && whole.backups == session.backups)
    }

    @Test(
        "damage is what the storage says it is, and stays as it was where the storage is not there")
    func damage() {
        let session = World.session(sets: [World.set("0100", nil)], backups: [5, 6])
        var storage = World.storage([World.report("0100", points: [World.tag(5), World.tag(6)])])
        storage.volumes[World.volume("0100")]?.points[0].damage = "track 1"
        let plan = World.decide(.refreshStates, session, storage).plan
        guard case .refreshed(let changes)? = plan?.result else {
            Issue.record("not refreshed")
            return
        }
        #expect(changes == ["Backup 5 is damaged on box1:0100: track 1."])
        let damaged = refreshed(session, storage)
        #expect(damaged.backups.map(\.isRecoverable) == [false, true])
        #expect(refreshed(damaged, World.storage([])).backups == damaged.backups)
        storage.volumes[World.volume("0100")]?.points[0].damage = nil
        #expect(refreshed(damaged, storage).backups == session.backups)
    }

    @Test("a backup that cannot be read back holds up no other one's repair")
    func unreadable() {
        let session = World.session(sets: [World.set("0100", nil)])
        let storage = World.storage([World.report("0100", points: [World.tag(5), World.tag(6)])])
        let steps = World.decide(.refreshStates, session, storage).plan?.steps ?? []
        let verifications = steps.filter {
            if case .verifyPoints? = $0.effect { true } else { false }
        }
        #expect(verifications.count == 2 && verifications.allSatisfy(\.mayFail))
    }

    @Test("a copy that stopped is no copy but an error, and can be started again")
    func stoppedCopy() {
        let pair = Pair(
            source: World.volume("0100"), target: World.volume("0200"), state: .targetAvailable,
            tracksRemaining: 4, tracks: 16)
        var session = World.session(sets: [World.set("0100", "0200")], backups: [5])
        session.safeguarded?.recovery = Recovery(
            backup: BackupID(seconds: 5), backgroundCopy: true, pairs: [pair])
        #expect(session.isCopying && !session.hasError)
        let stopped = session.applying(.copyFailed(target: pair.target, reason: "no space"))
        #expect(!stopped.isCopying && stopped.hasError)
        #expect(World.decide(.initiateBackgroundCopy, session).plan == nil)
        #expect(World.decide(.initiateBackgroundCopy, stopped).plan != nil)
        let again = stopped.applying(.backgroundCopyStarted)
        #expect(again.isCopying && !again.hasError)
    }

    @Test("the end of a copy is told once, however it becomes known")
    func completion() {
        func session(remaining: UInt64, copy: Bool) -> Session {
            var session = World.session(sets: [World.set("0100", "0200")], backups: [5])
            let pair = Pair(
                source: World.volume("0100"), target: World.volume("0200"),
                state: .targetAvailable, tracksRemaining: remaining, tracks: 16)
            session.safeguarded?.recovery = Recovery(
                backup: BackupID(seconds: 5), backgroundCopy: copy, pairs: [pair])
            return session
        }
        func ends(_ before: Session?, _ after: Session) -> Int {
            CopyRules.events(from: before, to: after).count {
                if case .copyProgress(let progress) = $0 { progress.percent == 100 } else { false }
            }
        }
        let done = session(remaining: 0, copy: true)
        #expect(ends(session(remaining: 3, copy: true), done) == 1)
        #expect(ends(session(remaining: 0, copy: false), done) == 1)
        #expect(ends(done, done.applying(.nothing)) == 0)
        #expect(ends(session(remaining: 3, copy: false), session(remaining: 0, copy: false)) == 0)
    }

    @Test("a new session of an old name gives ids above those of the points that are still there")
    func idsAboveWhatIsLeft() {
        let ahead = UInt64(World.start.seconds) + 40
        let session = World.session(sets: [World.set("0100", nil)])
        let storage = World.storage([World.report("0100", points: [World.tag(ahead)])])
        guard case .backup(let id, _)? = World.decide(.backup, session, storage).plan?.result else {
            Issue.record("no backup was planned")
            return
        }
        #expect(id.seconds == ahead + 1)
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
