import Foundation
import Glibc
import Testing

@testable import NBDServer

/// A program that a test needs, and the Debian package that has it.
struct Tool {
    let name: String
    let package: String

    static let nbdinfo = Tool(name: "nbdinfo", package: "libnbd-bin")
    static let nbdcopy = Tool(name: "nbdcopy", package: "libnbd-bin")
    static let qemuImage = Tool(name: "qemu-img", package: "qemu-utils")
    static let qemuIO = Tool(name: "qemu-io", package: "qemu-utils")
    static let qemuNBD = Tool(name: "qemu-nbd", package: "qemu-utils")
    static let fio = Tool(name: "fio", package: "fio")

    struct Missing: Error, CustomStringConvertible { let description: String }

    /// Runs it for at most two minutes.
    func run(_ arguments: [String]) throws -> (status: Int32, output: String) {
        let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin").split(
            separator: ":")
        guard let folder = folders.first(where: { access("\($0)/\(name)", X_OK) == 0 }) else {
            throw Missing(description: "\(name) is missing: apt-get install \(package)")
        }
        let path = LiveServer.path() + ".out"
        #expect(FileManager.default.createFile(atPath: path, contents: nil))
        defer { unlink(path) }
        let output = try #require(FileHandle(forWritingAtPath: path))
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/timeout")
        process.arguments = ["-k", "1", "120", "\(folder)/\(name)"] + arguments
        process.standardOutput = output
        process.standardError = output
        process.standardInput = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        let text = try String(contentsOfFile: path, encoding: .utf8)
        return (process.terminationStatus, text)
    }
}

extension LiveServer {
    /// Runs a program while this server is sure to be there.
    func run(_ tool: Tool, _ arguments: String...) throws -> (status: Int32, output: String) {
        try tool.run(arguments)
    }
}

/// A file that goes away with the test.
final class ScratchFile {
    let path: String

    init(_ bytes: [UInt8]? = nil) {
        path = LiveServer.path() + ".raw"
        guard let bytes else { return }
        #expect(FileManager.default.createFile(atPath: path, contents: Data(bytes)))
    }

    deinit { unlink(path) }

    var bytes: Data { (try? Data(contentsOf: URL(fileURLWithPath: path))) ?? Data() }
}

extension LiveTests {
    @Suite("Real clients")
    struct RealClientTests {
        private let size = 24 << 20

        private func live(tcp: Bool = false, readOnly: Bool = false) throws -> LiveServer {
            let disk = MemoryExport(capacity: UInt64(size), isReadOnly: readOnly)
            return try LiveServer([(LiveServer.disk, disk)], tcp: tcp)
        }

        /// Data with holes in it.
        private func image() -> [UInt8] {
            var bytes = [UInt8](repeating: 0, count: size)
            var random = SplitMix(seed: 99)
            bytes.withUnsafeMutableBytes { bytes in
                let words = bytes.bindMemory(to: UInt64.self)
                for track in 0..<size / 65536 where track % 3 != 1 {
                    for index in 0..<8192 { words[track * 8192 + index] = random.next() }
                }
            }
            return bytes
        }

        private func holds(_ live: LiveServer, _ bytes: [UInt8]) -> Bool {
            bytes.withUnsafeBytes { memcmp($0.baseAddress!, live.export.bytes, $0.count) == 0 }
        }

        @Test(
            "nbdinfo sees size, flags, block sizes, description and contexts",
            arguments: [false, true])
        func information(tcp: Bool) throws {
            let live = try live(tcp: tcp)
            let (status, text) = try live.run(.nbdinfo, "--json", live.uri())
            #expect(status == 0, "\(text)")
            let json = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
            let export = try #require((json?["exports"] as? [[String: Any]])?.first)
            #expect(export["export-size"] as? Int == size)
            #expect(export["description"] as? String == "memory of \(size) bytes")
            #expect(export["contexts"] as? [String] == ["base:allocation"])
            #expect(export["block_size_minimum"] as? Int == 1)
            #expect(export["block_size_preferred"] as? Int == 4096)
            #expect(export["block_size_maximum"] as? Int == 32 << 20)
            #expect(export["is_read_only"] as? Bool == false)
            for flag in [
                "can_cache", "can_df", "can_fast_zero", "can_flush", "can_fua", "can_multi_conn",
                "can_trim", "can_zero",
            ] {
                #expect(export[flag] as? Bool == true, "\(flag)")
            }
        }

