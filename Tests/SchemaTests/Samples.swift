import CommandSchema
import CopyModel

/// One of everything that the encoders can write.
enum Samples {
    static let time = Timestamp(milliseconds: 1_795_226_400_114)
    static let payroll = subject("payroll")
    static let box = subject("box1")
    static let backupID = BackupID(seconds: 1_795_226_400)
    static let refusal = Refusal(
        .minimumInterval, "The last backup is \"12\" minutes old.", subject: "payroll",
        remedy: "Send Backup again later.")

    static func subject(_ text: String) -> SubjectName { SubjectName(text) ?? wrong(text) }
    static func volume(_ text: String) -> VolumeID { VolumeID(text) ?? wrong(text) }
    static func local(_ text: String) -> LocalVolumeID { LocalVolumeID(text) ?? wrong(text) }
    private static func wrong<Name>(_ text: String) -> Name {
        preconditionFailure("a sample is wrong: \(text)")
    }

    static let newSession = Session(
        name: payroll, description: "Pay \"roll\"\\ é",
        services: .safeguarded(SafeguardedServices(options: SafeguardedOptions())))

    /// A session with everything: two sets, a lost point, a recovery under way, a lost pair.
    static let fullSession: Session = {
        var session = newSession
        session.state = .targetAvailable
        session.revision = 42
        session.copySets = [
            CopySet(h1: volume("box1:0100"), r1: volume("box1:0200")),
            CopySet(h1: volume("box1:0101"), r1: nil),
        ]
        var whole = Backup(
            id: backupID, tag: PointTag(session: payroll, backup: backupID), time: time,
            sources: session.copySets.map(\.h1))
        whole.verified = true
        var damaged = whole
        damaged.id = BackupID(seconds: backupID.seconds + 60)
        damaged.lost = [volume("box1:0101")]
        damaged.damages = [
            Damage(volume: volume("box1:0100"), place: "track 3, block 5 in saves/0100/00000001")
        ]
        session.safeguarded?.backups = [whole, damaged]
        session.safeguarded?.recovery = Recovery(
            backup: backupID, backgroundCopy: true, pairs: pairs)
        return session
    }()

    static let pairs: [Pair] = PairState.allCases.enumerated().map { index, state in
        var pair = Pair(
            source: volume("box1:010\(index)"), target: volume("box1:020\(index)"), state: state,
            tracksRemaining: 10_322, tracks: 163_840)
        pair.lastResult = state == .targetAvailable ? nil : "The storage no longer has it."
        return pair
    }

    static let reports: [VolumeReport] = {
        let tag = PointTag(session: payroll, backup: backupID)
        let capacity = Capacity(bytes: 10 << 30)
        let point = PointReport(tag: tag, time: time, capacity: capacity)
        let inbound = RelationshipReport(
            source: volume("box1:0100"), presents: .backup(tag), tracksRemaining: 10_322,
            tracks: 163_840,
            backgroundCopy: true)
        return [
            VolumeReport(
                volume: volume("box1:0100"), capacity: capacity, safeguardedMultiplier: 4,
                allocated: Capacity(bytes: 4_194_304), safeguardedUsed: Capacity(bytes: 65_536),
                points: [point, point], inbound: nil),
            VolumeReport(
                volume: volume("box1:0200"), capacity: capacity, safeguardedMultiplier: 0,
                allocated: Capacity(bytes: 0), safeguardedUsed: Capacity(bytes: 0), points: [],
                inbound: inbound),
            VolumeReport(
                volume: volume("box1:0300"), capacity: capacity, safeguardedMultiplier: 0,
                allocated: Capacity(bytes: 0), safeguardedUsed: Capacity(bytes: 0), points: [],
                inbound: flashReport),
        ]
    }()

