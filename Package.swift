// swift-tools-version: 6.2
import Foundation
import PackageDescription

/// Whether this host has the multi-buffer library, which is for x86-64 only: without it the package builds without the
/// `ipsec-mb` engine.
#if arch(x86_64)
  let hasIPsecMB = FileManager.default.fileExists(atPath: "/usr/include/intel-ipsec-mb.h")
#else
  let hasIPsecMB = false
#endif

/// Tells the sources which engines are built.
let engineSettings: [SwiftSetting] = hasIPsecMB ? [.define("IPSEC_MB")] : []
let engines: [Target.Dependency] =
  ["EngineOpenSSL", "EngineAFALG"] + (hasIPsecMB ? ["EngineIPsecMB"] : [])

/// What every Swift target of ours is built with: Swift 6 mode, unsafe code spelled `unsafe`, warnings are errors.
///
/// The way of a request leads through six rooms, so the optimiser sees all of them at once (12 to 25 % more requests).
let ours: [SwiftSetting] =
  engineSettings + [
    .swiftLanguageMode(.v6),
    .strictMemorySafety(),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .treatAllWarnings(as: .error),
    .unsafeFlags(["-cross-module-optimization"], .when(configuration: .release)),
  ]

/// Tests speak to C and to sockets freely, so they leave out strict memory safety.
let testSettings: [SwiftSetting] =
  engineSettings + [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .treatAllWarnings(as: .error),
  ]

/// What feeds the parsers is quick, while these keep all of their checks.
let fuzzSettings: [SwiftSetting] =
  ProcessInfo.processInfo.environment["FUZZ"].map { $0 == "coverage" } == false
  ? [.unsafeFlags(["-O"])] : []

let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let arguments = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")

/// A room of the house: a library target under `Sources/`.
func room(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .target(name: name, dependencies: dependencies, swiftSettings: ours)
}

func tests(of name: String, _ dependencies: [Target.Dependency]) -> Target {
  .testTarget(
    name: name + "Tests", dependencies: [.byName(name: name)] + dependencies,
    swiftSettings: testSettings)
}

/// Tests that drive the real daemon process over its real socket.
func integration(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
  .testTarget(
    name: name,
    dependencies: dependencies + [
      "TestSupport", "VhostUserFrontend", "VhostUserProtocol", "CryptoTypes", "VirtioSpec",
      "LinuxSystem", "CRingShims", "StatsEndpoint", "VirtioCryptoDaemon", "VhostCryptoTool",
    ],
    swiftSettings: testSettings)
}

