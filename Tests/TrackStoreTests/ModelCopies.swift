import Glibc
import Testing
import TrackStore

// Points and relationships in a random life.
extension ModelRun {
    func backup() throws -> String {
        let volumes = names.filter {
            model.volumes[$0]?.isUnsure != true && numbers.chance(isTarget($0) ? 12 : 60)
        }
        guard !volumes.isEmpty, names.allSatisfy({ (model.volumes[$0]?.points.count ?? 0) < 7 })
        else { return "nothing" }
        let tag = "s/\(nextTag)"
        nextTag += 1
        do {
            try store.backup(tag, volumes)
        } catch let error as TrackStoreError where error.code == .unknownPoint {
            // A background copy has made it roll off before it was read back, and says so.
        }
        tell("backup \(tag) of \(volumes)")
        model.backup(tag, volumes)
        return "backup"
    }

    func recover() throws -> String {
        let source = someName()
        var target =
            (numbers.chance(60) ? names.filter(isTarget).randomElement(using: &numbers) : nil)
            ?? someName()
        if numbers.chance(10) { target = source }
        guard let points = model.volumes[source]?.points, !points.isEmpty else { return "nothing" }
        let point = points[numbers.below(points.count)]
        let copies = numbers.chance(50)
        do throws(TrackStoreError) {
            try store.establish(
                [NewRelationship(source: source, tag: point.tag, target: target)],
                backgroundCopy: copies)
        } catch {
            if error.code == .unknownPoint {
                usleep(20_000)
                takeRolledOff()
                guard model.point(source, point.tag) == nil else { throw error }
                return "recovery of a point that has rolled off"
            }
            let volume = model.volumes[target]
            let isRefused =
                switch error.code {
                case .relationshipExists: volume?.presents != nil
                case .targetSmaller: volume.map { $0.content.count < point.content.count } ?? false
                case .cycle: true
                default: false
                }
            guard isRefused else { throw error }
            return "refused recovery"
        }
        if let presents = model.volumes[target]?.presents, presents.source == source,
            presents.tag == point.tag
        {
            return "repeated recovery"
        }
        tell("recover \(source) at \(point.tag) to \(target)")
        model.give(target, point.content, .init(source: source, tag: point.tag, content: []))
        if copies, numbers.chance(30) { try drain(target) }
        if source == target { return "restore in place" }
        return copies ? "recovery with copy" : "recovery"
    }

    func drain(_ target: String) throws {
        guard try store.waitUntilDrained(target) else {
            throw Difference(description: "the copy to \(target) does not end")
        }
    }

    func startCopy() throws -> String {
        guard
            let target = names.filter({ model.volumes[$0]?.presents != nil })
                .randomElement(using: &numbers)
        else { return "nothing" }
        do throws(TrackStoreError) {
            try store.startBackgroundCopy([target])
        } catch {
            // It has ended by itself.
            guard error.code == .noRelationship else { throw error }
        }
        if numbers.chance(50) { try drain(target) }
        return "background copy"
    }

    func withdraw() throws -> String {
        guard
            let target = names.filter({ model.volumes[$0]?.presents != nil })
                .randomElement(using: &numbers),
            let device = devices[target]
        else { return "nothing" }
        let wasWhole = try store.relationship(into: target)?.tracksRemaining ?? 0 == 0
        do throws(TrackStoreError) {
            try store.withdraw([target])
        } catch {
            let isBusy = model.volumes.values.contains { volume in
                volume.presents.map {
                    $0.isFastReverse && ($0.source == target || volume.isUnsure)
                } ?? false
            }
            let presents = model.volumes[target]?.presents
            let isRefused =
                switch error.code {
                case .reverseUnderWay: isBusy || presents?.isFastReverse == true
                case .uncommitted: presents?.held != nil
                case .revertUnderWay: presents?.isReverting == true
                default: false
                }
            guard isRefused else { throw error }
            return "refused withdrawal"
        }
        tell("withdraw \(target), whole: \(wasWhole)")
        model.volumes[target]?.presents = nil
        if wasWhole { return "withdrawal of a whole copy" }
        // Tracks that had not come over are whatever they are: the model learns them.
        let got = try channels[0].readAll(device)
        model.noteReverted(target, got)
        model.volumes[target]?.content = got
        model.volumes[target]?.settle()
        return "withdrawal"
    }

