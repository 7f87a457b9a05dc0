// What a NAT target asks for (`struct nf_nat_range2`).

import Wire

public struct NATRange: Hashable, Sendable {
    public struct Flags: OptionSet, Hashable, Sendable {
        public var rawValue: UInt32
        @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }
        /// `--random`.
        @inlinable public static var random: Self { Self(rawValue: 1 << 2) }
        /// `--persistent`: the address depends on the client alone.
        @inlinable public static var persistent: Self { Self(rawValue: 1 << 3) }
        /// `--random-fully`. Since Linux 5.0 the same as `--random`.
        @inlinable public static var randomFully: Self { Self(rawValue: 1 << 4) }
    }

    /// `nil` keeps the address (REDIRECT-like ranges always have one; port-only DNAT does not).
    public var addresses: ClosedRange<IPv4Address>?
    /// `nil` keeps the port where it is free. ICMP takes identifiers from it.
    public var ports: ClosedRange<Port>?
    /// `--to-destination A:P1-P2/BASE`: ports are shifted by their distance from BASE.
    public var basePort: Port?
    public var flags: Flags

    @inlinable
    public init(
        addresses: ClosedRange<IPv4Address>? = nil, ports: ClosedRange<Port>? = nil,
        basePort: Port? = nil, flags: Flags = []
    ) {
        self.addresses = addresses
        self.ports = ports
        self.basePort = basePort
        self.flags = flags
    }

    /// One address, ports kept.
    @inlinable
    public init(_ address: IPv4Address, ports: ClosedRange<Port>? = nil, flags: Flags = []) {
        self.init(addresses: address...address, ports: ports, flags: flags)
    }
}
