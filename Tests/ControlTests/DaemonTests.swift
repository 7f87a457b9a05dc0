// The real binary in namespaces of its own: what `sluice run` refuses, what it gives back.

import Glibc
import Lab
import Testing

@testable import Control

/// The binary that stands beside the test bundle, or the one that SLUICE_BINARY names.
private let binary: String? = {
    var candidates: [String] = []
    if let given = unsafe getenv("SLUICE_BINARY") {
        candidates.append(unsafe String(cString: given))
    }
    if let own = SystemCalls.linkTarget("/proc/self/exe") {
        candidates.append(
            own.split(separator: "/").dropLast().reduce("") { "\($0)/\($1)" } + "/sluice")
    }
    return candidates.first { unsafe access($0, X_OK) == 0 }
}()

private let obstacle: String? = {
    if geteuid() != 0 { return "needs root for network namespaces" }
    if binary == nil { return "needs the sluice binary: build it or set SLUICE_BINARY" }
    let missing = ["ip", "nft", "iptables", "ping", "setpriv"].filter { SystemTool($0) == nil }
    return missing.isEmpty ? nil : "needs \(missing.joined(separator: ", "))"
}()

/// A router between two hosts, each a namespace; gone with the object.
private final class Triple {
    private let prefix: String
    private var daemons: [ChildProcess] = []

    init(_ name: String) throws {
        prefix = "control-\(getpid())-\(name)"
        for host in ["c", "n", "s"] {
            try Command(["ip", "netns", "add", "\(prefix)-\(host)"]).check()
        }
        // Whose addresses are tentative for a while.
        try run("n", "sysctl -qw net.ipv6.conf.default.disable_ipv6=1")
        for (host, link, subnet) in [("c", "c0", 1), ("s", "s0", 2)] {
            try run("n", "ip link add \(link) type veth peer name eth0 netns \(prefix)-\(host)")
            try run("n", "ip addr add 10.\(subnet).0.1/24 dev \(link)")
            try run("n", "ip link set \(link) up")
            try run(host, "ip addr add 10.\(subnet).0.2/24 dev eth0")
            try run(host, "ip link set eth0 up")
            try run(host, "ip route add default via 10.\(subnet).0.1")
        }
        try run("n", "ip link set lo up")
        try run("n", "sysctl -qw net.ipv4.ip_forward=1")
        // The kernel notices a carrier once a second.
        for link in ["c0", "s0"] {
            while try !run("n", "ip link show \(link)").contains("state UP") {}
        }
    }

    deinit {
        for daemon in daemons {
            daemon.signalGroup(SIGKILL)
            _ = daemon.wait(seconds: 30)
        }
        if !daemons.isEmpty { _ = try? sluice("down") }
        for host in ["c", "n", "s"] {
            _ = try? Command(["ip", "netns", "del", "\(prefix)-\(host)"]).run()
        }
    }

    func words(_ host: String, _ line: String) -> [String] {
        ["ip", "netns", "exec", "\(prefix)-\(host)"] + line.split(separator: " ").map(String.init)
    }

    @discardableResult
    func run(_ host: String, _ line: String) throws -> String {
        try Command(words(host, line)).check()
    }

    func sluice(_ line: String, input: String = "") throws -> Command.Outcome {
        try Command(words("n", "\(binary ?? "sluice") \(line)")).run(input: input)
    }

    /// Starts a daemon and waits for its word.
    func start(_ options: String = "--interface c0 --interface s0") throws -> ChildProcess {
        var ends: [Int32] = [0, 0]
        try #require(unsafe pipe(&ends) == 0)
        defer { close(ends[0]) }
        let command = Command(words("n", "\(binary ?? "sluice") run \(options)"))
        let daemon = try command.start(input: STDIN_FILENO, output: ends[1], errors: ends[1])
        close(ends[1])
        daemons.append(daemon)
        let reader = Descriptor(owning: dup(ends[0]))
        var said: [UInt8] = []
        while case .bytes = reader.read(appendingTo: &said, limit: 4096) {
            if String(decoding: said, as: UTF8.self).contains("sluice: ready") { return daemon }
        }
        Issue.record("the daemon did not start: \(String(decoding: said, as: UTF8.self))")
        return daemon
    }

    func reaches() throws -> Bool {
        try Command(words("c", "ping -c 1 -W 2 10.2.0.2")).run().status == 0
    }

    /// What a daemon may change, as text.
    func picture() throws -> String {
        try [
            "ip -o link", "ip -o addr", "ip rule", "ip route show table all", "tc qdisc",
            "nft list ruleset", "sysctl net.ipv4.conf.lo", "sysctl net.ipv4.ip_forward",
        ].map { try run("n", $0) }.joined(separator: "\n")
    }
}