        @Test("nbdinfo and qemu-nbd list every export")
        func list() throws {
            let names = ["box1:0100", "box1:01FF", "payroll/1795226400/box1:0100"]
            let live = try LiveServer(
                names.enumerated().map { number, name in
                    (name, MemoryExport(capacity: 4096, isReadOnly: number == 2))
                })
            guard case .unix(let path) = live.address else { return }
            let (status, text) = try live.run(
                .nbdinfo, "--list", "--json", "nbd+unix:///?socket=\(path)")
            #expect(status == 0, "\(text)")
            let json = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
            let exports = try #require(json?["exports"] as? [[String: Any]])
            #expect(exports.compactMap { $0["export-name"] as? String } == names)
            #expect(exports.compactMap { $0["is_read_only"] as? Bool } == [false, false, true])
            let listed = try live.run(.qemuNBD, "--list", "-k", path)
            #expect(listed.status == 0, "\(listed.output)")
            for name in names { #expect(listed.output.contains("'\(name)'")) }
        }

        @Test("qemu-img writes an image and reads back the same", arguments: [false, true])
        func convert(tcp: Bool) throws {
            let live = try live(tcp: tcp)
            let bytes = image()
            let source = ScratchFile(bytes)
            let target = ScratchFile()
            let formats = ["-f", "raw", "-O", "raw"]
            var result = try live.run(
                .qemuImage, "convert", "-n", formats[0], formats[1], formats[2], formats[3], "-m",
                "8", "-W",
                source.path, live.uri())
            #expect(result.status == 0, "\(result.output)")
            #expect(holds(live, bytes))
            result = try live.run(
                .qemuImage, "compare", "-f", "raw", "-F", "raw", source.path, live.uri())
            #expect(result.status == 0, "\(result.output)")
            result = try live.run(
                .qemuImage, "convert", formats[0], formats[1], formats[2], formats[3], live.uri(),
                target.path)
            #expect(result.status == 0, "\(result.output)")
            #expect(target.bytes == Data(bytes))
        }

        @Test("qemu-img sees holes where nothing was written")
        func map() throws {
            let live = try live()
            let client = try live.connect()
            try client.enter()
            client.send(Message.write([UInt8](repeating: 1, count: 8192), at: 1 << 20))
            _ = try client.reply()
            let (status, text) = try live.run(
                .qemuImage, "map", "--output=json", "-f", "raw", live.uri())
            #expect(status == 0, "\(text)")
            let json = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [[String: Any]]
            #expect(json?.map { $0["start"] as? Int } == [0, 1 << 20, 1 << 20 + 8192])
            #expect(json?.map { $0["data"] as? Bool } == [false, true, false])
        }

        @Test("qemu-io's patterns hold, aligned and unaligned, zeroed and discarded")
        func patterns() throws {
            let live = try live()
            let (status, text) = try live.run(
                .qemuIO, "-f", "raw", "-d", "unmap",
                "-c", "write -P 0x11 0 1M", "-c", "write -P 0x22 12345 6789",
                "-c", "write -f -P 0x33 2M 64k", "-c", "write -z 512k 64k",
                "-c", "write -z -u 576k 64k", "-c", "discard 3M 1M", "-c", "flush",
                "-c", "aio_write -P 0x44 5M 4M", "-c", "aio_write -P 0x55 10M 4M", "-c",
                "aio_flush",
                "-c", "read -P 0x11 0 12345", "-c", "read -P 0x22 12345 6789",
                "-c", "read -P 0x33 2M 64k", "-c", "read -P 0 512k 128k",
                "-c", "read -P 0x11 768k 256k", "-c", "read -P 0x44 5M 4M",
                "-c", "read -P 0x55 10M 4M", live.uri())
            #expect(status == 0, "\(text)")
            #expect(!text.contains("failed"), "\(text)")
            #expect(live.export.flushes.load(ordering: .relaxed) > 0)
            #expect(live.export.forced.load(ordering: .relaxed) > 0)
            #expect(live.export.punched.load(ordering: .relaxed) > 0)
        }

        @Test("nbdcopy in and out over several connections", arguments: [1, 4])
        func copy(connections: Int) throws {
            let live = try live()
            let bytes = image()
            let source = ScratchFile(bytes)
            let target = ScratchFile()
            let options = ["--connections=\(connections)", "--threads=\(connections)"]
            var result = try live.run(
                .nbdcopy, options[0], options[1], "--flush", source.path, live.uri())
            #expect(result.status == 0, "\(result.output)")
            #expect(holds(live, bytes))
            result = try live.run(.nbdcopy, options[0], options[1], live.uri(), target.path)
            #expect(result.status == 0, "\(result.output)")
            #expect(target.bytes == Data(bytes))
            #expect(live.server.report.connections >= 2 * connections)
        }

        @Test("nbdcopy from export to export, on one server")
        func copyAcross() throws {
            let exports = ["box1:0100", "box1:0200"].map {
                (name: $0, export: MemoryExport(capacity: UInt64(size)))
            }
            let live = try LiveServer(exports)
            let bytes = image()
            let source = ScratchFile(bytes)
            var result = try live.run(.nbdcopy, source.path, live.uri())
            #expect(result.status == 0, "\(result.output)")
            result = try live.run(.nbdcopy, "--connections=4", live.uri(), live.uri("box1:0200"))
            #expect(result.status == 0, "\(result.output)")
            bytes.withUnsafeBytes {
                #expect(memcmp($0.baseAddress!, exports[1].export.bytes, $0.count) == 0)
            }
        }

        @Test("fio verifies what it wrote at random, 16 deep", arguments: [false, true])
        func verify(tcp: Bool) throws {
            let live = try live(tcp: tcp)
            let (status, text) = try live.run(
                .fio, "--name=verify", "--verify_state_save=0", "--ioengine=nbd",
                "--uri=\(live.uri())", "--size=16m",
                "--rw=randwrite", "--bsrange=512-64k", "--bs_unaligned", "--iodepth=16",
                "--verify=crc32c", "--verify_fatal=1", "--verify_backlog=64", "--fsync=32",
                "--randseed=5")
            #expect(status == 0, "\(text)")
            #expect(live.server.report.reads > 100)
            #expect(live.export.flushes.load(ordering: .relaxed) > 0)
        }

        @Test("a read-only export lets no real client write")
        func readOnly() throws {
            let live = try live(readOnly: true)
            let source = ScratchFile([UInt8](repeating: 1, count: size))
            #expect(try live.run(.nbdcopy, source.path, live.uri()).status != 0)
            let write = try live.run(.qemuIO, "-f", "raw", "-c", "write -P 1 0 4k", live.uri())
            #expect(write.status != 0, "\(write.output)")
            let read = try live.run(.qemuIO, "-r", "-f", "raw", "-c", "read -P 0 0 1M", live.uri())
            #expect(read.status == 0, "\(read.output)")
            #expect(holds(live, [UInt8](repeating: 0, count: size)))
        }

        @Test("a failure of the medium reaches the program that reads")
        func mediumError() throws {
            let live = try live()
            let source = ScratchFile(image())
            let target = ScratchFile()
            #expect(try live.run(.nbdcopy, source.path, live.uri()).status == 0)
            live.export.fail(1 << 20..<1 << 20 + 512, with: .inputOutput)
            let copy = try live.run(.nbdcopy, live.uri(), target.path)
            #expect(copy.status != 0, "\(copy.output)")
            let read = try live.run(.qemuIO, "-f", "raw", "-c", "read 1M 512", live.uri())
            #expect(read.output.contains("Input/output error"), "\(read.output)")
        }
    }
}
