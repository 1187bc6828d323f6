import Glibc
import TrackStore

// What happens in the life of which one operation after the other is made to fail: every way in which
// the engine reads, saves, overwrites, copies, syncs, gives space back and starts.
extension FaultRun {
    private static let sizes = [
        ("0100", 6 * 65_536 + 33_280), ("0101", 3 * 65_536),
        ("0200", 8 * 65_536), ("0201", 6 * 65_536 + 33_280), ("0202", 3 * 65_536),
    ]

    func live() throws {
        try make()
        try protect()
        try recoverOne()
        try copyAtInstants()
        try restart(crash: false)
        guard isUp else { return }
        try fastReverse()
        try reverse()
        try decide()
        try restart(crash: true)
        guard isUp else { return }
        try compareAll("after a crash")
        try restoreInPlace()
        try expire()
        try trim()
        try compareAll("at the end")
        for name in volumes.keys.sorted() { try flush(name) }
    }

    private func make() throws {
        let made = try attempt("create") {
            try store.createVolumes(
                Self.sizes.map { NewVolume(id: $0.0, capacity: UInt64($0.1), multiplier: 64) })
        }
        guard made else { return }
        for (name, size) in Self.sizes {
            volumes[name] = PossibleContent([UInt8](repeating: 0, count: size), unit: unit)
            points[name] = []
            devices[name] = try store.open(.volume(name))
        }
        try writeAll("0100")
        try writeAll("0101")
        try flush("0100")
    }

    /// Writes of all shapes, of which points save what was there.
    private func protect() throws {
        try backup("s/1", ["0100", "0101"])
        try write(
            "0100",
            [
                .write(4096, 4096), .write(9000, 512), .write(65_536, 65_536),
                .write(140_000, 10_000), .zero(3 * 65_536, 65_536), .zero(270_000, 3000),
            ])
        try write("0101", [.write(100, 100), .write(131_072, 8192)])
        try write("0100", [.write(4096, 4096), .zero(65_536, 4096), .write(6 * 65_536, 33_280)])
    }

    private func recoverOne() throws {
        let isThere = try attempt("recover") {
            try store.establish(
                [NewRelationship(source: "0100", tag: "s/1", target: "0200")],
                backgroundCopy: false)
        }
        if isThere, let content = points["0100"]?.first?.content { give("0200", content) }
        try write("0200", [.write(5000, 600), .write(131_072, 65_536)])
        try flush("0200")
        try backup("s/2", ["0100", "0101", "0200"])
        try writeAll("0100")
        try write("0200", [.write(70_000, 512), .write(131_072, 4096), .zero(4 * 65_536, 65_536)])
        try copyAll("0200")
    }

    private func copyAtInstants() throws {
        var copy = NewCopy(source: "0100", target: "0201")
        copy.terms.recordsChanges = true
        copy.terms.isPersistent = true
        let source = volumes["0100"]
        let began = try instant([.establish(copy), .point(volume: "0100", tag: "s/3")])
        if began, let source { give("0201", source) }
        try copyAll("0201")
        try writeAll("0100")
        try write("0201", [.write(3 * 65_536 + 8192, 20_000)])
        try flush("0100")
        try flush("0201")
        let now = volumes["0100"]
        let isRefreshed = try instant([
            .refresh(target: "0201"), .point(volume: "0201", tag: "s/4"),
        ])
        // The point is of what the target showed before.
        if isRefreshed, let now { give("0201", now) }
        try copyAll("0201")
        try write("0100", [.write(70_000, 4096)])
        try flush("0100")
        copy.replaces = true
        let later = volumes["0100"]
        let isReplaced = try instant([.establish(copy), .point(volume: "0201", tag: "s/5")])
        if isReplaced, let later { give("0201", later) }
        try copyAll("0201")
    }

    /// What the source of the reverse is worth afterwards is nobody's business.
    private func fastReverse() throws {
        var copy = NewCopy(source: "0101", target: "0202")
        copy.terms.backgroundCopy = false
        let source = volumes["0101"]
        guard try instant([.establish(copy)]) else { return }
        if let source { give("0202", source) }
        try write("0202", [.write(1000, 70_000)])
        try flush("0202")
        let content = volumes["0202"]
        guard try instant([.reverse(target: "0202", fast: true)]), let content else { return }
        give("0101", content)
        try write("0101", [.write(0, 4096), .write(2 * 65_536, 512)])
        volumes["0202"] = nil
        try copyAll("0101")
    }

    private func reverse() throws {
        try write("0201", [.write(65_536, 65_536), .write(200_000, 300)])
        try write("0100", [.write(65_536, 4096)])
        try flush("0201")
        let content = volumes["0201"]
        guard try instant([.reverse(target: "0201", fast: false)]), let content else { return }
        give("0100", content)
        given["0201"] = nil
        try write("0100", [.write(90_000, 65_536)])
        try copyAll("0100")
    }

