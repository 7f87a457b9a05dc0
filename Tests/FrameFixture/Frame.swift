// The IPv4 packet that every test's frames begin with. What stands behind its header, and what is
// wrong with it on purpose, is each test's own.

import Wire

/// An Ethernet frame with an IPv4 header of 20 bytes, whose checksum is right, and `payload` behind it.
public func ipv4Frame(
    _ source: IPv4Address, _ destination: IPv4Address, _ protocol: IPProtocol, _ payload: [UInt8],
    fragmentField: UInt16 = 0x4000, timeToLive: UInt8 = 64
) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 34) + payload
    var storage = bytes.mutableSpan
    var span = storage.mutableBytes
    span.set(EtherType.ipv4.rawValue, at: 12)
    span.set(UInt8(0x45), at: 14)
    span.set(UInt16(20 + payload.count), at: 16)
    span.set(fragmentField, at: 20)
    span.set(timeToLive, at: 22)
    span.set(`protocol`.rawValue, at: 23)
    span.set(source.rawValue, at: 26)
    span.set(destination.rawValue, at: 30)
    var sum = InternetChecksum()
    sum.add(span.bytes, 14..<34)
    span.set(sum.complemented, at: 24)
    return bytes
}
