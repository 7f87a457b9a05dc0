// A lab whose node translates, counts and refuses, with the offload on.

import Lab
import Testing

enum OffloadSite: CaseIterable {
    /// Pods behind a bridge.
    case tc
    /// Pods behind veths of their own; everything takes and sends what XDP can carry.
    case xdp
    /// The same, but sockets leave their checksums to the device, as they do unless told otherwise.
    case unfinished

    private var topology: String { self == .tc ? "dnat-load-balancing" : "kube-chains" }
    private var server: String { self == .tc ? "10.0.0.1" : "10.42.1.23" }
    private var port: Int { self == .tc ? 80 : 8080 }

    func withOffload(_ body: (RunningLab) throws -> Void) throws {
        try withLab(.kernel, topology: topology) { lab throws in
            try lab.output("nft flush ruleset; conntrack -F 2>/dev/null; true")
            if self != .tc {
                let checksums = self == .xdp ? "; ethtool -K eth0 tx off" : ""
                for end in ["client", "pod-a"] {
                    try lab.output("ethtool -K eth0 gro on\(checksums)", in: end)
                }
            }
            let rules = "/run/netns/.rules"
            try lab.output(
                """
                cat >\(rules) <<'END'
                *mangle
                :PREROUTING ACCEPT [0:0]
                -A PREROUTING -m conntrack --ctstate INVALID -j DROP
                COMMIT
                *nat
                :PREROUTING ACCEPT [0:0]
                :POSTROUTING ACCEPT [0:0]
                -A PREROUTING -i eth0 -p tcp --dport 8080 -j DNAT --to-destination \(server):\(port)
                -A PREROUTING -i eth0 -p tcp --dport 7000 -j DNAT --to-destination \(server):7000
                -A PREROUTING -i eth0 -p udp --dport 7007 -j DNAT --to-destination \(server):7
                -A PREROUTING -i eth0 -p icmp -j DNAT --to-destination \(server)
                \(self == .tc ? "" : "-A POSTROUTING -o veth-pod-a -j MASQUERADE")
                COMMIT
                *filter
                :FORWARD DROP [0:0]
                -A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT
                -A FORWARD -d \(server) -m conntrack --ctstate NEW -j ACCEPT
                COMMIT
                END
                """)
            _ = try KernelTests.TakeoverTests.startDaemon(
                in: lab,
                "--offload \(self == .tc ? "tc" : "xdp") --rules \(rules) --set nf_conntrack_acct=1",
                interfaces: ["eth0", self == .tc ? "br0" : "veth-pod-a"])
            try body(lab)
        }
    }

    /// At least so many frames went before they had socket buffers, or none where they cannot.
    func expectXDP(_ lab: RunningLab, frames: Int) throws {
        let status = try lab.output("sluice status")
        let counts = Self.framesInXDP(status)
        #expect(counts.count == (self == .tc ? 0 : 2), "\(status)")
        let sum = counts.reduce(0, +)
        // Now and then a segment has its checksum already.
        #expect(self == .xdp ? sum > frames : sum * 20 < frames, "\(status)")
        #expect(!status.contains("takes nothing from XDP"), "\(status)")
    }

    /// By interface.
    static func framesInXDP(_ status: String) -> [Int] {
        status.split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ")
            guard let position = words.firstIndex(of: "XDP,"), position >= 4 else { return nil }
            return Int(words[position - 4])
        }
    }
}
