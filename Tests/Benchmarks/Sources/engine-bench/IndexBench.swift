import CLMDB
import Glibc
import TrackStore

/// A store with an index of many saved entries, which are put into LMDB directly: writing that much
/// through hosts would take hours and fill the disk.
///
/// The entries are those of one volume of 1 TiB with 500 backups, of one block each, in segments of 64
/// MiB that are sparse files: what they hold reads as zeroes, as the entries' checksums say.
///
///     key    volume 2 · track 4 · sequence 8 · segment 4 · block 4, big-endian
///     value  mask 2 · zero mask 2 · a checksum 4, little-endian
struct IndexBench {
    private static let volume = "0100"
    private static let backups = 500
    private static let capacity: UInt64 = 1 << 40
    private static let segmentBlocks = 16_384

    private let options: Options

    init(_ options: Options) { self.options = options }

    func fill() throws {
        removeTree(options.directory)
        let store = try TrackStore(.init(directory: options.directory))
        try store.createVolumes([
            NewVolume(id: Self.volume, capacity: Self.capacity, multiplier: 1000)
        ])
        for number in 1...Self.backups { try takeBackup(store, "bench/\(number)", [Self.volume]) }
        let sequences = try store.points(of: Self.volume).map(\.sequence)
        try store.close()
        try fillIndex(sequences)
        print("filled \(options.entries)")
    }

    /// Opens the store, reads a little of the oldest and of the newest backup, and says how long it took
    /// and how much memory the process has.
    func open() throws {
        let start = now()
        let store = try TrackStore(.init(directory: options.directory))
        let opened = now()
        let channel = try HostChannel(store: store)
        var failures = 0
        for tag in ["bench/1", "bench/\(Self.backups)"] {
            let device = try store.open(.point(volume: Self.volume, tag: tag))
            for _ in 0..<1000 {
                let block = UInt64.random(in: 0..<Self.capacity / 4096)
                var requests = [HostRequest(kind: .read, offset: block * 4096, length: 4096)]
                channel.perform(&requests, on: device)
                if requests[0].failure != nil { failures += 1 }
            }
        }
        let read = now()
        print(
            "opened \(opened - start) s, 2000 reads \(read - opened) s, \(failures) failed, "
                + "resident \(memory("VmRSS")) kB, of which anonymous \(memory("RssAnon")) kB")
        try store.close()
    }

    private func memory(_ name: String) -> String {
        guard let file = fopen("/proc/self/status", "r") else { return "?" }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 256)
        while fgets(&line, 256, file) != nil {
            let text = String(
                decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            let words = text.split(whereSeparator: { $0 == " " || $0 == "\t" })
            if words.first == "\(name):", words.count > 1 { return String(words[1]) }
        }
        return "?"
    }

    // MARK: LMDB

    private func check(_ result: Int32) throws {
        if result != 0 {
            throw BenchFailure(what: "LMDB: " + String(cString: mdb_strerror(result)))
        }
    }

    private func fillIndex(_ sequences: [UInt64]) throws {
        var environment: OpaquePointer?
        try check(mdb_env_create(&environment))
        defer { mdb_env_close(environment) }
        try check(mdb_env_set_maxdbs(environment, 16))
        try check(mdb_env_set_mapsize(environment, 64 << 30))
        let flags = UInt32(MDB_NOSYNC)
        try check(mdb_env_open(environment, options.directory + "/index", flags, 0o600))
        var number = 0
        let tracks = Int(Self.capacity) / 65_536
        let group = 500_000
        while number < options.entries {
            try write(environment, "saved") { transaction, table in
                for index in number..<min(number + group, options.entries) {
                    // In order of key, so that each goes to the end.
                    let track = index * tracks / options.entries
                    let rank = index - (track * options.entries + tracks - 1) / tracks
                    let sequence = sequences[
                        (track * 7919 + rank) % sequences.count]
                    try putEntry(transaction, table, UInt32(track), sequence, index)
                }
            }
            number += group
        }
        try makeSegments(environment, newest: sequences.last ?? 1)
        try check(mdb_env_sync(environment, 1))
    }