    // MARK: Instants

    /// Backups, new copies and refreshes of one instant; now and then it does not come.
    func instant() throws -> String {
        var actions: [InstantAction] = []
        var used: Set<String> = []
        for _ in 0..<(1 + numbers.below(3)) {
            guard let action = someAction(&used) else { continue }
            actions.append(action)
            if case .refresh(let refresh) = action, refresh.isRevertible, numbers.chance(25),
                model.volumes[refresh.target]?.points.count ?? 0 < 7
            {
                actions.append(.point(volume: refresh.target, tag: "s/\(nextTag)"))
                nextTag += 1
            }
        }
        return try attempt(actions)
    }

    /// An instant with these actions, unless they are refused for a reason.
    func attempt(_ actions: [InstantAction]) throws -> String {
        guard !actions.isEmpty else { return "nothing" }
        let group = InstantGroup()
        do throws(TrackStoreError) {
            try store.prepare(group, actions, time: 1_795_226_400_000)
        } catch {
            let known: [TrackStoreError.Code] = [
                .relationshipExists, .targetSmaller, .cycle, .noRelationship, .reverseUnderWay,
                .tooManyTargets, .notRevertible, .uncommitted, .revertUnderWay,
            ]
            // A cycle ends with the copy that made it, which may be done by now.
            let isRefused = try error.code == .cycle || isRefused(actions)
            guard known.contains(error.code), isRefused else { throw error }
            return "refused instant"
        }
        if numbers.chance(10) {
            if numbers.chance(50) { group.commit() }
            store.abandon(group)
            return "abandoned instant"
        }
        group.commit()
        try store.settle(group)
        take(actions)
        return actions.count > 1 ? "instant of several" : "instant"
    }

    private func someAction(_ used: inout Set<String>) -> InstantAction? {
        let target = someName()
        guard used.insert(target).inserted, model.volumes[target]?.isUnsure != true else {
            return nil
        }
        switch numbers.below(10) {
        case 0:
            guard names.allSatisfy({ (model.volumes[$0]?.points.count ?? 0) < 7 }) else {
                return nil
            }
            defer { nextTag += 1 }
            return .point(volume: target, tag: "s/\(nextTag)")
        case ..<6 where model.volumes[target]?.presents != nil:
            guard let source = model.volumes[target]?.presents?.source,
                model.volumes[source]?.isUnsure != true
            else { return nil }
            if numbers.chance(30) {
                var copy = NewCopy(source: source, target: target)
                copy.terms = someTerms()
                copy.replaces = true
                copy.number = someNumber()
                return .establish(copy)
            }
            var refresh = CopyRefresh(target: target, revertible: numbers.chance(50))
            if numbers.chance(40) { refresh.terms = someTerms() }
            if numbers.chance(70) { refresh.number = someNumber() }
            return .refresh(refresh)
        default:
            // Mostly possible ones.
            var source = someName()
            let size = model.volumes[target]?.content.count ?? 0
            let free = model.volumes[target]?.presents == nil
            if numbers.chance(85) {
                guard free,
                    let fitting = names.filter({ name in
                        name != target && model.volumes[name]?.content.count ?? 0 <= size
                    }).randomElement(using: &numbers)
                else { return nil }
                source = fitting
            }
            guard model.volumes[source]?.isUnsure != true else { return nil }
            var copy = NewCopy(source: source, target: target)
            copy.terms = someTerms()
            copy.replaces = numbers.chance(20)
            copy.number = someNumber()
            return .establish(copy)
        }
    }

    private func someTerms() -> CopyTerms {
        var terms = CopyTerms()
        terms.backgroundCopy = numbers.chance(60)
        terms.isPersistent = numbers.chance(50)
        terms.recordsChanges = numbers.chance(60)
        terms.inhibitsTargetWrites = numbers.chance(15)
        return terms
    }