    /// Results of every case, with the command that has them.
    static let results: [(CommandName, CommandResult)] = {
        let all = Set(DocumentPart.allCases)
        let copySets = fullSession.copySets
        let plain: [(CommandName, CommandResult)] =
            [
                (.createSession, .session(newSession, parts: all)),
                (.modifySession, .session(fullSession, parts: all)), (.deleteSession, .none),
                (.addCopySets, .copySetsAdded(copySets)),
                (.removeCopySets, .copySetsRemoved(copySets.map(\.h1))),
                (.describeSession, .session(fullSession, parts: all)),
                (.refreshStates, .refreshed(changes: [])),
                (
                    .refreshStates,
                    .refreshed(changes: ["Backup 1795226400 has lost \"box1:0101\"."])
                ),
                (.terminate, .withdrawn(pairs: 2)),
                (.terminate, .withdrawnWhenCopied(pairs: 2, tracksRemaining: 160)),
                (.backup, .backup(backupID, copySets: 12)),
                (.recover, .recovered(backupID, pairs: 2, backgroundCopy: true)),
                (.initiateBackgroundCopy, .backgroundCopyStarted(pairs: 2)),
                (.expireBackup, .expired([backupID])), (.terminateH1R1, .withdrawn(pairs: 0)),
                (.createVolumes, .volumes([local("0100"), local("01ff")])),
                (.deleteVolumes, .volumes([])),
                (.expandVolumes, .volumes([local("0100")])),
                (.setSafeguardedCapacity, .volumes([local("0100")])),
                (.describeStorage, .storage(box, reports)),
                (.describeStorage, .storage(box, [])),
                (.establishRelationships, .relationships([localPair])),
                (.withdrawRelationships, .relationships([])),
                (.listRelationships, .relationshipList(box, reports)),
            ] + flashResults
        let parts = DocumentPart.allCases.map {
            (CommandName.describeSession, CommandResult.session(fullSession, parts: [$0]))
        }
        let dry = CommandName.allCases.map { ($0, CommandResult.wouldDo(["It would be done."])) }
        return plain + parts + dry + [(.backup, .wouldDo([]))]
    }()

    static let localPair = LocalPair(source: local("0100"), target: local("0300"))

    /// Results of FlashCopy sessions.
    static let flashResults: [(CommandName, CommandResult)] = [
        (.describeSession, .session(flashSession, parts: Set(DocumentPart.allCases))),
        (.createSession, .session(newFlashSession, parts: Set(DocumentPart.allCases))),
        (.flash, .flashed(flash)),
        (.discover, .discovered(found: 1, missing: [volume("box1:0101")], spread: 61)),
        (.discover, .discovered(found: 0, missing: [], spread: nil)),
        (.reverseRestore, .reversed(pairs: 2, fast: true)),
        (
            .queryRelationships,
            .queried([
                RelationshipQuery(
                    copySet: volume("box1:0100"), target: volume("box1:0300"),
                    relationship: flashReport, reverseRestore: [refusal], fastReverseRestore: []),
                RelationshipQuery(
                    copySet: volume("box1:0101"), target: volume("box1:0301"), relationship: nil,
                    reverseRestore: [refusal, refusal], fastReverseRestore: [refusal]),
            ])
        ),
        (.commit, .settled(pairs: 1)), (.revert, .settled(pairs: 0)),
    ]

    static let flash = Flash(
        number: 1_795_226_400_114, terms: RelationshipTerms(), isRevertible: false,
        pairs: [
            FlashedPair(
                h1: volume("box1:0100"), t1: volume("box1:0300"), mode: .incremental,
                tracksToCopy: 160, tracks: 163_840),
            FlashedPair(
                h1: volume("box1:0101"), t1: volume("box1:0301"), mode: .full, tracksToCopy: nil,
                tracks: 163_840),
        ])

    static let flashReport: RelationshipReport = {
        var report = RelationshipReport(
            source: volume("box1:0100"), presents: .instant(flash.number), tracksRemaining: 160,
            tracks: 163_840, backgroundCopy: true)
        report.attributes.persistent = true
        report.attributes.incremental = true
        report.attributes.tracksOutOfSync = 200
        report.attributes.bytesPerSecond = 104_857_600
        report.attributes.secondsLeft = 1
        report.attributes.number = flash.number
        report.attributes.established = flash.time
        report.attributes.refreshed = flash.time
        return report
    }()

    static let newFlashSession = Session(
        name: subject("nightly"), description: "",
        services: .flash(FlashServices(options: FlashOptions())))

    /// A FlashCopy session with a pair of every state and stage, one of which was found.
    static let flashSession: Session = {
        var session = newFlashSession
        session.state = .targetAvailable
        session.copySets = [
            CopySet(h1: volume("box1:0100"), t1: volume("box1:0300")),
            CopySet(h1: volume("box1:0101"), t1: volume("box1:0301")),
        ]
        session.flash?.flashTime = flash.time
        session.flash?.instant = flash.number
        session.flash?.pairs = flashPairs
        return session
    }()

    static let flashPairs: [FlashPair] = PairState.allCases.flatMap { state in
        FlashStage.allCases.map { stage in
            var pair = FlashPair(
                h1: volume("box1:0100"),
                pair: Pair(
                    source: volume("box1:0300"), target: volume("box1:0100"), state: state,
                    tracksRemaining: 160, tracks: 163_840),
                terms: RelationshipTerms(), number: flash.number,
                since: stage == .related ? nil : flash.time, stage: stage)
            pair.isRevertible = stage == .related
            return pair
        }
    }

