// swift-tools-version: 6.2
import PackageDescription

/// Every Swift target that ships: strict memory safety, and a warning is an error. Exclusive access to what
/// classes hold is checked as it runs in debug builds, in which the tests run; a packet asks some thirty times.
let strict: [SwiftSetting] = [
    .strictMemorySafety(), .treatAllWarnings(as: .error),
    .unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release)),
]
/// Tests: what `#expect` expands to is not written for strict memory safety.
let testing: [SwiftSetting] = [.treatAllWarnings(as: .error)]
let strictC: [CSetting] = [.treatAllWarnings(as: .error)]

func library(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

func tests(
    _ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []
) -> Target {
    .testTarget(
        name: name, dependencies: dependencies, exclude: exclude, swiftSettings: testing)
}

// The order of the list is the order of the rooms: a target imports only what stands above it.
let package = Package(
    name: "sluice",
    products: [
        .executable(name: "sluice", targets: ["sluice"]),
        // For Bench/ and Fuzz/, which are packages of their own.
        .library(
            name: "PacketPath",
            targets: ["Wire", "Ruleset", "Conntrack", "Routing", "Hooks", "Dataplane"]),
        .library(
            name: "NodeParts",
            targets: ["PacketIO", "Netlink", "Control", "Scenario", "Mirror", "Services"]),
        .library(name: "CAllocationCount", targets: ["CAllocationCount"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: [
        .systemLibrary(name: "CPcap", providers: [.apt(["libpcap-dev"])]),
        .systemLibrary(
            name: "CBPF", providers: [.apt(["libbpf-dev", "libelf-dev", "zlib1g-dev"])]),
        .systemLibrary(name: "CMessageDigest", providers: [.apt(["libmd-dev"])]),
        .target(name: "CFlowABI", cSettings: strictC),
        .target(name: "CLinux", cSettings: strictC),
        library("Wire", []),
        library("Ruleset", ["Wire"]),
        .target(name: "CMemory", cSettings: strictC),
        library("Conntrack", ["Wire", "CMemory"]),
        library("VirtualServer", ["Wire", "Ruleset", "Conntrack"]),
        library("Routing", ["Wire"]),
        library("Hooks", ["Wire", "Ruleset", "Conntrack", "VirtualServer", "Routing"]),
        library(
            "Dataplane",
            ["Wire", "CMemory", "Ruleset", "Conntrack", "VirtualServer", "Routing", "Hooks"]),
        .executableTarget(name: "embedobject", swiftSettings: strict),
        .executableTarget(
            name: "portprobe", dependencies: ["PacketIO", "Dataplane", "Wire"],
            swiftSettings: strict),
        .plugin(name: "BuildBPF", capability: .buildTool(), dependencies: ["embedobject"]),
        .target(
            name: "BPFPrograms", path: "bpf",
            exclude: [
                "carry.bpf.c", "claim.bpf.c", "divert.bpf.c", "guard.bpf.c", "host.bpf.c",
                "load.bpf.c",
                "offload.bpf.c",
                "claim.h",
                "flow.h", "heartbeat.h", "predicate.h",
            ],
            swiftSettings: strict, plugins: ["BuildBPF"]),
        .target(
            name: "PacketIO",
            dependencies: [
                "Wire", "Dataplane", "CLinux", "CPcap", "CBPF", "CFlowABI", "BPFPrograms",
            ],
            swiftSettings: strict,
            // libbpf and libpcap are linked into the binary: one file is enough to install.
            linkerSettings: [
                .linkedLibrary(":libpcap.a"),
                .linkedLibrary(":libbpf.a"), .linkedLibrary(":libelf.a"), .linkedLibrary(":libz.a"),
            ]),
        library(
            "Offload",
            [
                "Wire", "Ruleset", "Conntrack", "Routing", "Hooks", "Dataplane", "CLinux", "CBPF",
                "CFlowABI", "PacketIO",
            ]),
        library("Netlink", ["Wire", "Routing", "CLinux"]),
        .target(
            name: "Services",
            dependencies: [
                "Wire", "Ruleset", "CMessageDigest", .product(name: "Yams", package: "Yams"),
            ],
            swiftSettings: strict, linkerSettings: [.linkedLibrary(":libmd.a")]),
        library("Lab", ["CLinux"]),
        library(
            "Explain", ["Wire", "Ruleset", "Conntrack", "VirtualServer", "Routing", "Hooks"]),
        .target(
            name: "Scenario",
            dependencies: [
                "Wire", "Ruleset", "Conntrack", "Routing", "Hooks", "Dataplane", "PacketIO",
                "Explain", .product(name: "Yams", package: "Yams"),
            ],
            swiftSettings: strict),
        library("KernelPath", ["Wire", "CLinux", "Netlink", "Lab", "Scenario"]),
        library("Mirror", ["Wire", "Ruleset", "Conntrack", "Explain", "Scenario", "KernelPath"]),
        library(
            "Control",
            [
                "Wire", "Ruleset", "Conntrack", "VirtualServer", "Routing", "Hooks", "Dataplane",
                "PacketIO", "Offload", "Netlink", "Explain", "Lab", "CLinux", "Services",
            ]),
        library("Benchmark", []),
        .target(name: "CForwarder", cSettings: strictC),
        library(
            "BenchmarkLab",
            [
                "Wire", "CLinux", "CBPF", "CFlowABI", "CForwarder", "PacketIO", "Lab", "Control",
                "Benchmark",
            ]),
        .executableTarget(
            name: "sluice",
            dependencies: [
                "Control", "Benchmark", "BenchmarkLab", "Lab", "PacketIO", "Scenario", "KernelPath",
                "Mirror", "Services",
                "Ruleset", "Wire",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict),
        // The frames of several modules' tests.
        .target(
            name: "FrameFixture", dependencies: ["Wire"], path: "Tests/FrameFixture",
            swiftSettings: testing),
        tests("DocsTests", []),
        tests("WireTests", ["Wire", "FrameFixture"]),
        tests("RulesetTests", ["Ruleset"], exclude: ["Fixtures"]),
        .target(
            name: "CAllocationCount", path: "Tests/CAllocationCount", cSettings: strictC),
        // Network namespaces, for the tests that ask the kernel.
        .target(
            name: "NamespaceFixture", dependencies: ["CLinux"], path: "Tests/NamespaceFixture",
            swiftSettings: testing),
        tests(
            "ConntrackTests",
            ["Conntrack", "CAllocationCount", "CLinux", "FrameFixture", "NamespaceFixture"],
            exclude: ["Scenarios"]),
        tests(
            "VirtualServerTests",
            ["VirtualServer", "Conntrack", "NodeFixture", "CAllocationCount"],
            exclude: ["Fixtures"]),
        tests("RoutingTests", ["Routing", "Netlink", "CLinux", "CAllocationCount"]),
        // What the tests of several modules build packets and nodes with.
        .target(
            name: "NodeFixture", dependencies: ["Hooks", "FrameFixture"], path: "Tests/NodeFixture",
            swiftSettings: testing),
        tests("HooksTests", ["Hooks", "NodeFixture"]),
        tests("ExplainTests", ["Explain", "NodeFixture"]),
        tests(
            "DataplaneTests",
            [
                "Dataplane", "VirtualServer", "PacketIO", "CAllocationCount", "FrameFixture",
                "NamespaceFixture",
                "KernelPath", "Scenario",
            ]),
        tests(
            "PacketIOTests",
            [
                "PacketIO", "CLinux", "CAllocationCount", "FrameFixture", "portprobe",
                "NamespaceFixture",
            ]),
        tests(
            "OffloadTests",
            [
                "Offload", "Conntrack", "PacketIO", "Dataplane", "Ruleset", "CBPF", "CFlowABI",
                "FrameFixture", "NamespaceFixture",
            ]),
        // The cases of kube-proxy's own tests.
        .target(
            name: "KubeProxyFixture", dependencies: ["Services", "Ruleset", "Wire"],
            path: "Tests/KubeProxyFixture", swiftSettings: testing),
        tests(
            "ServicesTests", ["Services", "Ruleset", "Wire", "KubeProxyFixture"],
            exclude: ["Fixtures"]),
        tests("ScenarioTests", ["Scenario", "PacketIO"], exclude: ["Golden"]),
        tests(
            "KernelPathTests",
            ["KernelPath", "Scenario", "Wire", "Lab", "FrameFixture", "NamespaceFixture"]),
        tests(
            "MirrorTests",
            ["Lab", "Mirror", "Ruleset", "NamespaceFixture", "KernelPath", "Scenario"],
            exclude: ["Cases", "Rules"]),
        // The same packets through Sluice and through the kernel.
        tests(
            "EngineTests",
            [
                "Scenario", "KernelPath", "Wire", "FrameFixture", "NamespaceFixture",
                "KubeProxyFixture", "Ruleset",
            ]),
        tests("ControlTests", ["Control", "Lab", "Dataplane", "Conntrack", "NamespaceFixture"]),
        tests("BenchmarkTests", ["Benchmark"]),
        tests("KernelTests", ["Lab", "CLinux", "Benchmark"]),
    ],
    swiftLanguageModes: [.v6]
)

// Scripts/sanitize builds the tests of some modules alone, and what they need.
if let chosen = Context.environment["SLUICE_TESTS"]?.split(separator: " ").map(String.init) {
    package.targets.removeAll { $0.isTest && !chosen.contains($0.name) }
}
