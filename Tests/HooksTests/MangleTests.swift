// What the targets that change a packet do where the kernel's offloads come into play, and at the edges of
// the frame. What they do to whole packets is compared with the kernel's in `KernelStatelessTests`.

import Hooks
import NodeFixture
import Routing
import Ruleset
import Testing
import Wire

/// A SYN with `options`, in a frame with `room` bytes behind the packet.
private func syn(_ options: [UInt8], room: Int = 0, payload: Int = 0) -> [UInt8] {
    var bytes = segment(client, 40_000, blue, 80, payload: options.count + payload)
    bytes.replaceSubrange(54..<54 + options.count, with: options)
    bytes[46] = UInt8((20 + options.count) / 4) << 4
    setChecksum(&bytes)
    return bytes + [UInt8](repeating: 0, count: room)
}

private func view(_ bytes: [UInt8]) -> PacketView {
    guard case .packet(let view) = PacketView.parse(bytes.span.bytes) else {
        preconditionFailure("a test's frame parses")
    }
    return view
}

/// The sum that a correct transport checksum makes 0xFFFF, pseudo-header included.
private func transportSum(_ bytes: [UInt8], pseudoHeaderOnly: Bool = false) -> UInt16 {
    let view = view(bytes)
    var sum = InternetChecksum()
    sum.addPseudoHeader(
        source: view.source, destination: view.destination, protocol: view.protocol,
        length: view.transportLength)
    if !pseudoHeaderOnly { sum.add(bytes.span.bytes, view.transportOffset..<view.end) }
    return sum.folded
}

private func set(_ value: UInt16, _ bytes: inout [UInt8]) {
    bytes[50] = UInt8(value >> 8)
    bytes[51] = UInt8(value & 0xFF)
}

private func setChecksum(_ bytes: inout [UInt8]) {
    set(0, &bytes)
    set(~transportSum(bytes), &bytes)
}

/// What leaves a node whose FORWARD chain has `target`, with the packet's offload afterwards.
private func forward(
    _ bytes: [UInt8], _ target: MangleTarget, offload: OffloadHeader = .none
) -> (bytes: [UInt8], packet: Packet, disposition: Disposition) {
    let here = Node { $0.add(.mangle, "FORWARD", .mangle(target)) }
    var bytes = bytes
    var packet = Packet(
        view: view(bytes), offload: offload, inInterface: eth0, inName: InterfaceName("eth0")!)
    var storage = bytes.mutableSpan
    var span = storage.mutableBytes
    let disposition = here.engine.receive(
        &span, &packet, now: Timestamp(nanoseconds: 1_000_000_000))
    return (bytes, packet, disposition)
}

private let partial = OffloadHeader(needsChecksum: true, checksumStart: 34, checksumOffset: 16)

@Suite("Targets that change a packet")
struct MangleTests {
    private let size: [UInt8] = [2, 4, 0x05, 0xB4]

    @Test("a segment size is lowered or put in under a checksum that is still partial")
    func partialChecksum() {
        for options in [size, [], [1, 1, 1, 1] + size, [8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1]] {
            var bytes = syn(options, room: 4)
            set(transportSum(bytes, pseudoHeaderOnly: true), &bytes)
            var (sent, packet, _) = forward(bytes, .tcpmss(.set(500)), offload: partial)
            #expect(packet.offload == partial)
            #expect(packet.view == view(sent))
            #expect(sent[50..<52] == sum(transportSum(sent, pseudoHeaderOnly: true))[...])
            var storage = sent.mutableSpan
            var span = storage.mutableBytes
            let completed = span.completeChecksum(packet.offload, end: packet.view.end)
            #expect(completed)
            #expect(transportSum(sent) == 0xFFFF)
        }
    }

