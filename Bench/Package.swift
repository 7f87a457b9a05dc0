// swift-tools-version: 6.2
import PackageDescription

// A package of its own, so that whoever builds Sluice does not build its benchmarks.
let package = Package(
    name: "Bench",
    dependencies: [.package(name: "sluice", path: "..")],
    targets: [
        .target(name: "CBaseline", cSettings: [.unsafeFlags(["-O2"])]),
        // A forwarder without a mind and a load to go with it, in C: what Sluice's ports are measured
        // against. `forwarder` and `generator` are the same by hand.
        .target(name: "CForwarder", cSettings: [.unsafeFlags(["-O2"])]),
        .target(name: "CGenerator", cSettings: [.unsafeFlags(["-O2"])]),
        .executableTarget(name: "forwarder", dependencies: ["CForwarder"]),
        .executableTarget(name: "generator", dependencies: ["CGenerator"]),
        .executableTarget(
            name: "Bench",
            dependencies: [
                "CBaseline",
                .product(name: "PacketPath", package: "sluice"),
                .product(name: "CAllocationCount", package: "sluice"),
            ],
            swiftSettings: [.treatAllWarnings(as: .error)]),
    ],
    swiftLanguageModes: [.v6]
)
