import Foundation
import Glibc
import Testing
import TrackStore

@testable import NBDServer

@Suite("Export names stand for volumes and their points")
struct ExportNameTests {
    @Test("a name is read as it is written")
    func round() {
        let cases: [(String, HostView)] = [
            ("box1:0100", .volume("0100")),
            (
                "payroll/1795226400/box1:0100",
                .point(volume: "0100", tag: "payroll/1795226400")
            ),
        ]
        for (name, view) in cases {
            let parsed = TrackStoreCatalogue.parse(name)
            #expect(parsed?.system == "box1" && parsed?.view == view)
            #expect(TrackStoreCatalogue.name(of: view, in: "box1") == name)
        }
    }

    @Test("what has not the form of a name stands for nothing")
    func noNames() {
        for name in [
            "", ":", "box1", "box1:", ":0100", "/box1:0100", "a/box1:0100", "a/b/c/box1:0100",
            "a//box1:0100", "/b/box1:0100", "box1:0100/", "a/b/box1", "box1:0100:1",
        ] {
            #expect(TrackStoreCatalogue.parse(name) == nil, "\(name)")
        }
    }
}

/// A server over stores in a directory that goes away with it.
final class LiveStores {
    let directory: String
    let stores: [(name: String, store: TrackStore)]
    let server: NBDServer
    let path = LiveServer.path()

    init(_ names: [String] = ["box1"], volumes: [NewVolume]) throws {
        directory = LiveServer.path() + ".d"
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: false)
        let directory = directory
        stores = try names.map { name in
            var configuration = TrackStore.Configuration(directory: "\(directory)/\(name)")
            configuration.indexCapacity = 1 << 30
            let store = try TrackStore(configuration)
            try store.createVolumes(volumes)
            return (name, store)
        }
        server = NBDServer(
            catalogue: TrackStoreCatalogue(
                stores.map { TrackStoreCatalogue.System(name: $0.name, store: $0.store) }),
            listen: [.unix(path: path)])
        try server.start()
    }

    deinit {
        server.close()
        for (_, store) in stores { try? store.close() }
        try? FileManager.default.removeItem(atPath: directory)
    }

    func uri(_ export: String) -> String {
        let name = export.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? export
        return "nbd+unix:///\(name)?socket=\(path)"
    }

    func run(_ tool: Tool, _ arguments: String...) throws -> (status: Int32, output: String) {
        try tool.run(arguments)
    }

    func connect(_ export: String) throws -> WireClient {
        let client = try WireClient(.unix(path: path))
        try client.enter(export)
        return client
    }

    /// Takes a point of a volume of the first store.
    func takePoint(_ tag: String, of volume: String = "0100") throws {
        let group = InstantGroup()
        try stores[0].store.prepare(group, tag: tag, time: 0, volumes: [volume])
        group.commit()
        try stores[0].store.settle(group)
    }
}

extension LiveTests {
    @Suite("Volumes of a storage system")
    struct VolumeTests {
        static let size = 8 << 20
        static let tag = "payroll/1795226400"

        private func live(_ names: [String] = ["box1"]) throws -> LiveStores {
            try LiveStores(
                names,
                volumes: ["0100", "0200"].map {
                    NewVolume(id: $0, capacity: UInt64(Self.size), multiplier: 4)
                })
        }

        private func noise(_ seed: UInt64) -> [UInt8] {
            var random = SplitMix(seed: seed)
            var bytes: [UInt8] = []
            while bytes.count < Self.size { bytes.append(bigEndian: random.next()) }
            return bytes
        }

        @Test("a backup reads as the volume was, while the volume is written over")
        func backup() throws {
            let live = try live()
            let (volume, backup) = ("box1:0100", "\(Self.tag)/box1:0100")
            let before = ScratchFile(noise(1))
            let after = ScratchFile(noise(2))
            var result = try live.run(.nbdcopy, "--flush", before.path, live.uri(volume))
            #expect(result.status == 0, "\(result.output)")
            try live.takePoint(Self.tag)
            result = try live.run(.nbdcopy, "--connections=2", after.path, live.uri(volume))
            #expect(result.status == 0, "\(result.output)")
            for (export, expected) in [(volume, after), (backup, before)] {
                let copy = ScratchFile()
                result = try live.run(.nbdcopy, live.uri(export), copy.path)
                #expect(result.status == 0, "\(result.output)")
                #expect(copy.bytes == expected.bytes, "\(export)")
                result = try live.run(
                    .qemuImage, "compare", "-f", "raw", "-F", "raw", expected.path,
                    live.uri(export))
                #expect(result.status == 0, "\(export): \(result.output)")
            }
            #expect(try live.run(.nbdcopy, after.path, live.uri(backup)).status != 0)
        }