    private func sum(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 0xFF)] }

    @Test("an option is put in only where the frame has the room, and then in front of the others")
    func room() {
        let others: [UInt8] = [8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1]
        let here = Node { $0.add(.mangle, "FORWARD", .mangle(.tcpmss(.set(1400)))) }
        #expect(here.engine.roomNeeded(view(syn(others))) == 4)
        #expect(here.engine.roomNeeded(view(syn(others, payload: 1))) == 0)
        #expect(Node().engine.roomNeeded(view(syn(others))) == 0)
        let narrow = forward(syn(others, room: 3), .tcpmss(.set(1400)))
        #expect(narrow.packet.view.totalLength == 52)
        let wide = forward(syn(others, room: 4), .tcpmss(.set(1400)))
        #expect(wide.packet.view == view(wide.bytes))
        // RFC 9293, 3.7.1: who says nothing means 536.
        #expect(wide.bytes[54..<70] == ([2, 4, 0x02, 0x18] + others)[...])
        #expect(transportSum(wide.bytes) == 0xFFFF)
    }

    /// The kernel drops it too (xt_TCPMSS.c, "unknown or invalid path-MTU"); tried with a route of MTU 40.
    @Test("a path without room for a segment drops what would be clamped to it")
    func noRoom() {
        let here = Node { $0.add(.mangle, "FORWARD", .mangle(.tcpmss(.clampToPathMTU))) }
        let plain = here.engine.routes
        for (mtu, disposition) in [
            (40, Disposition.drop(.noSegmentSize)),
            (41, .forward(Egress(interface: br0, nextHop: blue, mtu: 41))),
        ] {
            let route = Route(
                prefix: blue, length: 32, mtu: mtu, nextHops: [NextHop(interface: br0)])
            here.engine.routes = RoutingSnapshot(
                interfaces: plain.interfaces, addresses: plain.addresses,
                routes: plain.routes + [route])
            var sender = here
            #expect(sender.handle(syn([]), on: eth0).disposition == disposition)
        }
    }

    @Test("CHECKSUM fills a partial checksum, and leaves a super-frame and a whole one alone")
    func checksumFill() {
        var bytes = syn([])
        let whole = bytes
        set(transportSum(bytes, pseudoHeaderOnly: true), &bytes)
        let filled = forward(bytes, .checksumFill, offload: partial)
        #expect(filled.packet.offload == .none)
        #expect(transportSum(filled.bytes) == 0xFFFF)
        var large = partial
        large.segmentationType = 1
        large.segmentSize = 1000
        #expect(forward(bytes, .checksumFill, offload: large).packet.offload == large)
        #expect(forward(whole, .checksumFill).bytes[34...] == whole[34...])
    }

    @Test("a TTL that a rule used up before routing draws time exceeded")
    func timeToLive() {
        var here = Node { $0.add(.mangle, "PREROUTING", .mangle(.ttl(.decrement(63)))) }
        let sent = here.handle(segment(client, 1, blue, 80), on: eth0)
        #expect(
            sent.disposition == .answer(.icmp(type: 11, code: 0, information: 0), .timeToLive))
        #expect(sent.view.timeToLive == 1)
    }

    @Test("each change is a step of the trace, in words of its own")
    func traced() {
        var here = Node {
            $0.add(.mangle, "FORWARD", .mangle(.ttl(.set(9))))
            $0.add(.mangle, "FORWARD", .mangle(.tos(TOSTarget(value: 0x10, mask: 0xFF))))
            $0.add(.mangle, "FORWARD", .mangle(.classify(0x1_0010)))
            $0.add(.mangle, "FORWARD", .mangle(.tcpmss(.set(1000))))
        }
        let sent = here.handle(syn(size), on: eth0)
        let changes = sent.trace.events.map(\.kind).filter {
            switch $0 {
            case .mangled, .timeToLive: true
            default: false
            }
        }
        #expect(
            changes == [
                .timeToLive(from: 64), .timeToLive(from: 63), .mangled(.typeOfService(from: 0)),
                .mangled(.classified(0x1_0010)), .mangled(.segmentSize(from: 1460, to: 1000)),
            ])
    }
}
