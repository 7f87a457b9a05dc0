// An open road as a measurement sees it: where to send what.

import Benchmark
import Glibc
import Lab
import Wire

struct Course {
    let network: BenchmarkNetwork
    let translation: Translation

    enum Translation: Sendable {
        /// Both addresses are translated.
        case both
        /// The node leaves addresses alone.
        case none
        /// There is no node between client and server.
        case noNode
    }

    var lab: HeldLab { network.lab }

    /// What a client connects to.
    var target: IPv4Address {
        switch translation {
        case .both: BenchmarkNetwork.nodeOutside
        case .none: BenchmarkNetwork.server
        case .noNode: BenchmarkNetwork.directServer
        }
    }

    private var isDirect: Bool { translation == .noNode }

    func stream(length: Int, flows: UInt32, endsInXDP: Bool = false) -> FrameStream {
        let (interface, gateway) = isDirect ? ("d0", "d1") : ("c0", "n0")
        guard let source = network.addresses[interface], let gateway = network.addresses[gateway]
        else { preconditionFailure("every interface has an address") }
        let sender = isDirect ? BenchmarkNetwork.directClient : BenchmarkNetwork.client
        return FrameStream(
            interface: interface, source: source, target: gateway, sender: sender,
            destination: target, receiver: isDirect ? "d1" : "s0",
            arrivesFrom: translation == .both ? BenchmarkNetwork.nodeInside : sender,
            arrivesAt: translation == .both ? BenchmarkNetwork.server : target,
            length: length, flows: flows, endsInXDP: endsInXDP)
    }

    /// Has `body` send frames of one kind. Every flow has been answered once before, so that it is established.
    func withFrames<R>(
        _ stream: FrameStream, _ body: (FrameLoad) throws(LabError) -> R
    ) throws(LabError) -> R {
        try network.takingFrames(isDirect ? ["d0", "d1"] : ["c0", "n0", "s0"]) {
            () throws(LabError) in
            let load = try FrameLoad(stream, in: network)
            try establish(load, flows: stream.flows)
            if stream.endsInXDP { try load.receiveEarly(in: network) }
            return try body(load)
        }
    }

    /// New connections a second that every road manages.
    private static let openingRate = 50_000.0

    private func establish(_ load: FrameLoad, flows: UInt32) throws(LabError) {
        let frames = UInt64(max(flows, 2048))
        try load.sending(rate: Self.openingRate, limit: frames, answered: .max) {
            load.waitUntilSent(frames, seconds: 2 + 2 * Double(frames) / Self.openingRate)
        }
        guard load.count.received > 0 else { throw LabError("no frame arrived") }
    }
}

extension FrameLoad {
    /// Waits until so many frames have left, but no longer than that, and until all of them have arrived or none
    /// has for a while.
    func waitUntilSent(_ frames: UInt64, seconds: Double) {
        let end = secondsNow() + seconds
        while count.sent < frames, secondsNow() < end { usleep(500) }
        var (last, since) = (count, secondsNow())
        while last.received < last.sent, secondsNow() < since + Self.patience {
            usleep(1000)
            let now = count
            if now.received != last.received { since = secondsNow() }
            last = now
        }
    }

    /// Longer than a daemon is kept from its CPU.
    private static let patience = 0.1
}
