// The kernel's entries as nfnetlink_conntrack tells them (linux/netfilter/nfnetlink_conntrack.h).

import Foundation
import Glibc
import NamespaceFixture
import Wire

@testable import Conntrack

/// One entry of the kernel's table.
struct KernelEntry {
    var original = Tuple(.any, 0, .any, 0, IPProtocol(rawValue: 0))
    var reply = Tuple(.any, 0, .any, 0, IPProtocol(rawValue: 0))
    var status: ConnectionStatus = []
    /// Seconds left, rounded down.
    var timeout: UInt32 = 0
    var mark: UInt32 = 0
    var tcpState: TCPState?
    var originalEnd = TCPScript.EndMarks()
    var replyEnd = TCPScript.EndMarks()
}

extension KernelTracker {
    /// The entry of a tuple, in whichever direction.
    func entry(_ tuple: Tuple) throws -> KernelEntry? {
        try ask(flags: 0, NetlinkText.tuple(tuple)).first
    }

    /// All entries.
    func entries() throws -> [KernelEntry] { try ask(flags: 0x300, []) }

    private func ask(flags: UInt16, _ attributes: [UInt8]) throws -> [KernelEntry] {
        var message: [UInt8] = []
        message += NetlinkText.native(UInt32(20 + attributes.count))
        // IPCTNL_MSG_CT_GET of NFNL_SUBSYS_CTNETLINK; NLM_F_REQUEST.
        message += NetlinkText.native(UInt16(0x0101)) + NetlinkText.native(flags | 1)
        message += NetlinkText.native(UInt32(1)) + NetlinkText.native(UInt32(0))
        message += [UInt8(AF_INET), 0, 0, 0] + attributes
        guard Glibc.send(netlink, message, message.count, 0) == message.count else {
            throw CommandFailure("send", status: errno, output: "")
        }
        var entries: [KernelEntry] = []
        while true {
            let count = recv(netlink, &answer, answer.count, 0)
            guard count > 0 else { throw CommandFailure("recv", status: errno, output: "") }
            var rest = answer[0..<count]
            while rest.count >= 16 {
                let length = Int(NetlinkText.native32(rest, 0))
                let type = NetlinkText.native16(rest, 4)
                let body = rest.dropFirst(16).prefix(length - 16)
                rest = rest.dropFirst((length + 3) & ~3)
                switch type {
                case 2:  // NLMSG_ERROR: with -ENOENT, there is no such entry.
                    let error = Int32(bitPattern: NetlinkText.native32(body, 0))
                    guard error == 0 || error == -ENOENT else {
                        throw CommandFailure("conntrack", status: -error, output: "")
                    }
                    return entries
                case 3: return entries  // NLMSG_DONE
                default: entries.append(KernelEntry(body.dropFirst(4)))
                }
            }
            if flags == 0 { return entries }
        }
    }
}

extension KernelEntry {
    init(_ attributes: ArraySlice<UInt8>) {
        for (type, value) in NetlinkText.attributes(attributes) {
            switch type {
            case 1: original = NetlinkText.tuple(value)
            case 2: reply = NetlinkText.tuple(value)
            case 3: status = ConnectionStatus(rawValue: NetlinkText.network32(value))
            case 4: readProtocol(value)
            case 7: timeout = NetlinkText.network32(value)
            case 8: mark = NetlinkText.network32(value)
            default: break
            }
        }
    }

    /// CTA_PROTOINFO.
    private mutating func readProtocol(_ attributes: ArraySlice<UInt8>) {
        for (type, value) in NetlinkText.attributes(attributes) where type == 1 {
            for (type, value) in NetlinkText.attributes(value) {
                let first = value.first ?? 0
                switch type {
                case 1: tcpState = TCPState(rawValue: first)
                case 2: originalEnd.scale = first
                case 3: replyEnd.scale = first
                case 4: originalEnd.flags = TCPEndFlags(rawValue: first)
                case 5: replyEnd.flags = TCPEndFlags(rawValue: first)
                default: break
                }
            }
        }
    }
}

/// Netlink's attributes.
private enum NetlinkText {
    static func native(_ value: some FixedWidthInteger) -> [UInt8] {
        var value = value.littleEndian
        return withUnsafeBytes(of: &value, Array.init)
    }

    static func native16(_ bytes: ArraySlice<UInt8>, _ offset: Int) -> UInt16 {
        let start = bytes.startIndex + offset
        return UInt16(bytes[start]) | UInt16(bytes[start + 1]) << 8
    }

    static func native32(_ bytes: ArraySlice<UInt8>, _ offset: Int) -> UInt32 {
        UInt32(native16(bytes, offset)) | UInt32(native16(bytes, offset + 2)) << 16
    }

    static func network32(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        bytes.prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
    }

    static func attributes(
        _ bytes: ArraySlice<UInt8>
    ) -> [(type: UInt16, value: ArraySlice<UInt8>)] {
        var rest = bytes
        var result: [(UInt16, ArraySlice<UInt8>)] = []
        while rest.count >= 4 {
            let length = Int(native16(rest, 0))
            // Without NLA_F_NESTED and NLA_F_NET_BYTEORDER.
            result.append((native16(rest, 2) & 0x3FFF, rest.dropFirst(4).prefix(length - 4)))
            rest = rest.dropFirst((length + 3) & ~3)
        }
        return result
    }

    private static func attribute(_ type: UInt16, _ value: [UInt8]) -> [UInt8] {
        var bytes = native(UInt16(4 + value.count)) + native(type) + value
        while bytes.count % 4 != 0 { bytes.append(0) }
        return bytes
    }

    /// CTA_TUPLE_ORIG of TCP or UDP.
    static func tuple(_ tuple: Tuple) -> [UInt8] {
        func network(_ value: some FixedWidthInteger) -> [UInt8] { native(value.byteSwapped) }
        let addresses =
            attribute(1, network(tuple.source.rawValue))
            + attribute(2, network(tuple.destination.rawValue))
        let ports =
            attribute(1, [tuple.protocol.rawValue])
            + attribute(2, network(tuple.sourcePort.rawValue))
            + attribute(3, network(tuple.destinationPort.rawValue))
        return attribute(0x8001, attribute(0x8001, addresses) + attribute(0x8002, ports))
    }

    static func tuple(_ bytes: ArraySlice<UInt8>) -> Tuple {
        var tuple = Tuple(.any, 0, .any, 0, IPProtocol(rawValue: 0))
        var icmpType: UInt16 = 0
        var icmpCode: UInt16 = 0
        for (type, value) in attributes(bytes) {
            for (inner, field) in attributes(value) {
                let number = field.prefix(2).reduce(UInt16(0)) { $0 << 8 | UInt16($1) }
                switch (type, inner) {
                case (1, 1): tuple.source = IPv4Address(rawValue: network32(field))
                case (1, 2): tuple.destination = IPv4Address(rawValue: network32(field))
                case (2, 1): tuple.protocol = IPProtocol(rawValue: field.first ?? 0)
                case (2, 2), (2, 4): tuple.sourcePort = Port(number)
                case (2, 3): tuple.destinationPort = Port(number)
                case (2, 5): icmpType = UInt16(field.first ?? 0)
                case (2, 6): icmpCode = UInt16(field.first ?? 0)
                default: break
                }
            }
        }
        if tuple.protocol == .icmp { tuple.destinationPort = Port(icmpType << 8 | icmpCode) }
        return tuple
    }
}
