import Glibc
import Synchronization
import Testing
import TrackStore

/// A storage directory that goes with the test, on memory where the machine has a memory file
/// system.
final class Scratch {
    let path: String

    init() {
        var template = Array("\(Scratch.root)/trackstore-XXXXXX".utf8CString)
        path = template.withUnsafeMutableBufferPointer { buffer in
            buffer.baseAddress.flatMap { mkdtemp($0) }.map { String(cString: $0) } ?? ""
        }
        precondition(!path.isEmpty, "no scratch directory")
    }

    deinit { Scratch.remove(path) }

    static let root: String = {
        if let named = getenv("STILLPOINT_TEST_DIRECTORY") { return String(cString: named) }
        return access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"
    }()

    static func remove(_ path: String) {
        if let directory = opendir(path) {
            while let entry = readdir(directory) {
                let name = withUnsafePointer(to: entry.pointee.d_name) { name in
                    name.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                }
                if name != ".", name != ".." { remove(path + "/" + name) }
            }
            closedir(directory)
            rmdir(path)
        } else {
            unlink(path)
        }
    }

    static func names(_ path: String) -> [String] {
        guard let directory = opendir(path) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: entry.pointee.d_name) { name in
                name.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    static func diskBlocks(_ path: String) -> Int {
        var status = stat()
        return stat(path, &status) == 0 ? Int(status.st_blocks) : 0
    }
}

/// Facts as they come, to be looked at later.
final class FactList: Sendable {
    private let facts = Mutex<[TrackStoreFact]>([])

    func add(_ fact: TrackStoreFact) { facts.withLock { $0.append(fact) } }

    var all: [TrackStoreFact] { facts.withLock { $0 } }

    /// Takes the facts out.
    func take() -> [TrackStoreFact] {
        facts.withLock { facts in
            defer { facts = [] }
            return facts
        }
    }
}

/// Numbers that a seed determines.
struct SeededNumbers: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 0x1234_5678 }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }

    mutating func chance(_ percent: Int) -> Bool { below(100) < percent }
}

/// A request that failed where the test needs it not to.
struct UnexpectedFailure: Error, CustomStringConvertible {
    var description: String
}

extension HostChannel {
    /// Reads a range; throws where the engine reports a failure.
    func read(_ device: OpenDevice, _ offset: Int, _ length: Int) throws -> [UInt8] {
        var requests = [HostRequest(kind: .read, offset: UInt64(offset), length: length)]
        perform(&requests, on: device)
        if let failure = requests[0].failure {
            throw UnexpectedFailure(
                description: "read \(device.view) \(offset)+\(length): \(failure)")
        }
        return requests[0].data.map { [UInt8](UnsafeRawBufferPointer(start: $0, count: length)) }
            ?? []
    }

    func readAll(_ device: OpenDevice) throws -> [UInt8] {
        try read(device, 0, Int(device.capacity))
    }

    /// Writes bytes; gives the failure.
    @discardableResult
    func write(_ device: OpenDevice, _ offset: Int, _ bytes: [UInt8], force: Bool = false)
        -> HostFailure?
    {
        var bytes = bytes
        return bytes.withUnsafeMutableBytes { bytes in
            var requests = [
                HostRequest(
                    kind: .write, offset: UInt64(offset), length: bytes.count,
                    forceUnitAccess: force, data: bytes.baseAddress)
            ]
            perform(&requests, on: device)
            return requests[0].failure
        }
    }

    @discardableResult
    func zero(_ device: OpenDevice, _ offset: Int, _ length: Int, punch: Bool = true)
        -> HostFailure?
    {
        var requests = [
            HostRequest(kind: .zero, offset: UInt64(offset), length: length, mayPunch: punch)
        ]
        perform(&requests, on: device)
        return requests[0].failure
    }

    @discardableResult
    func flush(_ device: OpenDevice) -> HostFailure? {
        var requests = [HostRequest(kind: .flush, offset: 0, length: 0)]
        perform(&requests, on: device)
        return requests[0].failure
    }
}

extension TrackStore.Configuration {
    /// With a small write journal or without one, as the environment says (STILLPOINT_JOURNAL=off) where
    /// the test does not.
    static func test(_ directory: String, journal: Bool? = nil) -> TrackStore.Configuration {
        var configuration = TrackStore.Configuration(directory: directory)
        let isOff = getenv("STILLPOINT_JOURNAL").map { String(cString: $0) == "off" } ?? false
        configuration.journalCapacity = journal ?? !isOff ? smallJournal : 0
        return configuration
    }

    /// Bytes of a journal that is soon full.
    static let smallJournal = 8 << 20
}

extension TrackStore {
    /// A backup of volumes of this store, as a session takes it.
    func backup(_ tag: String, _ volumes: [String]) throws {
        let group = InstantGroup()
        try prepare(group, tag: tag, time: 1_795_226_400_000, volumes: volumes)
        group.commit()
        try settle(group)
        try verify(tag: tag, volumes: volumes)
    }

    /// Polls until a relationship is drained, or has ended by itself; false after ten seconds.
    func waitUntilDrained(_ target: String) throws -> Bool {
        for _ in 0..<100_000 {
            if try relationship(into: target)?.tracksRemaining ?? 0 == 0 { return true }
            usleep(100)
        }
        return false
    }
}

func environmentNumber(_ name: String, default number: Int) -> Int {
    getenv(name).flatMap { Int(String(cString: $0)) } ?? number
}

/// Where a symbolic link leads.
func linkTarget(_ path: String) -> String {
    var target = [CChar](repeating: 0, count: 4096)
    let length = readlink(path, &target, target.count)
    return String(
        decoding: target.prefix(max(length, 0)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
