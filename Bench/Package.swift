// swift-tools-version: 6.2
import PackageDescription

// A package of its own, so that whoever builds Sluice does not build its benchmarks.
let package = Package(
    name: "Bench",
    dependencies: [.package(name: "sluice", path: "..")],
    targets: [
        .target(name: "CBaseline", cSettings: [.unsafeFlags(["-O2"])]),
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
