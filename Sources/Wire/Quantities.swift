// The small quantities of the wire as types: a bare UInt16 does not cross a function boundary.

/// A TCP or UDP port, or an ICMP echo identifier where conntrack uses it as one; host byte order.
@frozen
public struct Port: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
    public var rawValue: UInt16
    @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }
    @inlinable public init(_ value: UInt16) { rawValue = value }
    @inlinable public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
    public var description: String { String(rawValue) }
}

/// An IP protocol number (IANA, RFC 791 "Protocol").
@frozen
public struct IPProtocol: RawRepresentable, Hashable, Sendable {
    public var rawValue: UInt8
    @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }
    @inlinable public static var icmp: Self { Self(rawValue: 1) }
    @inlinable public static var tcp: Self { Self(rawValue: 6) }
    @inlinable public static var udp: Self { Self(rawValue: 17) }
    @inlinable public static var dccp: Self { Self(rawValue: 33) }
    @inlinable public static var gre: Self { Self(rawValue: 47) }
    @inlinable public static var sctp: Self { Self(rawValue: 132) }
    @inlinable public static var udplite: Self { Self(rawValue: 136) }
}

/// An Ethernet type (IEEE 802), host byte order.
@frozen
public struct EtherType: RawRepresentable, Hashable, Sendable {
    public var rawValue: UInt16
    @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }
    @inlinable public static var ipv4: Self { Self(rawValue: 0x0800) }
    @inlinable public static var arp: Self { Self(rawValue: 0x0806) }
    @inlinable public static var ipv6: Self { Self(rawValue: 0x86DD) }
}

/// A 48-bit MAC address in the low bits of an integer: 02:00:00:00:00:01 is `0x0200_0000_0001`.
@frozen
public struct MACAddress: RawRepresentable, Hashable, Sendable {
    public var rawValue: UInt64
    @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue & 0xFFFF_FFFF_FFFF }

    /// Parses six hexadecimal bytes separated by colons.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 6 else { return nil }
        var value: UInt64 = 0
        for part in parts {
            // A sign is a digit to the parser of integers, not here.
            guard (1...2).contains(part.utf8.count), part.allSatisfy(\.isHexDigit),
                let byte = UInt8(part, radix: 16)
            else { return nil }
            value = value << 8 | UInt64(byte)
        }
        rawValue = value
    }

    @inlinable public static var broadcast: Self { Self(rawValue: 0xFFFF_FFFF_FFFF) }
    /// The group bit: multicast and broadcast.
    @inlinable public var isGroup: Bool { rawValue >> 40 & 1 == 1 }
}

extension MACAddress: CustomStringConvertible {
    public var description: String {
        (0..<6).map { index in
            let byte = String(rawValue >> UInt64(40 - 8 * index) & 255, radix: 16)
            return byte.utf8.count == 1 ? "0" + byte : byte
        }.joined(separator: ":")
    }
}

/// A TCP sequence number; comparison wraps (RFC 9293, 3.4).
@frozen
public struct SequenceNumber: RawRepresentable, Hashable, Sendable {
    public var rawValue: UInt32
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }
    @inlinable public init(_ value: UInt32) { rawValue = value }

    /// Whether `self` stands before `other` on the circle.
    @inlinable public func isBefore(_ other: Self) -> Bool {
        Int32(bitPattern: rawValue &- other.rawValue) < 0
    }
    @inlinable public func isAfter(_ other: Self) -> Bool { other.isBefore(self) }
    @inlinable public static func + (a: Self, b: UInt32) -> Self { Self(a.rawValue &+ b) }
    @inlinable public static func - (a: Self, b: UInt32) -> Self { Self(a.rawValue &- b) }
    /// The distance from `b` to `a` on the circle.
    @inlinable public static func - (a: Self, b: Self) -> UInt32 { a.rawValue &- b.rawValue }
}

/// An interface's index in its network namespace; 0 is no interface.
@frozen
public struct InterfaceIndex: RawRepresentable, Hashable, Comparable, Sendable {
    public var rawValue: UInt32
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }
    @inlinable public static var none: Self { Self(rawValue: 0) }
    @inlinable public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
}

/// Nanoseconds on a clock that the caller chose; nothing below `PacketIO` reads one.
@frozen
public struct Timestamp: Hashable, Comparable, Sendable {
    public var nanoseconds: UInt64
    @inlinable public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }
    @inlinable public static func < (a: Self, b: Self) -> Bool { a.nanoseconds < b.nanoseconds }
    @inlinable public static func + (a: Self, seconds: Seconds) -> Self {
        Self(nanoseconds: a.nanoseconds &+ UInt64(seconds.rawValue) &* 1_000_000_000)
    }
}

/// Whole seconds: timeouts.
@frozen
public struct Seconds: RawRepresentable, Hashable, Comparable, Sendable {
    public var rawValue: UInt32
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }
    @inlinable public init(_ value: UInt32) { rawValue = value }
    @inlinable public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
}

/// A small, fast generator of pseudo-random numbers (SplitMix64, Steele et al. 2014), seeded by the
/// caller so that the same seed gives the same run. Not for secrets.
@frozen
public struct SeededRandom: RandomNumberGenerator, Sendable {
    @usableFromInline var state: UInt64
    @inlinable public init(seed: UInt64) { state = seed }
    @inlinable
    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// A source whose next number is `first`: the steps of `next`, backwards.
    public init(first: UInt64) {
        func unshifted(_ value: UInt64, by count: UInt64) -> UInt64 {
            var result = value
            // Each round makes `count` more of the upper bits right.
            for _ in 0..<(64 / count) { result = value ^ (result >> count) }
            return result
        }
        // The factors' inverses modulo 2^64.
        let second = unshifted(first, by: 31) &* 0x3196_42B2_D24D_8EC3
        let third = unshifted(second, by: 27) &* 0x96DE_1B17_3F11_9089
        state = unshifted(third, by: 30) &- 0x9E37_79B9_7F4A_7C15
    }
}
