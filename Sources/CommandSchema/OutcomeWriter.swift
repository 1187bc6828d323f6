import CopyModel

/// Writes outcomes as section 3 of the contract has them.
public enum OutcomeWriter {
    /// The outcome's JSON.
    ///
    /// `availableCommands` is for a result that describes a session.
    public static func bytes(
        _ outcome: Outcome, availableCommands: [CommandName] = []
    ) -> [UInt8] {
        var writer = JSONWriter(capacity: 512)
        writer.outcome(outcome, availableCommands)
        return writer.bytes
    }

    /// A session's document, with the parts asked for; the members of the summary are its head.
    public static func sessionDocument(
        _ session: Session, parts: Set<DocumentPart> = Set(DocumentPart.allCases),
        availableCommands: [CommandName]
    ) -> [UInt8] {
        var writer = JSONWriter(capacity: 2048)
        writer.session(session, parts, availableCommands)
        return writer.bytes
    }

    /// A stored outcome, marked as a repeat of an earlier answer; nothing else in it changes.
    ///
    /// Takes what `bytes` has written: there, the first `"duplicate":` is the outcome's own, since
    /// what precedes it are strings, in which the quotes would be escaped. Other bytes come back as
    /// they are.
    public static func markDuplicate(_ stored: [UInt8]) -> [UInt8] {
        let member = Array("\"duplicate\":false".utf8)
        let valueLength = "false".utf8.count
        var start = 0
        while start + member.count <= stored.count {
            if stored[start] == member[0],
                stored[start..<start + member.count].elementsEqual(member)
            {
                var marked = stored
                let end = start + member.count
                marked.replaceSubrange(end - valueLength..<end, with: "true".utf8)
                return marked
            }
            start += 1
        }
        return stored
    }
}

extension JSONWriter {
    mutating func outcome(_ outcome: Outcome, _ availableCommands: [CommandName]) {
        openObject()
        member("id", orNull: outcome.id?.text)
        member("command", orNull: outcome.command)
        let subject = outcome.subject == .unattributed ? nil : outcome.subject?.text
        member(outcome.isForStorage ? "storage" : "session", orNull: subject)
        member("outcome", outcome.kind.rawValue)
        member("duplicate", outcome.duplicate)
        key("result")
        if let result = outcome.result { self.result(result, availableCommands) } else { null() }
        key("refusals")
        openArray()
        for refusal in outcome.refusals { self.refusal(refusal) }
        closeArray()
        key("error")
        if let error = outcome.error { refusal(error) } else { null() }
        member("revision", outcome.revision)
        member("receivedAt", outcome.receivedAt)
        member("startedAt", outcome.startedAt)
        member("finishedAt", outcome.finishedAt)
        closeObject()
    }

    private mutating func refusal(_ refusal: Refusal) {
        openObject()
        member("code", refusal.code.rawValue)
        member("message", refusal.message)
        member("subject", refusal.subject)
        member("remedy", refusal.remedy)
        closeObject()
    }

    private mutating func result(_ result: CommandResult, _ availableCommands: [CommandName]) {
        if case .session(let session, let parts) = result {
            self.session(session, parts, availableCommands)
            return
        }
        openObject()
        resultMembers(result)
        closeObject()
    }

    private mutating func resultMembers(_ result: CommandResult) {
        switch result {
        case .none, .session: return
        case .copySetsAdded(let sets): copySets(sets)
        case .copySetsRemoved(let volumes): names("copySets", volumes)
        case .backup(let id, let copySets):
            member("backupId", id.description)
            member("copySets", copySets)
        case .recovered(let backup, let pairs, let backgroundCopy):
            member("backupId", backup.description)
            member("pairs", pairs)
            member("backgroundCopy", backgroundCopy)
        case .backgroundCopyStarted(let pairs), .withdrawn(let pairs), .settled(let pairs):
            member("pairs", pairs)
        case .withdrawnWhenCopied(let pairs, let remaining):
            member("pairs", pairs)
            member("tracksRemaining", remaining)
        case .flashed(let flash): self.flash(flash)
        case .discovered(let found, let missing, let spread):
            member("found", found)
            names("missing", missing)
            key("flashTimeSpread")
            if let spread { integer(spread) } else { null() }
        case .reversed(let pairs, let fast):
            member("pairs", pairs)
            member("fast", fast)
        case .queried(let queries): self.queries(queries)
        case .relationships(let pairs): relationships(pairs)
        case .relationshipList(let system, let volumes):
            member("storage", system.text)
            relationships(volumes)
        case .expired(let backups): names("expired", backups)
        case .refreshed(let changes):
            key("changes")
            strings(changes)
        case .volumes(let volumes): names("volumes", volumes)
        case .storage(let system, let volumes): storage(system, volumes)
        case .wouldDo(let sentences):
            key("wouldDo")
            strings(sentences)
        }
    }

    private mutating func flash(_ flash: Flash) {
        member("flashTime", flash.time.shortDescription)
        member("number", String(flash.number))
        member("copySets", flash.pairs.count)
        key("pairs")
        openArray()
        for pair in flash.pairs {
            openObject()
            member("copySet", pair.h1.description)
            member("mode", pair.mode.rawValue)
            key("tracks")
            if let tracks = pair.tracksToCopy { integer(tracks) } else { null() }
            closeObject()
        }
        closeArray()
    }

    private mutating func queries(_ queries: [RelationshipQuery]) {
        key("relationships")
        openArray()
        for query in queries {
            openObject()
            member("copySet", query.copySet.description)
            member("target", query.target.description)
            key("relationship")
            if let relationship = query.relationship {
                openObject()
                attributes(relationship)
                closeObject()
            } else {
                null()
            }
            key("reverseRestore")
            permission(query.reverseRestore)
            key("fastReverseRestore")
            permission(query.fastReverseRestore)
            closeObject()
        }
        closeArray()
    }

    private mutating func permission(_ reasons: [Refusal]) {
        openObject()
        member("allowed", reasons.isEmpty)
        key("refusals")
        openArray()
        for reason in reasons { refusal(reason) }
        closeArray()
        closeObject()
    }

    private mutating func names(_ name: StaticString, _ values: [some CustomStringConvertible]) {
        key(name)
        openArray()
        for value in values { string(value.description) }
        closeArray()
    }
}
