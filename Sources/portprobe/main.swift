// A forwarder without a mind: it moves every frame from one port to another with only the Ethernet
// addresses changed. Tests kill it, stop it and pull its interfaces; by hand it measures what the ports
// themselves cost (Docs/decisions/0002-receive-ring.md). It knows no routes, rules or connections.
//
// Prints "ready" once it works, and its counters on SIGTERM.

import Dataplane
import Glibc
import PacketIO
import Wire

let usage = """
    usage: portprobe forward RING IF=MAC IF=MAC   from each interface to the other's neighbour
           portprobe host IF=MAC                  between an interface and the host (sluice0)
           portprobe claim IF...                  claim and discard
    """

struct UsageError: Error {}

/// An interface, claimed, and the neighbour that its frames go to.
struct Side {
    let port: PacketPort
    let claim: Claim
    let source: MACAddress
    let neighbour: MACAddress

    /// - Parameter text: `IF=MAC`.
    init(_ text: String, ring: PacketPort.Ring, _ programs: NodePrograms) throws {
        let parts = text.split(separator: "=")
        guard parts.count == 2, let neighbour = MACAddress(parts[1]) else { throw UsageError() }
        port = try PacketPort(
            interface: String(parts[0]), filter: programs.tapFilter, ring: ring)
        claim = try programs.claim(port)
        source = try port.address()
        self.neighbour = neighbour
    }

    func send(_ frame: inout MutableRawSpan, _ offload: OffloadHeader, _ now: Timestamp) {
        frame.set(neighbour, at: 0)
        frame.set(source, at: 6)
        port.enqueue(frame.bytes, TransmitMetadata(offload: offload, time: now))
    }
}

nonisolated(unsafe) var stopping = false

/// Polls the ports and lets `body` empty the readable ones, until SIGTERM.
func work(
    _ ports: [any FramePort], _ heartbeat: Heartbeat, _ body: (Int, Timestamp) -> Void
) throws {
    var requests = ports.map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }
    print("ready")
    fflush(nil)
    while unsafe !stopping {
        _ = unsafe poll(&requests, nfds_t(requests.count), 100)
        let now = MonotonicClock.now()
        heartbeat.beat(at: now)
        for index in ports.indices where requests[index].revents != 0 {
            body(index, now)
            ports[index].releaseBatch()
        }
    }
    for port in ports { print(port.name, port.condition, port.statistics) }
}

func claim(_ names: [String], _ programs: NodePrograms) throws {
    let ports = try names.map { try PacketPort(interface: $0, filter: programs.tapFilter) }
    let claims = try ports.map { try programs.claim($0) }
    try work(ports, programs.heartbeat) { index, now in
        _ = ports[index].receive(limit: 256, now: now) { _, _ in }
    }
    for claim in claims { print(claim.statistics) }
}

func forward(_ ring: PacketPort.Ring, _ sides: [String], _ programs: NodePrograms) throws {
    let sides = try sides.map { try Side($0, ring: ring, programs) }
    try work(sides.map(\.port), programs.heartbeat) { index, now in
        let out = sides[1 - index]
        _ = sides[index].port.receive(limit: 256, now: now) { frame, metadata in
            out.send(&frame, metadata.offload, now)
        }
        out.port.flush()
    }
    for side in sides { print(side.claim.statistics) }
}

/// Prints each mark and user of the host's packets when it first sees them.
func host(_ side: String, _ programs: NodePrograms) throws {
    let side = try Side(side, ring: .slots, programs)
    let host = try HostPort(programs: programs)
    var senders: Set<String> = []
    try work([side.port, host], programs.heartbeat) { index, now in
        if index == 0 {
            let inwards = side.port.interface
            _ = side.port.receive(limit: 256, now: now) { frame, metadata in
                host.enqueue(
                    frame.bytes,
                    TransmitMetadata(
                        offload: metadata.offload, appearsOn: inwards, time: now))
            }
            return
        }
        _ = host.receive(limit: 256, now: now) { frame, metadata in
            let user = metadata.userID.map { String($0) } ?? "none"
            let group = metadata.groupID.map { String($0) } ?? "none"
            let sender = "mark \(metadata.mark) user \(user) group \(group)"
            if senders.insert(sender).inserted {
                print(sender)
                fflush(nil)
            }
            side.send(&frame, metadata.offload, now)
        }
        side.port.flush()
    }
    print(host.programStatistics)
}

func main() throws {
    var arguments = Array(CommandLine.arguments.dropFirst())
    guard arguments.count >= 2 else { throw UsageError() }
    signal(SIGTERM) { _ in unsafe stopping = true }
    let mode = arguments.removeFirst()
    let programs = try NodePrograms()
    programs.heartbeat.beat(at: MonotonicClock.now())
    switch mode {
    case "claim":
        try claim(arguments, programs)
    case "forward":
        guard let ring = PacketPort.Ring(rawValue: arguments.removeFirst()), arguments.count == 2
        else { throw UsageError() }
        try forward(ring, arguments, programs)
    case "host":
        try host(arguments[0], programs)
    default: throw UsageError()
    }
}

do {
    try main()
} catch is UsageError {
    print(usage)
    exit(2)
} catch {
    print(error)
    exit(1)
}