    /// Mostly a new one.
    func someNumber() -> UInt64 {
        guard numbers.chance(90) else { return 0 }
        nextNumber += 1
        return nextNumber
    }

    /// The store, asked beforehand, gives a reason too; or the actions are at odds with each other.
    private func isRefused(_ actions: [InstantAction]) throws -> Bool {
        // What stood against it may have ended by itself since.
        if model.volumes.values.contains(where: { $0.presents?.isPersistent == false }) {
            return true
        }
        for action in actions {
            if case .establish(let copy) = action, try !store.obstacles(to: copy).isEmpty {
                return true
            }
            if case .refresh(let refresh) = action {
                let target = refresh.target
                guard let presents = model.volumes[target]?.presents else { return true }
                let isBusy =
                    presents.isFastReverse || presents.source == target
                    || presents.held != nil && !presents.isRepeated(by: refresh)
                    || presents.isReverting
                let records =
                    try store.relationship(into: target)?.tracksOutOfSync != nil
                    && refresh.terms?.recordsChanges ?? true
                if refresh.isRevertible, !records { return true }
                let isSmaller =
                    model.volumes[target]?.content.count ?? 0
                    < model.volumes[presents.source]?.content.count ?? 0
                let hasEnded = try store.relationship(into: target) == nil
                let feeds = model.volumes[presents.source]?.presents?.isFastReverse == true
                if isBusy || isSmaller || hasEnded || feeds { return true }
            }
        }
        return actions.count > 1
    }

    private func take(_ actions: [InstantAction]) {
        for action in actions { tell("\(action)") }
        let before = model
        for action in actions {
            if case .point(let volume, let tag) = action { model.backup(tag, [volume]) }
        }
        func tag(of source: String) -> String {
            for case .point(source, let tag) in actions { return tag }
            return ""
        }
        for action in actions {
            switch action {
            case .point, .reverse: break
            case .establish(let copy):
                guard let content = before.volumes[copy.source]?.content else { continue }
                var made = NaiveModel.Copy(
                    source: copy.source, tag: tag(of: copy.source), content: [])
                made.take(copy.terms)
                made.number = copy.number
                model.give(copy.target, content, made)
                model.volumes[copy.target]?.lastNumber = copy.number
            case .refresh(let refresh):
                let target = refresh.target
                guard var copy = before.volumes[target]?.presents,
                    let content = before.volumes[copy.source]?.content
                else { continue }
                if refresh.isRevertible, !copy.isRepeated(by: refresh) {
                    copy.held = before.volumes[target]?.content
                    copy.heldTag = tag(of: target)
                    copy.formerTag = copy.tag
                    copy.formerInhibits = copy.inhibits
                    copy.formerNumber = copy.number
                }
                copy.tag = tag(of: copy.source)
                if let terms = refresh.terms { copy.take(terms) }
                if let number = refresh.number { copy.number = number }
                model.give(target, content, copy)
                model.volumes[target]?.lastNumber = copy.number
            }
        }
    }
}

extension NaiveModel.Copy {
    mutating func take(_ terms: CopyTerms) {
        isPersistent = terms.isPersistent || terms.recordsChanges
        inhibits = terms.inhibitsTargetWrites
    }

    /// It was made revertible with the number: what is kept goes on being kept.
    func isRepeated(by refresh: CopyRefresh) -> Bool {
        held != nil && refresh.isRevertible && refresh.number == number && number != 0
    }
}

extension NaiveModel {
    /// The content is another than it was, without a write: what differs counts as written.
    mutating func noteReverted(_ name: String, _ new: [UInt8]) {
        guard let old = volumes[name]?.content else { return }
        for start in stride(from: 0, to: min(old.count, new.count), by: 65_536) {
            let track = start..<min(start + 65_536, old.count, new.count)
            if old[track] != new[track] { noteWritten(name, track) }
        }
    }
}
