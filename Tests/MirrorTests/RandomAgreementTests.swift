import Foundation
import Lab
import NamespaceFixture
import Testing

/// The heart of the matter: whatever the generators make, the kernel and Sluice do the same. Through the
/// binary, since the debug code of a test takes several times as long.
@Suite(
    "Random rules and traffic",
    .enabled(if: isRoot && binary != nil, "needs root and the sluice binary"), .serialized)
struct RandomAgreementTests {
    @Test("two hundred fixed seeds agree, and touch what there is to touch")
    func fixedSeeds() throws {
        let output = try mirror(["--random", "200", "--seed", "1"])
        let coverage = ["packets", "matches hit", "targets hit", "connection states"].flatMap {
            names(after: $0, in: output)
        }
        #expect(Set(expected).subtracting(coverage) == [], "\(output)")
    }

    /// The seed is in what is printed: `--seed` makes the same case again.
    @Test("a fresh seed agrees")
    func freshSeed() throws {
        let output = try mirror(["--random", "1"])
        #expect(output.contains("1 cases of 300 packets from seed "))
    }

    /// What every run of the fixed seeds must have seen. The extensions among them are those that a packet
    /// of the generators' can hit.
    private let expected = [
        "forwarded", "delivered", "dropped", "answered", "waiting",
        "tcp", "udp", "icmp", "multiport", "conntrack", "state", "mark", "comment", "statistic",
        "addrtype", "iprange", "length", "ttl", "tos", "dscp", "limit", "recent", "connmark", "mac",
        "owner", "physdev", "pkttype", "rpfilter", "hashlimit", "connlimit",
        "esp", "ah", "dccp",
        "ACCEPT", "DROP", "RETURN", "REJECT", "LOG", "MARK", "CONNMARK", "CT", "NOTRACK", "TOS",
        "TTL", "DSCP", "CHECKSUM", "CLASSIFY", "TCPMSS", "DNAT", "SNAT", "MASQUERADE", "REDIRECT",
        "NETMAP",
        "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK",
        "TIME_WAIT", "CLOSE", "[NEW]", "[UPDATE]", "[DESTROY]", "[UNREPLIED]", "[ASSURED]",
    ]

    /// Fails where the engines differed twice in the same case, and prints the summary otherwise.
    private func mirror(_ words: [String]) throws -> String {
        let command = Command([try #require(binary), "mirror", "--packets", "300"] + words)
        let outcome = try command.run(seconds: 3600)
        #expect(outcome.status == 0, "\(outcome.output)\(outcome.errors)")
        let lines = outcome.output.split(separator: "\n", omittingEmptySubsequences: false)
        print(
            lines.filter { !$0.hasPrefix("seed ") || $0.contains("not ") }.joined(separator: "\n"))
        return outcome.output
    }

    /// `tcp` and `udp` of the line `matches hit: tcp 6; udp 4`.
    private func names(after title: String, in output: String) -> [String] {
        let line = output.split(separator: "\n").last { $0.hasPrefix(title + ": ") } ?? ""
        return line.dropFirst(title.count + 2).split(separator: ";").compactMap {
            $0.split(separator: " ").first.map(String.init)
        }
    }
}

/// The release binary that Scripts/test built, else the one that stands beside the test bundle.
private let binary: String? = {
    let running = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
    let beside = running.deletingLastPathComponent().appendingPathComponent("sluice").path
    return [ProcessInfo.processInfo.environment["SLUICE_BINARY"], beside].compactMap { $0 }.first {
        FileManager.default.isExecutableFile(atPath: $0)
    }
}()
