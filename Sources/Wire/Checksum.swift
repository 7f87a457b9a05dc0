// Internet checksums: the sum itself (RFC 1071) and its incremental update (RFC 1624, eqn. 3).

/// A one's-complement sum being built, in the machine's own byte order. Fold and complement once, at the end.
@frozen
public struct InternetChecksum: Sendable {
    @usableFromInline var sum: UInt64

    @inlinable public init() { sum = 0 }
    @inlinable public init(partial: UInt16) { sum = UInt64(partial.bigEndian) }
    @inlinable init(native sum: UInt64) { self.sum = sum }

    @inlinable public mutating func add(_ word: UInt16) { sum &+= UInt64(word.bigEndian) }
    @inlinable public mutating func add(_ word: UInt32) { sum &+= UInt64(word.bigEndian) }

    /// Adds `range` of `bytes`, which starts at an even offset of the summed data.
    @inlinable
    public mutating func add(_ bytes: RawSpan, _ range: Range<Int>) {
        sum &+= bytes.nativeSum(range)
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
    @inlinable public var folded: UInt16 { UInt16(bigEndian: Self.fold(sum)) }
    /// The folded, complemented sum: what a checksum field holds.
    @inlinable public var complemented: UInt16 { ~folded }

    /// From 64 bits to 16, every carry added again.
    @inlinable static func fold(_ sum: UInt64) -> UInt16 {
        var value = (sum & 0xFFFF_FFFF) &+ (sum >> 32)
        value = (value & 0xFFFF) &+ (value >> 16)
        value = (value & 0xFFFF) &+ (value >> 16)
        value = (value & 0xFFFF) &+ (value >> 16)
        return UInt16(truncatingIfNeeded: value)
    }
}

/// The change that replacing some 16-bit words makes to a checksum: Σ(~old + new).
/// Computed once per connection and applied to every packet (RFC 1624, eqn. 3: HC' = ~(~HC + ~m + m')).
///
/// A sum of 32-bit words is as good as one of their halves, since 2^16 is 1 here; it is folded when it is
/// applied.
@frozen
public struct ChecksumDelta: Sendable {
    @usableFromInline var sum: UInt64

    @inlinable public init() { sum = 0 }

    /// Whether applying it changes nothing.
    @inlinable public var isEmpty: Bool { sum == 0 }

    @inlinable
    public mutating func replace(_ old: UInt16, by new: UInt16) {
        sum &+= UInt64(~old) &+ UInt64(new)
    }
    @inlinable
    public mutating func replace(_ old: UInt32, by new: UInt32) {
        sum &+= UInt64(~old) &+ UInt64(new)
    }
    @inlinable public mutating func add(_ other: ChecksumDelta) { sum &+= other.sum }

    /// The new value of a complete (complemented) checksum field.
    @inlinable
    public func applied(to checksum: UInt16) -> UInt16 { ~fold(UInt64(~checksum)) }
    /// The new value of a partial (uncomplemented) checksum field.
    @inlinable
    public func applied(toPartial checksum: UInt16) -> UInt16 { fold(UInt64(checksum)) }

    @inlinable
    func fold(_ field: UInt64) -> UInt16 { InternetChecksum.fold(sum &+ field) }
}
