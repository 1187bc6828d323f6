import CopyModel
import StoragePort

/// The systems of a check, and what it does with them again and again.
struct Site: Sendable {
    let fixture: StorageUnderTest
    var storage: any StoragePort

    /// So long is waited for what goes on behind the caller's back, before it counts as not going on.
    private static let patience = Duration.seconds(300)
    /// Between two looks.
    private static let pause = Duration.milliseconds(1)

    /// A mebibyte: sixteen tracks.
    static let capacity = Capacity(bytes: 1 << 20)
    static let tracks: UInt64 = 16

    /// Makes volumes of one size, by names as `box1:0100`.
    func make(_ names: String..., capacity: Capacity = capacity, multiplier: Int = 0) async throws {
        let volumes = try names.map(VolumeID.named)
        for system in Set(volumes.map(\.storage)).sorted() {
            let specifications = volumes.filter { $0.storage == system }.map {
                VolumeSpecification(
                    id: $0.local, capacity: capacity, safeguardedMultiplier: multiplier)
            }
            try await perform(.createVolumes(system, specifications))
        }
    }

    /// Does something, at so many milliseconds since 1970.
    func perform(_ effect: Effect, at time: Int64 = 1000) async throws {
        try await storage.perform(effect, at: Timestamp(milliseconds: time))
    }

    /// Something is refused, with a code and words, and nothing has changed.
    func refuse(
        _ code: RefusalCode, _ effect: Effect, file: String = #fileID, line: Int = #line
    ) async throws {
        let before = try await picture()
        do {
            try await perform(effect, at: 9999)
        } catch let failure as StorageFailure {
            try require(
                failure.code == code, "refused with \(failure.code), not \(code): \(failure)",
                file: file, line: line)
            try require(
                !failure.message.isEmpty && !failure.remedy.isEmpty && !failure.subject.isEmpty,
                "refused without words", file: file, line: line)
            let after = try await picture()
            try require(
                after == before, "a refusal changes \(before) to \(after)", file: file, line: line)
            return
        }
        try require(false, "not refused, but should be with \(code)", file: file, line: line)
    }

    /// What the storage says of a volume.
    func volume(
        _ name: String, file: String = #fileID, line: Int = #line
    ) async throws -> VolumeReport {
        let id = try VolumeID.named(name)
        guard let report = try await storage.report(on: [id]).volumes[id] else {
            throw Violation(sentence: "\(name) is not there", place: "\(file):\(line)")
        }
        return report
    }

    /// The relationship into a volume.
    func inbound(
        _ name: String, file: String = #fileID, line: Int = #line
    ) async throws -> RelationshipReport {
        guard let inbound = try await volume(name, file: file, line: line).inbound else {
            throw Violation(sentence: "\(name) presents nothing", place: "\(file):\(line)")
        }
        return inbound
    }

    /// Everything that the storage says, but for what depends on how it keeps it or on a clock.
    func picture() async throws -> [VolumeReport] {
        var all: [VolumeReport] = []
        for system in ["box1", "box2"] {
            all += try await storage.inventory(of: .named(system)) ?? []
        }
        return all.map { report in
            var report = report
            report.allocated = Capacity(bytes: 0)
            report.safeguardedUsed = Capacity(bytes: 0)
            // After a crash more may count as changed than has.
            report.inbound?.attributes.tracksOutOfSync = nil
            report.inbound?.attributes.bytesPerSecond = 0
            report.inbound?.attributes.secondsLeft = nil
            return report
        }
    }

    /// Waits until a condition holds, letting copies go on.
    func eventually(
        _ sentence: String, file: String = #fileID, line: Int = #line,
        _ condition: () async throws -> Bool
    ) async throws {
        let clock = ContinuousClock()
        let deadline = clock.now + Self.patience
        while try await !condition() {
            try require(
                clock.now < deadline, "not in time: \(sentence)", file: file, line: line)
            fixture.proceed(storage)
            try await Task.sleep(for: Self.pause)
        }
    }

    /// Waits until nothing is copied any more but what nobody asked to be, and what does not stay has
    /// ended.
    func rest() async throws {
        try await eventually("background copies end") {
            try await picture().allSatisfy { report in
                guard let inbound = report.inbound else { return true }
                let goesOn =
                    inbound.backgroundCopy || inbound.attributes.reverting
                    || inbound.attributes.fastReverse
                let isDone =
                    inbound.attributes.persistent && inbound.tracksRemaining == 0
                    && !inbound.attributes.reverting
                return !goesOn || isDone
            }
        }
    }

    mutating func reopen() async throws {
        try await storage.close()
        storage = try await fixture.open()
    }

    mutating func crash() async throws {
        try await fixture.kill(storage)
        storage = try await fixture.open()
    }

    func write(_ name: String, tracks: Range<UInt64>) async throws {
        try await fixture.write(storage, .named(name), tracks)
    }

    /// Reads facts up to one that is looked for.
    func fact(
        _ sentence: String, file: String = #fileID, line: Int = #line,
        where isMeant: @escaping @Sendable (StorageFact) -> Bool
    ) async throws {
        let (storage, fixture) = (storage, fixture)
        let clock = ContinuousClock()
        let deadline = clock.now + Self.patience
        let isFound = try await withThrowingTaskGroup(of: Bool?.self) { group in
            group.addTask {
                while let fact = await storage.nextFact() { if isMeant(fact) { return true } }
                return false
            }
            group.addTask {
                while clock.now < deadline {
                    fixture.proceed(storage)
                    do { try await Task.sleep(for: Self.pause) } catch { return nil }
                }
                // The reader waits for a fact that does not come.
                try await storage.close()
                return nil
            }
            var isFound = false
            for try await answer in group {
                if let answer {
                    isFound = answer
                    group.cancelAll()
                }
            }
            return isFound
        }
        try require(isFound, "not told: \(sentence)", file: file, line: line)
    }
}
