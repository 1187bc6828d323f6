import CopyModel

// What changes make of the services of a FlashCopy session.

extension FlashServices {
    /// Target Available means that there is at least one pair; without any, the session is Defined.
    var restingState: SessionState { pairs.isEmpty ? .defined : .targetAvailable }

    mutating func apply(_ change: Change) {
        switch change {
        case .flash(let change): apply(change)
        case .copySetsRemoved(let removed):
            let gone = Set(removed)
            pairs.removeAll { gone.contains($0.h1) }
            settle()
        case .backgroundCopyStarted:
            for index in pairs.indices where pairs[index].stage == .related {
                pairs[index].terms.backgroundCopy = true
                if pairs[index].pair.isStopped { pairs[index].pair.lastResult = nil }
            }
        case .progressed(let target, let remaining, let tracks):
            progress([
                PairProgress(target: target, tracksRemaining: remaining, tracks: tracks)
            ])
        case .copyFailed(let target, let reason):
            guard let index = pairs.firstIndex(where: { $0.pair.target == target }) else { break }
            pairs[index].pair.lastResult = reason
        case .terminated:
            pairs = []
            settle()
        case .nothing, .created, .modified, .deleted, .copySetsAdded, .terminating, .backupTaken,
            .backupVerified, .backupsExpired, .recovered, .recoveryWithdrawn, .observed,
            .rolledOff, .damaged:
            break
        }
    }

    private mutating func apply(_ change: FlashChange) {
        switch change {
        case .flashed(let flash): take(flash)
        case .discovered(let found, _): adopt(found, fromNothing: true)
        case .reversed(let number, let reversed): reverse(number, reversed)
        case .observed(let seen, _): adopt(seen, fromNothing: false)
        case .progressed(let news): progress(news)
        case .committed:
            for index in pairs.indices where pairs[index].isRevertible {
                pairs[index].isRevertible = false
                pairs[index].former = nil
            }
        case .reverted: revert()
        case .withdrawn(let volumes):
            let gone = Set(volumes)
            pairs.removeAll { gone.contains($0.h1) }
            settle()
        case .endsWhenCopied: endsWhenCopied = true
        }
    }

    /// Without a pair there is nothing that could have been flashed or found.
    private mutating func settle() {
        guard pairs.isEmpty else { return }
        flashTime = nil
        instant = nil
        isDiscovered = false
        endsWhenCopied = false
    }

    /// The pairs are these. One that is not of the session's own instant was found, and not flashed: then there
    /// is no flash time, and nobody has verified that they fit each other.
    private mutating func adopt(_ found: [FlashPair], fromNothing: Bool) {
        pairs = found
        note(found.map(\.number))
        let isOwn = instant.map { own in found.allSatisfy { $0.number == own } } ?? !fromNothing
        guard !found.isEmpty, !isOwn else { return }
        isDiscovered = true
        flashTime = nil
        instant = nil
    }

    private mutating func note(_ numbers: [UInt64]) {
        lastNumber = max(lastNumber, numbers.max() ?? 0)
    }

    private mutating func take(_ flash: Flash) {
        pairs = flash.pairs.map { flashed in
            let pair = Pair(
                source: flashed.h1, target: flashed.t1, state: .targetAvailable,
                tracksRemaining: flashed.tracksToCopy ?? flashed.tracks, tracks: flashed.tracks)
            var new = FlashPair(
                h1: flashed.h1, pair: pair, terms: flash.terms, number: flash.number,
                since: flash.time)
            guard let old = flashed.before else { return new }
            if old.isReversed {
                // Reversed back: such a relationship keeps its terms.
                new.terms = old.terms
            } else if flash.isRevertible {
                new.isRevertible = true
                new.former = FormerInstant(number: old.number, since: old.since)
            }
            return new
        }
        instant = flash.number
        flashTime = flash.time
        isDiscovered = false
        note([flash.number])
    }

    private mutating func reverse(_ number: UInt64, _ reversed: [ReversedPair]) {
        let known = Dictionary(
            reversed.map { ($0.progress.target, $0) }, uniquingKeysWith: { first, _ in first })
        for index in pairs.indices {
            // What was the source is the target now.
            guard let news = known[pairs[index].pair.source] else { continue }
            pairs[index].pair = Pair(
                source: pairs[index].pair.target, target: pairs[index].pair.source,
                state: .targetAvailable, tracksRemaining: news.progress.tracksRemaining,
                tracks: news.progress.tracks)
            pairs[index].number = number
            pairs[index].since = Timestamp(milliseconds: Int64(number))
            pairs[index].stage = news.usesUp ? .fastReverse : .related
            pairs[index].terms.backgroundCopy = true
            pairs[index].terms.inhibitTargetWrites = false
            if news.usesUp {
                pairs[index].terms.incremental = false
                pairs[index].terms.persistent = false
            }
        }
        instant = number
        note([number])
    }

    private mutating func revert() {
        var numbers: Set<UInt64> = []
        for index in pairs.indices {
            if pairs[index].isRevertible {
                pairs[index].number = pairs[index].former?.number ?? 0
                pairs[index].since = pairs[index].former?.since
                pairs[index].isRevertible = false
                pairs[index].former = nil
            }
            numbers.insert(pairs[index].number)
        }
        // All went back to one instant, or nobody knows that they fit.
        instant = numbers.count == 1 && numbers.first != 0 ? numbers.first : nil
        flashTime = instant == nil ? nil : pairs.first?.since
    }

    private mutating func progress(_ news: [PairProgress]) {
        let known = Dictionary(news.map { ($0.target, $0) }, uniquingKeysWith: { _, last in last })
        for index in pairs.indices {
            guard pairs[index].stage != .ended, pairs[index].isRecoverable,
                let news = known[pairs[index].pair.target]
            else { continue }
            pairs[index].pair.tracksRemaining = news.tracksRemaining
            pairs[index].pair.tracks = news.tracks
            pairs[index].pair.lastResult = nil
            if news.tracksRemaining == 0 { pairs[index].complete() }
        }
    }
}

extension FlashPair {
    static let spoiled = "The target's content is invalid after the fast reverse restore."

    /// Every track is there. A relationship that is not persistent ends by itself then; that of a fast reverse
    /// restore has used up what the target held.
    mutating func complete() {
        switch stage {
        case .related: if !terms.persistent { stage = .ended }
        case .fastReverse:
            stage = .ended
            (pair.source, pair.target) = (pair.target, pair.source)
            pair.state = .invalid
            pair.lastResult = Self.spoiled
        case .ended: break
        }
    }
}
