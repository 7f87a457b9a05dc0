// IPv4 addresses and prefixes as values in host byte order. Byte order ends inside `Wire`.

/// An IPv4 address (RFC 791). `rawValue` is in host byte order: 10.0.0.1 is `0x0A000001`.
@frozen
public struct IPv4Address: RawRepresentable, Hashable, Comparable, Sendable {
    public var rawValue: UInt32

    @inlinable
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    @inlinable
    public init(_ a: UInt8, _ b: UInt8, _ c: UInt8, _ d: UInt8) {
        rawValue = UInt32(a) << 24 | UInt32(b) << 16 | UInt32(c) << 8 | UInt32(d)
    }

    /// Parses dotted decimal with exactly four parts; `nil` for anything else.
    public init?(_ text: some StringProtocol) {
        var value: UInt32 = 0
        var part: UInt32 = 0
        var (digits, dots) = (0, 0)
        for byte in text.utf8 {
            if byte == UInt8(ascii: ".") {
                guard digits > 0, dots < 3 else { return nil }
                value = value << 8 | part
                (part, digits) = (0, 0)
                dots += 1
            } else {
                guard 48...57 ~= byte, digits < 3 else { return nil }
                part = part * 10 + UInt32(byte - 48)
                digits += 1
            }
            guard part <= 255 else { return nil }
        }
        guard dots == 3, digits > 0 else { return nil }
        rawValue = value << 8 | part
    }

    /// Nobody's address. The rest of 0.0.0.0/8 is ordinary, as it is to Linux since 5.3 (`ipv4_is_zeronet`).
    public static let any = IPv4Address(rawValue: 0)
    public static let loopback = IPv4Address(127, 0, 0, 1)
    public static let broadcast = IPv4Address(rawValue: 0xFFFF_FFFF)

    /// 127.0.0.0/8 (RFC 1122, 3.2.1.3 g).
    @inlinable public var isLoopback: Bool { rawValue >> 24 == 127 }
    /// 224.0.0.0/4 (RFC 1112).
    @inlinable public var isMulticast: Bool { rawValue >> 28 == 0xE }
    @inlinable public var isLimitedBroadcast: Bool { rawValue == 0xFFFF_FFFF }

    @inlinable
    public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
}

extension IPv4Address: CustomStringConvertible {
    public var description: String {
        "\(rawValue >> 24).\(rawValue >> 16 & 255).\(rawValue >> 8 & 255).\(rawValue & 255)"
    }
}

/// An address and a mask, not necessarily contiguous: what `-s 10.0.0.0/255.0.255.0` says.
@frozen
public struct IPv4Network: Hashable, Sendable {
    /// Already masked.
    public var address: IPv4Address
    public var mask: UInt32

    @inlinable
    public init(_ address: IPv4Address, mask: UInt32) {
        self.address = IPv4Address(rawValue: address.rawValue & mask)
        self.mask = mask
    }

    /// - Precondition: `prefixLength` is in 0...32.
    @inlinable
    public init(_ address: IPv4Address, prefixLength: Int) {
        precondition((0...32).contains(prefixLength), "an IPv4 prefix has 0 to 32 bits")
        self.init(address, mask: prefixLength == 0 ? 0 : UInt32.max << (32 - UInt32(prefixLength)))
    }

    /// The prefix length, or `nil` where the mask is not contiguous.
    public var prefixLength: Int? {
        let ones = mask.nonzeroBitCount
        return mask == (ones == 0 ? 0 : UInt32.max << (32 - UInt32(ones))) ? ones : nil
    }

    @inlinable
    public func contains(_ other: IPv4Address) -> Bool {
        other.rawValue & mask == address.rawValue
    }
}
