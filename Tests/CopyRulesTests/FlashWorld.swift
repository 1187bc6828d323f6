import CopyModel
import CopyRules

/// FlashCopy sessions in the tests' own world: a storage that does what plans say.
struct FlashWorld {
    /// What the storage has, by volume.
    var volumes: [VolumeID: VolumeReport] = [:]
    /// The session.
    var session: Session
    /// The time of the next command; each one takes a second.
    var now = World.start

    /// A session with copy sets, whose volumes have 16 tracks each.
    init(_ sets: KeyValuePairs<String, String>, options: (inout FlashOptions) -> Void = { _ in }) {
        var chosen = FlashOptions()
        options(&chosen)
        session = Self.session(sets, options: chosen)
        for volume in session.copySets.flatMap(\.volumes) { add(volume) }
    }

    static func session(
        _ sets: KeyValuePairs<String, String>, options: FlashOptions = FlashOptions()
    ) -> Session {
        var session = Session(
            name: World.payroll, description: "",
            services: .flash(FlashServices(options: options)))
        session.copySets = sets.map {
            CopySet(h1: World.volume($0.key), t1: World.volume($0.value))
        }
        return session
    }

    mutating func add(_ volume: VolumeID, capacity: UInt64 = 1 << 20) {
        volumes[volume] = VolumeReport(
            volume: volume, capacity: Capacity(bytes: capacity), safeguardedMultiplier: 0,
            allocated: Capacity(bytes: 0), safeguardedUsed: Capacity(bytes: 0), points: [],
            inbound: nil)
    }

    subscript(local: String) -> VolumeReport {
        get { volumes[World.volume(local)]! }
        set { volumes[World.volume(local)] = newValue }
    }

    var storage: StorageReport { World.storage(Array(volumes.values)) }

    // MARK: Commands

    func decide(_ command: Command) -> Decision {
        World.decide(command, session, storage, now: now)
    }

    func codes(_ command: Command) -> [RefusalCode] { decide(command).codes }

    /// Decides and does what the plan says, on the storage and the session; returns what is told.
    @discardableResult
    mutating func run(_ command: Command) -> [EventBody] {
        now = now.adding(milliseconds: 1000)
        guard let plan = decide(command).plan else { return [] }
        var events: [EventBody] = []
        for step in plan.steps {
            if let effect = step.effect { perform(effect) }
            events += apply(step.change)
        }
        return events
    }

    @discardableResult
    mutating func apply(_ change: Change) -> [EventBody] {
        let next = session.applying(change)
        let events = CopyRules.events(from: session, to: next)
        session = next
        return events
    }

    /// What becomes due is done.
    @discardableResult
    mutating func payOwed() -> [EventBody] {
        var events: [EventBody] = []
        for step in CopyRules.owed(by: session) {
            if let effect = step.effect { perform(effect) }
            events += apply(step.change)
        }
        return events
    }

    /// Tracks of the relationship into a volume are copied, and the session hears of it.
    @discardableResult
    mutating func copy(to local: String, remaining: UInt64 = 0) -> [EventBody] {
        let target = World.volume(local)
        guard var inbound = volumes[target]?.inbound else { return [] }
        inbound.tracksRemaining = remaining
        inbound.attributes.tracksOutOfSync = inbound.attributes.incremental ? remaining : nil
        volumes[target]?.inbound = inbound
        if remaining == 0, inbound.attributes.fastReverse || !inbound.attributes.persistent {
            end(target, completed: inbound.attributes.number)
        }
        return apply(
            .flash(
                .progressed([
                    PairProgress(target: target, tracksRemaining: remaining, tracks: inbound.tracks)
                ])))
    }

    /// The relationship into a volume is gone.
    mutating func end(_ target: VolumeID, completed: UInt64? = nil) {
        guard let source = volumes[target]?.inbound?.source else { return }
        volumes[target]?.inbound = nil
        volumes[target]?.completed = completed
        volumes[source]?.outbound.removeAll { $0 == target }
    }

