import CopyModel
import CopyRules
import Testing

@Suite("The ladders of Safeguarded Copy")
struct LadderTests {
    let one = World.session(sets: [World.set("0100", "0200")])

    @Test("a command to a session that does not exist is refused with unknown-session alone")
    func unknownSession() {
        #expect(World.decide(.backup, nil).codes == [.unknownSession])
        #expect(World.decide(.deleteSession, nil).codes == [.unknownSession])
    }

    @Test("an expired command says so before anything else, and the rest as well")
    func expired() {
        let late = World.decide(.backup, nil, notAfter: World.start.adding(milliseconds: -1))
        #expect(late.codes == [.commandExpired, .unknownSession])
        #expect(
            World.decide(.backup, one, notAfter: World.start).codes.contains(.commandExpired)
                == false)
    }

    @Test("a second CreateSession is refused with session-exists")
    func exists() {
        let again = Command.createSession(
            type: .safeguardedCopy, description: "", options: OptionChanges())
        #expect(World.decide(again, one).codes == [.sessionExists])
        #expect(World.decide(again, nil).plan != nil)
    }

    @Test(
        "what the state does not offer is refused with not-in-this-state",
        arguments: [
            Command.recover(BackupID(seconds: 1), backgroundCopy: false), .initiateBackgroundCopy,
            .expireBackup(BackupID(seconds: 1)), .terminateH1R1, .terminate(whenCopied: false),
            .flash, .queryRelationships,
        ])
    func definedOffers(command: Command) {
        #expect(World.decide(command, one).codes == [.notInThisState])
    }

    @Test("DeleteSession is offered in Defined only")
    func delete() {
        #expect(
            World.decide(.deleteSession, one).plan?.steps == [Step(effect: nil, change: .deleted)])
        #expect(
            World.decide(.deleteSession, one.taking(BackupID(seconds: 5))).codes == [
                .notInThisState
            ])
    }

    @Test("every reason against a Backup is given, in precedence")
    func backupReasons() {
        var session = World.session(sets: [World.set("0100", nil), World.set("0101", nil)])
        session.safeguarded?.options.minimumMinutesBetweenBackups = 60
        session.safeguarded?.lastBackupID = BackupID(seconds: UInt64(World.start.seconds) - 60)
        let storage = World.storage([World.report("0100", multiplier: 0)])
        let codes = World.decide(.backup, session, storage).codes
        #expect(codes == [.noSafeguardedCapacity, .unknownVolume, .minimumInterval])
        #expect(World.decide(.backup, World.session()).codes == [.noCopySets])
    }

    @Test("a volume of a storage system that is not there is refused with unknown-storage")
    func unknownStorage() {
        let strange = CopySet(h1: VolumeID("box9:0100")!, r1: nil)
        let decision = World.decide(.addCopySets([strange]), one, World.storage([]))
        #expect(decision.codes == [.unknownStorage])
    }

    @Test("backup ids rise even when the clock stands still or goes back")
    func ids() throws {
        let storage = World.storage([World.report("0100")])
        var session = one
        session.safeguarded?.lastBackupID = BackupID(seconds: UInt64(World.start.seconds) + 100)
        let plan = try #require(World.decide(.backup, session, storage).plan)
        #expect(
            plan.result
                == .backup(BackupID(seconds: UInt64(World.start.seconds) + 101), copySets: 1))
    }

    @Test("copy sets are added all or none")
    func addReasons() {
        let storage = World.storage([
            World.report("0100"), World.report("0101", capacity: 1 << 21), World.report("0200"),
        ])
        let decision = World.decide(
            .addCopySets([
                World.set("0100", "0200"), World.set("0101", "0200"), World.set("0102", nil),
            ]), one, storage)
        #expect(
            decision.codes == [
                .copySetExists, .volumeInUse, .volumeInUse, .targetSmaller, .unknownVolume,
            ])
    }

    @Test("a recovery needs a known, recoverable backup, no recovery in place, and free R1 volumes")
    func recoverReasons() {
        let id = BackupID(seconds: 100)
        let session = one.taking(id)
        let good = World.storage([
            World.report("0100", points: [World.tag(100)]), World.report("0200"),
        ])
        #expect(World.decide(.recover(id, backgroundCopy: false), session, good).plan != nil)
        #expect(
            World.decide(.recover(BackupID(seconds: 9), backgroundCopy: false), session, good).codes
                == [.unknownBackup])
        let unread = one.taking(id, verified: false)
        #expect(
            World.decide(.recover(id, backgroundCopy: false), unread, good).codes
                == [.backupNotRecoverable])
        #expect(
            World.decide(.recover(id, backgroundCopy: false), session.recovering(id), good).codes
                == [.recoveryInPlace])
        var damaged = good
        damaged.volumes[World.volume("0100")]?.points[0].damage = "track 1, block 2"
        #expect(
            World.decide(.recover(id, backgroundCopy: false), session, damaged).codes
                == [.backupNotRecoverable])
        let busy = World.storage([
            World.report("0100", points: [World.tag(100)]),
            World.report(
                "0200", capacity: 1 << 19, points: [World.tag(1)],
                inbound: RelationshipReport(
                    source: World.volume("0100"), presents: .backup(World.tag(1)),
                    tracksRemaining: 1, tracks: 1,
                    backgroundCopy: false)),
        ])
        #expect(
            World.decide(.recover(id, backgroundCopy: false), session, busy).codes
                == [.targetSmaller, .targetHasSource, .volumeInUse])
    }

    @Test("a backup that a recovery stands on, and every later one, cannot expire")
    func inUse() {
        let session = one.taking(BackupID(seconds: 1)).taking(BackupID(seconds: 2))
            .taking(BackupID(seconds: 3)).recovering(BackupID(seconds: 2))
        #expect(World.decide(.expireBackup(BackupID(seconds: 1)), session).plan != nil)
        #expect(World.decide(.expireBackup(BackupID(seconds: 2)), session).codes == [.backupInUse])
        #expect(World.decide(.expireBackup(BackupID(seconds: 3)), session).codes == [.backupInUse])
    }

    @Test("a background copy is started once, and only on a recovery")
    func backgroundCopy() {
        let session = one.taking(BackupID(seconds: 1))
        #expect(World.decide(.initiateBackgroundCopy, session).codes == [.noRecovery])
        let recovered = session.recovering(BackupID(seconds: 1))
        #expect(World.decide(.initiateBackgroundCopy, recovered).plan != nil)
        let copying = recovered.applying(.backgroundCopyStarted)
        #expect(World.decide(.initiateBackgroundCopy, copying).codes == [.alreadyCopying])
    }

    @Test("every refusal of every command names a remedy and a sentence")
    func remedies() {
        let gone = BackupID(seconds: 1)
        let refused: [(Command, Session?)] = [
            (
                .createSession(type: .safeguardedCopy, description: "", options: OptionChanges()),
                one
            ),
            (.modifySession(description: "", options: OptionChanges()), nil),
            (.deleteSession, World.session(sets: [World.set("0100", nil)], backups: [5])),
            (.addCopySets([World.set("0999", "0998")]), one),
            (.removeCopySets([World.volume("0777")], keepOnStorage: false), one),
            (.describeSession(parts: []), nil), (.refreshStates, nil),
            (.terminate(whenCopied: false), nil),
            (.backup, World.session()), (.recover(gone, backgroundCopy: true), one),
            (.initiateBackgroundCopy, one), (.expireBackup(gone), one), (.terminateH1R1, one),
            (.flash, one), (.discover, one), (.queryRelationships, one), (.commit, one),
            (.reverseRestore(fast: false, allowCascade: false), one), (.revert, one),
        ]
        #expect(
            Set(refused.map(\.0.name)) == Set(CommandName.allCases.filter { !$0.isForStorage }))
        for (command, session) in refused {
            guard case .refused(let reasons) = World.decide(command, session) else {
                Issue.record("\(command.name) was not refused")
                continue
            }
            for reason in reasons {
                #expect(!reason.remedy.isEmpty && reason.message.hasSuffix("."), "\(reason)")
            }
        }
    }
}
