// The network that everything is measured in: a client and a server, the node between them, and a wire from one to
// the other past the node.
//
//     client c0 ── n0 node n1 ── s0 server
//            d0 ──────────────── d1
//
// All links are veths with their offloads as they come.

import CLinux
import Lab
import PacketIO
import Wire

struct BenchmarkNetwork: Sendable {
    static let nodeOutside = IPv4Address(10, 9, 1, 1)
    static let nodeInside = IPv4Address(10, 9, 2, 1)
    static let client = IPv4Address(10, 9, 1, 2)
    static let server = IPv4Address(10, 9, 2, 2)
    static let directClient = IPv4Address(10, 9, 3, 1)
    static let directServer = IPv4Address(10, 9, 3, 2)

    let lab: HeldLab
    /// By interface.
    let addresses: [String: MACAddress]

    /// Makes the calling process the home of the network: it is in the node's namespace from here on.
    init() throws(LabError) {
        lab = try HeldLab(["client", "node", "server"], home: "node")
        for namespace in ["client", "node", "server"] {
            // Missing where the machine was started without IPv6.
            try? lab.set("net/ipv6/conf/all/disable_ipv6", "1", in: namespace)
            try lab.configure(namespace, ["link set lo up"])
        }
        // Many short connections need many ports.
        try lab.set("net/ipv4/ip_local_port_range", "1024 65535", in: "client")
        try lab.configure(
            "node",
            [
                "link add c0 netns client type veth peer name n0",
                "link add s0 netns server type veth peer name n1",
            ])
        try lab.configure("client", ["link add d0 type veth peer name d1 netns server"])
        addresses = try Self.addresses(lab)
        try configure()
    }

    /// Neighbours are permanent: nothing is resolved while something is measured.
    private func configure() throws(LabError) {
        try up("client", "c0", Self.client, neighbour: Self.nodeOutside, "n0")
        try up("node", "n0", Self.nodeOutside, neighbour: Self.client, "c0")
        try up("node", "n1", Self.nodeInside, neighbour: Self.server, "s0")
        try up("server", "s0", Self.server, neighbour: Self.nodeInside, "n1")
        try up("client", "d0", Self.directClient, neighbour: Self.directServer, "d1")
        try up("server", "d1", Self.directServer, neighbour: Self.directClient, "d0")
        try lab.configure("client", ["route add default via \(Self.nodeOutside)"])
        try lab.configure("server", ["route add default via \(Self.nodeInside)"])
    }

    private func up(
        _ namespace: String, _ interface: String, _ address: IPv4Address,
        neighbour: IPv4Address, _ peer: String
    ) throws(LabError) {
        guard let mac = addresses[peer] else { preconditionFailure("every link has two ends") }
        try lab.configure(
            namespace,
            [
                "link set \(interface) up", "addr add \(address)/24 dev \(interface)",
                "neigh add \(neighbour) lladdr \(mac) dev \(interface) nud permanent",
            ])
    }

    private static let places = [
        "c0": "client", "d0": "client", "n0": "node", "n1": "node", "s0": "server", "d1": "server",
    ]

    private static func addresses(_ lab: HeldLab) throws(LabError) -> [String: MACAddress] {
        var found: [String: MACAddress] = [:]
        for (interface, namespace) in places {
            found[interface] = try lab.within(namespace) { () throws(LabError) in
                try InterfaceCalls.address(interface)
            }
        }
        return found
    }

    /// Has `body` run in the namespace of an interface.
    func within(_ interface: String, _ body: () throws(BPFError) -> Void) throws(LabError) {
        try lab.within(Self.place(of: interface)) { () throws(LabError) in
            do throws(BPFError) { try body() } catch { throw LabError("\(error)") }
        }
    }

    func index(of interface: String) throws(LabError) -> UInt32 {
        try lab.within(Self.place(of: interface)) { () throws(LabError) in
            try InterfaceCalls.index(interface)
        }
    }

    static func place(of interface: String) -> String {
        guard let namespace = places[interface] else {
            preconditionFailure("\(interface) is one of the network's interfaces")
        }
        return namespace
    }

    /// Has interfaces take frames that no socket made, which a veth does only while GRO is on, for as long as `body`
    /// takes.
    func takingFrames<R>(
        _ interfaces: [String], _ body: () throws(LabError) -> R
    ) throws(LabError) -> R {
        defer { for interface in interfaces { try? setGRO(interface, false) } }
        for interface in interfaces { try setGRO(interface, true) }
        return try body()
    }

    private func setGRO(_ interface: String, _ isOn: Bool) throws(LabError) {
        try lab.within(Self.place(of: interface)) { () throws(LabError) in
            try InterfaceCalls.set(.receiveOffload, of: interface, isOn)
        }
    }

    /// A sentence on what the interfaces leave to each other.
    func offloads() throws(LabError) -> String {
        var said: [String] = []
        for interface in ["c0", "n0", "n1", "s0"] {
            let on = try lab.within(Self.place(of: interface)) { () throws(LabError) in
                InterfaceCalls.offloadsOn(interface)
            }
            said.append("\(interface) \(on.isEmpty ? "none" : on.joined(separator: ", "))")
        }
        return "Offloads that are on: \(said.joined(separator: "; "));"
            + " GRO as well while frames are sent, since a veth takes none from programs without."
    }
}
