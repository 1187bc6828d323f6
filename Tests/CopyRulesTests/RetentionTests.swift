import CopyModel
import CopyRules
import Testing

@Suite("What a session owes by its own options")
struct RetentionTests {
    private func session(_ backups: [UInt64], retention: Int = 0, autoRoll: Bool = false) -> Session
    {
        var session = World.session(sets: [World.set("0100", "0200")], backups: backups)
        session.safeguarded?.options.retentionMinutes = retention
        session.safeguarded?.options.expireBackupOnAutoRoll = autoRoll
        return session
    }

    private func expired(_ session: Session) -> [UInt64] {
        CopyRules.owed(by: session).flatMap { step -> [UInt64] in
            guard case .backupsExpired(let ids) = step.change else { return [] }
            return ids.map(\.seconds)
        }
    }

    @Test("age is counted back from the newest recoverable backup, which never expires")
    func retention() {
        #expect(expired(session([0, 60, 120, 180], retention: 2)) == [0])
        #expect(expired(session([0], retention: 1)) == [])
        var unread = session([0, 60], retention: 1)
        unread = unread.taking(BackupID(seconds: 6000), verified: false)
        #expect(expired(unread) == [])
        #expect(expired(unread.applying(.backupVerified(BackupID(seconds: 6000)))) == [0, 60])
    }

    @Test("what a recovery stands on stays, and everything later")
    func standing() {
        let busy = session([0, 60, 600], retention: 1).recovering(BackupID(seconds: 60))
        #expect(expired(busy) == [0])
    }

    @Test("with auto-roll expiry a backup that one volume lost goes for all, without it it stays")
    func autoRoll() {
        var two = session([10, 20])
        two.copySets.append(World.set("0101", nil))
        two.safeguarded?.backups[0].sources.append(World.volume("0101"))
        let lost = two.applying(.rolledOff(volume: World.volume("0100"), tags: [World.tag(10)]))
        #expect(lost.backups[0].recoverableCopySets == 1 && !lost.backups[0].isRecoverable)
        #expect(expired(lost) == [])
        var rolling = lost
        rolling.safeguarded?.options.expireBackupOnAutoRoll = true
        #expect(expired(rolling) == [10])
    }

    @Test("after the rolled copy sets are removed, the others can be recovered again")
    func removal() {
        var two = session([10])
        two.copySets.append(World.set("0101", nil))
        two.safeguarded?.backups[0].sources.append(World.volume("0101"))
        let lost = two.applying(.rolledOff(volume: World.volume("0101"), tags: [World.tag(10)]))
        let removed = lost.applying(.copySetsRemoved([World.volume("0101")]))
        #expect(removed.backups[0].isRecoverable)
        let told = CopyRules.events(from: lost, to: removed)
        #expect(told.contains { if case .backupRecoverable = $0 { true } else { false } })
    }

    @Test("a damaged backup stays: the rest of it can be read")
    func damagedStays() {
        var session = session([10, 20], autoRoll: true)
        session = session.applying(
            .damaged(volume: World.volume("0100"), tags: [World.tag(10)], place: "track 1"))
        #expect(session.backups.map(\.isRecoverable) == [false, true] && session.hasError)
        #expect(session.backups[0].recoverableCopySets == 0)
        #expect(expired(session) == [])
    }

    @Test("a backup whose last volume is lost is gone")
    func allLost() {
        let lost = session([10, 20]).applying(
            .rolledOff(volume: World.volume("0100"), tags: [World.tag(10)]))
        #expect(expired(lost) == [10])
    }
}
