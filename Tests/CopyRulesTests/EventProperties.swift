import CopyModel
import CopyRules
import Testing

/// A consumer that knows a session only by its events.
private struct Consumer {
    var backups: [BackupID: Bool] = [:]
    var pairs: Set<VolumeID> = []
    var summary: SessionSummary?
    var copySets: Set<VolumeID> = []

    mutating func hear(_ event: EventBody) {
        switch event {
        case .backupCreated(let backup): backups[backup.id] = false
        case .backupRecoverable(let backup): backups[backup.id] = true
        case .backupUnrecoverable(let backup): backups[backup.id] = false
        case .backupExpired(let backup): backups[backup.id] = nil
        case .sessionCreated(let summary), .sessionChanged(let summary): self.summary = summary
        case .sessionDeleted: self = Consumer()
        case .pairChanged(let view):
            if view.recoverable, view.pair.state != .withdrawn {
                copySets.insert(view.copySet)
            } else {
                copySets.remove(view.copySet)
            }
            if view.recoverable {
                pairs.insert(view.pair.target)
            } else {
                pairs.remove(view.pair.target)
            }
        case .command, .copyProgress, .storageCapacity: break
        }
    }
}

@Suite("Events tell everything")
struct EventProperties {
    private func change(_ session: Session, _ random: inout Xorshift) -> Change {
        let ids = session.backups.map(\.id)
        let volumes = session.copySets.map(\.h1)
        let id = ids.isEmpty ? BackupID(seconds: 1) : ids[random.below(ids.count)]
        switch random.below(16) {
        case 0: return .copySetsAdded([World.set(random.hex(), random.hex())])
        case 1:
            return .copySetsRemoved(volumes.isEmpty ? [] : [volumes[random.below(volumes.count)]])
        case 2, 3, 4:
            let next = BackupID(seconds: (session.safeguarded?.lastBackupID?.seconds ?? 0) + 1)
            return .backupTaken(
                next, PointTag(session: session.name, backup: next), at: next.time, sources: volumes
            )
        case 5, 6: return .backupVerified(id)
        case 7: return .backupsExpired([id])
        case 8:
            let pairs = session.copySets.compactMap { set in
                set.r1.map {
                    Pair(
                        source: set.h1, target: $0, state: .targetAvailable, tracksRemaining: 9,
                        tracks: 9)
                }
            }
            return .recovered(Recovery(backup: id, backgroundCopy: false, pairs: pairs))
        case 9: return .recoveryWithdrawn
        case 10: return .backgroundCopyStarted
        case 11:
            let target = session.recovery?.pairs.first?.target ?? World.volume("ffff")
            return .progressed(target: target, tracksRemaining: UInt64(random.below(9)), tracks: 9)
        case 12:
            return .rolledOff(
                volume: volumes.first ?? World.volume("ffff"), tags: [World.tag(id.seconds)])
        case 13:
            return .damaged(
                volume: volumes.first ?? World.volume("ffff"), tags: [World.tag(id.seconds)],
                place: "track 1")
        case 14:
            var mended = session.backups
            for index in mended.indices { mended[index].damages = [] }
            return .observed(backups: mended, recovery: session.recovery, unseen: [])
        default: return random.below(8) == 0 ? .terminated : .nothing
        }
    }

    private func command(_ world: FlashWorld, _ random: inout Xorshift) -> Command {
        switch random.below(12) {
        case 0, 1: .flash
        case 2: .reverseRestore(fast: random.below(2) == 0, allowCascade: true)
        case 3: .terminate(whenCopied: random.below(2) == 0)
        case 4: .initiateBackgroundCopy
        case 5: .discover
        case 6: random.below(2) == 0 ? .commit : .revert
        case 7:
            .removeCopySets(
                world.session.copySets.prefix(1).map(\.h1), keepOnStorage: random.below(2) == 0)
        case 8: .addCopySets([CopySet(h1: World.volume("0100"), t1: World.volume("0300"))])
        case 9:
            .modifySession(
                description: nil,
                options: {
                    var changes = OptionChanges()
                    changes.incremental = true
                    changes.revertible = random.below(2) == 0
                    changes.noCopy = random.below(3) == 0
                    return changes
                }())
        default: .refreshStates
        }
    }

    @Test("the same of a FlashCopy session, whatever is asked of it and happens on the storage")
    func flashConsumerKnows() {
        var taken = 0
        for seed in UInt64(1)...300 {
            var random = Xorshift(seed: seed)
            var world = FlashWorld(["0100": "0300", "0101": "0301"])
            var consumer = Consumer()
            CopyRules.events(from: nil, to: world.session).forEach { consumer.hear($0) }
            for _ in 0..<60 {
                var events: [EventBody]
                switch random.below(5) {
                case 0:
                    let volume = ["0100", "0300", "0301"][random.below(3)]
                    events = world.copy(to: volume, remaining: UInt64(random.below(4)))
                case 1 where random.below(4) == 0:
                    world.end(World.volume("0300"))
                    events = []
                default: events = world.run(command(world, &random))
                }
                events += world.payOwed()
                events.forEach { consumer.hear($0) }
                taken += events.isEmpty ? 0 : 1
                let session = world.session
                #expect(consumer.summary?.recoverable == session.isRecoverable, "seed \(seed)")
                #expect(consumer.summary?.copying == session.isCopying, "seed \(seed)")
                #expect(consumer.summary?.status == session.status, "seed \(seed)")
                #expect(consumer.summary?.state == session.state, "seed \(seed)")
                let usable = (session.flash?.pairs ?? []).filter(\.isRecoverable).map(\.h1)
                #expect(consumer.copySets == Set(usable), "seed \(seed)")
            }
        }
        print("flash event property: 300 seeds (1...300), \(taken) changes told")
        #expect(taken > 3000)
    }

    @Test("a consumer that hears only events knows what can be recovered, after every change")
    func consumerKnows() {
        var changes = 0
        for seed in UInt64(1)...400 {
            var random = Xorshift(seed: seed)
            var session = World.session(sets: [World.set("0100", "0200")])
            var consumer = Consumer()
            CopyRules.events(from: nil, to: session).forEach { consumer.hear($0) }
            for _ in 0..<100 {
                let next = session.applying(change(session, &random))
                CopyRules.events(from: session, to: next).forEach { consumer.hear($0) }
                session = next
                changes += 1
                let truth = Dictionary(
                    uniqueKeysWithValues: session.backups.map { ($0.id, $0.isRecoverable) })
                #expect(consumer.backups == truth, "seed \(seed)")
                #expect(consumer.summary?.recoverable == session.isRecoverable, "seed \(seed)")
                #expect(consumer.summary?.copying == session.isCopying, "seed \(seed)")
                #expect(consumer.summary?.status == session.status, "seed \(seed)")
                let usable = (session.recovery?.pairs ?? []).filter { $0.state == .targetAvailable }
                #expect(consumer.pairs == Set(usable.map(\.target)), "seed \(seed)")
                #expect(session.backups.map(\.id) == session.backups.map(\.id).sorted())
            }
        }
        print("event property: 400 seeds (1...400), \(changes) changes")
    }
}

/// A small seeded generator: the same seed, the same test.
struct Xorshift {
    private var state: UInt64

    init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }

    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }

    mutating func hex() -> String {
        let digits = String(next() % 65_536, radix: 16)
        return String(repeating: "0", count: 4 - digits.count) + digits
    }
}
