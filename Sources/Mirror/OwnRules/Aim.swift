// What a packet must be like to hit a rule: the tests of the rule and of those that lead to it, gathered by
// what they are about. Tests that no packet can be made for (a connection's mark, a list of addresses) are
// left out: the packet is sent all the same, and whether it hits is seen.

import Ruleset
import Wire

/// A test of an address.
enum AddressTest {
    case network(AddressMatch)
    case range(Invertible<Interval<IPv4Address>>)
    /// `addrtype`: an address of the node's own.
    case own(inverted: Bool)

    func holds(_ address: IPv4Address, _ surroundings: RuleSurroundings) -> Bool {
        switch self {
        case .network(let match): match.network.contains(address) != match.inverted
        case .range(let range): range.value.contains(address) != range.inverted
        case .own(let inverted): surroundings.isOwn(address) != inverted
        }
    }

    /// Addresses at the edges of what it names and within.
    func examples(_ random: inout SeededRandom) -> [IPv4Address] {
        switch self {
        case .network(let match):
            let size = ~match.network.mask
            return [1, 9, size, random.word()].map { match.network.address.advanced(by: $0 & size) }
        case .range(let range): return [range.value.first, range.value.last]
        case .own: return []
        }
    }

    /// Addresses just outside.
    var neighbours: [IPv4Address] {
        switch self {
        case .network(let match):
            let first = match.network.address
            return [first.advanced(by: .max), first.advanced(by: ~match.network.mask &+ 1)]
        case .range(let range):
            return [range.value.first.advanced(by: .max), range.value.last.advanced(by: 1)]
        case .own: return []
        }
    }
}

/// A test of a port: one of these.
struct PortTest {
    var ranges: [PortRange]
    var inverted: Bool

    func holds(_ port: UInt16) -> Bool {
        ranges.contains { $0.contains(Port(port)) } != inverted
    }
    var edges: [UInt16] { ranges.flatMap { [$0.first.rawValue, $0.last.rawValue] } }
    var neighbours: [UInt16] {
        ranges.flatMap { [$0.first.rawValue &- 1, $0.last.rawValue &+ 1] }
    }
}

struct Aim {
    var hook: BuiltinChain
    var sources: [AddressTest] = []
    var destinations: [AddressTest] = []
    var ingress: [InterfaceMatch] = []
    var egress: [InterfaceMatch] = []
    var protocols: [Invertible<IPProtocol>] = []
    var sourcePorts: [PortTest] = []
    var destinationPorts: [PortTest] = []
    var flags: [Invertible<TCPFlagsTest>] = []
    var tcpOption: UInt8?
    var icmp: ICMPMatch?
    var states: [Invertible<ConnectionStates>] = []
    var marks: [Invertible<MarkTest>] = []
    var users: [Invertible<Interval<UInt32>>] = []
    var groups: [Invertible<Interval<UInt32>>] = []
    var mac: MACAddress?
    var typeOfService: UInt8 = 0
    var timeToLive: UInt8 = 64
    var length: Int?
    var isLaterFragment = false
    /// Connections to open, so that a limit is reached, a list knows the address, every n-th comes round.
    var repetitions = 1

    init(_ path: RulePaths.Path) {
        hook = path.hook
        for rule in path.rules { add(rule) }
        if path.isLeftToChance { repeatAtLeast(6) }
        repetitions = min(repetitions, 12)
    }

    private mutating func add(_ rule: Rule) {
        if !rule.source.isAny { sources.append(.network(rule.source)) }
        if !rule.destination.isAny { destinations.append(.network(rule.destination)) }
        if let test = rule.inInterface { ingress.append(test) }
        if let test = rule.outInterface { egress.append(test) }
        if let test = rule.protocol { protocols.append(test) }
        if let fragment = rule.fragment, !fragment.inverted { isLaterFragment = true }
        for match in rule.matches { add(match) }
    }

