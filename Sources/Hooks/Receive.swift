// A packet from an interface: PREROUTING, routing, then INPUT or FORWARD and POSTROUTING.

import Conntrack
import Routing
import Ruleset
import Wire

extension HookEngine {
    func receive<O: WalkObserver>(
        _ bytes: inout MutableRawSpan, _ packet: inout Packet, _ observer: inout O
    ) -> Disposition {
        finish(arrive(&bytes, &packet, &observer), packet, &observer)
    }

    /// PREROUTING and whatever follows it.
    func arrive<O: WalkObserver>(
        _ bytes: inout MutableRawSpan, _ packet: inout Packet, _ observer: inout O
    ) -> Disposition {
        let destination = packet.view.destination
        if let end = prerouting(&bytes, &packet, &observer) { return end }
        // What came back over the loopback still has the route of its sending, unless nat changes where
        // it goes (ip_rcv_finish, nf_nat_ipv4_pre_routing).
        guard packet.isLoopedBack, packet.view.destination == destination else {
            return route(&bytes, &packet, &observer)
        }
        var verdict = InputVerdict.local(RouteDecision(.local))
        if packet.view.hasOptions, let end = readOptions(&bytes, &packet, &verdict) { return end }
        return input(&bytes, &packet, &observer)
    }

    /// `nil` lets the packet go on.
    private func prerouting<O: WalkObserver>(
        _ bytes: inout MutableRawSpan, _ packet: inout Packet, _ observer: inout O
    ) -> Disposition? {
        observer.note(packet, .hook(.prerouting))
        if let end = filter(.raw, .prerouting, &bytes, &packet, &observer) { return end }
        if let end = track(bytes.bytes, &packet, &observer) { return end }
        if let end = filter(.mangle, .prerouting, &bytes, &packet, &observer) { return end }
        return nat(.prerouting, .destination, &bytes, &packet, &observer)
    }

    private func route<O: WalkObserver>(
        _ bytes: inout MutableRawSpan, _ packet: inout Packet, _ observer: inout O
    ) -> Disposition {
        var verdict = routes.resolveInput(query(packet))
        if packet.view.hasOptions, let end = readOptions(&bytes, &packet, &verdict) { return end }
        switch verdict {
        case .local(let decision):
            observer.note(packet, .routed(decision))
            return input(&bytes, &packet, &observer)
        case .forward(let decision, let redirect):
            observer.note(packet, .routed(decision))
            return forward(decision, redirect, &bytes, &packet, &observer)
        case .multicast:
            return .drop(.notForUs)
        case .drop(let reason):
            return .drop(reason)
        case .unreachable(let kind):
            observer.note(packet, .routed(RouteDecision(kind)))
            return unreachable(kind)
        }
    }

    /// What `ip_error` in net/ipv4/route.c answers.
    private func unreachable(_ kind: RouteKind) -> Disposition {
        switch kind {
        case .unreachable: .answer(.icmp(type: 3, code: 1, information: 0), .noRoute)
        case .prohibit: .answer(.icmp(type: 3, code: 13, information: 0), .prohibitedRoute)
        case .noRoute: .answer(.icmp(type: 3, code: 0, information: 0), .noRoute)
        case .blackhole: .drop(.blackholeRoute)
        default: .drop(.martianDestination)
        }
    }

    func input<O: WalkObserver>(
        _ bytes: inout MutableRawSpan, _ packet: inout Packet, _ observer: inout O
    ) -> Disposition {
        // Without tracking nobody has reassembled so far; ip_local_deliver does before the hook.
        if packet.view.isFragment { return .gather }
        observer.note(packet, .hook(.input))
        if let end = filter(.mangle, .input, &bytes, &packet, &observer) { return end }
        if let end = filter(.filter, .input, &bytes, &packet, &observer) { return end }
        let source = packet.view.source
        if let end = nat(.input, .source, &bytes, &packet, &observer) { return end }
        packet.isSourceTranslated = packet.view.source != source
        if let end = confirm(&packet, &observer) { return end }
        return .deliver
    }

