import CopyModel

/// Requests in the form by which they are compared: two commands ask the same if and only if these
/// bytes are equal.
///
/// The form is the command itself without its id: JSON with members sorted, no space, one way to
/// escape, values in their shortest spelling, and everything left out that says what is so anyway.
/// So it stays the same when later versions add parameters, and a request that was refused as
/// unknown keeps its form in the version that knows it.
enum CanonicalRequest {
    /// The form of a command that was read.
    static func bytes(
        _ command: Command, subject: SubjectName, notAfter: Timestamp?, dryRun: Bool
    ) -> [UInt8] {
        var writer = JSONWriter(capacity: 256)
        writer.request(command, id: nil, subject: subject, notAfter: notAfter, dryRun: dryRun)
        return writer.bytes
    }

    /// The form of a request that was refused as it was read: all of it but the id.
    static func bytes(refused root: JSONNode) -> [UInt8] {
        var writer = JSONWriter(capacity: 256)
        writer.node(.object(root.members.filter { $0.key != "id" }), sorted: true)
        return writer.bytes
    }
}

extension JSONWriter {
    /// Writes a command, members sorted by name.
    mutating func request(
        _ command: Command, id: CommandID?, subject: SubjectName, notAfter: Timestamp?, dryRun: Bool
    ) {
        openObject()
        key("command")
        string(command.name.rawValue)
        if dryRun {
            key("dryRun")
            bool(true)
        }
        if let id {
            key("id")
            string(id.text)
        }
        if let notAfter {
            key("notAfter")
            time(notAfter)
        }
        parameters(command)
        if command.name.isForStorage { key("storage") } else { key("session") }
        string(subject.text)
        closeObject()
    }

    private mutating func parameters(_ command: Command) {
        switch command {
        case .createSession(let type, let description, let options):
            parameters { writer in
                if !description.isEmpty { writer.member("description", description) }
                writer.options(options)
                writer.member("type", type.rawValue)
            }
        case .modifySession(let description, let options):
            guard description != nil || !options.isEmpty else { return }
            parameters { writer in
                if let description { writer.member("description", description) }
                writer.options(options)
            }
        case .addCopySets(let sets): parameters { $0.copySets(sets) }
        case .removeCopySets(let volumes, let keepOnStorage):
            parameters { writer in
                writer.key("copySets")
                writer.strings(volumes.lazy.map(\.description))
                writer.member(ifTrue: keepOnStorage, "keepOnStorage")
            }
        case .describeSession(let parts):
            guard parts.count < DocumentPart.allCases.count else { return }
            parameters { writer in
                writer.key("parts")
                writer.strings(DocumentPart.allCases.filter(parts.contains).map(\.rawValue))
            }
        case .recover(let backup, let backgroundCopy):
            parameters { writer in
                writer.member(ifTrue: backgroundCopy, "backgroundCopy")
                writer.member("backupId", backup.description)
            }
        case .expireBackup(let backup): parameters { $0.member("backupId", backup.description) }
        case .createVolumes(let volumes): parameters { $0.volumes(volumes) }
        case .deleteVolumes(let volumes):
            parameters { writer in
                writer.key("volumes")
                writer.strings(volumes.lazy.map(\.text))
            }
        case .expandVolumes(let volumes): parameters { $0.volumes(volumes) }
        case .setSafeguardedCapacity(let volumes): parameters { $0.volumes(volumes) }
        case .terminate(let whenCopied):
            guard whenCopied else { return }
            parameters { $0.member(ifTrue: true, "whenCopied") }
        case .reverseRestore(let fast, let allowCascade):
            guard fast || allowCascade else { return }
            parameters { writer in
                writer.member(ifTrue: allowCascade, "allowCascade")
                writer.member(ifTrue: fast, "fast")
            }
        case .establishRelationships(let asked): parameters { $0.relationships(asked) }
        case .withdrawRelationships(let asked): parameters { $0.relationships(asked) }
        case .deleteSession, .refreshStates, .backup, .initiateBackgroundCopy, .terminateH1R1,
            .describeStorage, .flash, .discover, .queryRelationships, .commit, .revert,
            .listRelationships:
            return
        }
    }

