// Prints what one packet costs: `swift run -c release --package-path Bench`. Numbers drift with the
// machine; the ratio to the same work in C, from the same run, is what counts.

import CBaseline
import Conntrack
import Dataplane
import Hooks
import Routing
import Wire

let batch = 250

func measureFlows(_ count: Int) {
    let gateway = Gateway(connections: count)
    var bank = FrameBank(gateway.frames)
    let table = baseline(gateway.frames)
    defer { unsafe baseline_table_free(table) }
    var position = 0
    /// One batch over the frames, going on where the last one ended.
    func forBatch(_ body: (inout MutableRawSpan) -> Void) {
        for _ in 0..<batch {
            bank.withFresh(position, body)
            position = position + 1 == count ? 0 : position + 1
        }
    }
    let copying = measure(batch: batch) { forBatch { consume($0.byteCount) } }
    func measured(_ body: (inout MutableRawSpan) -> Void) -> Measurement {
        var result = measure(batch: batch) { forBatch(body) }
        result.nanoseconds = max(0, result.nanoseconds - copying.nanoseconds)
        return result
    }

    print("\n\(count) established connections")
    let parse = measured { consume(parseResult($0.bytes)) }
    let parseC = measured { frame in
        var view = baseline_view()
        consume(cParse(frame.bytes, &view))
    }
    row("parse", parse, baseline: parseC)

    let lookup = measured { frame in
        guard let tuple = Tuple(parseResult(frame.bytes)) else { return }
        consume(gateway.engine.connections.find(tuple, now: start))
    }
    let lookupC = measured { frame in
        var view = baseline_view()
        _ = cParse(frame.bytes, &view)
        consume(unsafe baseline_table_find(table, &view))
    }
    row("parse, hash and look up", lookup, baseline: lookupC)

    let connections = gateway.engine.connections
    let tracking = measured { frame in
        consume(
            connections.track(
                frame.bytes, parseResult(frame.bytes), offload: .none, verifyChecksum: false,
                now: start))
    }
    row("parse, look up and track TCP", tracking, baseline: nil)

    let rewrite = measured { frame in
        var view = parseResult(frame.bytes)
        frame.rewriteAddress(.source, to: inside, in: &view, partialChecksum: false)
        frame.rewriteAddress(.destination, to: server, in: &view, partialChecksum: false)
        frame.rewritePort(.source, to: Port(7), in: &view, partialChecksum: false)
        frame.rewritePort(.destination, to: Port(8080), in: &view, partialChecksum: false)
        frame.decrementTimeToLive(in: &view)
    }
    let rewriteC = measured { frame in
        var view = baseline_view()
        _ = cParse(frame.bytes, &view)
        unsafe frame.withUnsafeMutableBytes {
            unsafe baseline_rewrite(
                $0.baseAddress!.assumingMemoryBound(to: UInt8.self), inside.rawValue,
                server.rawValue, 7, 8080)
        }
    }
    row("parse and rewrite both ends", rewrite, baseline: rewriteC)

    let name = gateway.engine.routes.name(of: eth0)
    let walk = measured { frame in
        var packet = Packet(view: parseResult(frame.bytes), inInterface: eth0, inName: name)
        consume(gateway.engine.receive(&frame, &packet, now: start))
    }
    row("parse and walk the hooks, 10 rules, NAT", walk, baseline: nil)

    row("the whole data plane, port to port", dataplane(gateway), baseline: nil)
}

/// The same frames through `Dataplane.step`, layer 2 and counters included.
func dataplane(_ gateway: Gateway) -> Measurement {
    let dataplane = Dataplane(engine: gateway.engine, seed: 1)
    let source = LoopPort(interface: eth0, name: "eth0", frames: gateway.frames)
    let sink = LoopPort(interface: eth1, name: "eth1")
    dataplane.add(source)
    dataplane.add(sink)
    dataplane.apply(
        NeighbourUpdate(
            interface: eth1, address: server, mac: MACAddress(rawValue: 0x0200_0000_0003),
            state: .permanent), now: start)
    let result = measure(batch: LoopPort.perBatch) { dataplane.step(now: start) }
    precondition(
        dataplane.counters.interface.forwarded == dataplane.counters.interface.received
            && sink.statistics.sentFrames > 0, "every packet of the benchmark is forwarded")
    return result
}

@inline(__always)
func parseResult(_ bytes: RawSpan) -> PacketView {
    guard case .packet(let view) = PacketView.parse(bytes) else {
        preconditionFailure("the benchmark's frames are well formed")
    }
    return view
}

@inline(__always)
func cParse(_ bytes: RawSpan, _ view: inout baseline_view) -> Int32 {
    unsafe bytes.withUnsafeBytes {
        unsafe baseline_parse(
            $0.baseAddress!.assumingMemoryBound(to: UInt8.self), $0.count, &view)
    }
}

func baseline(_ frames: [[UInt8]]) -> OpaquePointer {
    var capacity = 2
    while capacity < frames.count * 2 { capacity *= 2 }
    guard let table = unsafe baseline_table_make(capacity) else {
        preconditionFailure("memory for the baseline's table")
    }
    for frame in frames {
        var view = baseline_view()
        _ = cParse(frame.span.bytes, &view)
        unsafe baseline_table_add(table, &view)
    }
    return unsafe table
}

print(
    "per packet of 64 bytes:" + String(repeating: " ", count: 23), "      ns", "     in C",
    "    ratio", "allocations")
for flows in [1_000, 50_000] { measureFlows(flows) }
