import CopyModel

// A session, described as section 4 of the contract has it.

extension JSONWriter {
    mutating func session(
        _ session: Session, _ parts: Set<DocumentPart>, _ availableCommands: [CommandName]
    ) {
        openObject()
        member("session", session.name.text)
        member("type", session.type.rawValue)
        if parts.contains(.summary) { summary(session) }
        if parts.contains(.copySets) { copySets(session.copySets) }
        if parts.contains(.rolePairs) { rolePairs(session.rolePairs) }
        if parts.contains(.pairs) { pairs(session) }
        if parts.contains(.backups) { backups(session.backups) }
        if parts.contains(.summary) {
            member("recoveredBackup", orNull: session.recovery?.backup.description)
            key("availableCommands")
            strings(availableCommands.map(\.rawValue))
        }
        closeObject()
    }

    private mutating func summary(_ session: Session) {
        member("description", session.description)
        member("state", session.state.rawValue)
        member("status", session.status.rawValue)
        member("recoverable", session.isRecoverable)
        member("copying", session.isCopying)
        member("error", session.hasError)
        member("revision", session.revision)
        key("options")
        openObject()
        switch session.services {
        case .safeguarded(let services): options(services.options)
        case .flash(let services): options(services.options)
        }
        closeObject()
        if let flash = session.flash { self.flash(flash) }
    }

    /// Writes what is said of a FlashCopy session only.
    private mutating func flash(_ services: FlashServices) {
        member("flashTime", orNull: services.flashTime?.shortDescription)
        member("discovered", services.isDiscovered)
        member("consistencyVerified", services.isConsistencyVerified)
        key("flashTimeSpread")
        if let spread = services.flashTimeSpread { integer(spread) } else { null() }
    }

    private mutating func options(_ options: FlashOptions) {
        member("incremental", options.incremental)
        member("persistent", options.persistent)
        member("noCopy", options.noCopy)
        member("inhibitTargetWrites", options.inhibitTargetWrites)
        member("revertible", options.revertible)
        member("copyRateMiBps", options.copyRateMiBps)
        member("incrementalScope", options.incrementalScope.rawValue)
    }

    private mutating func options(_ options: SafeguardedOptions) {
        member("minimumMinutesBetweenBackups", options.minimumMinutesBetweenBackups)
        member("retentionMinutes", options.retentionMinutes)
        member("expireBackupOnAutoRoll", options.expireBackupOnAutoRoll)
    }

    private mutating func rolePairs(_ rolePairs: [RolePairView]) {
        key("rolePairs")
        openArray()
        for rolePair in rolePairs {
            openObject()
            member("rolePair", rolePair.rolePair.rawValue)
            member("recoverable", rolePair.recoverable)
            member("copying", rolePair.copying)
            member("percent", rolePair.percent)
            member("pairs", rolePair.pairs)
            member("recoverablePairs", rolePair.recoverablePairs)
            member("copyingPairs", rolePair.copyingPairs)
            member("recoveryTime", orNull: rolePair.recoveryTime?.shortDescription)
            closeObject()
        }
        closeArray()
    }

    private mutating func pairs(_ session: Session) {
        key("pairs")
        openArray()
        for view in session.pairViews {
            openObject()
            pairHead(view)
            member("tracksRemaining", view.pair.tracksRemaining)
            member("percent", view.pair.percent)
            member("lastResult", orNull: view.pair.lastResult)
            if let flash = view.flash { self.flash(flash) }
            closeObject()
        }
        closeArray()
    }

    /// Writes what documents and events say of a pair of a FlashCopy session only.
    mutating func flash(_ pair: FlashPair) {
        member("incremental", pair.terms.incremental)
        member("reversed", pair.isReversed)
        member("revertible", pair.isRevertible)
        member("relationshipEnded", pair.stage == .ended)
        member("flashTime", orNull: pair.since?.shortDescription)
    }

    /// Writes what documents and events say alike of a pair.
    mutating func pairHead(_ view: PairView) {
        member("rolePair", view.rolePair.rawValue)
        member("copySet", view.copySet.description)
        member("source", view.pair.source.description)
        member("target", view.pair.target.description)
        member("state", view.pair.state.rawValue)
        member("recoverable", view.recoverable)
        member("copying", view.copying)
    }

    private mutating func backups(_ backups: [Backup]) {
        key("backups")
        openArray()
        for backup in backups {
            openObject()
            member("backupId", backup.id.description)
            member("time", backup.time.shortDescription)
            member("copySets", backup.sources.count)
            member("recoverableCopySets", backup.recoverableCopySets)
            member("recoverable", backup.isRecoverable)
            closeObject()
        }
        closeArray()
    }
}
