import Glibc

/// Which saved entry: its row in the index, and where its blocks lie.
struct SavedKey: Hashable, Sendable {
    var volume: UInt16
    var track: UInt32
    var sequence: UInt64
    var segment: UInt32
    var block: UInt32

    init(_ volume: UInt16, _ entry: SavedEntry) {
        self.volume = volume
        track = entry.track
        sequence = entry.sequence
        segment = entry.segment
        block = entry.block
    }

    init(_ key: inout KeyReader) {
        volume = key.take(UInt16.self)
        track = key.take(UInt32.self)
        sequence = key.take(UInt64.self)
        segment = key.take(UInt32.self)
        block = key.take(UInt32.self)
    }

    /// Nil where the numbers are not five, or one is too large.
    init?(_ numbers: [UInt64]) {
        guard numbers.count == 5, let volume = UInt16(exactly: numbers[0]),
            let track = UInt32(exactly: numbers[1]), let segment = UInt32(exactly: numbers[3]),
            let block = UInt32(exactly: numbers[4])
        else { return nil }
        self.volume = volume
        self.track = track
        sequence = numbers[2]
        self.segment = segment
        self.block = block
    }

    var numbers: [UInt64] {
        [UInt64(volume), UInt64(track), sequence, UInt64(segment), UInt64(block)]
    }

    /// The key of its rows, in `saved` and in `damages`.
    var bytes: [UInt8] {
        Key().adding(volume).adding(track).adding(sequence).adding(segment).adding(block).bytes
    }
}

/// Saved entries that a reader found to be damaged, on their way to the thread that looks again.
final class Suspicions: Sendable {
    private struct State {
        var keys: Set<SavedKey> = []
        /// What was taken is being looked at.
        var isBusy = false
        var isStopping = false
    }

    private let state = Monitor(State())
    /// What is beyond that is found again by the next read.
    private static let most = 100_000

    /// By any thread; returns at once.
    func add(_ key: SavedKey) {
        state.withLock { state in
            if state.keys.count < Self.most { state.keys.insert(key) }
        }
        state.notifyAll()
    }

    /// What has come, or nothing after so many milliseconds; nil once it is to end.
    func next(milliseconds: Int) -> Set<SavedKey>? {
        state.withLock { $0.isBusy = false }
        state.notifyAll()
        let taken = state.withLock(
            waitingWhile: { $0.keys.isEmpty && !$0.isStopping }, milliseconds: milliseconds
        ) { state -> (keys: Set<SavedKey>, isStopping: Bool) in
            defer { state.keys = [] }
            state.isBusy = true
            return (state.keys, state.isStopping)
        }
        guard let taken else { return [] }
        return taken.isStopping ? nil : taken.keys
    }

    /// Waits until everything that was added before has been looked at.
    func drain() {
        state.withLock(
            waitingWhile: { !$0.isStopping && ($0.isBusy || !$0.keys.isEmpty) }, { _ in })
    }

    /// Lets the thread end.
    func stop() {
        state.withLock { $0.isStopping = true }
        state.notifyAll()
    }
}

/// The word that a scrub in another process leaves for the store: entries to look at, a line each.
///
/// It is a hint and nothing more: the store reads every entry itself before it believes anything.
struct SuspectFile {
    private let path: String
    private var taken: String { path + ".taken" }

    init(in directory: String) { path = directory + "/suspects" }

    /// Replaces the word that nobody has taken yet: a scrub reads everything. False where it cannot
    /// be left.
    func leave(_ keys: [SavedKey]) -> Bool {
        let lines = keys.map { $0.numbers.map { String($0) }.joined(separator: " ") + "\n" }
        let new = path + ".new"
        let file = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard file >= 0 else { return false }
        // The store may be another user's.
        var isWhole = fchmod(file, 0o644) == 0
        for line in lines where isWhole {
            isWhole =
                line.utf8.withContiguousStorageIfAvailable {
                    write(file, $0.baseAddress, $0.count) == $0.count
                } ?? false
        }
        isWhole = fsync(file) == 0 && isWhole
        close(file)
        return isWhole && rename(new, path) == 0
    }

    /// The word, kept until `forget`; empty where none was left. Lines that are none are passed over.
    func take() -> [SavedKey] {
        if access(taken, F_OK) != 0 {
            guard rename(path, taken) == 0 else { return [] }
        }
        let file = open(taken, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else {
            forget()
            return []
        }
        defer { close(file) }
        var text: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = piece.withUnsafeMutableBytes { read(file, $0.baseAddress, $0.count) }
            guard count > 0 else { break }
            text += piece[..<count]
        }
        return text.split(separator: UInt8(ascii: "\n")).compactMap { line in
            let words = line.split(separator: UInt8(ascii: " "))
            let numbers = words.compactMap { UInt64(String(decoding: $0, as: UTF8.self)) }
            return words.count == numbers.count ? SavedKey(numbers) : nil
        }
    }

    /// What was taken has been looked at.
    func forget() { unlink(taken) }
}