    /// `ip_forward` in net/ipv4/ip_forward.c: time to live, size, redirect, then the hook.
    private func forward<O: WalkObserver>(
        _ decision: RouteDecision, _ redirect: Bool, _ bytes: inout MutableRawSpan,
        _ packet: inout Packet, _ observer: inout O
    ) -> Disposition {
        guard packet.view.timeToLive > 1 else {
            return .answer(.icmp(type: 11, code: 0, information: 0), .timeToLive)
        }
        if packet.options.isStrict, decision.gateway != nil {
            return .answer(.icmp(type: 3, code: 5, information: 0), .sourceRoute)
        }
        if packet.view.dontFragment, packet.exceeds(mtu: decision.mtu) {
            let mtu = UInt32(truncatingIfNeeded: decision.mtu)
            return .answer(.icmp(type: 3, code: 4, information: mtu), .needsFragmentation)
        }
        let old = packet.view.timeToLive
        bytes.decrementTimeToLive(in: &packet.view)
        observer.note(packet, .timeToLive(from: old))
        setEgress(decision, &packet)
        // Before the hook: also about a packet that FORWARD drops.
        if redirect { onRedirect?(decision.nextHop, bytes.bytes, packet) }
        observer.note(packet, .hook(.forward))
        if let end = filter(.mangle, .forward, &bytes, &packet, &observer) { return end }
        if let end = filter(.filter, .forward, &bytes, &packet, &observer) { return end }
        if packet.view.hasOptions { forwardOptions(decision, &bytes, &packet) }
        if let end = postrouting(&bytes, &packet, &observer) { return end }
        return .forward(
            Egress(
                interface: decision.outInterface, nextHop: decision.nextHop, mtu: decision.mtu))
    }

    func postrouting<O: WalkObserver>(
        _ bytes: inout MutableRawSpan, _ packet: inout Packet, _ observer: inout O
    ) -> Disposition? {
        observer.note(packet, .hook(.postrouting))
        if let end = filter(.mangle, .postrouting, &bytes, &packet, &observer) { return end }
        if let end = nat(.postrouting, .source, &bytes, &packet, &observer) { return end }
        return confirm(&packet, &observer)
    }

    /// Walks a table that does not translate.
    func filter<O: WalkObserver>(
        _ table: TableName, _ hook: BuiltinChain, _ bytes: inout MutableRawSpan,
        _ packet: inout Packet,
        _ observer: inout O
    ) -> Disposition? {
        switch walk(table, hook, &bytes, &packet, &observer) {
        case .accept: nil
        case .drop(let reason): .drop(reason)
        case .answer(let answer): .answer(answer, .rejected)
        }
    }

    func setEgress(_ decision: RouteDecision, _ packet: inout Packet) {
        packet.outInterface = decision.outInterface
        packet.nextHop = decision.nextHop
        packet.routeMTU = decision.mtu
        packet.outName = routes.name(of: decision.outInterface)
    }

    func query(_ packet: Packet) -> RouteQuery {
        RouteQuery(
            source: packet.view.source, destination: packet.view.destination,
            inInterface: packet.inInterface, mark: packet.mark,
            typeOfService: packet.view.typeOfService, flowHash: packet.view.flowHash,
            ipProtocol: packet.view.protocol, sourcePort: packet.view.sourcePort,
            destinationPort: packet.view.destinationPort)
    }
}

extension Packet {
    /// Whether it is larger than `mtu`: a super-frame by its segments, a reassembled datagram by its
    /// largest fragment (`ip_exceeds_mtu`).
    public func exceeds(mtu: Int) -> Bool {
        if largestFragment > 0, !offload.isSuperFrame { return largestFragment > mtu }
        return view.exceeds(mtu: mtu, offload)
    }
}

extension PlainPacket {
    /// The same for one that came whole.
    @inline(__always)
    func exceeds(mtu: Int, _ offload: OffloadHeader) -> Bool {
        if offload.isSuperFrame {
            return 20 &+ Int(transportHeaderLength) &+ Int(offload.segmentSize) > mtu
        }
        return Int(totalLength) > mtu
    }
}

extension PacketView {
    /// The same for one that came whole.
    func exceeds(mtu: Int, _ offload: OffloadHeader) -> Bool {
        if offload.isSuperFrame {
            return headerLength + segmentHeaderLength + Int(offload.segmentSize) > mtu
        }
        return totalLength > mtu
    }

    /// The transport header that each segment of a super-frame repeats.
    var segmentHeaderLength: Int { transport == .tcp ? tcpHeaderLength : 8 }

    /// Spreads flows over the next hops of a multipath route (fib_multipath_hash_policy 0:
    /// addresses only).
    var flowHash: UInt32 {
        var hash = source.rawValue &* 0x9E37_79B1 ^ destination.rawValue
        hash = (hash ^ hash >> 15) &* 0x85EB_CA77
        return hash ^ hash >> 13
    }
}
