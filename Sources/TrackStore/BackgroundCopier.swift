import Glibc
import Synchronization
import TrackBitmap

/// Fills targets with the tracks that they do not hold yet, and sees to it that a relationship
/// whose last track has come over counts as drained only once that is durable.
///
/// Relationships take turns, as many tracks each, as far as their rates and the store's allow.
/// Each goes on where it was, so that it reads and writes in order. A copy takes the tracks it copies
/// as a host's write would, so the two exclude each other track by track. Where tracks cannot be copied, all
/// others are, before the copy stops and that is told.
final class BackgroundCopier: Sendable {
    private struct Work {
        private(set) var relationships: [Relationship] = []
        /// How many of them a volume is the source of; one that is restored in place is not counted.
        private(set) var targets: [UInt16: Int] = [:]
        var next = 0
        var isStopping = false
        var isAwake = true

        mutating func add(_ relationship: Relationship) {
            relationships.append(relationship)
            count(relationship, 1)
        }

        mutating func remove(_ leaving: Set<ObjectIdentifier>) {
            for relationship in relationships where leaving.contains(ObjectIdentifier(relationship))
            {
                count(relationship, -1)
            }
            relationships.removeAll { leaving.contains(ObjectIdentifier($0)) }
        }

        private mutating func count(_ relationship: Relationship, _ change: Int) {
            // A source has its target while that is reverted.
            let source = relationship.shown.source.number
            let target = relationship.target.number
            guard source != target else { return }
            let rest = targets[source, default: 0] + change
            targets[source] = rest == 0 ? nil : rest
        }
    }

    /// What the copier's thread remembers of a relationship.
    private struct Progress {
        var next = 0
        var told: Int64
        var persisted: Int64
        /// What the last pass over the tracks failed with.
        var failure: Int32 = 0
    }

    private let parts: StoreParts
    private let work = Monitor(Work())
    /// All copies together, MiB a second; 0 = no limit.
    let rateMiBps = Atomic<UInt32>(0)

    /// Milliseconds after which the bits of a copy under way are made durable.
    private static let persistEvery: Int64 = 2000
    private static let tellEvery: Int64 = 500

    init(parts: StoreParts) { self.parts = parts }

    /// All relationships there are.
    func relationships() -> [Relationship] { work.withLock { $0.relationships } }

    /// How many targets a volume has, itself aside.
    func targets(of source: Volume) -> Int {
        work.withLock { $0.targets[source.number, default: 0] }
    }

    /// The targets of all volumes that have any, themselves aside; by numbers.
    func targets() -> [UInt16: [UInt16]] {
        var targets: [UInt16: [UInt16]] = [:]
        for relationship in relationships() {
            let source = relationship.shown.source
            guard source !== relationship.target else { continue }
            targets[source.number, default: []].append(relationship.target.number)
        }
        return targets
    }

    func add(_ relationship: Relationship) { work.withLock { $0.add(relationship) } }

    func remove(_ relationships: [Relationship]) {
        guard !relationships.isEmpty else { return }
        let leaving = Set(relationships.map { ObjectIdentifier($0) })
        work.withLock { $0.remove(leaving) }
    }

    /// There may be something to do.
    func wake() {
        work.withLock { $0.isAwake = true }
        work.notifyAll()
    }

    /// Lets the thread end.
    func stop() {
        work.withLock { $0.isStopping = true }
        work.notifyAll()
    }

    /// The copier's thread.
    func run() {
        let worker = CopyWorker(parts: parts)
        var progress: [ObjectIdentifier: Progress] = [:]
        var overall = CopyPace()
        while let relationship = waitForWork(overall.notBefore) {
            let key = ObjectIdentifier(relationship)
            if relationship.pending.memberCount == 0 {
                complete(relationship, with: worker, &progress[key])
                continue
            }
            let now = monotonicMilliseconds()
            var own = progress[key] ?? Progress(told: now - Self.tellEvery, persisted: now)
            let result = worker.copySome(of: relationship, from: own.next)
            own.next = result.next
            overall.spend(result.bytes, rateMiBps: rateMiBps.load(ordering: .relaxed), now: now)
            relationship.pace.withLock {
                $0.spend(
                    result.bytes, rateMiBps: relationship.rateMiBps.load(ordering: .relaxed),
                    now: now)
            }
            if result.failure != 0 { own.failure = result.failure }
            // A full disk concerns every track; anything else is told once all others are there.
            let isPassed = relationship.pending.firstMember(from: own.next) == nil
            if isPassed { own.next = 0 }
            if own.failure == ENOSPC || isPassed && own.failure != 0 {
                fail(relationship, own.failure)
                own.failure = 0
            } else {
                tellProgress(of: relationship, &own, now)
            }
            if now - own.persisted >= Self.persistEvery {
                own.persisted = now
                persist(relationship, through: worker.io)
            }
            progress[key] = own
        }
    }

