// What a rule does with a packet that matches it, as plain values; text in `Extensions/`.

import Wire

public enum Target: Hashable, Sendable {
    /// No `-j`: the rule only counts.
    case none
    case accept
    case drop
    case `return`
    case jump(String)
    case goto(String)
    case dnat(NATTarget)
    case snat(NATTarget)
    case masquerade(PortMapping)
    case redirect(PortMapping)
    case mark(MarkTarget)
    case reject(RejectType)
    case log(LogTarget)
    case mangle(MangleTarget)
    case connmark(ConnmarkTarget)
    case nflog(NFLogTarget)
    case trace
    case ct(CTTarget)
    case notrack
    /// Onto this network, host by host.
    case netmap(IPv4Network)
}

/// `DNAT`, `SNAT`.
public struct NATTarget: Hashable, Sendable {
    /// `nil`: the address is kept (`--to-destination :80`).
    public var addresses: AddressRange?
    /// `nil`: the port is kept where it can be.
    public var ports: PortRange?
    /// `--to-destination ADDR:1000-2000/BASE`: the port moves by `first - BASE`.
    public var basePort: Port?
    public var random: Bool
    public var randomFully: Bool
    public var persistent: Bool

    public init(
        addresses: AddressRange? = nil, ports: PortRange? = nil, basePort: Port? = nil,
        random: Bool = false, randomFully: Bool = false, persistent: Bool = false
    ) {
        self.addresses = addresses
        self.ports = ports
        self.basePort = basePort
        self.random = random
        self.randomFully = randomFully
        self.persistent = persistent
    }
}

/// `MASQUERADE`, `REDIRECT`: the address is found per packet, only ports can be said.
public struct PortMapping: Hashable, Sendable {
    public var ports: PortRange?
    public var random: Bool
    public var randomFully: Bool

    public init(ports: PortRange? = nil, random: Bool = false, randomFully: Bool = false) {
        self.ports = ports
        self.random = random
        self.randomFully = randomFully
    }
}

/// `MARK`: mark = (mark & ~mask) ^ value, to which every `--set-…`, `--and-…`, `--or-…` reduces.
public struct MarkTarget: Hashable, Sendable {
    public var value: UInt32
    public var mask: UInt32
    public init(value: UInt32, mask: UInt32 = .max) {
        self.value = value
        self.mask = mask
    }
}

/// `REJECT --reject-with`; the raw value is the name that iptables prints.
public enum RejectType: String, Hashable, Sendable, CaseIterable {
    case netUnreachable = "icmp-net-unreachable"
    case hostUnreachable = "icmp-host-unreachable"
    case protocolUnreachable = "icmp-proto-unreachable"
    case portUnreachable = "icmp-port-unreachable"
    case netProhibited = "icmp-net-prohibited"
    case hostProhibited = "icmp-host-prohibited"
    case tcpReset = "tcp-reset"
    case adminProhibited = "icmp-admin-prohibited"
}

/// `LOG`.
public struct LogTarget: Hashable, Sendable {
    /// NF_LOG_* bits of the kernel, as `--log-tcp-sequence` and its kin set them.
    public struct Flags: OptionSet, Hashable, Sendable {
        public var rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        public static let tcpSequence = Flags(rawValue: 0x01)
        public static let tcpOptions = Flags(rawValue: 0x02)
        public static let ipOptions = Flags(rawValue: 0x04)
        public static let uid = Flags(rawValue: 0x08)
        public static let macDecode = Flags(rawValue: 0x20)
    }
    /// syslog level, 0 (emerg) to 7 (debug).
    public var level: UInt8
    public var prefix: String
    public var flags: Flags

    public init(level: UInt8 = 4, prefix: String = "", flags: Flags = []) {
        self.level = level
        self.prefix = prefix
        self.flags = flags
    }
}
