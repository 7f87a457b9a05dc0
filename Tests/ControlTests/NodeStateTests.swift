import Glibc
import Lab
import Testing

@testable import Control

@Suite("What a daemon changed")
struct NodeStateTests {
    private func temporary(_ name: String) -> NodeStateFile {
        NodeStateFile(directory: "/tmp/sluice-test-\(getpid())-\(name)/run/4026")
    }

    @Test("is written down and read back, whatever the values hold")
    func roundTrip() throws {
        let file = temporary("round")
        defer { file.remove() }
        var state = NodeState(processID: 12, processStart: 99, interfaces: ["eth0", "br\"0"])
        state.settings = [.init(path: "/proc/sys/net/ipv4/ip_forward", before: "1")]
        state.savedRules = "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n# \u{1F600}\\"
        state.leadsHostPackets = true
        state.closesOnDeath = true
        try file.store(state)
        #expect(try file.load() == state)
        file.remove()
        #expect(try file.load() == nil)
    }

    @Test("is refused where it is damaged, by name")
    func damaged() throws {
        let file = temporary("damaged")
        defer { file.remove() }
        try file.store(NodeState(processID: 1, processStart: 1, interfaces: []))
        try TextFile.write("{", to: file.path)
        #expect(throws: NodeStateFile.Failure.unreadable(file.path)) { try file.load() }
    }

    @Test("a process is told from a later one with the same number")
    func processes() {
        #expect(processStart(getpid()) != nil)
        #expect(processStart(Int32.max) == nil)
    }

    @Test("a process that died and was not waited for is dead")
    func zombies() throws {
        let child = try Command(["true"]).start(
            input: STDIN_FILENO, output: STDOUT_FILENO, errors: STDERR_FILENO)
        // Waits for its end without taking its status.
        var info = siginfo_t()
        waitid(P_PID, id_t(child.pid), &info, WEXITED | WNOWAIT)
        #expect(processStart(child.pid) == nil)
        #expect(child.wait(seconds: 30) == 0)
    }
}

@Suite("A file that a person names")
struct TextFileTests {
    @Test("a directory is refused as one")
    func directory() {
        #expect(throws: TextFile.Failure.directory("/tmp")) { try TextFile.read("/tmp") }
        #expect(
            TextFile.Failure.directory("/tmp").description
                == "/tmp is a directory; a file was expected")
    }

    @Test("a missing file is named")
    func missing() {
        let error = #expect(throws: TextFile.Failure.self) { try TextFile.read("/nonexistent/x") }
        #expect(error?.description == "cannot open /nonexistent/x: No such file or directory")
    }

    @Test("a file over the limit is refused without reading it all")
    func tooLarge() {
        #expect(throws: TextFile.Failure.tooLarge("/dev/zero", limit: 1 << 20)) {
            try TextFile.read("/dev/zero", limit: 1 << 20)
        }
    }
}

@Suite("Which command the binary is")
struct InvocationTests {
    @Test("its own name decides first, then the first word")
    func dispatch() {
        #expect(
            Invocation(["/usr/local/sbin/iptables", "-L"])
                == .passthrough(.iptables, arguments: ["-L"]))
        #expect(
            Invocation(["sluice", "iptables-restore", "-n"])
                == .passthrough(.iptablesRestore, arguments: ["-n"]))
        #expect(Invocation(["sluice", "run"]) == .own(arguments: ["run"]))
        #expect(Invocation(["conntrack"]) == .passthrough(.conntrack, arguments: []))
        #expect(Invocation([]) == .own(arguments: []))
    }

    @Test(
        "only a restore reads, and a file only where one is named",
        arguments: [
            (TakenCommand.iptables, ["-A", "INPUT"], TakenCommand.InputSource?.none),
            (.iptablesRestore, [], .standardInput),
            (.iptablesRestore, ["-n", "-c"], .standardInput),
            (.iptablesRestore, ["-w", "5", "rules"], .file("rules")),
            (.iptablesRestore, ["-w", "rules"], .file("rules")),
            (.iptablesRestore, ["-T", "nat", "rules"], .file("rules")),
            (.iptablesRestore, ["--table=nat"], .standardInput),
            (.iptablesRestore, ["-h"], nil),
            (.iptablesSave, ["file"], nil),
            (.ipvsadm, ["-R"], .standardInput), (.ipvsadm, ["-L"], nil),
        ])
    func input(command: TakenCommand, arguments: [String], source: TakenCommand.InputSource?) {
        #expect(command.inputSource(arguments) == source)
    }
}
