// swift-tools-version: 6.2
import PackageDescription

// The layers of the house, lowest first. Arrows point downwards only; the tidy test holds every
// `import` line to this list, since the package manager lets transitive imports through.
let package = Package(
    name: "stillpoint",
    products: [
        .executable(name: "stillpoint", targets: ["stillpoint"])
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: [
        // Layer 1: words and bits.
        .target(name: "CopyModel"),
        .target(name: "TrackBitmap"),
        // Layer 2: the law, and bytes to words and back.
        .target(name: "CopyRules", dependencies: ["CopyModel"]),
        .target(name: "CommandSchema", dependencies: ["CopyModel"]),
        // Layer 3: ports, and the storage engine that knows nothing of sessions.
        .target(name: "SessionStore", dependencies: ["CopyModel"]),
        .target(name: "StoragePort", dependencies: ["CopyModel"]),
        .target(name: "MessagePort"),
        .target(
            name: "TrackStore", dependencies: ["TrackBitmap", "CLMDB", "CURing", "CISAL"],
            exclude: ["ALGEBRA.md"]),
        // Layer 4: the runtime and the adapters.
        .target(
            name: "SessionRuntime",
            dependencies: [
                "CopyRules", "CommandSchema", "SessionStore", "StoragePort", "MessagePort",
                "CopyModel",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "DequeModule", package: "swift-collections"),
            ]),
        .target(name: "AMQPBroker", dependencies: ["MessagePort", "CRabbitMQ"]),
        .target(
            name: "SQLiteStore",
            dependencies: [
                "SessionStore", "CopyModel",
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "GRDBSQLite", package: "GRDB.swift"),
            ]),
        .target(name: "EmbeddedStorage", dependencies: ["StoragePort", "TrackStore", "CopyModel"]),
        .target(name: "NBDServer", dependencies: ["TrackStore", "COpenSSL"]),
        .target(name: "ConsoleText", dependencies: ["CommandSchema", "CopyModel"]),
        // Layer 5: the composition root.
        .executableTarget(
            name: "stillpoint",
            dependencies: [
                "SessionRuntime", "AMQPBroker", "SQLiteStore", "EmbeddedStorage", "NBDServer",
                "TrackStore", "CommandSchema", "CopyRules", "CopyModel", "SessionStore",
                "StoragePort",
                "MessagePort", "ConsoleText",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Yams", package: "Yams"),
            ]),
        // What only tests use: simulated surroundings, a broker of one's own, one suite a port.
        .target(name: "PrivateBroker", path: "Tests/PrivateBroker"),
        .target(
            name: "StoreConformance", dependencies: ["SessionStore", "CopyModel"],
            path: "Tests/StoreConformance"),
        .target(
            name: "StorageConformance", dependencies: ["StoragePort", "CopyModel"],
            path: "Tests/StorageConformance"),
        .target(
            name: "CopyTestKit",
            dependencies: [
                "SessionRuntime", "SessionStore", "StoragePort", "MessagePort", "CopyModel",
            ],
            path: "Tests/CopyTestKit"),
        .executableTarget(
            name: "StoreCrashChild", dependencies: ["SQLiteStore", "SessionStore", "CopyModel"],
            path: "Tests/SQLiteStoreTests/CrashChild"),
        .executableTarget(
            name: "track-crash-child", dependencies: ["TrackStore"],
            path: "Tests/TrackStoreCrashChild"),
        // Benchmarks of the engine, run by hand.
        .executableTarget(
            name: "engine-bench", dependencies: ["TrackStore", "CLMDB"],
            path: "Tests/Benchmarks/Sources/engine-bench"),
        .testTarget(name: "TidyTests"),
        .testTarget(name: "CopyModelTests", dependencies: ["CopyModel"]),
        .testTarget(name: "CopyRulesTests", dependencies: ["CopyRules", "CopyModel"]),
        .testTarget(name: "CommandSchemaTests", dependencies: ["CommandSchema", "CopyModel"]),
        .testTarget(name: "SchemaTests", dependencies: ["CommandSchema", "CopyModel"]),
        .testTarget(
            name: "ConsoleTextTests", dependencies: ["ConsoleText", "CommandSchema", "CopyModel"]),
        .testTarget(
            name: "ClientTests", dependencies: ["stillpoint", "ConsoleText", "AMQPBroker"]),
        .testTarget(
            name: "SessionRuntimeTests",
            dependencies: [
                "SessionRuntime", "CopyTestKit", "StoreConformance", "CommandSchema", "MessagePort",
                "SessionStore", "CopyModel", .product(name: "Logging", package: "swift-log"),
            ]),
        .testTarget(
            name: "AMQPBrokerTests", dependencies: ["AMQPBroker", "MessagePort", "PrivateBroker"]),
        .testTarget(
            name: "SQLiteStoreTests",
            dependencies: [
                "SQLiteStore", "StoreConformance", "SessionStore", "CopyModel", "StoreCrashChild",
                .product(name: "GRDBSQLite", package: "GRDB.swift"),
            ], exclude: ["CrashChild"]),
        .testTarget(name: "TrackBitmapTests", dependencies: ["TrackBitmap"]),
        .testTarget(
            name: "TrackStoreTests",
            dependencies: ["TrackStore", "TrackBitmap", "track-crash-child"]),
        .testTarget(
            name: "EmbeddedStorageTests",
            dependencies: [
                "EmbeddedStorage", "StorageConformance", "CopyTestKit", "StoragePort", "TrackStore",
                "CopyModel",
            ]),
        .testTarget(name: "NBDServerTests", dependencies: ["NBDServer", "TrackStore"]),
        // C libraries, each imported in one target only.
        .systemLibrary(name: "CRabbitMQ"),
        .systemLibrary(name: "CLMDB"),
        .systemLibrary(name: "CURing"),
        .systemLibrary(name: "CISAL"),
        .systemLibrary(name: "COpenSSL"),
    ],
    swiftLanguageModes: [.v6]
)

for target in package.targets where target.type != .system {
    target.swiftSettings = [
        .enableUpcomingFeature("ExistentialAny"),
        .treatAllWarnings(as: .error),
    ]
}
