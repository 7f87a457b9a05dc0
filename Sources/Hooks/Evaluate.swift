// Whether one rule matches one packet: the header fields first, then the matches in their order.
// Returns the first predicate that fails, which costs nothing and is what a trace wants to know.

import Conntrack
import Routing
import Ruleset
import Wire

/// The outcome of a look at a rule, in one small value.
struct FirstMiss {
    private var code: Int16

    private init(_ code: Int16) { self.code = code }
    static var hit: Self { Self(0) }
    /// A match found the packet malformed: it is dropped at once (`par->hotdrop`).
    static var hotDrop: Self { Self(1) }
    static var source: Self { Self(2) }
    static var destination: Self { Self(3) }
    static var inInterface: Self { Self(4) }
    static var outInterface: Self { Self(5) }
    static var `protocol`: Self { Self(6) }
    static var fragment: Self { Self(7) }
    static func match(_ position: Int) -> Self { Self(8 &+ Int16(truncatingIfNeeded: position)) }

    var isHit: Bool { code == 0 }
    var isHotDrop: Bool { code == 1 }
    /// The header fields fitted, so that the matches were looked at.
    var askedMatches: Bool { code <= 1 || code >= 8 }
    var outcome: RuleOutcome {
        switch code {
        case 0: .hit
        case 1: .hotDrop
        case 2: .miss(.source)
        case 3: .miss(.destination)
        case 4: .miss(.inInterface)
        case 5: .miss(.outInterface)
        case 6: .miss(.protocol)
        case 7: .miss(.fragment)
        default: .miss(.match(Int(code) - 8))
        }
    }
}

/// What one match found.
enum MatchResult {
    case yes, no, hotDrop

    @inline(__always)
    init(_ matched: Bool) { self = matched ? .yes : .no }
}

extension HookEngine {
    /// The first predicate that fails, and the number `statistic` drew if it was asked.
    @inline(__always)
    func firstMiss(
        _ rule: CompiledRule, _ rules: CompiledRuleset, _ bytes: RawSpan, _ packet: Packet
    ) -> (FirstMiss, draw: UInt32?) {
        let flags = rule.flags
        let view = packet.view
        if rule.source.contains(view.source) == flags.contains(.notSource) {
            return (.source, nil)
        }
        if rule.destination.contains(view.destination) == flags.contains(.notDestination) {
            return (.destination, nil)
        }
        if flags.contains(.hasInInterface),
            rule.inPattern.matches(packet.inName) == flags.contains(.notInInterface)
        {
            return (.inInterface, nil)
        }
        if flags.contains(.hasOutInterface),
            rule.outPattern.matches(packet.outName) == flags.contains(.notOutInterface)
        {
            return (.outInterface, nil)
        }
        if flags.contains(.hasProtocol),
            (rule.protocol == view.protocol) == flags.contains(.notProtocol)
        {
            return (.protocol, nil)
        }
        if flags.contains(.laterFragment), view.fragmentOffset == 0 { return (.fragment, nil) }
        if flags.contains(.notLaterFragment), view.fragmentOffset != 0 { return (.fragment, nil) }
        if rule.matchCount == 0 { return (.hit, nil) }
        return firstMissingMatch(rule, rules, bytes, packet)
    }

    private func firstMissingMatch(
        _ rule: CompiledRule, _ rules: CompiledRuleset, _ bytes: RawSpan, _ packet: Packet
    ) -> (FirstMiss, draw: UInt32?) {
        var draw: UInt32?
        for position in 0..<Int(rule.matchCount) {
            switch evaluate(
                rules.matches[Int(rule.firstMatch) &+ position], rules, bytes, packet, &draw)
            {
            case .yes: continue
            case .no: return (.match(position), draw)
            case .hotDrop: return (.hotDrop, draw)
            }
        }
        return (.hit, draw)
    }

