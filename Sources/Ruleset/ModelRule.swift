// One rule: the header that iptables keeps for every rule (addresses, interfaces, protocol,
// fragments), then matches in the order given (the order is printed, and evaluated), then a target.

import Wire

/// The identity of a rule, kept across edits of the rules around it, so that counters and per-rule
/// state (`statistic --mode nth`) can be carried over to the next snapshot.
public struct RuleID: RawRepresentable, Hashable, Comparable, Sendable {
    public var rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }
    public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
}

public struct Rule: Hashable, Sendable {
    public var id: RuleID
    public var source: AddressMatch
    public var destination: AddressMatch
    /// `nil` where any interface will do.
    public var inInterface: InterfaceMatch?
    public var outInterface: InterfaceMatch?
    /// `nil` where any protocol will do.
    public var `protocol`: Invertible<IPProtocol>?
    public var fragment: FragmentMatch?
    public var matches: [Match]
    public var target: Target
    public var counters: Counters

    public init(
        id: RuleID, source: AddressMatch = .any, destination: AddressMatch = .any,
        inInterface: InterfaceMatch? = nil, outInterface: InterfaceMatch? = nil,
        protocol: Invertible<IPProtocol>? = nil, fragment: FragmentMatch? = nil,
        matches: [Match] = [], target: Target = .none, counters: Counters = .zero
    ) {
        self.id = id
        self.source = source
        self.destination = destination
        self.inInterface = inInterface
        self.outInterface = outInterface
        self.protocol = `protocol`
        self.fragment = fragment
        self.matches = matches
        self.target = target
        self.counters = counters
    }
}

/// A test and whether its result is turned round by `!`.
@frozen
public struct Invertible<Value: Hashable & Sendable>: Hashable, Sendable {
    public var value: Value
    public var inverted: Bool

    @inlinable
    public init(_ value: Value, inverted: Bool = false) {
        self.value = value
        self.inverted = inverted
    }
}

/// `-s`, `-d`: an address under a mask. `0.0.0.0/0`, not inverted, is no test at all.
public struct AddressMatch: Hashable, Sendable {
    public var network: IPv4Network
    public var inverted: Bool
    /// The address before the mask was laid over it: `-m conntrack` prints it as it was typed.
    public var typed: IPv4Address

    public init(_ network: IPv4Network, inverted: Bool = false, typed: IPv4Address? = nil) {
        self.network = network
        self.inverted = inverted
        self.typed = typed ?? network.address
    }

    public static let any = AddressMatch(IPv4Network(.any, mask: 0))
    public var isAny: Bool { network.mask == 0 && !inverted }
}

/// `-i`, `-o`: a name, or the beginning of one (`eth+`, then `name` is "eth").
public struct InterfaceMatch: Hashable, Sendable {
    public var name: String
    public var wildcard: Bool
    public var inverted: Bool

    public init(name: String, wildcard: Bool = false, inverted: Bool = false) {
        self.name = name
        self.wildcard = wildcard
        self.inverted = inverted
    }

    /// The name as it is typed and printed.
    public var text: String { wildcard ? name + "+" : name }
}

/// `-f`: second and further fragments; `! -f`: first fragments and unfragmented packets.
public struct FragmentMatch: Hashable, Sendable {
    public var inverted: Bool
    public init(inverted: Bool = false) { self.inverted = inverted }
}

/// Ports from `first` to `last`, both included.
@frozen
public struct PortRange: Hashable, Sendable {
    public var first: Port
    public var last: Port

    @inlinable
    public init(_ first: Port, _ last: Port) {
        self.first = first
        self.last = last
    }

    @inlinable public init(_ port: Port) { self.init(port, port) }
    @inlinable public func contains(_ port: Port) -> Bool { first <= port && port <= last }
    public static let all = PortRange(Port(0), Port(65535))
}

/// Addresses from `first` to `last`, both included.
@frozen
public struct AddressRange: Hashable, Sendable {
    public var first: IPv4Address
    public var last: IPv4Address

    @inlinable
    public init(_ first: IPv4Address, _ last: IPv4Address) {
        self.first = first
        self.last = last
    }
}
