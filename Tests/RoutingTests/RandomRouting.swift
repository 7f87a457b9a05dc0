// Random interfaces, addresses, rules and routes for the comparison with the kernel. Small numbers
// everywhere, so that prefixes nest, metrics tie and packets meet what was made.

import Netlink
import Routing
import Wire

struct RandomRouting {
    var random: SeededRandom
    var interfaces: [Interface] = []
    /// At most this many nexthops in a route.
    var nextHopLimit = 3
    /// In percent: gateways that are taken to be on the link without asking.
    var onlinkShare = 85
    /// Added to the priority of every rule.
    var firstPriority: UInt32 = 0
    let tables: [UInt32] = [RouteTable.main, RouteTable.main, 100, 101, 102]

    init(seed: UInt64) { random = SeededRandom(seed: seed) }

    mutating func chance(_ percent: Int) -> Bool {
        Int.random(in: 0..<100, using: &random) < percent
    }
    mutating func pick<Element>(_ list: [Element]) -> Element {
        list[Int.random(in: 0..<list.count, using: &random)]
    }

    /// Three veth pairs, both ends here: six legs that are up.
    static let links = (0..<3).map { number in
        """
        link add a\(number) type veth peer name b\(number)
        link set a\(number) up
        link set b\(number) up

        """
    }.joined()

    /// In 10.0.0.0/13 mostly, elsewhere at times.
    mutating func address() -> IPv4Address {
        let low = UInt32.random(in: 0..<8, using: &random)
        let third = UInt32.random(in: 0..<4, using: &random)
        let second = UInt32.random(in: 0..<4, using: &random)
        let base: UInt32 = chance(85) ? 10 << 24 : pick([192 << 24, 127 << 24, 172 << 24])
        let last = chance(80) ? low : pick([63, 127, 128, 254, 255])
        return IPv4Address(rawValue: base | second << 16 | third << 8 | last)
    }

    mutating func typeOfService() -> UInt8 { chance(80) ? 0 : pick([4, 8, 16, 0x20]) }

    mutating func interfaceAddress() -> InterfaceAddress {
        let local = address()
        let length = pick([8, 16, 22, 24, 24, 24, 26, 30, 31, 32])
        let mask = IPv4Network(.any, prefixLength: length).mask
        return InterfaceAddress(
            interface: pick(interfaces).index, local: local,
            peer: chance(10) ? address() : nil, prefixLength: length,
            broadcast: length < 31 && chance(50)
                ? IPv4Address(rawValue: local.rawValue | ~mask) : nil,
            scope: chance(85) ? .universe : pick([.link, .host, .site]))
    }

    /// Those with a gateway that the kernel looks up come last: it looks once, when the route is made, and
    /// what is made later could change the answer.
    mutating func routes(_ count: Int, _ snapshot: RoutingSnapshot) -> [Route] {
        let made = (0..<count).map { _ in route(snapshot) }
        let looksUp = { (route: Route) in
            route.nextHops.contains { $0.gateway != nil && !$0.flags.contains(.onlink) }
        }
        return made.filter { !looksUp($0) } + made.filter(looksUp)
    }

    mutating func route(_ snapshot: RoutingSnapshot) -> Route {
        let length = pick([0, 0, 8, 12, 14, 16, 20, 22, 24, 25, 28, 32])
        var route = Route(
            table: pick(tables), prefix: address(), length: length, type: routeType(),
            typeOfService: typeOfService(), metric: pick([0, 0, 0, 10, 20]), origin: 3)
        switch route.type {
        case .unicast:
            let count = chance(80) ? 1 : min(nextHopLimit, Int.random(in: 2...3, using: &random))
            route.nextHops = (0..<count).map { _ in nextHop(snapshot) }
            route.scope = route.nextHops.contains { $0.gateway != nil } ? .universe : .link
            if chance(25) { route.mtu = Int.random(in: 600...1400, using: &random) }
        case .local:
            route.nextHops = [NextHop(interface: pick(interfaces).index)]
            route.scope = .host
        case .broadcast:
            route.nextHops = [NextHop(interface: pick(interfaces).index)]
            route.scope = .link
        default: break
        }
        if chance(25), let own = snapshot.addresses.randomElement(using: &random) {
            route.preferredSource = own.local
        }
        return route
    }