    private func evaluate(
        _ match: CompiledMatch, _ rules: CompiledRuleset, _ bytes: RawSpan, _ packet: Packet,
        _ draw: inout UInt32?
    ) -> MatchResult {
        let view = packet.view
        switch match {
        case .ports(let ports): return evaluate(ports, bytes, view)
        case .tcpFlags(let test):
            var flags = view.tcpFlags
            if view.transport != .tcp {
                guard let found = Self.flagsOfCutHeader(bytes, view) else { return .no }
                flags = found
            }
            return MatchResult(
                (flags.intersection(test.value.mask) == test.value.compare) != test.inverted)
        case .tcpOption(let option):
            guard let found = hasTCPOption(option.value, bytes, view) else { return .hotDrop }
            return MatchResult(found != option.inverted)
        case .icmp(let icmp): return evaluate(icmp, view)
        case .multiport(let multiport): return evaluate(multiport, rules, bytes, view)
        case .state(let states):
            return MatchResult(
                states.value.isDisjoint(with: connectionStates(packet)) == states.inverted)
        case .mark(let test):
            return MatchResult(
                (packet.mark & test.value.mask == test.value.value) != test.inverted)
        case .conntrack, .random, .nth, .addressType, .stateless, .connmark, .stateful:
            return evaluateRare(match, bytes, packet, &draw)
        }
    }

    /// The matches that read or change what belongs to the engine, and those that few rules have. Apart, because the compiler would
    /// otherwise begin these accesses for every rule: they cost more than most matches do.
    @inline(never)
    private func evaluateRare(
        _ match: CompiledMatch, _ bytes: RawSpan, _ packet: Packet, _ draw: inout UInt32?
    ) -> MatchResult {
        switch match {
        case .conntrack(let index):
            return MatchResult(evaluate(rules.conntrackMatches[Int(index)], packet))
        case .random(let threshold, let inverted):
            let value = UInt32(truncatingIfNeeded: random.next() >> 33)
            draw = value
            return MatchResult((value < threshold) != inverted)
        case .nth(let every, let counter, let inverted):
            return MatchResult(countNth(every, Int(counter), &draw) != inverted)
        case .addressType(let types): return MatchResult(evaluate(types, packet))
        case .stateless(let index):
            return evaluate(rules.statelessMatches[Int(index)], bytes, packet)
        case .connmark(let test): return MatchResult(evaluate(test, ofConnection: packet))
        case .stateful(let test): return evaluate(test, bytes, packet)
        case .ports, .tcpFlags, .tcpOption, .icmp, .multiport, .state, .mark:
            preconditionFailure("the other matches are evaluated where they are met")
        }
    }

    private func evaluate(
        _ ports: CompiledPorts, _ bytes: RawSpan, _ view: PacketView
    ) -> MatchResult {
        guard view.transport == ports.kind else { return evaluateWithoutHeader(ports, bytes, view) }
        return MatchResult(
            ports.source.value.contains(view.sourcePort) != ports.source.inverted
                && ports.destination.value.contains(view.destinationPort)
                    != ports.destination.inverted
        )
    }

    /// To xt_tcpudp a later fragment does not match; it drops one at offset 8, which could overwrite the
    /// TCP flags, and a truncated header. nf_tables reads what is there, be it a fragment's data
    /// (nf_tables_core.c, nft_payload_fast_eval).
    private func evaluateWithoutHeader(
        _ ports: CompiledPorts, _ bytes: RawSpan, _ view: PacketView
    ) -> MatchResult {
        if ports.judgesHeader {
            if view.transport == .truncated { return .hotDrop }
            return ports.kind == .tcp && view.fragmentOffset == 8 ? .hotDrop : .no
        }
        return MatchResult(
            Self.holds(ports.source, at: 0, bytes, view)
                && Self.holds(ports.destination, at: 2, bytes, view))
    }