        @Test("every volume and every point is listed, with its system's name")
        func list() throws {
            let live = try live(["box1", "box2"])
            try live.takePoint(Self.tag)
            let uri = "nbd+unix:///?socket=\(live.path)"
            let (status, text) = try live.run(.nbdinfo, "--list", "--json", uri)
            #expect(status == 0, "\(text)")
            let json = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
            let exports = try #require(json?["exports"] as? [[String: Any]])
            #expect(
                exports.compactMap { $0["export-name"] as? String } == [
                    "box1:0100", "box1:0200", "\(Self.tag)/box1:0100", "box2:0100", "box2:0200",
                ])
            #expect(
                exports.compactMap { $0["is_read_only"] as? Bool } == [
                    false, false, true, false, false,
                ])
            let point = try live.run(.nbdinfo, live.uri("\(Self.tag)/box1:0100"))
            #expect(point.output.contains("Volume 0100 of box1 as of \(Self.tag)"))
        }

        @Test("a withdrawn point is gone for who reads it, and for who asks for it")
        func gone() throws {
            let live = try live()
            try live.takePoint(Self.tag)
            let name = "\(Self.tag)/box1:0100"
            let client = try live.connect(name)
            client.send(Message.request(.read, length: 4096))
            #expect(try client.reply().error == 0)
            try live.stores[0].store.dropPoints(tags: [Self.tag], volumes: ["0100"])
            client.send(Message.request(.read, length: 4096))
            #expect(try client.reply().error == WireError.shutdown.rawValue)
            let late = try WireClient(.unix(path: live.path))
            try late.greet()
            #expect(try late.option(Message.go(name)) == .unknown)
        }

        @Test("fio verifies what it wrote on a volume that has a backup")
        func verify() throws {
            let live = try live()
            try live.takePoint(Self.tag)
            let (status, text) = try live.run(
                .fio, "--name=verify", "--verify_state_save=0", "--ioengine=nbd",
                "--uri=\(live.uri("box1:0100"))",
                "--size=8m", "--rw=randwrite", "--bsrange=512-64k", "--bs_unaligned",
                "--iodepth=16", "--verify=crc32c", "--verify_fatal=1", "--verify_backlog=64",
                "--fsync=32", "--randseed=5")
            #expect(status == 0, "\(text)")
            let backup = ScratchFile()
            _ = try live.run(.nbdcopy, live.uri("\(Self.tag)/box1:0100"), backup.path)
            #expect(backup.bytes == Data(count: Self.size))
        }

        @Test("what was zeroed or trimmed reads as zeroes, and whole tracks become holes")
        func zeroes() throws {
            let live = try live()
            let source = ScratchFile(noise(3))
            #expect(try live.run(.nbdcopy, source.path, live.uri("box1:0100")).status == 0)
            let (status, text) = try live.run(
                .qemuIO, "-f", "raw", "-d", "unmap", "-c", "write -z 10000 5000",
                "-c", "write -z -u 1M 1M", "-c", "discard 4M 1M", "-c", "flush",
                "-c", "read -P 0 10000 5000", "-c", "read -P 0 1M 1M", "-c", "read -P 0 4M 1M",
                live.uri("box1:0100"))
            #expect(status == 0 && !text.contains("failed"), "\(text)")
            let client = try live.connect("box1:0100")
            client.send(Message.request(.blockStatus, offset: 4 << 20, length: 2 << 20))
            let expected: [UInt32] = [1, 1 << 20, 3, 1 << 20, 0]
            #expect(try client.reply().payload == expected.flatMap { Message.integer($0) })
        }

        @Test("a volume that grew shows its size to new clients")
        func growth() throws {
            let live = try live()
            let larger = UInt64(2 * Self.size)
            try live.stores[0].store.expandVolumes([(id: "0100", capacity: larger)])
            let (status, text) = try live.run(.nbdinfo, "--size", live.uri("box1:0100"))
            #expect(status == 0 && text.hasPrefix("\(larger)"), "\(text)")
        }

        @Test("names of nothing are refused, whatever they look like")
        func unknown() throws {
            let live = try live()
            let client = try WireClient(.unix(path: live.path))
            try client.greet()
            for name in [
                "box2:0100", "box1:0101", "box1:100", "box1:00100", "box1:zzzz", "box1:../0100",
                "../../box1:0100", "payroll/1/box1:0100", "box1:0100 ", "BOX1:0100", "",
            ] {
                #expect(try client.option(Message.go(name)) == .unknown, "\(name)")
            }
            #expect(try client.option(Message.go("box1:0100")) == .acknowledge)
        }

        @Test("a store that was closed offers nothing, and says why it refuses")
        func closed() throws {
            let live = try live()
            try live.stores[0].store.close()
            let client = try WireClient(.unix(path: live.path))
            try client.greet()
            client.send(Message.go("box1:0100"))
            let reply = try client.optionReply()
            #expect(reply.type == .unknown && !reply.data.isEmpty)
        }
    }
}
