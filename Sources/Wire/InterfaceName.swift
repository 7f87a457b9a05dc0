// Interface names as 16-byte values, so that a rule's `-i eth+` is two masked comparisons per packet.

/// An interface's name (IFNAMSIZ: at most 15 bytes), padded with zeros.
@frozen
public struct InterfaceName: Hashable, Sendable {
    @usableFromInline var high: UInt64
    @usableFromInline var low: UInt64

    /// No interface.
    @inlinable public init() {
        high = 0
        low = 0
    }

    /// `nil` where the name is empty, longer than 15 bytes or contains a zero byte.
    public init?(_ text: some StringProtocol) {
        guard (1...15).contains(text.utf8.count), !text.utf8.contains(0) else { return nil }
        self.init(bytes: text.utf8)
    }

    init(bytes: some Sequence<UInt8>) {
        self.init()
        for (position, byte) in bytes.enumerated() {
            let shift = UInt64(56 - 8 * (position % 8))
            if position < 8 { high |= UInt64(byte) << shift } else { low |= UInt64(byte) << shift }
        }
    }
}

extension InterfaceName: CustomStringConvertible {
    public var description: String {
        let bytes = (0..<16).map { position in
            UInt8(
                truncatingIfNeeded: (position < 8 ? high : low) >> UInt64(56 - 8 * (position % 8)))
        }
        return String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
}

/// What `-i` and `-o` name: one interface, or with a trailing `+` every one that starts so.
@frozen
public struct InterfacePattern: Hashable, Sendable {
    @usableFromInline var value: InterfaceName
    @usableFromInline var mask: InterfaceName

    /// - Parameters:
    ///   - name: the name without its `+`; may be empty with `wildcard`, which matches every name.
    ///   - wildcard: whether a `+` followed.
    public init?(_ name: some StringProtocol, wildcard: Bool) {
        guard name.utf8.count <= 15, wildcard || !name.isEmpty else { return nil }
        value = InterfaceName(bytes: name.utf8)
        // An exact pattern compares the terminating zero too.
        let compared = wildcard ? name.utf8.count : 16
        mask = InterfaceName(bytes: repeatElement(0xFF, count: compared))
    }

    @inlinable
    public func matches(_ name: InterfaceName) -> Bool {
        (name.high & mask.high) == value.high && (name.low & mask.low) == value.low
    }
}
