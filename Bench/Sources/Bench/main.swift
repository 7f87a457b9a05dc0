// Prints what one packet costs: `swift run -c release --package-path Bench`. Numbers drift with the
// machine; the ratio to the same work in C, from the same run, is what counts.

import CBaseline
import Conntrack
import Dataplane
import Foundation
import Hooks
import Routing
import Wire

let batch = FrameBank.batch

/// What `body` costs for a batch, without what it costs to make the frames.
func measured(_ bank: FrameBank, _ body: () -> Void) -> Measurement {
    let making = measure(batch: batch) { bank.refresh() }
    var result = measure(batch: batch) {
        bank.refresh()
        body()
    }
    result.nanoseconds = max(0, result.nanoseconds - making.nanoseconds)
    return result
}

/// The steps of a packet's way, one by one.
func measureSteps(_ gateway: Gateway) {
    let bank = FrameBank(gateway.frames)
    let table = baseline(gateway.frames)
    defer { unsafe baseline_table_free(table) }
    func measured(_ body: (inout MutableRawSpan) -> Void) -> Measurement {
        Bench.measured(bank) { for index in 0..<batch { bank.withFrame(index, body) } }
    }

    print("\nsteps, \(gateway.frames.count) established connections")
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
        guard let packet = PlainPacket(frame.bytes) else {
            preconditionFailure("the benchmark's frames are plain")
        }
        let ends = PacketEnds(
            source: inside, destination: server, sourcePort: Port(7), destinationPort: Port(8080))
        frame.rewriteAndForward(packet, to: ends, partialChecksum: false)
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
    gateway.engine.storesPaths = false
    let walk = measured { frame in
        var packet = Packet(view: parseResult(frame.bytes), inInterface: eth0, inName: name)
        consume(gateway.engine.receive(&frame, &packet, now: start))
    }
    gateway.engine.storesPaths = true
    row("parse and walk the hooks, 10 rules, NAT", walk, baseline: nil)
}

/// A data plane that receives the bank's frames from the clients' side and knows the server.
func gatewayDataplane(_ engine: HookEngine, _ bank: FrameBank) -> Dataplane {
    let dataplane = Dataplane(engine: engine, seed: 1)
    dataplane.add(LoopPort(interface: eth0, name: "eth0", frames: bank))
    dataplane.add(LoopPort(interface: eth1, name: "eth1"))
    dataplane.apply(
        NeighbourUpdate(
            interface: eth1, address: server, mac: MACAddress(rawValue: 0x0200_0000_0003),
            state: .permanent), now: start)
    return dataplane
}

/// From port to port, beside a loop in C that parses, looks up, counts and rewrites.
func measureForwarding(_ gateway: Gateway) {
    let bank = FrameBank(gateway.frames)
    let table = baseline(gateway.frames)
    defer { unsafe baseline_table_free(table) }
    let bare = measured(bank) {
        unsafe baseline_forward(
            table, bank.memory.assumingMemoryBound(to: UInt8.self), bank.frameLength, batch,
            inside.rawValue, server.rawValue, 7, 8080)
    }
    let dataplane = gatewayDataplane(gateway.engine, bank)
    // Every connection's second packet finds the path that its first one stored.
    for _ in 0...bank.count / batch { dataplane.step(now: start) }
    let making = measure(batch: batch) { bank.refresh() }
    var whole = measure(batch: batch) { dataplane.step(now: start) }
    whole.nanoseconds -= making.nanoseconds
    precondition(
        dataplane.counters.interface.forwarded == dataplane.counters.interface.received,
        "every packet of the benchmark is forwarded")
    row("established, \(bank.count) connections", whole, baseline: bare)
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

if let part = CommandLine.arguments.dropFirst().first, part == "counted" {
    runCounted(services: CommandLine.arguments.dropFirst(2).first.flatMap { Int($0) })
    exit(0)
}
print(
    "per packet of 64 bytes:" + String(repeating: " ", count: 23), "      ns", "     in C",
    "    ratio", "allocations")
// `Bench steps`, `Bench forwarding 1000`: one part, one size.
let wanted = CommandLine.arguments.dropFirst()
let sizes = wanted.compactMap { Int($0) }
if wanted.isEmpty || wanted.contains("steps") { measureSteps(Gateway(connections: 1000)) }
if wanted.isEmpty || wanted.contains("forwarding") {
    print("\nport to port: parse, look up, TCP window, NAT, checksums, rules' counters, layer 2")
    for flows in sizes.isEmpty ? [1_000, 100_000, 1_000_000] : sizes {
        measureForwarding(Gateway(connections: flows))
    }
}
if wanted.isEmpty || wanted.contains("memory") {
    let count = sizes.first ?? 1_000_000
    let before = residentBytes()
    let gateway = Gateway(connections: count, keepsFrames: false)
    let bytes = residentBytes() - before
    precondition(gateway.engine.connections.count == count, "each connection is in the table")
    print("\nmemory, \(count) connections, rules and routes: \(bytes / count) bytes each")
}
if wanted.isEmpty || wanted.contains("services") {
    print(
        "\nfirst packets, each of a new connection to one of so many services; the ratio is to one service"
    )
    let one = measureNew(services: 1)
    row("1 service", one, baseline: nil)
    row("10000 services", measureNew(services: 10_000), baseline: one)
    measureLoading(10_000)
}
