import TrackStore

/// What a child that lived (`Life` of `track-crash-child`) has said before it was killed, and what a
/// store must therefore hold.
struct ToldLife {
    struct Wrong: Error, CustomStringConvertible { var description: String }

    static let blocks = 64
    private static let sources = ["0100", "0101"]
    private static let wide = (0..<66).map { "10" + ($0 < 16 ? "0" : "") + String($0, radix: 16) }
    /// The backup that is of the wide volumes too.
    private static let wideBackup = 160

    private var flushed = 0
    private var backups: Set<Int> = []
    private var backing: Int?
    private var expired = 0
    private var expiring = 0
    private var recovering = false
    private var recovered = false
    private var targetIsFlushed = false
    private var copied: Int?
    private var copying: Int?
    private(set) var hasEnded = false
    private(set) var hasFailed = false

    init(_ lines: [String]) {
        for line in lines {
            let words = line.split(separator: " ")
            let number = words.count > 1 ? Int(words[1]) ?? 0 : 0
            switch words.first {
            case "flushed": flushed = number
            case "backing": backing = number
            case "backup":
                backups.insert(number)
                backing = nil
            case "expiring": expiring = number
            case "expired": expired = number
            case "recovering": recovering = true
            case "recovered": recovered = true
            case "target": targetIsFlushed = true
            case "copying": copying = number
            case "copied":
                copied = number
                copying = nil
            case "ended": hasEnded = true
            case "failed": hasFailed = true
            default: break
            }
        }
    }

    /// What a source reads as after write `number`.
    private static func content(_ source: Int, after number: Int) -> [UInt64] {
        var content = [UInt64](repeating: 0, count: blocks)
        for write in 1...max(number, 1) where write <= number && write % 2 == source {
            content[write * 7 % blocks] = UInt64(write)
        }
        return content
    }

    private func read(_ store: TrackStore, _ channel: HostChannel, _ view: HostView) throws
        -> [UInt64]
    {
        let bytes = try channel.readAll(store.open(view))
        return try bytes.withUnsafeBytes { bytes in
            try stride(from: 0, to: bytes.count, by: 4096).map { place in
                let first = bytes.loadUnaligned(fromByteOffset: place, as: UInt64.self)
                let last = bytes.loadUnaligned(fromByteOffset: place + 4088, as: UInt64.self)
                guard first == last else {
                    throw Wrong(description: "\(view) has half a block at \(place)")
                }
                return first
            }
        }
    }

    /// Compares a store that has just been opened.
    func check(_ store: TrackStore) throws {
        let channel = try HostChannel(store: store)
        let names = store.exportNames()
        guard names.contains(.volume("0100")) else {
            guard flushed == 0, names.isEmpty else {
                throw Wrong(description: "volumes are missing: \(names)")
            }
            return
        }
        for (index, source) in Self.sources.enumerated() {
            let got = try read(store, channel, .volume(source))
            let wanted = Self.content(index, after: flushed)
            for block in 0..<Self.blocks where got[block] != wanted[block] {
                let isNewer =
                    got[block] > flushed && got[block] * 7 % UInt64(Self.blocks) == block
                guard isNewer else {
                    throw Wrong(description: "block \(block) of \(source) is \(got[block])")
                }
            }
        }
        try checkBackups(store, channel)
        try checkRecovery(try read(store, channel, .volume("0200")))
        try checkCopy(try read(store, channel, .volume("0201")))
    }

    private func checkBackups(_ store: TrackStore, _ channel: HostChannel) throws {
        let tags = try store.points(of: "0100").map(\.tag)
        guard try store.points(of: "0101").map(\.tag) == tags else {
            throw Wrong(description: "the sources have different backups")
        }
        let there = Set(tags.compactMap { Int($0.dropFirst(2)) })
        let old = backups.filter { $0 <= expiring }
        let kept = backups.subtracting(old)
        var possible = [kept, kept.union(old)]
        if expired == expiring { possible = [kept] }
        if let backing { possible += possible.map { $0.union([backing]) } }
        guard possible.contains(there) else {
            throw Wrong(description: "backups \(there.sorted()), not one of \(possible)")
        }
        for number in there {
            for (index, source) in Self.sources.enumerated() {
                let view = HostView.point(volume: source, tag: "k/\(number)")
                guard
                    try read(store, channel, view) == Self.content(index, after: number)
                else { throw Wrong(description: "\(view) differs") }
            }
        }
        for volume in Self.wide {
            let points = try store.points(of: volume).map(\.tag)
            let isThere = there.contains(Self.wideBackup)
            guard points == (isThere ? ["k/\(Self.wideBackup)"] : []) else {
                throw Wrong(description: "\(volume) has backups \(points)")
            }
            guard isThere else { continue }
            let view = HostView.point(volume: volume, tag: "k/\(Self.wideBackup)")
            guard try read(store, channel, view)[0] == UInt64(Self.wideBackup) else {
                throw Wrong(description: "\(view) differs")
            }
        }
    }

    private func checkRecovery(_ got: [UInt64]) throws {
        let nothing = [UInt64](repeating: 0, count: Self.blocks)
        let point = Self.content(0, after: 32)
        if !recovered {
            guard got == nothing || recovering && got == point else {
                throw Wrong(description: "0200 is neither what it was nor what it presents")
            }
            return
        }
        var written = point
        for write in 1...8 { written[write * 5 % Self.blocks] = UInt64(write) + 1 << 32 }
        for block in 0..<Self.blocks where got[block] != written[block] {
            guard !targetIsFlushed, got[block] == point[block] else {
                throw Wrong(description: "block \(block) of 0200 is \(got[block])")
            }
        }
    }

    private func checkCopy(_ got: [UInt64]) throws {
        var possible = [
            copied.map { Self.content(1, after: $0) }
                ?? [UInt64](repeating: 0, count: Self.blocks)
        ]
        if let copying { possible.append(Self.content(1, after: copying)) }
        guard possible.contains(got) else {
            throw Wrong(description: "0201 is no copy of an instant")
        }
    }
}
