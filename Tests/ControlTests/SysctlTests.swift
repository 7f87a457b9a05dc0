// `sluice sysctl` says what sysctl(8) says, and takes what the kernel takes.

import Conntrack
import Dataplane
import NamespaceFixture
import Testing

@testable import Control

private func sysctl(
    _ words: String..., on settings: inout NodeSettings,
    configure: (inout SysctlRequest) -> Void = { _ in }
) -> CommandOutput {
    var request = SysctlRequest()
    request.words = words
    configure(&request)
    return request.run(on: &settings)
}

private let udp = "net.netfilter.nf_conntrack_udp_timeout"

@Suite("sluice sysctl")
struct SysctlTests {
    @Test("reads and writes settings by their kernel names, with dots or slashes")
    func readsAndWrites() {
        var settings = NodeSettings()
        #expect(sysctl(udp, on: &settings).output == "\(udp) = 30\n")
        #expect(sysctl("\(udp)=45", on: &settings).output == "\(udp) = 45\n")
        #expect(settings.conntrack.udpTimeout.rawValue == 45)
        let slashes = udp.replacing(".", with: "/")
        #expect(sysctl("\(slashes) = 0x10", on: &settings).output == "\(udp) = 0x10\n")
        #expect(sysctl(slashes, on: &settings).output == "\(udp) = 16\n")
        let quiet = sysctl("\(udp)=1", on: &settings) { $0.quiet = true }
        #expect(quiet == CommandOutput())
        let value = sysctl(udp, on: &settings) { $0.valuesOnly = true }
        #expect(value.output == "1\n")
        let bare = sysctl(udp, on: &settings) { $0.binary = true }
        #expect(bare.output == "1")
        let both = sysctl(udp, "net.ipv4.ip_default_ttl", on: &settings) { $0.namesOnly = true }
        #expect(both.output == "\(udp)\nnet.ipv4.ip_default_ttl\n")
    }

    @Test("lists everything in the order of the names, or what an expression finds")
    func lists() {
        var settings = NodeSettings(capacity: 1000)
        settings.connectionCount = 7
        let all = sysctl(on: &settings) { $0.all = true }.output
        let lines = all.split(separator: "\n").map(String.init)
        #expect(lines.count == NodeSettings.named.count)
        #expect(lines == lines.sorted())
        #expect(lines.contains("net.netfilter.nf_conntrack_count = 7"))
        #expect(lines.contains("net.netfilter.nf_conntrack_max = 1000"))
        let some = sysctl(on: &settings) {
            $0.all = true
            $0.pattern = "tcp_loo"
        }
        #expect(some.output == "net.netfilter.nf_conntrack_tcp_loose = 1\n")
        let below = sysctl("net.ipv4", on: &settings).output
        #expect(below.split(separator: "\n").count == 9)
    }

    @Test("refuses in sysctl's words with exit status 1, and goes on with the next word")
    func refuses() {
        var settings = NodeSettings()
        let outcome = sysctl("a.b", "\(udp)=-1", "\(udp)=x", udp, on: &settings)
        #expect(outcome.status == 1)
        #expect(outcome.output == "\(udp) = 30\n")
        let key = "sysctl: setting key \"\(udp)\": Invalid argument\n"
        let range = "sluice: expected a number from 0 to 8589934\n"
        #expect(
            outcome.error == """
                sysctl: cannot stat /proc/sys/a/b: No such file or directory
                sluice: 'sluice sysctl -a' lists the settings that Sluice has

                """ + key + range + key + range)
        #expect(sysctl("a.b", on: &settings) { $0.ignoresUnknown = true } == CommandOutput())
        #expect(sysctl(udp, on: &settings) { $0.write = true }.status == 1)
        #expect(
            sysctl(on: &settings).error == """
                sysctl: no variables specified
                Try `sysctl --help' for more information.

                """)
        let count = sysctl("net.netfilter.nf_conntrack_count=1", on: &settings)
        #expect(count.error.hasSuffix("sluice: it can only be read\n"))
        let log = sysctl("net.netfilter.nf_conntrack_log_invalid=1", on: &settings)
        #expect(log.error.hasSuffix("sluice: it can only be read\n"))
        let logging = "net.netfilter.nf_conntrack_log_invalid"
        #expect(sysctl(logging, on: &settings).output == "\(logging) = 0\n")
        #expect(sysctl("\(logging)=1", on: &settings).status == 1)
        let max = sysctl("net.netfilter.nf_conntrack_max=65537", on: &settings)
        #expect(max.error.hasSuffix("sluice: expected a number from 0 to 65536\n"))
        #expect(
            sysctl(on: &settings) {
                $0.all = true
                $0.pattern = "("
            }.status == 2)
    }

    @Test("run --set takes the kernel's names, whole or short")
    func set() throws {
        var settings = NodeSettings()
        for (assignment, value) in [
            ("\(udp)=11", 11), ("net/netfilter/nf_conntrack_udp_timeout=12", 12),
            ("nf_conntrack_udp_timeout=13", 13), ("udp_timeout=14", 14),
        ] as [(String, UInt32)] {
            try settings.set(assignment)
            #expect(settings.conntrack.udpTimeout.rawValue == value)
        }
        try settings.set("net.ipv4.icmp_ratelimit=0")
        #expect(settings.answers.ratelimitMilliseconds == 0)
        let refusal = #expect(throws: Refusal.self) { try settings.set("tcp_loose=2") }
        #expect(refusal?.sentence == "--set tcp_loose=2: expected 0 or 1")
    }

    /// What differs on purpose stands in Docs/Differences.md.
    @Test(
        "a value is taken or refused as the kernel does it, and read back the same",
        .enabled(if: isRoot, needsRoot))
    func kernelRanges() throws {
        let node = try Namespace("sysctl")
        // The settings are there once something tracks.
        try node.shell("iptables -A FORWARD -m conntrack --ctstate NEW -j ACCEPT")
        let values = [
            "0", "1", "2", "3", "64", "255", "256", "65536", "8589934", "8589935", "2147483647",
            "4294967296", "x", "", "7x", "0x10", "010", "08", " 9", "1\t",
        ]
        let readOnlyElsewhere: Set = [
            "net.netfilter.nf_conntrack_max", "net.netfilter.nf_conntrack_log_invalid",
        ]
        for setting in NodeSettings.named
        where !setting.isReadOnly && !readOnlyElsewhere.contains(setting.name) {
            // The kernel keeps this one in ticks of 4 ms.
            if setting.name == "net.ipv4.icmp_ratelimit" { continue }
            // Kernels without ip_vs have none of these; with it, they take any number for a yes.
            if setting.name.hasPrefix("net.ipv4.vs.") { continue }
            let path = "/proc/sys/" + setting.name.replacing(".", with: "/")
            let writes = values.map {
                "printf '%s\\n' '\($0)' 2>/dev/null >\(path) && echo yes || echo no; cat \(path)"
            }
            let kernel = try node.shell(writes.joined(separator: "\n"))
                .split(separator: "\n").map(String.init)
            var settings = NodeSettings()
            for (index, value) in values.enumerated() {
                let taken: Bool
                do throws(SettingFailure) {
                    try setting.write(value, to: &settings)
                    taken = true
                } catch { taken = false }
                #expect(
                    kernel[2 * index] == (taken ? "yes" : "no"), "\(setting.name) = '\(value)'")
                #expect(
                    kernel[2 * index + 1] == setting.text(of: settings),
                    "\(setting.name) after '\(value)'")
            }
        }
    }
}
