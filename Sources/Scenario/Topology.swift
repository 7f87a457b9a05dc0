// The node of a scenario as plain data: what a person writes down of its interfaces, routes and settings,
// and what both engines, Sluice and the kernel, are set up from. What the words mean is left to them.

public import Wire

/// A node: its interfaces, addresses, routes, neighbours and settings.
///
/// `lo` with 127.0.0.1/8 is implied, and so are the routes that the kernel makes of addresses. Forwarding
/// is on unless `settings` says otherwise.
public struct Topology: Hashable, Sendable {
    /// An Ethernet interface that is up. Its index is its place in `links` plus 2; `lo` has 1.
    public struct Link: Hashable, Sendable {
        /// 1 to 15 bytes, unique within the node.
        public var name: String
        public var mac: MACAddress
        /// In bytes of IP packet.
        public var mtu: Int
        /// In the order in which they are added, which decides who is primary.
        public var addresses: [LinkAddress]
        /// Values of `net.ipv4.conf.NAME.*`, by the last part of the name, such as `rp_filter`.
        public var settings: [String: String]

        public init(
            name: String, mac: MACAddress, mtu: Int = 1500, addresses: [LinkAddress] = [],
            settings: [String: String] = [:]
        ) {
            self.name = name
            self.mac = mac
            self.mtu = mtu
            self.addresses = addresses
            self.settings = settings
        }
    }

    /// A neighbour that never changes (`nud permanent`): nobody answers ARP in a scenario.
    public struct Neighbour: Hashable, Sendable {
        public var address: IPv4Address
        public var mac: MACAddress
        /// The interface's name.
        public var link: String

        public init(address: IPv4Address, mac: MACAddress, link: String) {
            self.address = address
            self.mac = mac
            self.link = link
        }
    }

    public var links: [Link]
    /// Further addresses of `lo`.
    public var loopbackAddresses: [LinkAddress]
    /// Each as the words behind `ip route add`.
    public var routes: [String]
    /// Each as the words behind `ip rule add`.
    public var policyRules: [String]
    public var neighbours: [Neighbour]
    /// Values of sysctls by their full names, such as `net.netfilter.nf_conntrack_udp_timeout`. Set
    /// before the links are made; a link's own settings come after these.
    public var settings: [String: String]

    public init(
        links: [Link] = [], loopbackAddresses: [LinkAddress] = [], routes: [String] = [],
        policyRules: [String] = [], neighbours: [Neighbour] = [], settings: [String: String] = [:]
    ) {
        self.links = links
        self.loopbackAddresses = loopbackAddresses
        self.routes = routes
        self.policyRules = policyRules
        self.neighbours = neighbours
        self.settings = settings
    }
}

/// An address as `ip address add` takes it: 10.0.0.1/24. Broadcast address and scope are the kernel's choice
/// for `brd +` and the default scope.
public struct LinkAddress: Hashable, Sendable, CustomStringConvertible {
    public var address: IPv4Address
    /// 0 to 32.
    public var prefixLength: Int

    public init(_ address: IPv4Address, prefixLength: Int) {
        precondition((0...32).contains(prefixLength), "an IPv4 prefix has 0 to 32 bits")
        self.address = address
        self.prefixLength = prefixLength
    }

    /// Reads `10.0.0.1/24`.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let address = IPv4Address(parts[0]), let length = Int(parts[1]),
            (0...32).contains(length), String(length) == parts[1]
        else { return nil }
        self.init(address, prefixLength: length)
    }

    public var description: String { "\(address)/\(prefixLength)" }
}