let package = Package(
  name: "vhost-user-crypto",
  products: [
    .executable(name: "vhost-user-crypto", targets: ["VirtioCryptoDaemon"]),
    .executable(name: "vhost-crypto", targets: ["VhostCryptoTool"]),
    // Of the tests: preloaded into the daemon, it counts what each thread allocates.
    .library(name: "AllocationCounter", type: .dynamic, targets: ["CAllocationCounter"]),
    // Likewise: makes what the daemon calls fail.
    .library(name: "FaultInjector", type: .dynamic, targets: ["CFaultInjector"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
    .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
  ],
  targets: [
    // Floor 0: C that Swift cannot say.
    .target(name: "CLinuxShims", path: "CModules/CLinuxShims"),
    .target(name: "CRingShims", path: "CModules/CRingShims"),
    .target(
      name: "CUring", path: "CModules/CUring",
      linkerSettings: [.linkedLibrary("uring")]),
    .target(
      name: "COpenSSL", path: "CModules/COpenSSL",
      linkerSettings: [.linkedLibrary("crypto")]),

    .target(
      name: "CKcapi", dependencies: ["CLinuxShims"], path: "CModules/CKcapi",
      linkerSettings: [.linkedLibrary("kcapi"), .linkedLibrary("uring")]),

    // Floor 1: words and numbers.
    room("VirtioSpec", []),
    room("VhostUserProtocol", []),
    room("CryptoTypes", []),
    room("Counters", ["CRingShims", "CLinuxShims"]),
    room("LinuxSystem", ["CLinuxShims"]),

    // Floor 2: memory and rings of the host.
    room("GuestMemory", ["CRingShims", "LinuxSystem"]),
    room("IOUring", ["CUring", "LinuxSystem"]),
    room("ServiceManager", ["LinuxSystem"]),

    // Floor 3: virtqueues; what an engine is.
    room("VirtQueue", ["CRingShims", "GuestMemory", "LinuxSystem"]),
    room("EngineContract", ["CryptoTypes", "IOUring", "LinuxSystem"]),

    // Floor 4: engines; the device.
    room("EngineAFALG", ["CKcapi", "CryptoTypes", "EngineContract", "IOUring"]),
    room("EngineOpenSSL", ["COpenSSL", "CryptoTypes", "EngineContract", "IOUring"]),
    room(
      "CryptoDevice",
      [
        "VirtioSpec", "VirtQueue", "GuestMemory", "CryptoTypes", "LinuxSystem", "CRingShims",
        "CLinuxShims",
      ]),

    // Floor 5: the world around the device.
    room(
      "VhostUserBackend",
      ["VhostUserProtocol", "GuestMemory", "LinuxSystem", logging]),
    room(
      "QueueWorkers",
      [
        "CryptoDevice", "VirtQueue", "GuestMemory", "IOUring", "CryptoTypes", "EngineContract",
        "Counters", "LinuxSystem", "CRingShims", "CLinuxShims",
      ]),
    room(
      "Capabilities",
      ["CryptoTypes", "VirtioSpec", .product(name: "Yams", package: "Yams")]),
    room(
      "StatsEndpoint",
      [
        "Counters", "CryptoTypes", "LinuxSystem", logging,
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "Histogram", package: "hdrhistogram-swift"),
      ]),
    room(
      "VhostUserFrontend",
      [
        "VhostUserProtocol", "VirtioSpec", "LinuxSystem", "CRingShims", "CryptoTypes", "COpenSSL",
        .product(name: "Histogram", package: "hdrhistogram-swift"),
      ]),

    // Floor 6: the engines of this build, put together.
    room(
      "HostEngines",
      engines + ["EngineContract", "CryptoTypes", "Capabilities", "COpenSSL"]),

    // Floor 7: the programs.
    .executableTarget(
      name: "VirtioCryptoDaemon",
      dependencies: [
        "HostEngines", "EngineContract", "IOUring", "VhostUserBackend", "QueueWorkers",
        "Capabilities", "StatsEndpoint", "CryptoDevice",
        "Counters", "CryptoTypes", "LinuxSystem", "GuestMemory", "ServiceManager", "VirtQueue",
        "VhostUserProtocol", "VirtioSpec", arguments, logging,
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
        .product(name: "UnixSignals", package: "swift-service-lifecycle"),
      ],
      swiftSettings: ours,
      // Binding functions when they are first called saves all vector registers on the stack, pieces of keys among them.
      linkerSettings: [.unsafeFlags(["-Xlinker", "-z", "-Xlinker", "now"])]),
    .executableTarget(
      name: "VhostCryptoTool",
      dependencies: [
        "HostEngines", "EngineContract", "VhostUserFrontend", "Capabilities", "CryptoTypes",
        "StatsEndpoint",
        "LinuxSystem", "VirtioSpec", "VhostUserProtocol", "CryptoDevice", arguments,
        .product(name: "Histogram", package: "hdrhistogram-swift"),
      ],
      swiftSettings: ours),

    tests(
      of: "VirtQueue", ["GuestMemory", "VirtioSpec", "LinuxSystem", "CRingShims", "CStoreTrace"]),
    // Of the tests: what shared memory looks like after each store of a piece of code.
    .target(name: "CStoreTrace", path: "Tests/StoreTrace"),
    tests(of: "LinuxSystem", []),
    tests(of: "GuestMemory", ["LinuxSystem"]),
    tests(of: "IOUring", ["LinuxSystem", "RingProbe"]),
    .target(
      name: "RingProbe", dependencies: ["CUring"], path: "Tests/RingProbe",
      linkerSettings: [.linkedLibrary("uring")]),
    tests(of: "ServiceManager", ["LinuxSystem", "TestSupport", "VhostUserFrontend"]),
    tests(of: "CryptoTypes", []),
    tests(
      of: "QueueWorkers",
      [
        "CLinuxShims", "Counters", "CryptoDevice", "CryptoTypes", "EngineContract", "IOUring",
        "LinuxSystem",
      ]),
    tests(of: "EngineContract", ["CryptoTypes", "IOUring", "LinuxSystem"]),
    tests(
      of: "EngineOpenSSL",
      ["COpenSSL", "CryptoTypes", "EngineContract", "EngineTestSupport", "TestSupport"]),
    tests(
      of: "HostEngines",
      ["Capabilities", "CryptoTypes", "EngineContract", "IOUring", "TestSupport"]),
    tests(of: "CryptoDevice", ["VirtioSpec", "CryptoTypes", "LinuxSystem", "TestSupport"]),
    tests(
      of: "VhostUserBackend",
      ["VhostUserProtocol", "VhostUserFrontend", "GuestMemory", "LinuxSystem"]),
    tests(of: "Capabilities", ["CryptoTypes", "VirtioSpec"]),
    tests(of: "StatsEndpoint", ["Counters", "CryptoTypes", "TestSupport", logging]),
    tests(of: "Counters", []),
    .target(
      name: "TestSupport",
      dependencies: [
        "VhostUserFrontend", "CryptoTypes", "CRingShims", "VirtioSpec", "VhostUserProtocol",
        "CMemorySearch", "LinuxSystem",
      ],
      path: "Tests/TestSupport", swiftSettings: testSettings),
    // For every engine's tests: lanes played as workers do, published vectors, random requests, a search for keys.
    .target(
      name: "EngineTestSupport",
      dependencies: [
        "CMemorySearch", "COpenSSL", "CryptoTypes", "EngineContract", "EngineOpenSSL", "IOUring",
        "LinuxSystem", "TestSupport",
      ],
      path: "Tests/EngineTestSupport", swiftSettings: testSettings),
    .target(name: "CAllocationCounter", path: "Tests/AllocationCounter"),
    // Of the tests: starts the daemon as in a container that forbids AF_ALG sockets.
    .executableTarget(name: "socket-filter", path: "Tests/SocketFilter"),
    // Of the tests: does what the daemon's filter of system calls forbids.
    .executableTarget(
      name: "confined", dependencies: ["LinuxSystem"], path: "Tests/Confined",
      swiftSettings: testSettings),
    // Of the tests: very many random requests, from a program that is built optimised.
    .executableTarget(
      name: "traffic-driver",
      dependencies: ["TestSupport", "VhostUserFrontend", "CryptoTypes", "VirtioSpec"],
      path: "Tests/TrafficDriver", swiftSettings: testSettings),
    // Of the tests: a guest whose daemon is killed again and again.
    .executableTarget(
      name: "restart-driver",
      dependencies: [
        "VhostUserFrontend", "VhostUserProtocol", "CryptoTypes", "VirtioSpec", "TestSupport",
      ],
      path: "Tests/RestartDriver", exclude: ["kill-test.sh"], swiftSettings: testSettings),
    // Of the tests: guests of a daemon for minutes, with everything that can go wrong.
    .executableTarget(
      name: "soak-driver",
      dependencies: [
        "TestSupport", "VhostUserFrontend", "VhostUserProtocol", "CryptoTypes", "VirtioSpec",
      ],
      path: "Tests/SoakDriver", swiftSettings: testSettings),
    .target(name: "CFaultInjector", path: "Tests/FaultInjector"),
    // Of the tests: the data path alone, in one thread and without a socket, to be timed or its instructions counted.
    .executableTarget(
      name: "data-path-driver",
      dependencies: [
        "HostEngines", "EngineContract", "QueueWorkers", "CryptoDevice", "VirtQueue", "GuestMemory",
        "Counters", "CryptoTypes", "IOUring", "LinuxSystem", "VhostUserFrontend", "VirtioSpec",
        arguments,
      ],
      path: "Tests/DataPathDriver", exclude: ["instructions.json"], swiftSettings: testSettings,
      // As the daemon is linked, so that calls of libraries cost the same; and without debug information, which Debian's
      // Valgrind cannot read.
      linkerSettings: [
        .unsafeFlags(["-Xlinker", "-z", "-Xlinker", "now", "-Xlinker", "--strip-debug"])
      ]),
    // Of the tests: what fuzzers feed; the fuzzing program itself is built apart, below.
    .target(
      name: "FuzzEntries",
      dependencies: [
        "Capabilities", "CryptoDevice", "CryptoTypes", "EngineContract", "EngineOpenSSL",
        "GuestMemory", "LinuxSystem", "TestSupport", "VhostUserBackend", "VhostUserFrontend",
        "VhostUserProtocol", "VirtQueue", "VirtioSpec", logging,
      ],
      path: "Tests/FuzzEntries", swiftSettings: testSettings + fuzzSettings),
    .testTarget(name: "FuzzTests", dependencies: ["FuzzEntries"], swiftSettings: testSettings),
    .target(name: "CExitWatch", path: "Tests/ExitWatch"),
    // Of the tests: makes and ends sessions in a journal, one instruction after the other.
    .executableTarget(
      name: "journal-writer",
      dependencies: ["CryptoDevice", "CryptoTypes", "LinuxSystem", "VirtioSpec"],
      path: "Tests/JournalWriter", swiftSettings: testSettings),
    .target(name: "CStepWatch", path: "Tests/StepWatch"),
    .target(name: "CMemorySearch", path: "Tests/MemorySearch"),
    integration("IntegrationTests"),
    integration("VectorTests"),
    integration("AsymmetricTests"),
    integration("HostileGuestTests"),
    integration("DaemonTests", ["CExitWatch"]),
    integration("MigrationTests"),
    integration("KernelEngineTests"),
    integration("SessionStoreTests", ["CStepWatch", "CryptoDevice"]),
    integration("TrafficTests"),
    integration("ModelTests"),
    integration("ConfinementTests"),
    integration("PerformanceGuardTests"),
    integration("RestartTests"),
    integration("SoakTests"),
    integration("KeyTests", ["CExitWatch"]),
    // The documents' commands are run, and every message of the sources is to be explained.
    .testTarget(
      name: "DocumentationTests", dependencies: ["TestSupport", "VhostUserFrontend"],
      swiftSettings: testSettings),
  ],
  cLanguageStandard: .gnu11
)

if hasIPsecMB {
  package.targets += [
    .target(
      name: "CIPsecMB", dependencies: ["CLinuxShims"], path: "CModules/CIPsecMB",
      linkerSettings: [.linkedLibrary("IPSec_MB"), .linkedLibrary("crypto")]),
    room("EngineIPsecMB", ["CIPsecMB", "CryptoTypes", "EngineContract", "IOUring"]),
    tests(
      of: "EngineIPsecMB",
      ["CIPsecMB", "CryptoTypes", "EngineContract", "EngineTestSupport", "TestSupport"]),
  ]
}

// The fuzzing program needs Swift's libFuzzer, whose path Tests/Fuzz/fuzz.sh puts into FUZZ; "coverage" makes one that only
// replays.
if let library = ProcessInfo.processInfo.environment["FUZZ"] {
  let hasLibrary = library != "coverage"
  package.products.append(.executable(name: "fuzz", targets: ["fuzz"]))
  package.targets += [
    .target(name: "CFuzzDriver", path: "Tests/FuzzDriver"),
    .executableTarget(
      name: "fuzz", dependencies: ["FuzzEntries"] + (hasLibrary ? ["CFuzzDriver"] : []),
      path: "Tests/Fuzz", exclude: ["Corpus", "Dictionaries", "fuzz.sh"],
      swiftSettings: testSettings + (hasLibrary ? [.define("LIBFUZZER")] : []),
      linkerSettings: hasLibrary ? [.unsafeFlags([library]), .linkedLibrary("stdc++")] : []),
  ]
}
