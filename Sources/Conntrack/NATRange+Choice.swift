// What lies in a NAT range, and which address of it a connection gets.

import Wire

extension ClosedRange<Port> {
    /// Protocols without ports are in every range.
    func containsPort(of tuple: Tuple, _ end: PacketEnd) -> Bool {
        !tuple.hasPorts || contains(tuple.port(end))
    }
}

extension NATRange {
    /// `nf_in_range`: whether the tuple's source satisfies the range.
    func containsSource(of tuple: Tuple) -> Bool {
        if let addresses, !addresses.contains(tuple.source) { return false }
        return ports?.containsPort(of: tuple, .source) ?? true
    }

    /// `find_best_ips_proto`: a client keeps its address for one destination, or, `--persistent`,
    /// for all. The same hash as the kernel's, so that both choose the same address.
    func chooseAddress(_ tuple: inout Tuple, _ end: PacketEnd) {
        guard let addresses else { return }
        var chosen = addresses.lowerBound
        if addresses.lowerBound != addresses.upperBound {
            let seed = flags.contains(.persistent) ? 0 : tuple.destination.rawValue.byteSwapped
            let hash = Self.jenkins(tuple.source.rawValue.byteSwapped, seed)
            let count = addresses.upperBound.rawValue &- addresses.lowerBound.rawValue &+ 1
            let offset = UInt32(truncatingIfNeeded: (UInt64(hash) &* UInt64(count)) >> 32)
            chosen = IPv4Address(rawValue: addresses.lowerBound.rawValue &+ offset)
        }
        if end == .source { tuple.source = chosen } else { tuple.destination = chosen }
    }

    /// Bob Jenkins's lookup3 (public domain) over an IPv4 address in a 16-byte union, as
    /// `jhash2(…, 4, seed)` on a little-endian machine computes it: one mix, then the final.
    private static func jenkins(_ word: UInt32, _ seed: UInt32) -> UInt32 {
        func rotated(_ value: UInt32, _ count: UInt32) -> UInt32 {
            value << count | value >> (32 - count)
        }
        let start: UInt32 = 0xDEAD_BEEF &+ 16 &+ seed
        var (a, b, c) = (start &+ word, start, start)
        a = (a &- c) ^ rotated(c, 4)
        c = c &+ b
        b = (b &- a) ^ rotated(a, 6)
        a = a &+ c
        c = (c &- b) ^ rotated(b, 8)
        b = b &+ a
        a = (a &- c) ^ rotated(c, 16)
        c = c &+ b
        b = (b &- a) ^ rotated(a, 19)
        a = a &+ c
        c = (c &- b) ^ rotated(b, 4)
        b = b &+ a
        c = (c ^ b) &- rotated(b, 14)
        a = (a ^ c) &- rotated(c, 11)
        b = (b ^ a) &- rotated(a, 25)
        c = (c ^ b) &- rotated(b, 16)
        a = (a ^ c) &- rotated(c, 4)
        b = (b ^ a) &- rotated(a, 14)
        return (c ^ b) &- rotated(b, 24)
    }

    /// The ports to probe: the lowest and how many. `nil` where the port must stay as it is.
    ///
    /// Without a range a port stays in its class, because services judge clients by it: 1–511,
    /// 600–1023 (what rlogin and NFS take for privileged), 1024–65535.
    func candidates(_ tuple: Tuple, _ end: PacketEnd) -> (low: UInt32, size: UInt32)? {
        guard tuple.hasPorts else { return nil }
        if let ports {
            let low = UInt32(ports.lowerBound.rawValue)
            return (low, UInt32(ports.upperBound.rawValue) &- low &+ 1)
        }
        if tuple.protocol == .icmp { return (0, 65_536) }
        guard end == .source else { return nil }
        switch tuple.sourcePort.rawValue {
        case 0..<512: return (1, 511)
        case 512..<1024: return (600, 424)
        default: return (1024, 64_512)
        }
    }
}
