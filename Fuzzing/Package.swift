// swift-tools-version: 6.2
import PackageDescription

// A package of its own, so that whoever builds Sluice does not build it. `Scripts/fuzz` knows the flags.
let package = Package(
    name: "Fuzzing",
    dependencies: [.package(name: "sluice", path: "..")],
    targets: [
        .executableTarget(
            name: "Fuzzing",
            dependencies: [
                .product(name: "PacketPath", package: "sluice"),
                .product(name: "NodeParts", package: "sluice"),
            ],
            swiftSettings: [.treatAllWarnings(as: .error)])
    ],
    swiftLanguageModes: [.v6]
)
