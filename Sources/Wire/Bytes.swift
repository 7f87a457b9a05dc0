// Big-endian reads and writes on raw spans. The one place in `Wire` where loads are marked unsafe:
// the span checks every offset against its length, and an integer has no invalid bit patterns.

extension RawSpan {
    @inlinable
    public func u8(_ offset: Int) -> UInt8 {
        unsafe unsafeLoad(fromByteOffset: offset, as: UInt8.self)
    }
    @inlinable
    public func u16(_ offset: Int) -> UInt16 {
        unsafe UInt16(bigEndian: unsafeLoadUnaligned(fromByteOffset: offset, as: UInt16.self))
    }
    @inlinable
    public func u32(_ offset: Int) -> UInt32 {
        unsafe UInt32(bigEndian: unsafeLoadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }
    /// The sum of 16-bit words, the last one filled up with a zero, in the machine's own byte order and not
    /// folded: an Internet checksum does not depend on the order of bytes but for that of its own two (RFC 1071,
    /// 2 B). 64 KB add at most 2^13 × 2^33, far from overflow.
    /// - Precondition: the range lies within the span.
    @inlinable @inline(__always)
    func nativeSum(_ range: Range<Int>) -> UInt64 {
        precondition(
            range.lowerBound >= 0 && range.upperBound <= byteCount,
            "a sum is over bytes of the span")
        var sum: UInt64 = 0
        var offset = range.lowerBound
        while offset &+ 8 <= range.upperBound {
            let word = unsafe unsafeLoadUnaligned(
                fromUncheckedByteOffset: offset, as: UInt64.self)
            sum &+= (word & 0xFFFF_FFFF) &+ (word >> 32)
            offset &+= 8
        }
        if offset &+ 4 <= range.upperBound {
            sum &+= UInt64(
                unsafe unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: UInt32.self))
            offset &+= 4
        }
        if offset &+ 2 <= range.upperBound {
            sum &+= UInt64(
                unsafe unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: UInt16.self))
            offset &+= 2
        }
        if offset < range.upperBound { sum &+= UInt64(UInt16(bigEndian: UInt16(u8(offset)) << 8)) }
        return sum
    }
    @inlinable
    public func mac(_ offset: Int) -> MACAddress {
        MACAddress(rawValue: UInt64(u16(offset)) << 32 | UInt64(u32(offset + 2)))
    }
}

extension MutableRawSpan {
    @inlinable public func u8(_ offset: Int) -> UInt8 { bytes.u8(offset) }
    @inlinable public func u16(_ offset: Int) -> UInt16 { bytes.u16(offset) }
    @inlinable public func u32(_ offset: Int) -> UInt32 { bytes.u32(offset) }
    @inlinable
    public mutating func set(_ value: UInt8, at offset: Int) {
        storeBytes(of: value, toByteOffset: offset, as: UInt8.self)
    }
    @inlinable
    public mutating func set(_ value: UInt16, at offset: Int) {
        storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt16.self)
    }
    @inlinable
    public mutating func set(_ value: UInt32, at offset: Int) {
        storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt32.self)
    }
    @inlinable
    public mutating func set(_ value: MACAddress, at offset: Int) {
        set(UInt16(truncatingIfNeeded: value.rawValue >> 32), at: offset)
        set(UInt32(truncatingIfNeeded: value.rawValue), at: offset + 2)
    }
}

extension [UInt8] {
    /// Lends the bytes as a raw span. Reading raw bytes is marked unsafe for the sake of types that have
    /// padding; a byte has none.
    @inlinable
    public func withRawSpan<Result>(_ body: (RawSpan) -> Result) -> Result {
        let span = self.span
        return unsafe body(span.bytes)
    }

    /// The same for changing them.
    @inlinable
    public mutating func withMutableRawSpan<Result>(
        _ body: (inout MutableRawSpan) -> Result
    ) -> Result {
        var span = mutableSpan
        var bytes = unsafe span.mutableBytes
        return body(&bytes)
    }
}