    private mutating func add(_ match: Match) {
        switch match {
        case .tcp(let tcp):
            ports(tcp.sourcePorts, tcp.destinationPorts)
            if let test = tcp.flags { flags.append(test) }
            if let option = tcp.option, !option.inverted { tcpOption = option.value }
        case .udp(let udp): ports(udp.sourcePorts, udp.destinationPorts)
        case .icmp(let match): if !match.inverted { icmp = match }
        case .multiport(let match):
            let test = PortTest(ranges: match.ports, inverted: match.inverted)
            if match.side == .source {
                sourcePorts.append(test)
            } else {
                destinationPorts.append(test)
            }
        case .conntrack(let match): add(match)
        case .state(let states): self.states.append(states)
        case .mark(let mark): marks.append(mark)
        case .addrtype(let match):
            for (test, isSource) in [(match.source, true), (match.destination, false)] {
                guard let test, test.value == .local else { continue }
                let own = AddressTest.own(inverted: test.inverted)
                if isSource { sources.append(own) } else { destinations.append(own) }
            }
        case .stateless(let match): add(match)
        case .statistic(let match):
            switch match.mode {
            case .nth(let every, _): repeatAtLeast(Int(clamping: every))
            case .random: repeatAtLeast(6)
            }
        case .limit(let match): repeatAtLeast(Int(clamping: match.burst) + 2)
        case .hashlimit(let match): repeatAtLeast(Int(clamping: match.burst) + 2)
        case .connlimit(let match): repeatAtLeast(Int(clamping: match.limit) + 2)
        case .recent(let match): repeatAtLeast(Int(clamping: match.hitCount) + 2)
        case .comment, .connmark: break
        }
    }

    private mutating func repeatAtLeast(_ count: Int) {
        repetitions = max(repetitions, min(count, 12))
    }

    private mutating func ports(
        _ source: Invertible<PortRange>?, _ destination: Invertible<PortRange>?
    ) {
        if let source {
            sourcePorts.append(PortTest(ranges: [source.value], inverted: source.inverted))
        }
        if let destination {
            destinationPorts.append(
                PortTest(ranges: [destination.value], inverted: destination.inverted))
        }
    }

    /// What is asked of the original direction is asked of the packet that begins a connection.
    private mutating func add(_ match: ConntrackMatch) {
        if let test = match.states { states.append(test) }
        if let test = match.protocol { protocols.append(test) }
        if let test = match.originalSource { sources.append(.network(test)) }
        if let test = match.originalDestination { destinations.append(.network(test)) }
        ports(match.originalSourcePorts, match.originalDestinationPorts)
    }

    private mutating func add(_ match: StatelessMatch) {
        switch match {
        case .iprange(let match):
            if let range = match.source { sources.append(.range(range)) }
            if let range = match.destination { destinations.append(.range(range)) }
        case .length(let test): if !test.inverted { length = Int(test.value.first) }
        case .ttl(let match):
            timeToLive =
                switch match.comparison {
                case .equal: match.value
                case .notEqual: match.value == 64 ? 63 : 64
                case .less: match.value &- 1
                case .greater: match.value &+ 1
                }
            // FORWARD and POSTROUTING see what the node made of it.
            if hook == .forward || hook == .postrouting { timeToLive &+= 1 }
        case .tos(let test): if !test.inverted { typeOfService = test.value.value }
        case .dscp(let test): if !test.inverted { typeOfService = test.value << 2 }
        case .mac(let test): if !test.inverted { mac = test.value }
        case .owner(let match):
            if let test = match.users { users.append(test) }
            if let test = match.groups { groups.append(test) }
        case .sctp(let match): ports(match.sourcePorts, match.destinationPorts)
        case .dccp(let match): ports(match.sourcePorts, match.destinationPorts)
        case .physdev, .pkttype, .rpfilter, .esp, .ah: break
        }
    }

    /// Whether packets in this state may hit.
    func allows(_ state: ConnectionStates) -> Bool {
        states.allSatisfy { test in
            // A translated connection is begun like any other.
            let wanted = test.value.intersection([.snat, .dnat]).isEmpty || test.inverted
            return wanted ? test.value.contains(state) != test.inverted : true
        }
    }
}

extension [Invertible<Interval<UInt32>>] {
    /// A number that passes the tests, if one of those does that any rule names.
    func example(_ known: [UInt32], _ random: inout SeededRandom) -> UInt32? {
        let edges = reduce(into: known) { $0 += [$1.value.first, $1.value.last] }
        return (edges + [54_321]).filter { number in
            allSatisfy { $0.value.contains(number) != $0.inverted }
        }.randomElement(using: &random)
    }
}
