import CopyModel

/// Volume `box1:` and four digits.
func volume(_ text: String) -> VolumeID { VolumeID(text) ?? unexpected(text) }
func local(_ text: String) -> LocalVolumeID { LocalVolumeID(text) ?? unexpected(text) }
func subject(_ text: String) -> SubjectName { SubjectName(text) ?? unexpected(text) }
func commandID(_ text: String) -> CommandID { CommandID(text) ?? unexpected(text) }

private func unexpected<Name>(_ text: String) -> Name {
    preconditionFailure("a sample is wrong: \(text)")
}

/// Parameters as they are sent, and the command that they make.
struct CommandSample: Sendable {
    let parameters: String
    let command: Command

    init(_ parameters: String, _ command: Command) {
        self.parameters = parameters
        self.command = command
    }

    var body: String {
        let kind = command.name.isForStorage ? "storage" : "session"
        let name = command.name.rawValue
        return #"{"id":"a","command":"\#(name)","\#(kind)":"payroll","parameters":\#(parameters)}"#
    }
}

/// Every command, and each of its parameters present and absent.
let commandSamples: [CommandSample] = {
    var changes = OptionChanges()
    changes.retentionMinutes = 52_560_000
    changes.minimumMinutesBetweenBackups = 0
    changes.expireBackupOnAutoRoll = true
    var one = OptionChanges()
    one.retentionMinutes = 60
    let all =
        #"""
        {"expireBackupOnAutoRoll":true,"minimumMinutesBetweenBackups":0,
        "retentionMinutes":52560000}
        """#
    return [
        CommandSample(
            #"{"type":"SafeguardedCopy"}"#,
            .createSession(type: .safeguardedCopy, description: "", options: OptionChanges())),
        CommandSample(
            #"{"description":"Pay \"roll\" \u00e9\/","options":\#(all),"type":"SafeguardedCopy"}"#,
            .createSession(
                type: .safeguardedCopy, description: "Pay \"roll\" é/", options: changes)
        ),
        CommandSample("{}", .modifySession(description: nil, options: OptionChanges())),
        CommandSample(
            #"{"description":"","options":{"retentionMinutes":60}}"#,
            .modifySession(description: "", options: one)),
        CommandSample("{}", .deleteSession),
        CommandSample(
            #"""
            {"copySets":[{"H1":"box1:01AB","R1":"box2:0200"},{"R1":"box2:0201",
            "H1":"box1:0101"},{"H1":"x:ffff"}]}
            """#,
            .addCopySets([
                CopySet(h1: volume("box1:01ab"), r1: volume("box2:0200")),
                CopySet(h1: volume("box1:0101"), r1: volume("box2:0201")),
                CopySet(h1: volume("x:ffff"), r1: nil),
            ])),
        CommandSample(
            #"{"copySets":["box1:0100"]}"#,
            .removeCopySets([volume("box1:0100")], keepOnStorage: false)),
        CommandSample(
            #"{"keepOnStorage":true,"copySets":["box1:0100","box1:0101"]}"#,
            .removeCopySets([volume("box1:0100"), volume("box1:0101")], keepOnStorage: true)),
        CommandSample("{}", .describeSession(parts: Set(DocumentPart.allCases))),
        CommandSample(
            #"{"parts":["backups","summary"]}"#, .describeSession(parts: [.summary, .backups])),
        CommandSample("{}", .refreshStates),
        CommandSample("{}", .terminate(whenCopied: false)),
        CommandSample(#"{"whenCopied":true}"#, .terminate(whenCopied: true)),
        CommandSample("{}", .backup),
        CommandSample(
            #"{"backupId":"1795226400"}"#,
            .recover(BackupID(seconds: 1_795_226_400), backgroundCopy: false)),
        CommandSample(
            #"{"backupId":"0","backgroundCopy":true}"#,
            .recover(BackupID(seconds: 0), backgroundCopy: true)),
        CommandSample("{}", .initiateBackgroundCopy),
        CommandSample(
            #"{"backupId":"999999999999"}"#, .expireBackup(BackupID(seconds: 999_999_999_999))),
        CommandSample("{}", .terminateH1R1),
        CommandSample(
            #"""
            {"volumes":[{"id":"0100","capacity":"4KiB"},{"safeguardedMultiplier":10000,
            "id":"01FF","capacity":"128TiB"}]}
            """#,
            .createVolumes([
                VolumeSpecification(
                    id: local("0100"), capacity: Capacity(bytes: 4096), safeguardedMultiplier: 0),
                VolumeSpecification(
                    id: local("01ff"), capacity: Capacity(bytes: 1 << 47),
                    safeguardedMultiplier: 10_000),
            ])),
        CommandSample(
            #"{"volumes":["0100","abcd"]}"#, .deleteVolumes([local("0100"), local("abcd")])),
        CommandSample(
            #"{"volumes":[{"id":"0100","capacity":"4608B"}]}"#,
            .expandVolumes([VolumeExpansion(id: local("0100"), capacity: Capacity(bytes: 4608))])),
        CommandSample(
            #"{"volumes":[{"id":"0100","multiplier":0}]}"#,
            .setSafeguardedCapacity([SafeguardedMultiplier(id: local("0100"), multiplier: 0)])),
        CommandSample("{}", .describeStorage),
    ] + flashSamples
}()

/// The commands of FlashCopy sessions, and those of relationships.
private let flashSamples: [CommandSample] = {
    var changes = OptionChanges()
    changes.incremental = true
    changes.persistent = false
    changes.noCopy = true
    changes.inhibitTargetWrites = true
    changes.revertible = true
    changes.copyRateMiBps = 1_000_000
    changes.incrementalScope = .pair
    let all =
        #"""
        {"copyRateMiBps":1000000,"incremental":true,"incrementalScope":"pair",
        "inhibitTargetWrites":true,"noCopy":true,"persistent":false,"revertible":true}
        """#
    var terms = RelationshipTerms()
    terms.backgroundCopy = false
    terms.incremental = true
    terms.persistent = true
    terms.inhibitTargetWrites = true
    terms.copyRateMiBps = 200
    let pair = LocalPair(source: local("0100"), target: local("02ff"))
    return [
        CommandSample(
            #"{"type":"FlashCopy","options":\#(all)}"#,
            .createSession(type: .flashCopy, description: "", options: changes)),
        CommandSample(
            #"{"copySets":[{"H1":"box1:0100","T1":"box1:0200"}]}"#,
            .addCopySets([CopySet(h1: volume("box1:0100"), t1: volume("box1:0200"))])),
        CommandSample("{}", .flash), CommandSample("{}", .discover),
        CommandSample("{}", .reverseRestore(fast: false, allowCascade: false)),
        CommandSample(
            #"{"fast":true,"allowCascade":false}"#,
            .reverseRestore(fast: true, allowCascade: false)),
        CommandSample(
            #"{"allowCascade":true}"#, .reverseRestore(fast: false, allowCascade: true)),
        CommandSample("{}", .queryRelationships), CommandSample("{}", .commit),
        CommandSample("{}", .revert),
        CommandSample(
            #"""
            {"relationships":[{"source":"0100","target":"02FF","backgroundCopy":false,
            "persistent":true,"incremental":true,"inhibitTargetWrites":true,
            "copyRateMiBps":200},{"target":"0300","source":"0100"}]}
            """#,
            .establishRelationships([
                RelationshipSpecification(pair: pair, terms: terms),
                RelationshipSpecification(
                    pair: LocalPair(source: local("0100"), target: local("0300")),
                    terms: RelationshipTerms()),
            ])),
        CommandSample(
            #"{"relationships":[{"source":"0100","target":"02ff"}]}"#,
            .withdrawRelationships([pair])),
        CommandSample("{}", .listRelationships),
    ]
}()
