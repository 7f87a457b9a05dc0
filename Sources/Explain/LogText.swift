// What a LOG rule writes, in the kernel's format (net/netfilter/nf_log_syslog.c), so that whatever reads
// kernel logs reads Sluice's.

import Hooks
import Ruleset
import Wire

extension LogRecord {
    /// One line without its newline: `prefixIN=eth0 OUT=br0 MAC=… SRC=… DST=… LEN=60 …`.
    /// - Parameter bytes: the frame, from its Ethernet header on.
    public func line(_ bytes: RawSpan) -> String {
        var text = "\(log.prefix)IN=\(packet.inName) OUT=\(packet.outName) "
        if packet.inInterface != .none { text += hardware(bytes) }
        text += network(packet.view, bytes)
        if packet.mark != 0 { text += "MARK=0x\(String(packet.mark, radix: 16)) " }
        return text
    }

    private func network(_ view: PacketView, _ bytes: RawSpan) -> String {
        var text = "SRC=\(view.source) DST=\(view.destination) LEN=\(view.totalLength) "
        text += "TOS=0x\(hex(view.typeOfService & 0x1E)) PREC=0x\(hex(view.typeOfService & 0xE0)) "
        text += "TTL=\(view.timeToLive) ID=\(view.identification) "
        if view.fragmentField & 0x8000 != 0 { text += "CE " }
        if view.dontFragment { text += "DF " }
        if view.moreFragments { text += "MF " }
        if view.fragmentOffset > 0 { text += "FRAG:\(view.fragmentOffset / 8) " }
        if log.flags.contains(.ipOptions), view.hasOptions {
            text += options(bytes, view.networkOffset + 20..<view.transportOffset)
        }
        return text + transport(view, bytes)
    }

    private func hardware(_ bytes: RawSpan) -> String {
        guard packet.view.networkOffset >= 14 else { return "MAC= " }
        if log.flags.contains(.macDecode) {
            return
                "MACSRC=\(bytes.mac(6)) MACDST=\(bytes.mac(0)) "
                + "MACPROTO=\(hex(bytes.u8(12)))\(hex(bytes.u8(13))) "
        }
        return "MAC=" + (0..<14).map { hex(bytes.u8($0)) }.joined(separator: ":") + " "
    }

    private func transport(_ view: PacketView, _ bytes: RawSpan) -> String {
        let t = view.transportOffset
        switch view.transport {
        case .tcp: return tcp(view, bytes)
        case .udp:
            return
                "PROTO=UDP SPT=\(view.sourcePort) DPT=\(view.destinationPort) "
                + "LEN=\(bytes.u16(t + 4)) "
        case .icmp:
            return "PROTO=ICMP TYPE=\(view.icmpType) CODE=\(view.icmpCode) " + icmp(view, bytes)
        case .fragment: return "PROTO=\(kernelName(view)) "
        case .truncated:
            return "PROTO=\(kernelName(view)) INCOMPLETE [\(view.transportLength) bytes] "
        case .other: return "PROTO=\(view.protocol.rawValue) "
        }
    }

    /// An echo's numbers, or what an error says and about which packet.
    private func icmp(_ view: PacketView, _ bytes: RawSpan) -> String {
        let t = view.transportOffset
        switch view.icmpType {
        case 0, 8: return "ID=\(view.icmpIdentifier) SEQ=\(bytes.u16(t + 6)) "
        case 12: return "PARAMETER=\(bytes.u8(t + 4)) "
        case 3, 4, 5, 11:
            let gateway =
                view.icmpType == 5 ? "GATEWAY=\(IPv4Address(rawValue: bytes.u32(t + 4))) " : ""
            guard let quoted = PacketView.parseQuoted(bytes, networkOffset: t + 8) else {
                return gateway
            }
            let mtu =
                view.icmpType == 3 && view.icmpCode == 4 ? "MTU=\(bytes.u16(t + 6)) " : ""
            return gateway + "[" + quotation(quoted, bytes) + "] " + mtu
        default: return ""
        }
    }

    /// The quoted packet with the length it claims; of TCP usually the ports alone are there.
    private func quotation(_ quoted: PacketView, _ bytes: RawSpan) -> String {
        var view = quoted
        let available = quoted.transportLength
        view.totalLength = Int(bytes.u16(quoted.networkOffset + 2))
        let isCut =
            view.transport == .tcp && available < 20 || view.transport == .udp && available < 8
        if isCut { view.transport = .truncated }
        guard view.transport == .truncated else { return network(view, bytes) }
        view.transport = .fragment
        return network(view, bytes) + "INCOMPLETE [\(available) bytes] "
    }

    private func kernelName(_ view: PacketView) -> String {
        switch view.protocol {
        case .tcp: "TCP"
        case .udp: "UDP"
        case .icmp: "ICMP"
        default: "\(view.protocol.rawValue)"
        }
    }

    private func tcp(_ view: PacketView, _ bytes: RawSpan) -> String {
        let t = view.transportOffset
        var text = "PROTO=TCP SPT=\(view.sourcePort) DPT=\(view.destinationPort) "
        if log.flags.contains(.tcpSequence) {
            text += "SEQ=\(bytes.u32(t + 4)) ACK=\(bytes.u32(t + 8)) "
        }
        text += "WINDOW=\(view.tcpWindow(bytes)) RES=0x\(hex((bytes.u8(t + 12) & 0x0F) << 2)) "
        let flags: [(TCPFlags, String)] = [
            (.cwr, "CWR"), (.ece, "ECE"), (.urg, "URG"), (.ack, "ACK"), (.psh, "PSH"),
            (.rst, "RST"), (.syn, "SYN"), (.fin, "FIN"),
        ]
        for (flag, name) in flags where view.tcpFlags.contains(flag) { text += name + " " }
        text += "URGP=\(bytes.u16(t + 18)) "
        let end = t + min(view.tcpHeaderLength, view.transportLength)
        if log.flags.contains(.tcpOptions), end > t + 20 { text += options(bytes, t + 20..<end) }
        return text
    }

    private func options(_ bytes: RawSpan, _ range: Range<Int>) -> String {
        "OPT (" + range.map { hex(bytes.u8($0)).uppercased() }.joined() + ") "
    }

    /// Two lower-case digits.
    private func hex(_ value: UInt8) -> String {
        let text = String(value, radix: 16)
        return value < 16 ? "0" + text : text
    }
}