    /// A relationship that nobody of ours has made.
    mutating func relate(
        _ source: String, _ target: String, number: UInt64 = 0, remaining: UInt64 = 16,
        _ change: (inout RelationshipReport) -> Void = { _ in }
    ) {
        var report = RelationshipReport(
            source: World.volume(source), presents: .instant(number), tracksRemaining: remaining,
            tracks: 16, backgroundCopy: true)
        report.attributes.number = number
        report.attributes.refreshed = now
        change(&report)
        volumes[World.volume(target)]?.inbound = report
        volumes[World.volume(source)]?.outbound.append(World.volume(target))
    }

    // MARK: The storage

    private mutating func perform(_ effect: Effect) {
        switch effect {
        case .changeRelationships(let instant):
            for change in instant.changes { perform(change, instant.number) }
        case .withdrawRelationships(let pairs, let number):
            for pair in pairs {
                guard let inbound = volumes[pair.target]?.inbound, inbound.source == pair.source,
                    number == nil || inbound.attributes.number == number
                else { continue }
                end(pair.target)
            }
        case .startBackgroundCopy(let targets):
            for target in targets { volumes[target]?.inbound?.backgroundCopy = true }
        case .commitRelationships(let pairs, _):
            for pair in pairs { volumes[pair.target]?.inbound?.attributes.revertible = false }
        case .revertRelationships(let pairs, _):
            for pair in pairs { volumes[pair.target]?.inbound?.attributes.revertible = false }
        case .takePoints, .verifyPoints, .dropPoints, .establish, .withdraw, .createVolumes,
            .deleteVolumes, .expandVolumes, .setSafeguardedCapacity:
            break
        }
    }

    private mutating func perform(_ change: RelationshipChange, _ number: UInt64) {
        switch change {
        case .establish(let pair, let terms):
            end(pair.target)
            make(pair, terms, number, remaining: 16)
        case .refresh(let pair, let terms, let revertible):
            let left = volumes[pair.target]?.inbound?.attributes.tracksOutOfSync ?? 16
            end(pair.target)
            make(pair, terms, number, remaining: left)
            volumes[pair.target]?.inbound?.attributes.revertible = revertible
        case .reverse(let pair, _):
            guard let old = volumes[pair.target]?.inbound else { return }
            var terms = RelationshipTerms()
            terms.incremental = old.attributes.incremental
            let isFast = old.tracksRemaining > 0
            if !isFast { end(pair.target) }
            make(
                PairTerms(source: pair.target, target: pair.source), terms, number,
                remaining: old.attributes.tracksOutOfSync ?? 16)
            volumes[pair.source]?.inbound?.attributes.fastReverse = isFast
        }
    }

    private mutating func make(
        _ pair: PairTerms, _ terms: RelationshipTerms, _ number: UInt64, remaining: UInt64
    ) {
        var report = RelationshipReport(
            source: pair.source, presents: .instant(number), tracksRemaining: remaining,
            tracks: 16, backgroundCopy: terms.backgroundCopy)
        report.attributes.incremental = terms.incremental
        report.attributes.persistent = terms.persistent || terms.incremental
        report.attributes.inhibitTargetWrites = terms.inhibitTargetWrites
        report.attributes.copyRateMiBps = terms.copyRateMiBps
        report.attributes.tracksOutOfSync = terms.incremental ? remaining : nil
        report.attributes.number = number
        report.attributes.refreshed = Timestamp(milliseconds: Int64(number))
        volumes[pair.target]?.inbound = report
        volumes[pair.target]?.completed = nil
        volumes[pair.source]?.outbound.append(pair.target)
    }
}

extension Session {
    /// The session after a Flash of all its copy sets, by the options it has.
    func flashed(number: UInt64 = UInt64(World.start.milliseconds)) -> Session {
        guard let flash else { return self }
        return applying(
            .flash(
                .flashed(
                    Flash(
                        number: number, terms: flash.options.terms, isRevertible: false,
                        pairs: copySets.map {
                            FlashedPair(
                                h1: $0.h1, t1: $0.t1!, mode: .full, tracksToCopy: 16, tracks: 16)
                        }))))
    }
}

extension [EventBody] {
    /// The pairs that are told of, in order.
    var pairs: [PairView] {
        compactMap { event in
            if case .pairChanged(let view) = event { return view }
            return nil
        }
    }

    /// The last summary that is told.
    var summary: SessionSummary? {
        var last: SessionSummary?
        for event in self {
            if case .sessionChanged(let summary) = event { last = summary }
        }
        return last
    }
}
