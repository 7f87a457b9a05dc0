import Foundation
import Glibc
import NamespaceFixture
import Testing

@testable import PacketIO

/// A wire whose right end is a node with a host port, run by a process of its own.
struct HostedWire {
    let wire: Wire2
    let probe: BackgroundProcess

    init() throws {
        wire = try Wire2()
        probe = try BackgroundProcess(
            in: wire.right, portprobe, "host", "b0=" + (try wire.left.mac("a0")))
        try wire.right.run("ip", "rule", "add", "pref", "100", "iif", "lo", "lookup", "5100")
        try wire.right.run(
            "ip", "route", "add", "10.9.0.0/24", "dev", "sluice0", "src", "10.9.0.2", "mtu", "1500",
            "table", "5100")
    }

    var node: Namespace { wire.right }
}

@Suite("The host port", .enabled(if: isRoot, needsRoot))
struct HostPortTests {
    @Test("what the host sends and receives goes through it, on the interface where it belongs")
    func pingBothWays() throws {
        let hosted = try HostedWire()
        #expect(answers(hosted.wire))
        try hosted.node.run("ping", "-c", "1", "-W", "1", "10.9.0.1")
        // Bound to the interface: only packets that appear on it reach this socket.
        let listener = try BackgroundProcess(
            in: hosted.node, "socat", "-u", "UDP4-RECV:7,so-bindtodevice=b0", "STDOUT",
            awaitLine: false)
        while try !hosted.node.run("ss", "-Hlun").contains(":7 ") {}
        try hosted.wire.left.run("sh", "-c", "echo hello | socat -u - UDP4:10.9.0.2:7")
        #expect(listener.line() == "hello\n")
        hosted.probe.send(SIGTERM)
        let report = hosted.probe.wait()
        #expect(report.contains("delivered: 3, rerouted: 0, discarded: 0"), "\(report)")
    }

    @Test("bulk transfers to and from the host arrive whole")
    func bulk() throws {
        let hosted = try HostedWire()
        let file = try TemporaryFile()
        try run("sh", "-c", "head -c 50000000 /dev/urandom > \(file.path)")
        for (from, to, address) in [
            (hosted.wire.left, hosted.node, "10.9.0.2"),
            (hosted.node, hosted.wire.left, "10.9.0.1"),
        ] {
            let received = try TemporaryFile()
            let server = try BackgroundProcess(
                in: to, "socat", "-T", "10", "-u", "TCP-LISTEN:9000", "OPEN:\(received.path)",
                awaitLine: false)
            try from.run(
                "socat", "-T", "10", "-u", "FILE:\(file.path)",
                "TCP:\(address):9000,retry=50,interval=0.1")
            server.wait()
            #expect(try received.sha256() == file.sha256())
        }
    }

    @Test("mark, user and group of the sending socket come with the packet")
    func sender() throws {
        let hosted = try HostedWire()
        // SOL_SOCKET, SO_MARK.
        try hosted.node.run(
            "sh", "-c", "echo x | socat -u - UDP4:10.9.0.1:7,setsockopt-int=1:36:42")
        #expect(hosted.probe.line() == "mark 42 user 0 group 0\n")
        try hosted.node.run(
            "setpriv", "--reuid", "1234", "--regid", "1337", "--clear-groups", "sh", "-c",
            "echo x | socat -u - UDP4:10.9.0.1:7")
        #expect(hosted.probe.line() == "mark 0 user 1234 group 1337\n")
    }

    @Test("what a socket bound to an interface sends goes past it")
    func bound() throws {
        let hosted = try HostedWire()
        try hosted.node.run(
            "sh", "-c",
            "echo x | socat -u - UDP4:10.9.0.1:7,so-bindtodevice=b0,setsockopt-int=1:36:41")
        try hosted.node.run(
            "sh", "-c", "echo x | socat -u - UDP4:10.9.0.1:7,setsockopt-int=1:36:42")
        // The kernel's own packets have no user.
        var line = hosted.probe.line()
        while line == "mark 0 user none group none\n" { line = hosted.probe.line() }
        #expect(line == "mark 42 user 0 group 0\n")
    }

    @Test("a stopped daemon does not cut the node off: the host's packets go the kernel's way")
    func stopped() throws {
        let hosted = try HostedWire()
        #expect(answers(hosted.wire))
        hosted.probe.send(SIGSTOP)
        let time = try #require(timeUntilAnswered(hosted.wire, limit: 3))
        #expect(time < 2)
        try hosted.node.run("ping", "-c", "1", "-W", "1", "10.9.0.1")
        hosted.probe.send(SIGCONT)
        #expect(answers(hosted.wire))
    }

    @Test("kill -9 takes the device away, and the kernel's own routes count again")
    func killed() throws {
        let hosted = try HostedWire()
        #expect(answers(hosted.wire))
        hosted.probe.send(SIGKILL)
        hosted.probe.wait()
        #expect(answers(hosted.wire))
        #expect(throws: CommandFailure.self) {
            try hosted.node.run("ip", "link", "show", "sluice0")
        }
    }
}
