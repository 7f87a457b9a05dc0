// The installed file: alone, without checkout and toolchain. Scripts/test installs one and names it in
// SLUICE_BINARY; a debug build beside the test bundle is not what is meant here.

import Foundation
import Lab
import Testing

extension KernelTests {
    @Suite(
        "An installed binary",
        .enabled(
            if: InstalledBinary.path != nil && Requirement.labs,
            "needs root and SLUICE_BINARY, which Scripts/test sets"))
    struct InstallTests {
        @Test("needs no library but those of the C and C++ runtime")
        func libraries() throws {
            let expected: Set = [
                "linux-vdso.so.1", "libc.so.6", "libm.so.6", "libgcc_s.so.1", "libstdc++.so.6",
            ]
            let path = try #require(InstalledBinary.path)
            let lines = try Command(["ldd", path]).check().split(separator: "\n")
            let names = lines.compactMap { $0.split(separator: " ").first }.map {
                $0.trimmingCharacters(in: .whitespaces)
            }
            let others = names.filter { !expected.contains($0) && !$0.contains("/ld-linux") }
            #expect(others == [])
        }

        @Test("brings a lab up where the checkout cannot be seen")
        func withoutCheckout() throws {
            let path = try #require(InstalledBinary.path)
            let checkout = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
                .deletingLastPathComponent().deletingLastPathComponent().path
            let name = "installed-\(getpid())"
            try Command([
                "unshare", "--mount", "sh", "-ec",
                """
                cp "$1" /run/\(name)
                mount -t tmpfs none "$2"
                cd /
                trap '/run/\(name) lab down \(name); rm -f /run/\(name)' EXIT
                /run/\(name) lab up dnat-load-balancing --kernel --name \(name)
                /run/\(name) lab exec \(name) client -- ping -n -q -c 1 -W 2 192.0.2.1
                """, "sh", path, checkout,
            ]).check()
        }
    }
}

enum InstalledBinary {
    static let path = ProcessInfo.processInfo.environment["SLUICE_BINARY"]
}
