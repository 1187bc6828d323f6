import CopyModel
import CopyRules

// Facts: what the storage reports is so, whatever state the session is in.

extension Lane {
    /// Applies facts that came together as one change.
    func take(_ facts: [StorageFact]) async {
        var next = session
        var more: [EventBody] = []
        var news: [PairProgress] = []
        let present = Presence(session)
        for fact in facts {
            switch fact {
            case .copyProgress(let target, let presented, let remaining, let tracks):
                guard present.holds(presented, on: target) else { continue }
                news.append(
                    PairProgress(target: target, tracksRemaining: remaining, tracks: tracks))
            case .copyFailed(let target, let presented, let reason):
                guard present.holds(presented, on: target) else { continue }
                next = progressed(next, news)
                news = []
                next = apply(.copyFailed(target: target, reason: reason), next)
            case .pointsRolledOff(let volume, let tags):
                next = apply(.rolledOff(volume: volume, tags: tags), next)
            case .pointsDamaged(let volume, let tags, let place):
                next = apply(.damaged(volume: volume, tags: tags, place: place), next)
            case .capacityLevel(let volume, let percent, let level):
                guard volume.storage == name else { continue }
                more.append(.storageCapacity(volume: volume, usedPercent: percent, level: level))
            case .storageTrouble(let system, let place, let errno):
                services.log.error(
                    "a storage system got an error from its disk",
                    metadata: ["storage": "\(system)", "place": "\(place)", "errno": "\(errno)"])
            }
        }
        next = progressed(next, news)
        if let copy = next?.backgroundCopy, copy != session?.backgroundCopy,
            let report = progress.report(copy, now: services.clock.now())
        {
            more.append(.copyProgress(report))
        }
        if more.isEmpty, CopyRules.events(from: session, to: next).isEmpty {
            session = next
        } else {
            guard await commit(next, Telling(more: more)) else { return }
            await payOwed(cause: nil)
        }
    }

    /// Applies progress: that of the many pairs of a FlashCopy session at once.
    func progressed(_ session: Session?, _ news: [PairProgress]) -> Session? {
        guard !news.isEmpty else { return session }
        guard session?.flash == nil else { return apply(.flash(.progressed(news)), session) }
        return news.reduce(session) { next, pair in
            apply(
                .progressed(
                    target: pair.target, tracksRemaining: pair.tracksRemaining, tracks: pair.tracks),
                next)
        }
    }

    private func apply(_ change: Change, _ session: Session?) -> Session? {
        CopyRules.apply(change, to: session, named: name)
    }

    /// Repairs the session to what the storage says, as at every start: the storage may have gone on
    /// (points rolled off, tracks copied) while nobody listened.
    func reconcile() async {
        guard let current = session, !current.copySets.isEmpty, current.state != .defined
        else { return }
        do {
            let facts = try await facts(for: .refreshStates)
            for step in CopyRules.repairs(of: current, facts: facts) {
                if let failure = await attempt(step) {
                    guard step.mayFail else { throw failure }
                    services.log.warning(
                        "the storage could not do a step",
                        metadata: ["session": "\(name)", "error": "\(failure.message)"])
                    continue
                }
                let next = apply(step.change, session)
                if next != session {
                    guard await commit(next, Telling()) else { return }
                }
            }
            if let unseen = session?.unseen, !unseen.isEmpty {
                services.log.warning(
                    "volumes of a session are not there: is their storage mounted and configured?",
                    metadata: [
                        "session": "\(name)",
                        "volumes": "\(unseen.prefix(8).map(\.description).joined(separator: ", "))",
                    ])
            }
            await payOwed(cause: nil)
        } catch {
            services.log.error(
                "the storage could not be asked about a session; RefreshStates asks again",
                metadata: ["session": "\(name)", "error": "\(error)"])
        }
    }
}

/// What a session's targets present, looked up once for many of them.
enum Presence {
    case nothing
    case recovery(SafeguardedServices)
    case instants([VolumeID: UInt64])

    init(_ session: Session?) {
        switch session?.services {
        case nil: self = .nothing
        case .safeguarded(let services): self = .recovery(services)
        case .flash(let services): self = .instants(services.numbersByTarget)
        }
    }

    /// True where a relationship of the session into that target presents just that.
    func holds(_ presented: Presented, on target: VolumeID) -> Bool {
        switch (self, presented) {
        case (.recovery(let services), _): services.presents(presented)
        case (.instants(let numbers), .instant(let number)): numbers[target] == number
        case (.instants, .backup), (.nothing, _): false
        }
    }
}

/// The pace of `copy.progress`: at most one a second a role pair. The one at 100 is not its business:
/// it follows from the change (`CopyRules.events`).
struct ProgressMeter {
    private var last: (time: Timestamp, remaining: UInt64, identity: UInt64)?

    /// What to tell of a copy's progress now; nil where it is too soon, or over.
    mutating func report(_ copy: BackgroundCopy, now: Timestamp) -> CopyProgress? {
        let view = copy.view
        guard view.tracksRemaining > 0 else { return nil }
        let before = last.flatMap {
            $0.identity == copy.identity && $0.remaining >= view.tracksRemaining ? $0 : nil
        }
        let elapsed = before.map { now.milliseconds - $0.time.milliseconds } ?? 1000
        guard elapsed >= 1000 else { return nil }
        last = (now, view.tracksRemaining, copy.identity)
        var rate: UInt64 = 0
        if let before {
            let bytes = (before.remaining - view.tracksRemaining) * Capacity.track
            rate = bytes * 1000 / UInt64(elapsed)
        }
        let left = view.tracksRemaining * Capacity.track
        let completion = rate > 0 ? now.adding(milliseconds: Int64(left * 1000 / rate)) : nil
        return CopyProgress(
            rolePair: view.rolePair, percent: view.percent, tracksRemaining: view.tracksRemaining,
            bytesPerSecond: rate, estimatedCompletion: completion)
    }
}
