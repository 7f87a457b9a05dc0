// What reaches the node's own sockets. A chain behind everything that netfilter does on INPUT hands each
// packet to NFLOG and drops it, so that no socket and no protocol answers it. A chain of the last priority
// that exists before connection tracking has any hooks stays behind the confirmation, which has the same
// priority: the kernel enters a new hook in front of its equals (net/netfilter/core.c).

import CLinux
import Netlink

struct DeliveryLog {
    private static let group: UInt16 = 53211
    /// Must be loaded before any rule that tracks.
    static let rules = """
        table inet sluice-mirror {
            chain delivered {
                type filter hook input priority 2147483647
                meta nfproto ipv4 log group \(group) drop
            }
        }

        """

    struct Delivery {
        var interface: UInt32
        /// From its IPv4 header on.
        var packet: [UInt8]
    }

    private let socket: NetlinkSocket

    /// Opened inside the namespace.
    init() throws(NetlinkError) {
        socket = try NetlinkSocket(.netfilter, receiveBuffer: 16 << 20)
        // linux/netfilter/nfnetlink_log.h: bind (1), whole packets (copy mode 2), one by one.
        try configure(1, [1])
        try configure(2, bigEndian(UInt32(0xFFFF)) + [2, 0])
        try configure(5, bigEndian(UInt32(1)))
    }

    private func configure(_ attribute: UInt16, _ value: [UInt8]) throws(NetlinkError) {
        var request = NetlinkRequest(
            type: Netfilter.log << 8 | 1, flags: 0,
            header: Netfilter.header(family: 2, resource: Self.group))
        request.append(attribute, value)
        try socket.perform(request, "ask for the packets that reach the node's sockets")
    }

    /// Those since the last call.
    func take() throws(NetlinkError) -> [Delivery] {
        var deliveries: [Delivery] = []
        while let messages = try socket.receive() {
            for message in messages where message.type == Netfilter.log << 8 {
                let attributes = message.attributes(after: Netfilter.headerSize)
                guard let payload = attributes[9] else { continue }
                deliveries.append(
                    Delivery(
                        interface: attributes[4]?.bigEndian32() ?? 0, packet: payload.bytes()))
            }
        }
        return deliveries
    }
}

/// linux/netfilter/nfnetlink.h.
enum Netfilter {
    static let conntrack = 1
    static let log = 4
    static let headerSize = 4

    /// struct nfgenmsg.
    static func header(family: UInt8, resource: UInt16 = 0) -> [UInt8] {
        [family, 0, UInt8(resource >> 8), UInt8(resource & 0xFF)]
    }
}

func bigEndian(_ value: UInt32) -> [UInt8] {
    [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
}

extension NetlinkBytes {
    /// Integers of netfilter's messages are in network byte order.
    func bigEndian16() -> UInt16 { u16(0).byteSwapped }
    func bigEndian32() -> UInt32 { u32(0).byteSwapped }
    func bytes() -> [UInt8] { (0..<count).map { u8($0) } }
}