    private mutating func routeType() -> RouteType {
        if chance(75) { return .unicast }
        return pick([.local, .broadcast, .blackhole, .unreachable, .prohibit, .throw])
    }

    private mutating func nextHop(_ snapshot: RoutingSnapshot) -> NextHop {
        let interface = pick(interfaces).index
        var hop = NextHop(
            interface: interface, weight: chance(60) ? 1 : Int.random(in: 2...5, using: &random))
        if chance(60) {
            hop.gateway = address()
            if chance(onlinkShare) { hop.flags = .onlink }
        }
        return hop
    }

    mutating func rule() -> PolicyRule {
        var rule = PolicyRule(priority: UInt32.random(in: 1..<60, using: &random), action: action())
        rule.priority += firstPriority
        if case .goto(let target) = rule.action { rule.priority = target - 5 }
        let length = pick([8, 14, 16, 24])
        if chance(25) { rule.source = IPv4Network(address(), prefixLength: length) }
        if chance(25) { rule.destination = IPv4Network(address(), prefixLength: length) }
        if chance(20) { rule.inInterface = pick(interfaces + [interfaces[0]]).name }
        if chance(10) { rule.outInterface = pick(interfaces).name }
        if chance(25) {
            rule.markMask = pick([1, 3, 0xFF, .max])
            rule.mark = UInt32.random(in: 0..<4, using: &random) & rule.markMask
        }
        if chance(15) { rule.typeOfService = pick([4, 8, 16]) }
        if chance(10) { rule.isInverted = true }
        if chance(10) {
            rule.ipProtocol = pick([.tcp, .udp])
            if chance(50) { rule.destinationPorts = Port(80)...Port(81) }
        }
        // The packets are of users 0 to 3; what is forwarded counts as root's.
        if chance(10) {
            let first = UInt32.random(in: 0...3, using: &random)
            rule.userIDs = first...UInt32.random(in: first...3, using: &random)
        }
        if case .lookup = rule.action, chance(20) {
            rule.suppressPrefixLength = pick([0, 8, 16, 24])
        }
        return rule
    }

    private mutating func action() -> PolicyAction {
        switch Int.random(in: 0..<20, using: &random) {
        case 0: return .blackhole
        case 1: return .unreachable
        case 2: return .prohibit
        case 3: return .goto(priority: firstPriority + .random(in: 20..<70, using: &random))
        case 4: return .nop
        default: return .lookup(table: pick(tables))
        }
    }

    /// A packet; an arriving one has an interface and any source.
    mutating func query(_ snapshot: RoutingSnapshot, arriving: Bool) -> RouteQuery {
        var query = RouteQuery(
            source: address(), destination: destination(snapshot),
            mark: UInt32.random(in: 0..<4, using: &random), typeOfService: typeOfService())
        if arriving {
            query.inInterface = pick(interfaces.filter { !$0.isLoopback }).index
            if chance(5) { query.source = pick([.any, .broadcast, IPv4Address(0, 0, 0, 7)]) }
        } else {
            let own = snapshot.addresses.randomElement(using: &random)?.local ?? .any
            query.source = chance(60) ? .any : own
            if chance(15) { query.outInterface = pick(interfaces).index }
            query.userID = UInt32.random(in: 0...3, using: &random)
        }
        // Without a protocol the kernel would assume UDP.
        query.ipProtocol = pick([.tcp, .udp, .icmp])
        if query.ipProtocol != .icmp {
            query.sourcePort = Port(4000)
            query.destinationPort = Port(pick([80, 81, 443]))
        }
        return query
    }

    private mutating func destination(_ snapshot: RoutingSnapshot) -> IPv4Address {
        switch Int.random(in: 0..<10, using: &random) {
        case 0: return snapshot.addresses.randomElement(using: &random)?.local ?? .any
        case 1, 2, 3:
            guard let route = snapshot.routes.randomElement(using: &random) else { return .any }
            let host = UInt32.random(in: 0...UInt32.max, using: &random) & ~route.prefix.mask
            return IPv4Address(rawValue: route.prefix.address.rawValue | host)
        default: return address()
        }
    }
}