    /// The last track has come over. What feeds the source of a fast reverse restore may still have to
    /// give some to points.
    private func complete(
        _ relationship: Relationship, with worker: CopyWorker, _ progress: inout Progress?
    ) {
        guard let feeding = relationship.feeding,
            parts.isNeeded(feeding, but: relationship.point)
        else {
            progress = nil
            return drain(relationship, through: worker.io)
        }
        let failure = worker.copySome(of: feeding, from: 0).failure
        guard failure != 0 else { return }
        let now = monotonicMilliseconds()
        var own = progress ?? Progress(told: now, persisted: now)
        if own.failure != failure { fail(feeding, failure) }
        own.failure = failure
        progress = own
        rest(relationship)
    }

    private func fail(_ relationship: Relationship, _ failure: Int32) {
        relationship.isCopying.store(false, ordering: .releasing)
        relationship.pace.withLock { $0.pause() }
        parts.tell(
            .copyFailed(
                target: relationship.target.name, tag: relationship.record.tag,
                number: relationship.record.number, errno: failure))
    }

    private func tellProgress(of relationship: Relationship, _ own: inout Progress, _ now: Int64) {
        guard now - own.told >= Self.tellEvery else { return }
        own.told = now
        let remaining = relationship.tracksRemaining
        relationship.pace.withLock { $0.observe(remaining: remaining, now: now) }
        parts.tell(
            .copyProgress(
                target: relationship.target.name, tag: relationship.record.tag,
                number: relationship.record.number, tracksRemaining: remaining,
                tracksTotal: relationship.pending.count))
    }

    /// The next relationship that has something to do; nil when the thread shall end. Nothing is copied
    /// before `moment`.
    private func waitForWork(_ moment: Int64) -> Relationship? {
        while true {
            let now = monotonicMilliseconds()
            let found = work.withLock { work -> Found in
                if work.isStopping { return .stop }
                work.isAwake = false
                return Self.next(&work, now, moment)
            }
            let milliseconds: Int
            switch found {
            case .stop: return nil
            case .work(let relationship): return relationship
            case .nothing(let until): milliseconds = Int(clamping: (until ?? now + 60_000) - now)
            }
            _ = work.withLock(
                waitingWhile: { !$0.isStopping && !$0.isAwake },
                milliseconds: min(max(milliseconds, 1), 60_000), { _ in })
        }
    }

    private enum Found {
        case stop
        case work(Relationship)
        case nothing(until: Int64?)
    }

    /// Who is next, or when it may be somebody's turn again.
    private static func next(_ work: inout Work, _ now: Int64, _ moment: Int64) -> Found {
        var earliest: Int64?
        for step in 0..<work.relationships.count {
            let number = (work.next + step) % work.relationships.count
            let relationship = work.relationships[number]
            guard !relationship.drained, !relationship.withdrawn else { continue }
            var ready = relationship.pace.withLock { $0.retryAt }
            if relationship.pending.memberCount > 0 {
                guard relationship.copying else { continue }
                ready = max(ready, moment, relationship.pace.withLock { $0.notBefore })
            }
            guard ready <= now else {
                earliest = min(earliest ?? ready, ready)
                continue
            }
            work.next = number + 1
            work.isAwake = true
            return .work(relationship)
        }
        return .nothing(until: earliest)
    }

    private func persist(_ relationship: Relationship, through io: any BlockIO) {
        do throws(TrackStoreError) {
            try relationship.persist(in: parts.catalogue, through: io)
        } catch {
            parts.tell(.storageFailed(place: error.place, errno: error.errno))
        }
    }

    /// Something does not work: it is tried again after a second.
    private func rest(_ relationship: Relationship) {
        let moment = monotonicMilliseconds() + 1000
        relationship.pace.withLock { $0.retryAt = moment }
    }

    /// Only when it is durable that the last track has come over is the point let go of.
    private func drain(_ relationship: Relationship, through io: any BlockIO) {
        do throws(TrackStoreError) {
            try relationship.persist(in: parts.catalogue, through: io)
            try relationship.feeding?.persist(in: parts.catalogue, through: io)
            let isDone = try parts.control.withLock { (_) throws(TrackStoreError) in
                try parts.finish(relationship, copier: self)
            }
            guard isDone else { return }
        } catch {
            parts.tell(.storageFailed(place: error.place, errno: error.errno))
            rest(relationship)
            return
        }
        relationship.pace.withLock { $0.pause() }
        parts.tell(
            .copyCompleted(
                target: relationship.target.name, tag: relationship.record.tag,
                number: relationship.record.number, tracksTotal: relationship.pending.count))
    }
}
