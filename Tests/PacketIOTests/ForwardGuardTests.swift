import CLinux
import Foundation
import NamespaceFixture
import Testing
import Wire

@testable import PacketIO

/// A client and a server with a router between them, whose kernel forwards.
struct RoutedWire {
    let client: Namespace
    let node: Namespace
    let server: Namespace

    init() throws {
        client = try Namespace("c")
        node = try Namespace("n")
        server = try Namespace("s")
        try link(client, "a0", node, "a1")
        try link(server, "b0", node, "b1")
        try client.run("ip", "addr", "add", "10.9.1.2/24", "dev", "a0")
        try node.run("ip", "addr", "add", "10.9.1.1/24", "dev", "a1")
        try server.run("ip", "addr", "add", "10.9.2.2/24", "dev", "b0")
        try node.run("ip", "addr", "add", "10.9.2.1/24", "dev", "b1")
        try client.run("ip", "route", "add", "default", "via", "10.9.1.1")
        try server.run("ip", "route", "add", "default", "via", "10.9.2.1")
        try node.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    }

    /// Generous, since an answer that comes costs no waiting.
    func clientReaches(_ address: String, seconds: String = "5") -> Bool {
        (try? client.run("ping", "-c", "1", "-W", seconds, address)) != nil
    }

    func clientMisses(_ address: String) -> Bool { !clientReaches(address, seconds: "0.3") }

    func index(_ interface: String) throws -> InterfaceIndex {
        try node.inside { InterfaceIndex(rawValue: unsafe sluice_interface_index(interface)) }
    }
}

@Suite("The guard of --on-death closed", .enabled(if: isRoot, needsRoot))
struct ForwardGuardTests {
    @Test("it stops forwarding, lets the node itself answer, and leaves no trace when removed")
    func stopsForwarding() throws {
        let wire = try RoutedWire()
        let ingress = try wire.index("a1")
        let before = try wire.node.run("tc", "qdisc", "show")
        #expect(wire.clientReaches("10.9.2.2"))
        try wire.node.inside { try ForwardGuard.install(on: ingress) }
        #expect(wire.clientMisses("10.9.2.2"))
        #expect(wire.clientReaches("10.9.1.1"))
        #expect(wire.clientReaches("10.9.2.1"), "an address of the other interface")
        // An address that comes later is the node's own from then on.
        try wire.node.run("ip", "addr", "add", "10.9.3.1/32", "dev", "lo")
        #expect(wire.clientReaches("10.9.3.1"))
        #expect(try wire.node.inside { ForwardGuard.isInstalled(on: ingress) })

        try wire.node.inside { try ForwardGuard.remove(from: ingress) }
        #expect(wire.clientReaches("10.9.2.2"))
        #expect(try wire.node.run("tc", "qdisc", "show") == before)
        #expect(try wire.node.inside { !ForwardGuard.isInstalled(on: ingress) })
    }

    @Test("a clsact qdisc that somebody else made stays")
    func foreignQdisc() throws {
        let wire = try RoutedWire()
        let ingress = try wire.index("a1")
        try wire.node.run("tc", "qdisc", "add", "dev", "a1", "clsact")
        let before = try wire.node.run("tc", "qdisc", "show")
        try wire.node.inside {
            try ForwardGuard.install(on: ingress)
            try ForwardGuard.install(on: ingress)
        }
        #expect(wire.clientMisses("10.9.2.2"))
        try wire.node.inside { try ForwardGuard.remove(from: ingress) }
        #expect(try wire.node.run("tc", "qdisc", "show") == before)
        #expect(try wire.node.run("tc", "filter", "show", "dev", "a1", "ingress").isEmpty)
    }

    @Test(
        "it stays when the daemon is killed, and nothing is forwarded from one moment to the next")
    func outlivesTheDaemon() throws {
        let wire = try RoutedWire()
        let ingress = try wire.index("a1")
        try wire.node.inside { try ForwardGuard.install(on: ingress) }
        let daemon = try BackgroundProcess(in: wire.node, portprobe, "claim", "a1")
        #expect(wire.clientMisses("10.9.1.1"))
        daemon.send(SIGKILL)
        daemon.wait()
        #expect(wire.clientReaches("10.9.1.1"))
        #expect(wire.clientMisses("10.9.2.2"))
    }
}