    /// A test of a port that may not be there.
    private static func holds(
        _ test: Invertible<PortRange>, at offset: Int, _ bytes: RawSpan, _ view: PacketView
    ) -> Bool {
        if test.value == .all { return true }
        guard offset &+ 2 <= view.transportLength else { return false }
        return test.value.contains(Port(bytes.u16(view.transportOffset &+ offset))) != test.inverted
    }

    /// The flags of a TCP header that is cut short behind them, or what stands there in a later fragment.
    private static func flagsOfCutHeader(_ bytes: RawSpan, _ view: PacketView) -> TCPFlags? {
        guard view.transportLength >= 14 else { return nil }
        return TCPFlags(rawValue: bytes.u8(view.transportOffset &+ 13))
    }

    /// `icmp_match` in net/ipv4/netfilter/ip_tables.c: type 255 is any.
    private func evaluate(_ icmp: ICMPMatch, _ view: PacketView) -> MatchResult {
        guard view.transport == .icmp else { return view.transport == .truncated ? .hotDrop : .no }
        let matched =
            icmp.type == ICMPMatch.anyType
            || (view.icmpType == icmp.type && icmp.codes.contains(view.icmpCode))
        return MatchResult(matched != icmp.inverted)
    }

    /// `nil` where the options do not fit into the packet.
    private func hasTCPOption(_ kind: UInt8, _ bytes: RawSpan, _ view: PacketView) -> Bool? {
        guard view.transport == .tcp else { return view.transport == .truncated ? nil : false }
        let length = view.tcpHeaderLength
        guard length >= 20, length <= view.transportLength else { return nil }
        var offset = view.transportOffset &+ 20
        let end = view.transportOffset &+ length
        while offset < end {
            let option = bytes.u8(offset)
            if option == kind { return true }
            // End of list and no-operation have no length; a length of 0 counts as 1
            // (xt_tcpudp.c, tcp_find_option).
            offset &+= option < 2 || offset &+ 1 >= end ? 1 : max(1, Int(bytes.u8(offset &+ 1)))
        }
        return false
    }

    private func evaluate(
        _ multiport: CompiledMultiport, _ rules: CompiledRuleset, _ bytes: RawSpan,
        _ view: PacketView
    ) -> MatchResult {
        guard view.fragmentOffset == 0 else { return .no }
        guard view.transportLength >= 4 else { return .hotDrop }
        // SCTP, DCCP and UDP-Lite keep their ports where TCP and UDP do.
        let source = Port(bytes.u16(view.transportOffset))
        let destination = Port(bytes.u16(view.transportOffset &+ 2))
        var found = false
        for index in Int(multiport.first)..<Int(multiport.first &+ multiport.count) {
            let range = rules.portRanges[index]
            found =
                switch multiport.side {
                case .source: range.contains(source)
                case .destination: range.contains(destination)
                case .either: range.contains(source) || range.contains(destination)
                }
            if found { break }
        }
        return MatchResult(found != multiport.inverted)
    }

    /// xt_statistic.c: the counter runs from 0 to `every` - 1 and matches where it wraps.
    private func countNth(_ every: UInt32, _ counter: Int, _ draw: inout UInt32?) -> Bool {
        let old = rules.nthCounters[counter]
        let new = old &+ 1 >= every ? 0 : old &+ 1
        if counting { rules.nthCounters[counter] = new }
        draw = new
        return new == 0
    }

    private func evaluate(_ types: AddrtypeMatch, _ packet: Packet) -> Bool {
        let interface: InterfaceIndex? =
            switch types.limit {
            case .inInterface: packet.inInterface
            case .outInterface: packet.outInterface
            case nil: nil
            }
        func holds(_ test: Invertible<AddressTypes>?, _ address: IPv4Address) -> Bool {
            guard let test else { return true }
            let type = routes.addressType(address, interface: interface)
            let bit = AddressTypes(rawValue: 1 << UInt16(type.rawValue))
            return test.value.contains(bit) != test.inverted
        }
        return holds(types.source, packet.view.source)
            && holds(types.destination, packet.view.destination)
    }
}