    private mutating func parameters(_ write: (inout JSONWriter) -> Void) {
        key("parameters")
        openObject()
        write(&self)
        closeObject()
    }

    private mutating func member(ifTrue value: Bool, _ name: StaticString) {
        guard value else { return }
        key(name)
        bool(true)
    }

    private mutating func options(_ options: OptionChanges) {
        guard !options.isEmpty else { return }
        key("options")
        openObject()
        option("copyRateMiBps", options.copyRateMiBps)
        option("expireBackupOnAutoRoll", options.expireBackupOnAutoRoll)
        option("incremental", options.incremental)
        if let value = options.incrementalScope { member("incrementalScope", value.rawValue) }
        option("inhibitTargetWrites", options.inhibitTargetWrites)
        option("minimumMinutesBetweenBackups", options.minimumMinutesBetweenBackups)
        option("noCopy", options.noCopy)
        option("persistent", options.persistent)
        option("retentionMinutes", options.retentionMinutes)
        option("revertible", options.revertible)
        closeObject()
    }

    private mutating func option(_ name: StaticString, _ value: Bool?) {
        guard let value else { return }
        key(name)
        bool(value)
    }

    private mutating func option(_ name: StaticString, _ value: Int?) {
        guard let value else { return }
        key(name)
        integer(value)
    }

    // MARK: Lists

    /// Writes `copySets` with the roles of each.
    mutating func copySets(_ sets: [CopySet]) {
        key("copySets")
        openArray()
        for set in sets {
            openObject()
            member("H1", set.h1.description)
            if let r1 = set.r1 { member("R1", r1.description) }
            if let t1 = set.t1 { member("T1", t1.description) }
            closeObject()
        }
        closeArray()
    }

    private mutating func volumes(_ volumes: [VolumeSpecification]) {
        each(volumes) { writer, volume in
            writer.member("capacity", volume.capacity.description)
            writer.member("id", volume.id.text)
            guard volume.safeguardedMultiplier != 0 else { return }
            writer.key("safeguardedMultiplier")
            writer.integer(volume.safeguardedMultiplier)
        }
    }

    private mutating func volumes(_ volumes: [VolumeExpansion]) {
        each(volumes) { writer, volume in
            writer.member("capacity", volume.capacity.description)
            writer.member("id", volume.id.text)
        }
    }

    private mutating func volumes(_ volumes: [SafeguardedMultiplier]) {
        each(volumes) { writer, volume in
            writer.member("id", volume.id.text)
            writer.key("multiplier")
            writer.integer(volume.multiplier)
        }
    }

    private mutating func relationships(_ asked: [RelationshipSpecification]) {
        key("relationships")
        openArray()
        for relationship in asked {
            let terms = relationship.terms
            openObject()
            if !terms.backgroundCopy {
                key("backgroundCopy")
                bool(false)
            }
            if terms.copyRateMiBps != 0 { option("copyRateMiBps", terms.copyRateMiBps) }
            member(ifTrue: terms.incremental, "incremental")
            member(ifTrue: terms.inhibitTargetWrites, "inhibitTargetWrites")
            member(ifTrue: terms.persistent && !terms.incremental, "persistent")
            sides(relationship.pair)
            closeObject()
        }
        closeArray()
    }

    /// Writes `relationships` with source and target of each.
    mutating func relationships(_ pairs: [LocalPair]) {
        key("relationships")
        openArray()
        for pair in pairs {
            openObject()
            sides(pair)
            closeObject()
        }
        closeArray()
    }

    private mutating func sides(_ pair: LocalPair) {
        member("source", pair.source.text)
        member("target", pair.target.text)
    }

    private mutating func each<Volume>(
        _ volumes: [Volume], _ write: (inout JSONWriter, Volume) -> Void
    ) {
        key("volumes")
        openArray()
        for volume in volumes {
            openObject()
            write(&self, volume)
            closeObject()
        }
        closeArray()
    }
}
