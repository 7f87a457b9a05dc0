// What the hooks do about IPv4 options: read them between PREROUTING and the route's verdict (ip_rcv_finish),
// follow a source route, and complete them behind FORWARD (ip_forward_finish).

import Routing
import Wire

extension HookEngine {
    /// Reads the options; a source route may lead elsewhere than the destination does. `nil` lets the packet go
    /// on with the verdict.
    func readOptions(
        _ bytes: inout MutableRawSpan, _ packet: inout Packet, _ verdict: inout InputVerdict
    ) -> Disposition? {
        var isDelivered = false
        var isOwnAddress = false
        switch verdict {
        // Who does not forward still reads: to the kernel that packet has a route, to an error.
        case .drop(.notForUs): break
        case .drop, .multicast: return nil
        case .local(let decision):
            isDelivered = true
            isOwnAddress = decision.kind == .local
        case .forward, .unreachable: break
        }
        let address = isOwnAddress ? packet.view.destination : answeringAddress(packet)
        var reader = OptionReader(
            source: OptionSource(
                address: address, time: timeOfDay, routes: routes,
                writes: !isDelivered || fillsDeliveredOptions),
            network: packet.view.networkOffset, limit: packet.view.transportOffset)
        let fault = reader.read(&bytes)
        packet.options = reader.options
        if let fault {
            let pointer = UInt32(fault) << 24
            return .answer(.icmp(type: 12, code: 0, information: pointer), .badOption)
        }
        guard packet.options.sourceRoute != 0 else { return nil }
        return followSourceRoute(&bytes, &packet, &verdict)
    }

    /// inet_current_timestamp.
    public var timeOfDay: UInt32 {
        UInt32((now.nanoseconds &+ epoch) / 1_000_000 % 86_400_000)
    }

    private func answeringAddress(_ packet: Packet) -> IPv4Address {
        let source = packet.view.source
        guard source == .any else {
            let checksMark = routes.interface(packet.inInterface)?.settings.sourceValidMark ?? false
            let back = routes.route(
                output: RouteQuery(
                    source: .any, destination: source, mark: checksMark ? packet.mark : 0,
                    typeOfService: packet.view.typeOfService))
            if let address = back.preferredSource { return address }
            return select(packet.inInterface, source, .universe)
        }
        return select(packet.inInterface, source, .link)
    }

    private func select(
        _ interface: InterfaceIndex, _ peer: IPv4Address, _ scope: RouteScope
    ) -> IPv4Address {
        routes.selectAddress(interface: interface, nextHop: peer, scope: scope) ?? .any
    }

    // MARK: Source routes

    /// ip_options_rcv_srr.
    private func followSourceRoute(
        _ bytes: inout MutableRawSpan, _ packet: inout Packet, _ verdict: inout InputVerdict
    ) -> Disposition? {
        guard routes.interface(packet.inInterface)?.settings.acceptSourceRoute == true else {
            return .drop(.sourceRoute)
        }
        switch verdict {
        case .forward(let decision, _):
            // Not a stop of its route, which a strict one does not allow: at fault is the destination.
            if packet.options.isStrict {
                return .answer(.icmp(type: 12, code: 0, information: 16 << 24), .sourceRoute)
            }
            // No redirect about a source route (RFC 1812, 5.2.7.2).
            verdict = .forward(decision, redirect: false)
            return nil
        case .local(let decision) where decision.kind == .local: break
        default: return .drop(.sourceRoute)
        }
        return takeNextStop(&bytes, &packet, &verdict)
    }

    private func takeNextStop(
        _ bytes: inout MutableRawSpan, _ packet: inout Packet, _ verdict: inout InputVerdict
    ) -> Disposition? {
        let route = packet.view.networkOffset + Int(packet.options.sourceRoute)
        let length = Int(bytes.u8(route + 1))
        var pointer = Int(bytes.u8(route + 2))
        while pointer <= length {
            guard pointer + 3 <= length else {
                let place = UInt32(packet.options.sourceRoute) + 2
                return .answer(.icmp(type: 12, code: 0, information: place << 24), .badOption)
            }
            let stop = IPv4Address(rawValue: bytes.u32(route + pointer - 1))
            var query = query(packet)
            query.destination = stop
            switch routes.resolveInput(query) {
            case .forward(let decision, _):
                packet.options.isHit = true
                packet.options.nextStop = stop
                packet.options.isChanged = true
                verdict = .forward(decision, redirect: false)
                return nil
            case .local(let decision) where decision.kind == .local:
                // Another address of the node itself: no need to send it anywhere.
                bytes.set(stop.rawValue, at: packet.view.networkOffset + 16)
                packet.view.destination = stop
                packet.options.isChanged = true
            default: return .drop(.sourceRoute)
            }
            pointer += 4
        }
        if !fillsDeliveredOptions { bytes.renewHeaderChecksum(packet.view) }
        return nil
    }

    // MARK: Forwarding

    /// ip_forward_options.
    func forwardOptions(
        _ decision: RouteDecision, _ bytes: inout MutableRawSpan, _ packet: inout Packet
    ) {
        let network = packet.view.networkOffset
        let options = packet.options
        let address =
            decision.preferredSource
            ?? select(decision.outInterface, decision.nextHop, .universe)
        if options.recordsAddress {
            let option = network + Int(options.recordRoute)
            let recorded = options.isHit ? addressTowardsOldStop(decision, packet) : address
            bytes.set(recorded.rawValue, at: option + Int(bytes.u8(option + 2)) - 5)
        }
        if options.isHit {
            record(address, &bytes, &packet)
            if options.stampsAddress {
                let option = network + Int(options.timestamp)
                bytes.set(address.rawValue, at: option + Int(bytes.u8(option + 2)) - 9)
            }
        }
        if options.isChanged || options.recordsAddress {
            bytes.renewHeaderChecksum(packet.view)
            packet.options.isChanged = false
        }
    }

    /// When the route is recorded, the header still names the stop that is left (ip_rt_get_source).
    private func addressTowardsOldStop(
        _ decision: RouteDecision, _ packet: Packet
    ) -> IPv4Address {
        let way = routes.route(
            output: RouteQuery(
                source: .any, destination: packet.view.destination,
                outInterface: decision.outInterface, mark: packet.mark,
                typeOfService: packet.view.typeOfService))
        return way.preferredSource
            ?? select(decision.outInterface, packet.view.destination, .universe)
    }

    /// The next stop becomes the destination, and the node's address takes its place in the route.
    private func record(
        _ address: IPv4Address, _ bytes: inout MutableRawSpan, _ packet: inout Packet
    ) {
        let network = packet.view.networkOffset
        let route = network + Int(packet.options.sourceRoute)
        let length = Int(bytes.u8(route + 1))
        var pointer = Int(bytes.u8(route + 2))
        while pointer + 3 <= length {
            if bytes.u32(route + pointer - 1) == packet.options.nextStop.rawValue {
                bytes.set(packet.options.nextStop.rawValue, at: network + 16)
                packet.view.destination = packet.options.nextStop
                bytes.set(address.rawValue, at: route + pointer - 1)
                bytes.set(UInt8(truncatingIfNeeded: pointer + 4), at: route + 2)
                return
            }
            pointer += 4
        }
    }
}

extension MutableRawSpan {
    fileprivate mutating func renewHeaderChecksum(_ view: PacketView) {
        let field = view.networkOffset + 10
        set(UInt16(0), at: field)
        var sum = InternetChecksum()
        sum.add(bytes, view.networkOffset..<view.transportOffset)
        set(sum.complemented, at: field)
    }
}
