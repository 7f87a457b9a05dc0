// The node speaks for itself: when an answer is due, allowed and within its rate, it is written into the
// arena and walks OUTPUT like any packet of the node's own. Of the answers only a reset may draw another one.

import Hooks
import Routing
import Wire

extension Dataplane {
    /// Answers the packet in `bytes`, if it may be answered.
    func answer(
        _ answer: Answer, _ reason: DropReason, about bytes: RawSpan, _ carried: Carried
    ) {
        let view = carried.packet.view
        let type = engine.routes.addressType(view.destination)
        let about = AnsweredPacket(
            view: view, isGroup: carried.isGroup || type == .broadcast || type == .multicast,
            checksumTrusted: carried.packet.offload.needsChecksum
                || carried.packet.offload.dataValid)
        switch answer {
        case .tcpReset:
            guard carried.origin != .node, about.mayDrawReset(bytes) else { return forbid() }
            sendReset(about: bytes, carried)
        case .icmp(let type, let code, let information):
            guard isRouteErrorWithinRate(reason, carried) else {
                counters.answersLimited &+= 1
                return
            }
            guard about.mayDrawError(bytes),
                reason != .rejected || about.mayBeRejected(bytes)
            else { return forbid() }
            let error = ICMPError(type: type, code: code, rest: information)
            guard isWithinRate(error, carried) else {
                counters.answersLimited &+= 1
                return
            }
            sendError(error, about: bytes, carried, to: view.source)
        }
    }

    private func forbid() { counters.answersForbidden &+= 1 }

    /// A packet without a route takes its token before anybody asks whether it may be answered: a later
    /// fragment takes one for nothing (`ip_error`).
    private func isRouteErrorWithinRate(_ reason: DropReason, _ carried: Carried) -> Bool {
        let sender = carried.packet.view.source
        guard reason == .noRoute || reason == .prohibitedRoute, carried.origin == .interface,
            engine.routes.addressType(sender) != .local
        else { return true }
        return limiter.allowsRouteError(to: sender, now: carried.time)
    }

    private func isWithinRate(_ error: ICMPError, _ carried: Carried) -> Bool {
        let sender = carried.packet.view.source
        // Over the loopback interface there is no limit (icmpv4_xrlim_allow).
        if engine.routes.addressType(sender) == .local { return true }
        return limiter.allows(error, to: sender, now: carried.time, random: &random)
    }

    /// A better gateway on the sender's own link (RFC 1812, 5.2.7.2). The packet itself goes on, so its
    /// walk is not over; the redirect is walked within it.
    func redirect(to gateway: IPv4Address, about bytes: RawSpan, _ packet: Packet) {
        let now = engine.now
        let carried = Carried(packet, origin: .interface, time: now)
        let about = AnsweredPacket(view: packet.view, isGroup: false, checksumTrusted: true)
        guard about.mayDrawError(bytes) else { return forbid() }
        guard limiter.allowsRedirect(to: packet.view.source, now: now) else {
            counters.answersLimited &+= 1
            return
        }
        sendError(.redirectHost(gateway: gateway), about: bytes, carried, to: packet.view.source)
    }

    /// - Parameter sender: whose way back decides about the source address.
    private func sendError(
        _ error: ICMPError, about bytes: RawSpan, _ carried: Carried, to sender: IPv4Address
    ) {
        let view = carried.packet.view
        let options = carried.packet.options
        // The last stop of a source route that goes on is not where the packet is for.
        let isForNode =
            !options.isHit && engine.routes.addressType(view.destination) == .local
        let firstStop = OptionEcho.firstStop(options, view, in: bytes)
        let back = engine.routes.route(
            output: RouteQuery(
                source: isForNode ? view.destination : .any, destination: firstStop ?? sender,
                typeOfService: AnswerBuilder.errorTypeOfService(view.typeOfService),
                ipProtocol: .icmp))
        guard let source = isForNode ? view.destination : back.preferredSource else {
            return forbid()
        }
        let header = AnswerHeader(
            source: source, timeToLive: defaultTimeToLive,
            identification: UInt16(truncatingIfNeeded: random.next()), mtu: back.mtu,
            firstStop: firstStop,
            echo: OptionEcho(
                options: options, time: engine.timeOfDay,
                isNextStampOurs: OptionEcho.nextStamp(options, view, in: bytes).map {
                    engine.routes.addressType($0) != .unicast
                } ?? false))
        sendOwn(carried, takesSourceOfRoute: !isForNode) { out in
            AnswerBuilder.writeError(error, about: view, in: bytes, header: header, into: &out)
        }
    }

    private func sendReset(about bytes: RawSpan, _ carried: Carried) {
        let timeToLive = defaultTimeToLive
        sendOwn(carried) { out in
            AnswerBuilder.writeReset(
                about: carried.packet.view, in: bytes, timeToLive: timeToLive, into: &out)
        }
    }

    /// Writes a packet of the node's own and walks it through OUTPUT, related to what it answers.
    private func sendOwn(
        _ answered: Carried, takesSourceOfRoute: Bool = false,
        _ write: (inout MutableRawSpan) -> Int?
    ) {
        guard let start = arena.reserve(AnswerBuilder.largestFrame) else {
            preconditionFailure("a step leaves room for an answer")
        }
        let whole = start..<start + AnswerBuilder.largestFrame
        guard let length = arena.withBytes(whole, write) else { return forbid() }
        arena.trim(start, to: length)
        // The answer is traced on its own, and told of after what it answers.
        let answeredTrace = trace
        if trace != nil { trace = Trace() }
        arena.withBytes(start..<start + length) { out in
            guard case .packet(let view) = PacketView.parse(out.bytes) else {
                preconditionFailure("the builder writes a well-formed packet")
            }
            var packet = Packet(view: view)
            packet.answers = answered.packet.tracked
            packet.takesSourceOfRoute = takesSourceOfRoute
            counters.node.received &+= 1
            var own = Carried(packet, origin: .node, time: answered.time)
            walk(&out, &own)
        }
        if trace != nil { holdTrace(.node, answered.time) }
        trace = answeredTrace
    }

    /// Datagrams whose other fragments did not come (`ip_expire`): only their destination says so,
    /// and only if the first fragment was there to be quoted.
    func expireFragments(now: Timestamp) {
        while reassembly.expired(now: now) != nil {
            makeRoom()
            let size = 14 + 65_535
            guard let start = arena.reserve(size) else {
                preconditionFailure("a step leaves room for one datagram")
            }
            arena.withBytes(start..<start + size) { bytes in
                guard let expired = reassembly.takeExpired(now: now, into: &bytes) else { return }
                let origin: PacketOrigin = expired.ingress == .none ? .host : .interface
                counters.update(origin) { $0.drops.add(expired.frames, .fragmentTimeout) }
                answerExpired(expired, bytes.bytes, origin, now: now)
            }
        }
    }

    private func answerExpired(
        _ expired: ExpiredDatagram, _ bytes: RawSpan, _ origin: PacketOrigin, now: Timestamp
    ) {
        guard expired.firstFragmentLength > 0,
            case .packet(let view) = PacketView.parse(bytes),
            engine.routes.addressType(view.destination) == .local
        else { return }
        let packet = Packet(view: view, inInterface: expired.ingress)
        answer(
            .icmp(type: 11, code: 1, information: 0), .fragmentTimeout, about: bytes,
            Carried(packet, origin: origin, time: now))
    }
}
