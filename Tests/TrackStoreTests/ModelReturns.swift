import Testing
import TrackStore

// Copies that go back in a random life: reversed, reverted, or ended by themselves.
extension ModelRun {
    /// Decides about a refresh that can be reverted, or makes one; now and then neither can be.
    func commitOrRevert() throws -> String {
        if let what = try refreshRevertibly() { return what }
        let possible = names.filter { name in
            model.volumes[name]?.presents.map { $0.held != nil || numbers.chance(10) } ?? false
        }
        guard let target = possible.randomElement(using: &numbers),
            let presents = model.volumes[target]?.presents
        else { return "nothing" }
        let reverts = numbers.chance(60)
        do throws(TrackStoreError) {
            if reverts { try store.revert([target]) } else { try store.commit([target]) }
        } catch {
            let isRefused =
                switch error.code {
                case .notRevertible: presents.held == nil
                case .revertUnderWay: presents.isReverting
                case .noRelationship:
                    // It has ended by itself, or as what fed a fast reverse.
                    !presents.isPersistent || model.volumes[target]?.isUnsure == true
                default: false
                }
            guard isRefused else { throw error }
            return "refused commit or revert"
        }
        guard let held = presents.held else {
            throw Difference(description: "\(target) is decided about without a refresh")
        }
        tell("\(reverts ? "revert" : "commit") \(target)")
        var copy = presents
        copy.held = nil
        if !reverts {
            copy.heldTag = ""
            model.volumes[target]?.presents = copy
            if numbers.chance(30) { store.drainReclaimer() }
            return "commit"
        }
        copy.tag = copy.formerTag
        copy.inhibits = copy.formerInhibits
        copy.number = copy.formerNumber
        copy.isReverting = true
        model.give(target, held, copy)
        if numbers.chance(30) { try drain(target) }
        return "revert"
    }

    /// Makes a refresh that can be reverted, or one of those once more; nil where neither is tried.
    private func refreshRevertibly() throws -> String? {
        let recording = try names.filter { name in
            guard let presents = model.volumes[name]?.presents, presents.held == nil,
                model.volumes[name]?.isUnsure == false,
                model.volumes[presents.source]?.isUnsure == false
            else { return false }
            return try store.relationship(into: name)?.tracksOutOfSync != nil
        }
        if let target = recording.randomElement(using: &numbers), numbers.chance(60) {
            let what = try attempt([.refresh(target: target, revertible: true)])
            return "revertible refresh, \(what)"
        }
        guard let target = names.filter({ mayRepeat($0) }).randomElement(using: &numbers),
            let presents = model.volumes[target]?.presents, numbers.chance(25)
        else { return nil }
        let what = try attempt([
            .refresh(target: target, revertible: true, number: presents.number)
        ])
        return "repeated refresh, \(what)"
    }

    /// What an instant that came to be in part only would ask for again.
    private func mayRepeat(_ name: String) -> Bool {
        guard let presents = model.volumes[name]?.presents, presents.held != nil else {
            return false
        }
        return model.volumes[presents.source]?.isUnsure == false
    }

    func reverse() throws -> String {
        let possible = names.filter { name in
            guard let source = model.volumes[name]?.presents?.source else { return false }
            return numbers.chance(10)
                || model.volumes[name]?.content.count ?? 0
                    <= model.volumes[source]?.content.count ?? 0
        }
        guard let target = possible.randomElement(using: &numbers),
            let presents = model.volumes[target]?.presents,
            let content = model.volumes[target]?.content
        else { return "nothing" }
        let fast = numbers.chance(60)
        let reasons = try store.reverseObstacles(of: target, fast: fast).map(\.code)
        let group = InstantGroup()
        let number = someNumber()
        var actions: [InstantAction] = [.reverse(target: target, fast: fast, number: number)]
        let isBackedUp =
            numbers.chance(20) && model.volumes[target]?.isUnsure == false
            && model.volumes[target]?.points.count ?? 0 < 7
        let tag = "s/\(nextTag)"
        if isBackedUp {
            nextTag += 1
            actions.append(.point(volume: target, tag: tag))
        }
        do throws(TrackStoreError) {
            try store.prepare(group, actions, time: 1)
        } catch {
            guard reasons.contains(error.code) || error.code == .noRelationship else { throw error }
            return "refused reverse"
        }
        let mayEnd = model.volumes[presents.source]?.presents?.isPersistent == false
        let isPossible = reasons.allSatisfy {
            $0 == .tracksPending || $0 == .revertUnderWay || $0 == .relationshipExists && mayEnd
        }
        guard isPossible else {
            throw Difference(description: "a reverse is made against \(reasons)")
        }
        group.commit()
        if numbers.chance(10) {
            store.abandon(group)
            return "abandoned reverse"
        }
        try store.settle(group)
        for name in [target, presents.source] { model.volumes[name]?.lastNumber = number }
        if isBackedUp { model.backup(tag, [target]) }
        return try takeReverse(of: target, presents, content, isBackedUp ? tag : "")
    }

