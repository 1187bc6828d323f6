import Glibc
import TrackStore

// Writes to a store until it is killed, and says what it has done: see KillTests.
//
//     track-crash-child <directory> <first number> <blocks>
//     track-crash-child <directory> life       everything once: see KilledCallsTests
//     track-crash-child <directory> threads    the same; first it says which threads the engine has,
//                                              and waits for a line

func say(_ text: String) {
    let bytes = Array((text + "\n").utf8)
    _ = Glibc.write(1, bytes, bytes.count)
}

/// The engine's threads, in the order in which they were started.
func threads() -> [Int] {
    guard let directory = opendir("/proc/self/task") else { return [] }
    defer { closedir(directory) }
    var found: [Int] = []
    while let entry = readdir(directory) {
        let name = withUnsafePointer(to: entry.pointee.d_name) { name in
            name.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        if let thread = Int(name), thread != Int(getpid()) { found.append(thread) }
    }
    return found.sorted()
}

/// A small write journal, or none where the environment says STILLPOINT_JOURNAL=off.
let journalCapacity =
    getenv("STILLPOINT_JOURNAL").map { String(cString: $0) } == "off" ? 0 : 8 << 20

let arguments = CommandLine.arguments
if arguments.count == 3, ["life", "threads"].contains(arguments[2]) {
    do {
        let life = try Life(arguments[1])
        if arguments[2] == "threads" {
            say("threads " + threads().map(String.init).joined(separator: " "))
            _ = readLine()
            try life.run(rest: 700_000)
        } else {
            try life.run(rest: 0)
        }
        exit(0)
    } catch {
        say("failed \(error)")
        exit(1)
    }
}
guard arguments.count == 4, let first = Int(arguments[2]), let blocks = Int(arguments[3]) else {
    exit(2)
}
do {
    var configuration = TrackStore.Configuration(directory: arguments[1])
    configuration.journalCapacity = journalCapacity
    let store = try TrackStore(configuration)
    let names = ["0100", "0101"]
    try store.createVolumes(
        names.map { NewVolume(id: $0, capacity: UInt64(blocks * 4096), multiplier: 1000) })
    let channel = try HostChannel(store: store)
    let devices = [try store.open(.volume(names[0])), try store.open(.volume(names[1]))]
    let memory = UnsafeMutablePointer<UInt64>.allocate(capacity: 512)
    var number = first
    while true {
        memory.initialize(repeating: UInt64(number), count: 512)
        var requests = [
            HostRequest(
                kind: .write, offset: UInt64(number * 7919 % blocks * 4096), length: 4096,
                data: memory)
        ]
        channel.perform(&requests, on: devices[number % 2])
        if requests[0].failure != nil { exit(3) }
        if number % 50 == 0 {
            for device in devices {
                var flush = [HostRequest(kind: .flush, offset: 0, length: 0)]
                channel.perform(&flush, on: device)
                if flush[0].failure != nil { exit(3) }
            }
            say("flushed \(number)")
        }
        if number % 200 == 0 {
            let group = InstantGroup()
            try store.prepare(group, tag: "k/\(number)", time: 0, volumes: names)
            group.commit()
            try store.settle(group)
            try store.verify(tag: "k/\(number)", volumes: names)
            say("backup \(number)")
        }
        number += 1
    }
} catch {
    say("failed \(error)")
    exit(1)
}