extension Trait where Self == ConditionTrait {
    fileprivate static var needsNamespaces: Self {
        .enabled(if: obstacle == nil, Comment(rawValue: obstacle ?? "namespaces work"))
    }
}

@Suite("The daemon", .serialized, .needsNamespaces)
struct DaemonTests {
    @Test(
        "refuses in one sentence, with status 2, and touches nothing",
        arguments: [
            ("run", "no interface was named; expected at least one --interface NAME"),
            (
                "run --interface nope",
                "there is no interface 'nope' here; there are: lo, c0, s0"
            ),
            ("run --interface c0 --interface c0", "interface c0 was named twice"),
            (
                "run --interface c0 --rules /etc",
                "--rules: /etc is a directory; a file was expected"
            ),
            (
                "run --interface c0 --rules /nonexistent",
                "--rules: cannot open /nonexistent: No such file or directory"
            ),
            ("run --interface c0 --on-death maybe", "--on-death maybe: expected open or closed"),
            (
                "run --interface c0 --capacity 0",
                "--capacity 0: expected a number from 1 to 16000000"
            ),
            ("run --interface c0 --set x", "--set x: expected NAME=VALUE"),
            (
                "run --interface c0 --set udp_timeout=soon",
                "--set udp_timeout=soon: expected a number from 0 to 8589934"
            ),
            (
                "run --interface c0 --netns nowhere",
                "network namespace nowhere: cannot open /run/netns/nowhere: No such file or directory"
            ),
            (
                "status",
                "no sluice daemon runs in this network namespace (start one with 'sluice run')"
            ),
            ("trace --count 0", "--count 0: expected a number from 1 on"),
        ])
    func refusals(line: String, sentence: String) throws {
        let triple = try Triple("refuse")
        let before = try triple.picture()
        let outcome = try triple.sluice(line)
        #expect(outcome.errors == "sluice: \(sentence)\n")
        #expect(outcome.status == 2)
        #expect(outcome.output == "")
        #expect(try triple.picture() == before)
        #expect(try triple.reaches())
    }