    /// The case's name.
    ///
    /// No `default`: a new case does not compile before it has a sample.
    static func caseName(_ result: CommandResult) -> String {
        switch result {
        case .none: "none"
        case .session: "session"
        case .copySetsAdded: "copySetsAdded"
        case .copySetsRemoved: "copySetsRemoved"
        case .backup: "backup"
        case .recovered: "recovered"
        case .backgroundCopyStarted: "backgroundCopyStarted"
        case .expired: "expired"
        case .withdrawn: "withdrawn"
        case .refreshed: "refreshed"
        case .volumes: "volumes"
        case .storage: "storage"
        case .wouldDo: "wouldDo"
        case .flashed: "flashed"
        case .discovered: "discovered"
        case .reversed: "reversed"
        case .queried: "queried"
        case .settled: "settled"
        case .withdrawnWhenCopied: "withdrawnWhenCopied"
        case .relationships: "relationships"
        case .relationshipList: "relationshipList"
        }
    }

    static let resultCases = 21

    // MARK: Outcomes

    static func outcome(_ name: CommandName, _ result: CommandResult) -> Outcome {
        Outcome(
            id: CommandID("a b~!"), command: name.rawValue,
            subject: name.isForStorage ? box : payroll,
            isForStorage: name.isForStorage, kind: .completed, result: result, revision: 42,
            receivedAt: time, startedAt: time.adding(milliseconds: 1),
            finishedAt: time.adding(milliseconds: 61_000))
    }

    static let refused: Outcome = {
        var outcome = Samples.outcome(.backup, CommandResult.none)
        outcome.kind = .refused
        outcome.result = nil
        outcome.refusals = RefusalCode.allCases.map { Refusal($0, "No.", subject: "", remedy: "") }
        return outcome
    }()

    static let failed: Outcome = {
        var outcome = Samples.outcome(.createVolumes, CommandResult.none)
        outcome.kind = .failed
        outcome.result = nil
        outcome.error = Refusal(
            .storageFailed, "It could not.", subject: "box1:0100", remedy: "Again.")
        return outcome
    }()

    static let ownerless = UnattributableCommand(id: nil, commandName: nil, refusal: refusal)
        .outcome(receivedAt: time, finishedAt: time)

    // MARK: Events

    static let bodies: [EventBody] = {
        let backup = BackupView(fullSession.backups[0])
        let damaged = BackupView(fullSession.backups[1], reason: "Rolled off.")
        let progress = CopyProgress(
            rolePair: .h1r1, percent: 37, tracksRemaining: 10_322, bytesPerSecond: 104_857_600,
            estimatedCompletion: time)
        let standing = CopyProgress(
            rolePair: .h1r1, percent: 100, tracksRemaining: 0, bytesPerSecond: 0,
            estimatedCompletion: nil)
        let changed: [EventBody] = [
            .sessionCreated(newSession.summary), .sessionChanged(fullSession.summary),
            .sessionDeleted(newSession.summary), .backupCreated(backup), .backupRecoverable(backup),
            .backupUnrecoverable(damaged), .backupExpired(damaged), .copyProgress(progress),
            .copyProgress(standing), .sessionChanged(flashSession.summary),
            .sessionCreated(newFlashSession.summary),
        ]
        let commands = results.map { EventBody.command(outcome($0.0, $0.1)) }
        let levels = CapacityLevel.allCases.map {
            EventBody.storageCapacity(volume: volume("box1:0100"), usedPercent: 112, level: $0)
        }
        return changed + commands + [.command(refused), .command(failed), .command(ownerless)]
            + pairs.map { .pairChanged(PairView($0, backgroundCopy: true)) }
            + flashPairs.map { .pairChanged(PairView($0)) } + levels
    }()

    /// The types that a case can have.
    ///
    /// No `default`: a new case does not compile before it has a sample.
    static func types(of body: EventBody) -> [String] {
        switch body {
        case .command: OutcomeKind.allCases.map { "stillpoint.command.\($0.rawValue)" }
        case .sessionCreated, .sessionChanged, .sessionDeleted, .pairChanged, .backupCreated,
            .backupRecoverable, .backupUnrecoverable, .backupExpired, .copyProgress,
            .storageCapacity:
            [body.type]
        }
    }

    static let typeCount = 13

    static func event(_ body: EventBody, sequence: UInt64, traced: Bool) -> Event {
        Event(
            subject: body == .command(ownerless) ? .unattributed : payroll, sequence: sequence,
            time: time, commandID: traced ? CommandID("a b~!") : nil,
            traceparent: traced ? "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" : nil,
            body: body)
    }
}
