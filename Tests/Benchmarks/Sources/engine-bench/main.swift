import Glibc
import TrackStore

// Measures the engine by itself.
//
//     engine-bench [--directory D] [--mebibytes N] [--runs N] [--pause seconds] [--entries N]
//                  [--part writes|instants|all|copies|fill-index|open-index]
//
// writes and instants: host writes on one channel, and instants over many volumes; `all` is both.
// copies: does what lines on standard input ask for, see CopyBench; for scripts that let peers take turns.
// fill-index, open-index: see IndexBench.

struct Options {
    var directory = "engine-bench.data"
    var mebibytes = 2048
    var runs = 3
    var part = "all"
    var pause = 5
    var entries = 10_000_000

    init(_ arguments: [String]) {
        var rest = arguments.dropFirst()
        while let name = rest.popFirst(), let value = rest.popFirst() {
            switch name {
            case "--directory": directory = value
            case "--mebibytes": mebibytes = Int(value) ?? mebibytes
            case "--runs": runs = Int(value) ?? runs
            case "--part": part = value
            case "--pause": pause = Int(value) ?? pause
            case "--entries": entries = Int(value) ?? entries
            default: print("unknown option \(name)")
            }
        }
    }
}

func now() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}

func removeTree(_ path: String) {
    guard let directory = opendir(path) else {
        unlink(path)
        return
    }
    while let entry = readdir(directory) {
        let name = withUnsafePointer(to: entry.pointee.d_name) { name in
            name.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        if name != ".", name != ".." { removeTree(path + "/" + name) }
    }
    closedir(directory)
    rmdir(path)
}

func rounded(_ number: Double) -> String { "\((number * 10).rounded() / 10)" }

/// One request a track, in random order, `depth` at a time.
func sweep(
    _ kind: HostRequest.Kind, _ channel: HostChannel, _ device: OpenDevice, bytes: Int, depth: Int,
    memory: UnsafeMutableRawPointer
) -> Double {
    var tracks = Array(0..<Int(device.capacity) / 65_536)
    tracks.shuffle()
    let start = now()
    var first = 0
    while first < tracks.count {
        let some = tracks[first..<min(first + depth, tracks.count)]
        var requests = some.map { track in
            HostRequest(
                kind: kind, offset: UInt64(track * 65_536), length: bytes,
                data: kind == .write ? memory : nil)
        }
        channel.perform(&requests, on: device)
        if let failure = requests.first(where: { $0.failure != nil })?.failure {
            print("failed: \(failure)")
            exit(1)
        }
        first += depth
    }
    return Double(tracks.count) / (now() - start)
}

func fill(_ channel: HostChannel, _ device: OpenDevice, _ memory: UnsafeMutableRawPointer) {
    var offset = 0
    while offset < Int(device.capacity) {
        var requests = [
            HostRequest(kind: .write, offset: UInt64(offset), length: 1 << 20, data: memory)
        ]
        channel.perform(&requests, on: device)
        offset += 1 << 20
    }
    var requests = [HostRequest(kind: .flush, offset: 0, length: 0)]
    channel.perform(&requests, on: device)
}

func takeBackup(_ store: TrackStore, _ tag: String, _ volumes: [String]) throws {
    let group = InstantGroup()
    try store.prepare(group, tag: tag, time: 0, volumes: volumes)
    group.commit()
    try store.settle(group)
}

func measureWrites(_ options: Options) throws {
    let path = options.directory
    removeTree(path)
    let store = try TrackStore(.init(directory: path))
    let capacity = UInt64(options.mebibytes) << 20
    try store.createVolumes([NewVolume(id: "0100", capacity: capacity, multiplier: 64)])
    let channel = try HostChannel(store: store)
    let device = try store.open(.volume("0100"))
    let memory = UnsafeMutableRawPointer.allocate(byteCount: 1 << 20, alignment: 4096)
    for index in 0..<(1 << 17) {
        memory.storeBytes(
            of: UInt64.random(in: 0 ... .max), toByteOffset: index * 8, as: UInt64.self)
    }
    fill(channel, device, memory)
    // The disk needs a while to forget that it was filled.
    sleep(UInt32(options.pause))
    print("one request a 64 KiB track, random order, \(options.mebibytes) MiB, k/s")
    for (bytes, depth) in [(4096, 16), (4096, 1), (65_536, 16)] {
        for run in 1...options.runs {
            let plain = sweep(.write, channel, device, bytes: bytes, depth: depth, memory: memory)
            try takeBackup(store, "bench/\(bytes)-\(depth)-\(run)", ["0100"])
            let first = sweep(.write, channel, device, bytes: bytes, depth: depth, memory: memory)
            let second = sweep(.write, channel, device, bytes: bytes, depth: depth, memory: memory)
            let reads = sweep(.read, channel, device, bytes: bytes, depth: depth, memory: memory)
            let point = try store.open(
                .point(volume: "0100", tag: "bench/\(bytes)-\(depth)-\(run)"))
            let pointReads = sweep(
                .read, channel, point, bytes: bytes, depth: depth, memory: memory)
            print(
                "\(bytes) B depth \(depth): before \(rounded(plain / 1000)), first "
                    + "\(rounded(first / 1000)), second \(rounded(second / 1000)), read "
                    + "\(rounded(reads / 1000)), read of the point \(rounded(pointReads / 1000))")
        }
    }
    try store.close()
    removeTree(path)
}

func measureInstants(_ options: Options) throws {
    for count in [1, 100, 1000, 10_000] {
        let path = options.directory
        removeTree(path)
        let store = try TrackStore(.init(directory: path))
        let names = (0..<count).map { number in
            let digits = String(number, radix: 16)
            return String(repeating: "0", count: 4 - digits.count) + digits
        }
        try store.createVolumes(
            names.map { NewVolume(id: $0, capacity: 1 << 30, multiplier: 4) })
        for run in 1...options.runs {
            let group = InstantGroup()
            let start = now()
            try store.prepare(group, tag: "bench/\(run)", time: 0, volumes: names)
            let prepared = now()
            group.commit()
            let committed = now()
            try store.settle(group)
            let settled = now()
            try store.verify(tag: "bench/\(run)", volumes: names)
            let verified = now()
            print(
                "\(count) volumes: prepare \(rounded((prepared - start) * 1e6)) µs, instant "
                    + "\(rounded((committed - prepared) * 1e6)) µs, settle "
                    + "\(rounded((settled - committed) * 1e6)) µs, verify "
                    + "\(rounded((verified - settled) * 1e6)) µs")
        }
        try store.close()
        removeTree(path)
    }
}

let options = Options(CommandLine.arguments)
do {
    switch options.part {
    case "copies": try CopyBench(options).run()
    case "fill-index": try IndexBench(options).fill()
    case "open-index": try IndexBench(options).open()
    default:
        if options.part != "instants" { try measureWrites(options) }
        if options.part != "writes" { try measureInstants(options) }
    }
} catch {
    print("failed: \(error)")
    exit(1)
}