    /// The model follows, whatever the reverse has become meanwhile.
    private func takeReverse(
        of target: String, _ presents: NaiveModel.Copy, _ content: [UInt8], _ tag: String
    ) throws -> String {
        guard let made = try store.relationship(into: presents.source) else {
            // It has ended already, whichever it was.
            model.give(
                presents.source, content, .init(source: target, tag: "", content: []))
            model.volumes[presents.source]?.presents = nil
            if model.volumes[target]?.presents != nil { try learn(target) }
            return "reverse that ended at once"
        }
        tell("reverse \(target) to \(presents.source)")
        var back = NaiveModel.Copy(source: target, tag: tag, content: [])
        back.number = made.number
        back.isPersistent = made.isPersistent
        back.isFastReverse = made.isFastReverse
        model.give(presents.source, content, back)
        if made.isFastReverse {
            model.volumes[target]?.isUnsure = true
        } else {
            model.volumes[target]?.presents = nil
        }
        if numbers.chance(30) { try drain(presents.source) }
        return made.isFastReverse ? "fast reverse" : "reverse"
    }

    /// What is noted of a volume outlives relationships, and stops of every kind.
    func compareNumber(of name: String, _ what: String) throws {
        guard let volume = model.volumes[name] else { return }
        let noted = try store.describe([name]).first?.volume.lastNumber
        guard noted == volume.lastNumber else {
            throw Difference(
                description: "after \(what), \(name) has \(noted as Any), not \(volume.lastNumber)")
        }
    }

    /// Relationships that end by themselves when they are done have ended or not: the store knows.
    func learnEnded() throws {
        for name in names {
            try learnReverted(name)
            guard let presents = model.volumes[name]?.presents, !presents.isPersistent,
                try store.relationship(into: name) == nil
            else { continue }
            model.volumes[name]?.presents = nil
            // It may have become somebody else's target since.
            if presents.isFastReverse, model.volumes[presents.source]?.isUnsure == true {
                try learn(presents.source)
            }
        }
    }

    /// A revert has come to its end or not: the store knows. What waits for a decision, the model does.
    private func learnReverted(_ name: String) throws {
        guard let presents = model.volumes[name]?.presents, presents.isPersistent,
            let there = try store.relationship(into: name)
        else { return }
        guard there.isRevertible == (presents.held != nil), there.source == presents.source,
            presents.isReverting || !there.isReverting, there.number == presents.number
        else { throw Difference(description: "\(name) is \(there), not \(presents)") }
        if presents.isReverting, !there.isReverting {
            model.volumes[name]?.presents?.isReverting = false
            model.volumes[name]?.presents?.heldTag = ""
        }
    }

    /// What fed a fast reverse restore has ended with it.
    private func learn(_ name: String) throws {
        guard let device = devices[name] else { return }
        model.volumes[name]?.presents = nil
        model.volumes[name]?.isUnsure = false
        guard channels[0].flush(device) == nil else {
            throw Difference(description: "flush failed")
        }
        let got = try channels[0].readAll(device)
        model.noteReverted(name, got)
        model.volumes[name]?.content = got
        model.volumes[name]?.settle()
    }
}
