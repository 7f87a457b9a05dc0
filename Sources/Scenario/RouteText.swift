// The words behind `ip route add` as a route, with what the ip command and the kernel fill in
// (iproute2's ip/iproute.c; net/ipv4/fib_semantics.c, fib_create_info).
//
// Not here: encapsulation, congestion metrics, nexthop objects, IPv6 gateways.

import Routing
import Wire

struct RouteText {
    /// Links by name.
    let links: [String: InterfaceIndex]
    private var route = Route(prefix: .any, length: 0, origin: 3)
    private var hop = NextHop(interface: .none)
    private var hops: [NextHop] = []
    private var table: UInt32?
    private var scope: RouteScope?

    /// The route; a nexthop whose interface was not named has `.none`.
    static func parse(
        _ text: String, links: [String: InterfaceIndex]
    ) throws(WordFault) -> Route {
        var reader = RouteText(links: links)
        var words = Words(text)
        try reader.readDestination(&words)
        while words.peek != nil { try reader.readOption(&words) }
        return try reader.finish(words)
    }

    private init(links: [String: InterfaceIndex]) { self.links = links }

    private mutating func readDestination(_ words: inout Words) throws(WordFault) {
        let types: [String: RouteType] = [
            "unicast": .unicast, "local": .local, "broadcast": .broadcast, "anycast": .anycast,
            "multicast": .multicast, "blackhole": .blackhole, "unreachable": .unreachable,
            "prohibit": .prohibit, "throw": .throw,
        ]
        if let word = words.peek, let type = types[word] {
            _ = words.take()
            route.type = type
        }
        let prefix = try words.takePrefix()
        route.prefix = prefix
        route.prefixLength = prefix.mask.nonzeroBitCount
    }

    private mutating func readOption(_ words: inout Words) throws(WordFault) {
        let column = words.column
        switch words.take() {
        case "via": hop.gateway = try words.takeAddress()
        case "dev": hop.interface = try link(&words)
        case "onlink": hop.flags.insert(.onlink)
        case "src": route.preferredSource = try words.takeAddress()
        case "metric", "priority", "preference": route.metric = try words.takeNumber(0...(.max))
        case "tos", "dsfield": route.typeOfService = UInt8(try words.takeNumber(0...255))
        case "table": table = try TableText.take(&words)
        case "scope": scope = try takeScope(&words)
        case "proto", "protocol":
            route.origin = try words.take("a protocol") {
                ["kernel": 2, "boot": 3, "static": 4][$0] ?? UInt8($0)
            }
        case "mtu":
            route.isMTULocked = words.take(anyOf: "lock")
            route.mtu = Int(try words.takeNumber(68...65_535))
        case "nexthop": try readNextHop(&words)
        case let word:
            throw WordFault(
                column: column,
                message: "expected via, dev, onlink, src, metric, tos, table, scope, proto, mtu or "
                    + "nexthop, found '\(word ?? "")'")
        }
    }

    private mutating func readNextHop(_ words: inout Words) throws(WordFault) {
        var hop = NextHop(interface: .none)
        while let word = words.peek, word != "nexthop" {
            let column = words.column
            switch words.take() {
            case "via": hop.gateway = try words.takeAddress()
            case "dev": hop.interface = try link(&words)
            case "onlink": hop.flags.insert(.onlink)
            case "weight": hop.weight = Int(try words.takeNumber(1...256))
            default:
                throw WordFault(
                    column: column,
                    message: "expected via, dev, weight, onlink or nexthop, found '\(word)'")
            }
        }
        hops.append(hop)
    }

    private func link(_ words: inout Words) throws(WordFault) -> InterfaceIndex {
        let names = links.keys.sorted().joined(separator: ", ")
        return try words.take("one of the links \(names)") { links[$0] }
    }

    private func takeScope(_ words: inout Words) throws(WordFault) -> RouteScope {
        let names: [String: RouteScope] = [
            "global": .universe, "universe": .universe, "site": .site, "link": .link,
            "host": .host, "nowhere": .nowhere,
        ]
        return try words.take("global, site, link or host") { names[$0] }
    }

    private mutating func finish(_ words: Words) throws(WordFault) -> Route {
        let isSingle = hop.gateway != nil || hop.interface != .none
        guard hops.isEmpty || !isSingle else {
            throw WordFault(
                column: words.column, message: "expected either via and dev or nexthop, not both")
        }
        if hops.isEmpty, isSingle { hops = [hop] }
        switch route.type {
        case .blackhole, .unreachable, .prohibit, .throw:
            guard hops.isEmpty else {
                throw WordFault(
                    column: words.column, message: "expected no way out of an error route")
            }
        default:
            guard !hops.isEmpty, hops.allSatisfy({ $0.gateway != nil || $0.interface != .none })
            else {
                throw WordFault(column: words.column, message: "expected via or dev at the end")
            }
        }
        let isLocal = [.local, .broadcast, .anycast].contains(route.type)
        route.table = table ?? (isLocal ? RouteTable.local : RouteTable.main)
        route.scope = scope ?? defaultScope
        route.nextHops = hops
        return route
    }

    /// What the ip command fills in (iproute_modify).
    private var defaultScope: RouteScope {
        switch route.type {
        case .local: .host
        case .broadcast, .multicast, .anycast: .link
        case .unicast where hops.allSatisfy { $0.gateway == nil }: .link
        default: .universe
        }
    }
}

/// Tables by number, or by the names that every node has.
enum TableText {
    static func take(_ words: inout Words) throws(WordFault) -> UInt32 {
        try words.take("a table: a number, main, local or default") {
            switch $0 {
            case "main": RouteTable.main
            case "local": RouteTable.local
            case "default": RouteTable.default
            default: NumberText.unsigned($0).flatMap { $0 == 0 ? nil : $0 }
            }
        }
    }
}