    /// Refreshes that can be taken back: one is kept, one is taken back, and nobody has decided on the
    /// third.
    private func decide() throws {
        var copy = NewCopy(source: "0101", target: "0202")
        copy.terms.recordsChanges = true
        volumes["0202"] = PossibleContent(
            [UInt8](repeating: 0, count: 3 * 65_536), unit: unit)
        devices["0202"] = try store.open(.volume("0202"))
        var source = volumes["0101"]
        let isNew = try store.relationship(into: "0202") == nil
        guard isNew, try instant([.establish(copy)]), let first = source else {
            volumes["0202"] = nil
            return
        }
        give("0202", first)
        try copyAll("0202")
        for step in ["commit", "revert", "leave"] {
            try write("0101", [.write(65_536, 30_000), .write(0, 700)])
            try write("0202", [.write(131_072, 5000)])
            try flush("0202")
            let before = volumes["0202"]
            source = volumes["0101"]
            guard try instant([.refresh(target: "0202", revertible: true)]), let source else {
                return
            }
            give("0202", source)
            try write("0202", [.write(40_000, 3000)])
            switch step {
            case "commit":
                try copyAll("0202")
                guard try attempt("commit", { try store.commit(["0202"]) }) else { return }
            case "revert":
                guard try attempt("revert", { try store.revert(["0202"]) }), let before else {
                    return
                }
                give("0202", before)
                try copyAll("0202")
            default: break
            }
        }
    }

    private func restoreInPlace() throws {
        try write("0101", [.write(0, 65_536)])
        let isThere = try attempt("restore in place") {
            try store.establish(
                [NewRelationship(source: "0101", tag: "s/1", target: "0101")],
                backgroundCopy: true)
        }
        if isThere, let content = points["0101"]?.first(where: { $0.tag == "s/1" })?.content {
            give("0101", content)
        }
        try copyAll("0101")
    }

    private func expire() throws {
        try attempt("withdraw") {
            for target in ["0200", "0101"] {
                let isWhole = try store.relationship(into: target)?.tracksRemaining ?? 0 == 0
                let isThere = try store.relationship(into: target) != nil
                defer {
                    // Tracks that had not come over are what the file holds.
                    let ended = (try? store.relationship(into: target)) == .some(nil)
                    if isThere, ended, !isWhole { volumes[target]?.isUnknown = true }
                }
                try store.withdraw([target])
                given[target] = nil
            }
        }
        for tags in [["s/1"], ["s/2", "s/3"]] {
            let isDone = try attempt("expire") { try store.dropPoints(tags: tags) }
            guard isDone else { continue }
            for name in points.keys { points[name]?.removeAll { tags.contains($0.tag) } }
        }
        store.drainReclaimer()
    }

    private func trim() throws {
        try write("0100", [.zero(0, volumes["0100"]?.count ?? 0)])
        try write("0201", [.zero(65_536, 2 * 65_536)])
    }

    /// The store is in order: everything succeeds again.
    func goOn() throws {
        for name in volumes.keys.sorted() {
            try writeAll(name)
            guard try flush(name) else { throw Wrong(description: "\(name) cannot be flushed") }
        }
        let unsure = volumes.filter { !$0.value.isSure }
        guard unsure.isEmpty else { throw Wrong(description: "\(unsure.keys) cannot be written") }
        try compareAll("after everything was overwritten")
    }
}

// Steps, and what they make of the model where they succeed.
extension FaultRun {
    private func backup(_ tag: String, _ names: [String]) throws {
        try instant(names.map { .point(volume: $0, tag: tag) })
    }

    @discardableResult
    private func instant(_ actions: [InstantAction]) throws -> Bool {
        let group = InstantGroup()
        let isDone = try attempt("instant") {
            do {
                try store.prepare(group, actions, time: 1)
                group.commit()
                try store.settle(group)
            } catch {
                store.abandon(group)
                throw error
            }
        }
        guard isDone else { return false }
        for case .point(let name, let tag) in actions {
            guard let content = volumes[name] else { continue }
            points[name, default: []].append((tag, content))
            settle(name)
        }
        return true
    }

    /// The tracks that cover the content become it.
    private func give(_ target: String, _ content: PossibleContent) {
        guard let capacity = volumes[target]?.count else { return }
        let reach = min((content.count + 65_535) / 65_536 * 65_536, capacity)
        volumes[target]?.give(content, reach)
        given[target] = volumes[target]
    }

    /// Copies in the background until every track is there. Where the disk fails it is started again,
    /// but not forever.
    private func copyAll(_ target: String) throws {
        try attempt("background copy") {
            for _ in 0..<3 {
                do {
                    try store.startBackgroundCopy([target])
                } catch let error as TrackStoreError where error.code == .noRelationship {
                    // It has ended by itself.
                    break
                }
                if try waitForCopy(target) { break }
            }
        }
    }

    /// True where it is done, false where it has stopped.
    private func waitForCopy(_ target: String) throws -> Bool {
        for _ in 0..<2000 {
            guard let relationship = try store.relationship(into: target),
                relationship.tracksRemaining > 0
            else { return true }
            if !relationship.isCopying { return false }
            usleep(1000)
        }
        guard disk.firstHit != nil else {
            throw Wrong(description: "the copy to \(target) does not end")
        }
        return false
    }
}
