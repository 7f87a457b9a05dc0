// Internet checksums: the sum itself (RFC 1071) and its incremental update (RFC 1624, eqn. 3).

/// A one's-complement sum being built. Fold and complement once, at the end.
@frozen
public struct InternetChecksum: Sendable {
    @usableFromInline var sum: UInt64

    @inlinable public init() { sum = 0 }
    @inlinable public init(partial: UInt16) { sum = UInt64(partial) }

    @inlinable public mutating func add(_ word: UInt16) { sum &+= UInt64(word) }
    @inlinable public mutating func add(_ word: UInt32) {
        sum &+= UInt64(word >> 16) &+ UInt64(word & 0xFFFF)
    }

    /// Adds `range` of `bytes`, which starts at an even offset of the summed data.
    @inlinable
    public mutating func add(_ bytes: RawSpan, _ range: Range<Int>) {
        var offset = range.lowerBound
        // Four-byte strides: a 64 KB frame adds at most 2^14 × 2^32, far from overflow.
        while offset &+ 4 <= range.upperBound {
            sum &+= UInt64(bytes.u32(offset))
            offset &+= 4
        }
        if offset &+ 2 <= range.upperBound {
            sum &+= UInt64(bytes.u16(offset))
            offset &+= 2
        }
        if offset < range.upperBound { sum &+= UInt64(bytes.u8(offset)) << 8 }
    }

    /// TCP's and UDP's pseudo-header (RFC 9293, 3.1; RFC 768).
    @inlinable
    public mutating func addPseudoHeader(
        source: IPv4Address, destination: IPv4Address, protocol: IPProtocol, length: Int
    ) {
        add(source.rawValue)
        add(destination.rawValue)
        add(UInt16(`protocol`.rawValue))
        add(UInt32(truncatingIfNeeded: length))
    }

    /// The folded, *uncomplemented* sum: what a partial checksum field holds.
    @inlinable public var folded: UInt16 {
        var value = sum
        while value >> 16 != 0 { value = (value & 0xFFFF) &+ (value >> 16) }
        return UInt16(truncatingIfNeeded: value)
    }
    /// The folded, complemented sum: what a checksum field holds.
    @inlinable public var complemented: UInt16 { ~folded }
}

/// The change that replacing some 16-bit words makes to a checksum: Σ(~old + new).
/// Computed once per connection and applied to every packet (RFC 1624, eqn. 3: HC' = ~(~HC + ~m + m')).
@frozen
public struct ChecksumDelta: Hashable, Sendable {
    @usableFromInline var sum: UInt32

    @inlinable public init() { sum = 0 }

    @inlinable
    public mutating func replace(_ old: UInt16, by new: UInt16) {
        sum = Self.fold(sum &+ UInt32(~old) &+ UInt32(new))
    }
    @inlinable
    public mutating func replace(_ old: UInt32, by new: UInt32) {
        replace(UInt16(truncatingIfNeeded: old >> 16), by: UInt16(truncatingIfNeeded: new >> 16))
        replace(UInt16(truncatingIfNeeded: old), by: UInt16(truncatingIfNeeded: new))
    }

    /// The new value of a complete (complemented) checksum field.
    @inlinable
    public func applied(to checksum: UInt16) -> UInt16 {
        ~UInt16(truncatingIfNeeded: Self.fold(UInt32(~checksum) &+ sum))
    }
    /// The new value of a partial (uncomplemented) checksum field.
    @inlinable
    public func applied(toPartial checksum: UInt16) -> UInt16 {
        UInt16(truncatingIfNeeded: Self.fold(UInt32(checksum) &+ sum))
    }

    @inlinable static func fold(_ value: UInt32) -> UInt32 {
        let once = (value & 0xFFFF) &+ (value >> 16)
        return (once & 0xFFFF) &+ (once >> 16)
    }
}