    private func write(
        _ environment: OpaquePointer?, _ table: String,
        _ body: (OpaquePointer?, MDB_dbi) throws -> Void
    ) throws {
        var transaction: OpaquePointer?
        try check(mdb_txn_begin(environment, nil, 0, &transaction))
        var handle: MDB_dbi = 0
        do {
            try check(mdb_dbi_open(transaction, table, 0, &handle))
            try body(transaction, handle)
        } catch {
            mdb_txn_abort(transaction)
            throw error
        }
        try check(mdb_txn_commit(transaction))
    }

    private func put(
        _ transaction: OpaquePointer?, _ table: MDB_dbi, _ key: [UInt8], _ value: [UInt8]
    ) throws {
        var (key, value) = (key, value)
        let result = key.withUnsafeMutableBytes { key in
            value.withUnsafeMutableBytes { value in
                var keyValue = MDB_val(mv_size: key.count, mv_data: key.baseAddress)
                var dataValue = MDB_val(mv_size: value.count, mv_data: value.baseAddress)
                return mdb_put(transaction, table, &keyValue, &dataValue, 0)
            }
        }
        try check(result)
    }

    private func putEntry(
        _ transaction: OpaquePointer?, _ table: MDB_dbi, _ track: UInt32, _ sequence: UInt64,
        _ index: Int
    ) throws {
        let perSegment = Self.segmentBlocks / 2
        let segment = UInt32(1 + index / perSegment)
        let block = UInt32(1 + index % perSegment * 2 + 1)
        let key =
            Self.volumeKey + bigEndian(track) + bigEndian(sequence) + bigEndian(segment)
            + bigEndian(block)
        let mask = UInt16(1) << UInt16(index % 16)
        let value = littleEndian(mask) + littleEndian(UInt16(0)) + littleEndian(Self.zeroes)
        try put(transaction, table, key, value)
    }

    /// Segments that are filled, newest sequence and all, and a tail behind the last.
    private func makeSegments(_ environment: OpaquePointer?, newest: UInt64) throws {
        let count = options.entries / (Self.segmentBlocks / 2) + 1
        let directory = options.directory + "/saves/" + Self.volume
        mkdir(directory, 0o700)
        for number in 1...count {
            let digits = String(number, radix: 16)
            let path =
                directory + "/" + String(repeating: "0", count: 8 - digits.utf8.count) + digits
            let file = Glibc.open(path, O_RDWR | O_CREAT, 0o600)
            ftruncate(file, (Self.segmentBlocks + 2) * 4096)
            close(file)
        }
        try write(environment, "segments") { transaction, table in
            for number in 1...count {
                let value =
                    littleEndian(UInt32(Self.segmentBlocks + 2)) + littleEndian(UInt32(0))
                    + littleEndian(UInt32(1)) + littleEndian(UInt32(1)) + littleEndian(newest)
                try put(
                    transaction, table, Self.volumeKey + bigEndian(UInt32(number)), value)
            }
        }
        try write(environment, "tails") { transaction, table in
            let value =
                littleEndian(UInt32(count + 1)) + littleEndian(UInt32(1)) + littleEndian(UInt64(0))
            try put(transaction, table, Self.volumeKey, value)
        }
    }

    private static let volumeKey: [UInt8] = [1, 0]

    /// CRC-32C of a block of zeroes.
    private static let zeroes: UInt32 = {
        var sum = UInt32.max
        for _ in 0..<4096 {
            for _ in 0..<8 { sum = sum & 1 == 1 ? sum >> 1 ^ 0x82F6_3B78 : sum >> 1 }
        }
        return ~sum
    }()

    private func bigEndian(_ number: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: number.bigEndian) { Array($0) }
    }

    private func littleEndian(_ number: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: number.littleEndian) { Array($0) }
    }
}