    @Test(
        "refuses a bridge whose frames pass the kernel's rules",
        .enabled(
            if: KernelSetting.read("/proc/sys/net/bridge/bridge-nf-call-iptables") != nil,
            "this kernel does not know bridge-nf-call-iptables"))
    func filteredBridge() throws {
        let triple = try Triple("bridge")
        try triple.run("n", "ip link add br0 type bridge")
        try triple.run("n", "sysctl -qw net.bridge.bridge-nf-call-iptables=1")
        let outcome = try triple.sluice("run --interface br0")
        #expect(outcome.status == 2)
        #expect(
            outcome.errors.hasPrefix("sluice: bridge br0: net.bridge.bridge-nf-call-iptables is 1"))
    }

    @Test("refuses to run without privileges, naming what is missing")
    func privileges() throws {
        let triple = try Triple("caps")
        let copy = "/tmp/sluice-test-\(getpid())-caps"
        defer { unlink(copy) }
        try Command(["cp", try #require(binary), copy]).check()
        try Command(["chmod", "755", copy]).check()
        let words = "setpriv --reuid=65534 --regid=65534 --clear-groups \(copy) run --interface c0"
        let outcome = try Command(triple.words("n", words)).run()
        #expect(outcome.status == 2)
        #expect(
            outcome.errors
                == "sluice: sluice run needs root, or the capabilities CAP_NET_ADMIN, CAP_NET_RAW,"
                + " CAP_BPF and CAP_PERFMON; missing here: CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF,"
                + " CAP_PERFMON\n")
    }

    @Test("a rules file is refused with file, line, column and word before anything is touched")
    func badRules() throws {
        let triple = try Triple("rules")
        let path = "/tmp/sluice-test-\(getpid())-rules"
        defer { unlink(path) }
        try TextFile.write("*filter\n-A FORWARD -p bogus -j ACCEPT\nCOMMIT\n", to: path)
        let outcome = try triple.sluice("run --interface c0 --rules \(path)")
        #expect(outcome.status == 2)
        #expect(outcome.errors.contains("\(path), line 2, column 15: \"bogus\""))
        #expect(try triple.reaches())
    }

    @Test("the group that owns a socket of the node's is the one that rules see")
    func group() throws {
        let triple = try Triple("group")
        _ = try triple.start()
        let drop = "iptables -A OUTPUT -m owner ! --uid-owner 7 --gid-owner 1337 -j DROP"
        #expect(try triple.sluice(drop).status == 0)
        func calls(_ group: Int) throws -> Bool {
            let call = "setpriv --regid=\(group) --clear-groups ping -c 1 -W 2 10.2.0.2"
            return try Command(triple.words("n", call)).run().status == 0
        }
        #expect(try calls(1336))
        #expect(try !calls(1337))
        #expect(
            try triple.sluice("iptables -nvxL OUTPUT").output.contains("       1       84 DROP"))
    }

    @Test("supplementary groups are refused by a running daemon, with the rule")
    func supplementaryGroups() throws {
        let refusal =
            "rule 2 of chain OUTPUT, table filter: --suppl-groups of match \"owner\" is not"
            + " supported by 'sluice run'"
        let triple = try Triple("suppl")
        let rule = "-A OUTPUT -m owner --gid-owner 7 --suppl-groups"
        let path = "/tmp/sluice-test-\(getpid())-suppl"
        defer { unlink(path) }
        try TextFile.write("*filter\n-A OUTPUT\n\(rule)\nCOMMIT\n", to: path)
        let outcome = try triple.sluice("run --interface c0 --rules \(path)")
        #expect(outcome.status == 2)
        #expect(outcome.errors.hasPrefix("sluice: " + refusal))
        _ = try triple.start()
        #expect(try triple.sluice("iptables -A OUTPUT").status == 0)
        let changed = try triple.sluice("iptables " + rule)
        #expect(changed.status == 4)
        #expect(changed.errors.hasPrefix("iptables: " + refusal))
        #expect(try triple.sluice("iptables -S OUTPUT").output == "-P OUTPUT ACCEPT\n-A OUTPUT\n")
    }

    @Test("refuses beside kernel rules and lists them, or takes them over and gives them back")
    func takeOver() throws {
        let triple = try Triple("take")
        try triple.run("n", "iptables -A FORWARD -p icmp -m comment --comment mine -j ACCEPT")
        try triple.run("n", "iptables -P FORWARD DROP")
        let saved = try triple.run("n", "iptables -S")
        let refusal = try triple.sluice("run --interface c0 --interface s0")
        #expect(refusal.status == 2)
        #expect(refusal.errors.contains("already has rules of the kernel's own"))
        #expect(refusal.errors.contains("meta l4proto icmp"))
        let daemon = try triple.start("--interface c0 --interface s0 --take-over")
        #expect(try triple.run("n", "nft list ruleset") == "")
        #expect(try triple.sluice("iptables -S").output == saved)
        #expect(try triple.reaches())
        #expect(try triple.sluice("down").status == 0)
        #expect(daemon.wait(seconds: 30) == 0)
        #expect(try triple.run("n", "iptables -S") == saved)
    }

    @Test("what cannot be honoured is not taken over, and stays in the kernel")
    func foreignRules() throws {
        let triple = try Triple("foreign")
        try triple.run("n", "nft add table inet mine")
        let before = try triple.picture()
        let outcome = try triple.sluice("run --interface c0 --take-over")
        #expect(outcome.status == 2)
        #expect(outcome.errors.contains("inet mine"))
        #expect(try triple.picture() == before)
    }

    @Test("a second daemon in the namespace is refused; the first goes on")
    func second() throws {
        let triple = try Triple("second")
        let first = try triple.start()
        let outcome = try triple.sluice("run --interface c0")
        #expect(outcome.status == 2)
        #expect(
            outcome.errors
                == "sluice: a daemon already runs in this network namespace; stop it with"
                + " 'sluice down' first\n")
        #expect(try triple.reaches())
        kill(first.pid, SIGTERM)
        #expect(first.wait(seconds: 30) == 0)
    }

    enum Ending: CaseIterable { case down, term, killed }

    @Test("gives everything back, however it ends", arguments: Ending.allCases)
    func givesBack(ending: Ending) throws {
        let triple = try Triple("back-\(ending)")
        let before = try triple.picture()
        let daemon = try triple.start()
        // A rule on INPUT makes it adopt the loopback, which changes settings.
        #expect(try triple.sluice("iptables -A INPUT -p tcp --dport 9 -j DROP").status == 0)
        #expect(try triple.reaches())
        #expect(try triple.picture() != before)
        switch ending {
        case .down: #expect(try triple.sluice("down").status == 0)
        case .term: kill(daemon.pid, SIGTERM)
        case .killed:
            kill(daemon.pid, SIGKILL)
            _ = daemon.wait(seconds: 30)
            #expect(try triple.sluice("down").status == 0)
        }
        if ending != .killed { #expect(daemon.wait(seconds: 30) == 0) }
        #expect(try triple.picture() == before)
        #expect(try triple.reaches())
    }

    @Test("rules, connections, traces and explanations are those of the live node")
    func commands() throws {
        let triple = try Triple("live")
        _ = try triple.start()
        #expect(
            try triple.sluice("iptables -A FORWARD -m conntrack --ctstate NEW -j ACCEPT").status
                == 0)
        #expect(try triple.reaches())
        #expect(
            try triple.sluice("iptables -nvxL FORWARD").output.contains("       1       84 ACCEPT"))
        let listed = try triple.sluice("conntrack -L -p icmp")
        #expect(listed.output.contains("src=10.1.0.2 dst=10.2.0.2 type=8 code=0"))
        #expect(listed.errors.contains("1 flow entries have been shown"))
        #expect(try triple.sluice("conntrack -C").output == "1\n")
        let words = "explain --in c0 udp 10.1.0.2:1 > 10.2.0.2:53"
        let explained = try triple.sluice(words)
        #expect(explained.output.contains("forwarded  out s0, next hop 10.2.0.2"))
        #expect(try triple.sluice("conntrack -C").output == "1\n")
        #expect(
            try triple.sluice("explain --in c0 udp 10.1.0.2").errors
                == "sluice: explain: column 5: found '10.1.0.2', expected an address and a port such as"
                + " 10.0.0.1:80\n")
        let status = try triple.sluice("status --json").output
        #expect(status.contains("\"used\" : 1"))
        let name = "net.netfilter.nf_conntrack_icmp_timeout"
        #expect(try triple.sluice("sysctl -w \(name)=70000").output == "\(name) = 70000\n")
        #expect(try triple.sluice("sysctl -n \(name)").output == "70000\n")
        #expect(try triple.reaches())
        // 70000, or a little less.
        let entries = try triple.sluice("conntrack -L -p icmp").output
        #expect(entries.contains("icmp     1 70000 ") || entries.contains("icmp     1 69"))
        let refused = try triple.sluice("sysctl \(name)=x")
        #expect(refused.status == 1)
        #expect(refused.errors.hasPrefix("sysctl: setting key \"\(name)\": Invalid argument\n"))
        let wrong = try triple.sluice("trace tcp port")
        #expect(wrong.status == 2)
        #expect(wrong.errors.contains("tcp port"))
    }

    @Test("a restore is applied as a whole or not at all")
    func restore() throws {
        let triple = try Triple("restore")
        _ = try triple.start()
        let good = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
        #expect(
            try triple.sluice(
                "iptables-restore", input: good + "-A FORWARD -p udp -j DROP\nCOMMIT\n"
            )
            .status == 0)
        let bad = try triple.sluice(
            "iptables-restore", input: good + "-A FORWARD -p tcp -j NOWHERE\nCOMMIT\n")
        #expect(bad.status != 0)
        #expect(
            try triple.sluice("iptables -S FORWARD").output
                == "-P FORWARD ACCEPT\n-A FORWARD -p udp -j DROP\n")
    }

    @Test("has a version")
    func version() throws {
        let outcome = try Command([try #require(binary), "--version"]).run()
        #expect(outcome.status == 0 && outcome.output == "sluice 0.1.0-dev\n")
    }

    @Test("that is stopped is told from one that works: commands end and say so")
    func stopped() throws {
        let triple = try Triple("stopped")
        let daemon = try triple.start()
        kill(daemon.pid, SIGSTOP)
        let expected =
            "the daemon does not answer, its process \(daemon.pid) is stopped;"
            + " 'kill -CONT \(daemon.pid)' lets it go on, and this command with it\n"
        let listed = try triple.sluice("conntrack -L")
        #expect(listed.status == 1)
        #expect(listed.errors == "conntrack: \(expected)")
        #expect(try triple.sluice("status").errors == "sluice: \(expected)")
        // More than the socket holds: not even all of the request is taken.
        let rules = "*filter\n" + String(repeating: "# nothing\n", count: 500_000) + "COMMIT\n"
        let restored = try triple.sluice("iptables-restore", input: rules)
        #expect(restored.status == 4)
        #expect(restored.errors == "iptables-restore: \(expected)")
        kill(daemon.pid, SIGCONT)
        #expect(try triple.sluice("conntrack -C").output == "0\n")
    }

    @Test("an interface that vanishes is said so; the others go on")
    func vanishes() throws {
        let triple = try Triple("vanish")
        _ = try triple.start()
        try triple.run("n", "ip link add x0 type veth peer name x1")
        try triple.run("n", "ip link del s0")
        var status = ""
        // The mirror hears of it within its own time; the status command is the event to wait for.
        let deadline = ContinuousClock.now + .seconds(20)
        while !status.contains("interface s0: gone"), ContinuousClock.now < deadline {
            status = try triple.sluice("status").output
        }
        #expect(status.contains("interface s0: gone"))
        #expect(status.contains("interface c0: up"))
    }
}
