// IPv4 options on their way through a router (RFC 791, 3.1; net/ipv4/ip_options.c): read once behind
// PREROUTING, where a malformed one is answered; acted on behind FORWARD.
//
//   record route        filled in with the address that the node would speak with: first towards the sender,
//                       then, where the packet is forwarded, with the egress'
//   timestamp           the time, and on request the address; a list of addresses is stamped where the next is
//                       one of the node's
//   source route        followed where `accept_source_route` allows it
//
// Security labels (CIPSO) are not judged. The header's checksum is made anew only behind FORWARD: until then
// an error quotes the packet as the kernel quotes it, with the sum that it came with.

import Routing
import Wire

/// What a packet's options ask for. Offsets count from the IPv4 header; 0 is none.
public struct IPOptions: Hashable, Sendable {
    public internal(set) var recordRoute: UInt8 = 0
    public internal(set) var timestamp: UInt8 = 0
    public internal(set) var sourceRoute: UInt8 = 0
    public internal(set) var securityLabel: UInt8 = 0
    /// A route was recorded: the address may have to change once the egress is known.
    public internal(set) var recordsAddress = false
    public internal(set) var stampsAddress = false
    public internal(set) var stampsTime = false
    public internal(set) var isStrict = false
    /// The node is the next stop of the source route.
    public internal(set) var isHit = false
    /// Where the source route leads from here.
    var nextStop = IPv4Address.any
    /// The header's checksum is no longer that of its bytes.
    var isChanged = false

    public init() {}

    static let end: UInt8 = 0
    static let noOperation: UInt8 = 1
}

/// What reading options takes from the node.
struct OptionSource {
    /// The address that the node would answer the packet with (fib_compute_spec_dst).
    var address: IPv4Address
    /// Milliseconds since midnight, universal time.
    var time: UInt32
    var routes: RoutingSnapshot
    /// Off for a look without effect.
    var writes: Bool
}

/// Reads the options of one header, in order (ip_options_compile).
struct OptionReader {
    let source: OptionSource
    /// The IPv4 header in the frame.
    let network: Int
    /// Behind the last option.
    let limit: Int
    var options = IPOptions()

    /// - Returns: where the first malformed option is at fault, counted from the IPv4 header.
    mutating func read(_ bytes: inout MutableRawSpan) -> UInt8? {
        var offset = network + 20
        while offset < limit {
            let kind = bytes.u8(offset)
            if kind == IPOptions.end {
                fillUp(offset + 1, &bytes)
                return nil
            }
            if kind == IPOptions.noOperation {
                offset += 1
                continue
            }
            guard offset + 1 < limit else { return place(offset) }
            let length = Int(bytes.u8(offset + 1))
            guard length >= 2, offset + length <= limit else { return place(offset) }
            if let fault = read(kind, at: offset, length: length, &bytes) { return fault }
            offset += length
        }
        return nil
    }

    private func place(_ offset: Int) -> UInt8 { UInt8(truncatingIfNeeded: offset - network) }

    /// Behind the end of the list there is nothing but ends of lists.
    private mutating func fillUp(_ start: Int, _ bytes: inout MutableRawSpan) {
        for offset in start..<max(start, limit) where bytes.u8(offset) != IPOptions.end {
            write(IPOptions.end, at: offset, &bytes)
        }
    }

    private mutating func write(_ value: UInt8, at offset: Int, _ bytes: inout MutableRawSpan) {
        guard source.writes else { return }
        bytes.set(value, at: offset)
        options.isChanged = true
    }

    private mutating func write(_ value: UInt32, at offset: Int, _ bytes: inout MutableRawSpan) {
        guard source.writes else { return }
        bytes.set(value, at: offset)
        options.isChanged = true
    }

    private mutating func read(
        _ kind: UInt8, at offset: Int, length: Int, _ bytes: inout MutableRawSpan
    ) -> UInt8? {
        switch kind {
        case 131, 137: readSourceRoute(kind, at: offset, length: length, bytes.bytes)
        case 7: readRecordRoute(at: offset, length: length, &bytes)
        case 68: readTimestamp(at: offset, length: length, &bytes)
        // Router alert (RFC 2113): nobody here waits for one.
        case 148: length < 4 ? place(offset + 1) : nil
        case 134: readSecurityLabel(at: offset)
        default: nil
        }
    }

    private mutating func readSecurityLabel(at offset: Int) -> UInt8? {
        guard options.securityLabel == 0 else { return place(offset) }
        options.securityLabel = place(offset)
        return nil
    }

    private mutating func readSourceRoute(
        _ kind: UInt8, at offset: Int, length: Int, _ bytes: RawSpan
    ) -> UInt8? {
        guard length >= 3 else { return place(offset + 1) }
        guard bytes.u8(offset + 2) >= 4 else { return place(offset + 2) }
        // RFC 1812, 5.2.4.1: one at most.
        guard options.sourceRoute == 0 else { return place(offset) }
        options.isStrict = kind == 137
        options.sourceRoute = place(offset)
        return nil
    }

    private mutating func readRecordRoute(
        at offset: Int, length: Int, _ bytes: inout MutableRawSpan
    ) -> UInt8? {
        guard options.recordRoute == 0 else { return place(offset) }
        guard length >= 3 else { return place(offset + 1) }
        let pointer = Int(bytes.u8(offset + 2))
        guard pointer >= 4 else { return place(offset + 2) }
        if pointer <= length {
            guard pointer + 3 <= length else { return place(offset + 2) }
            write(source.address.rawValue, at: offset + pointer - 1, &bytes)
            write(UInt8(pointer + 4), at: offset + 2, &bytes)
            options.recordsAddress = true
        }
        options.recordRoute = place(offset)
        return nil
    }

    private mutating func readTimestamp(
        at offset: Int, length: Int, _ bytes: inout MutableRawSpan
    ) -> UInt8? {
        guard options.timestamp == 0 else { return place(offset) }
        guard length >= 4 else { return place(offset + 1) }
        let pointer = Int(bytes.u8(offset + 2))
        guard pointer >= 5 else { return place(offset + 2) }
        let flags = bytes.u8(offset + 3) & 15
        if pointer <= length {
            guard pointer + 3 <= length else { return place(offset + 2) }
            guard flags != 1 && flags != 3 || pointer + 7 <= length else {
                return place(offset + 2)
            }
            stamp(flags, at: offset, pointer: pointer, &bytes)
        } else if flags != 3 {
            let overflow = bytes.u8(offset + 3) >> 4
            guard overflow < 15 else { return place(offset + 3) }
            write(flags | (overflow + 1) << 4, at: offset + 3, &bytes)
        }
        options.timestamp = place(offset)
        return nil
    }

    private mutating func stamp(
        _ flags: UInt8, at offset: Int, pointer: Int, _ bytes: inout MutableRawSpan
    ) {
        let entry = offset + pointer - 1
        switch flags {
        case 0:
            write(source.time, at: entry, &bytes)
            write(UInt8(pointer + 4), at: offset + 2, &bytes)
        case 1:
            write(source.address.rawValue, at: entry, &bytes)
            write(source.time, at: entry + 4, &bytes)
            write(UInt8(truncatingIfNeeded: pointer + 8), at: offset + 2, &bytes)
            options.stampsAddress = true
        case 3:
            let address = IPv4Address(rawValue: bytes.u32(entry))
            guard source.routes.addressType(address) != .unicast else { return }
            write(source.time, at: entry + 4, &bytes)
            write(UInt8(truncatingIfNeeded: pointer + 8), at: offset + 2, &bytes)
        default: return
        }
        options.stampsTime = true
    }
}
