// One case through both engines, packet by packet: first the kernel, then Sluice at the same time since the
// beginning, then the two outcomes side by side. Stops at the first difference.

import CLinux
import Glibc
import KernelPath
public import Scenario
import Wire

public enum Mirror {
    /// What a run is to do.
    public struct Options: Sendable {
        /// Follow the packet at which the engines part ways through both, which runs the case again.
        public var traces = false
        public init() {}
    }

    /// Runs a case through the kernel and through Sluice and compares. Needs root. Takes at least as long
    /// as the case's packets say.
    ///
    /// - Throws: `CaseError` for a case that cannot be run, `KernelPathError` where the kernel could
    ///   not be asked or refuses the topology or the rules.
    public static func run(_ subject: Case, options: Options = Options()) throws -> Verdict {
        var coverage = Coverage()
        return try run(subject, options: options, coverage: &coverage)
    }

    /// The same, adding what Sluice did to `coverage`.
    public static func run(
        _ subject: Case, options: Options = Options(), coverage: inout Coverage
    ) throws -> Verdict {
        let subject = subject.withoutRateLimits
        let sluice = try SteeredNode(subject)
        let kernel = try KernelNode(subject.topology, rules: subject.rules)
        var lockstep = Lockstep(subject: subject, kernel: kernel, sluice: sluice)
        let verdict = try lockstep.run(options)
        coverage.merge(lockstep.coverage)
        return verdict
    }
}

struct Lockstep {
    let subject: Case
    let kernel: KernelNode
    let sluice: SteeredNode
    private let givesTicks: Bool
    /// Half a tick early, so that a tick's time lies in the middle of what Sluice takes for one.
    private let start = sluice_tick_clock() &- 2_000_000
    private var agreement = Agreement()
    private(set) var coverage = Coverage()
    /// What each engine made of the packets so far, for those that answer them.
    private var kernelOutcomes: [Outcome] = []
    private var sluiceOutcomes: [Outcome] = []
    /// What the kernel was given.
    private var injected: [CasePacket] = []
    private var now = Timestamp(nanoseconds: 0)

    init(subject: Case, kernel: KernelNode, sluice: SteeredNode) {
        self.subject = subject
        self.kernel = kernel
        self.sluice = sluice
        givesTicks = subject.rules.contains("connlimit")
    }

    /// Stays on one CPU where rules say connlimit: that keeps a connection it does not find for two ticks if
    /// another CPU counted it (`find_or_evict` in net/netfilter/nf_conncount.c).
    mutating func run(_ options: Mirror.Options) throws -> Verdict {
        guard givesTicks else { return try followPackets(options) }
        let cpus = sluice_stay_on_cpu()
        defer { sluice_allow_cpus(cpus) }
        return try followPackets(options)
    }

    private mutating func followPackets(_ options: Mirror.Options) throws -> Verdict {
        for (index, packet) in subject.packets.enumerated() {
            if let difference = try step(packet, index) {
                if sluice.hasGivenUp { return .agreement(agreement.cutShort(at: index)) }
                let divergence = Divergence(
                    place: .packet(index), packet: difference.packet, kernel: difference.kernel,
                    sluice: difference.sluice)
                return .divergence(options.traces ? try traced(divergence, index) : divergence)
            }
        }
        if let divergence = try compareFinalStates() {
            if sluice.hasGivenUp {
                return .agreement(agreement.cutShort(at: subject.packets.count))
            }
            return .divergence(divergence)
        }
        return .agreement(agreement)
    }

    private func elapsed() -> Timestamp { Timestamp(nanoseconds: sluice_tick_clock() &- start) }

    /// connlimit clears its lists out once in a tick: packets that share one would have to share it on
    /// both sides.
    private func waitForTick() {
        guard givesTicks else { return }
        let former = elapsed()
        while elapsed() == former { usleep(200) }
    }

    private func wait(until time: Timestamp) {
        while true {
            let now = elapsed()
            guard now < time else { return }
            usleep(UInt32(min(500_000, (time.nanoseconds - now.nanoseconds) / 1000 + 1)))
        }
    }

    private struct Difference {
        var packet: String
        var kernel: [String]
        var sluice: [String]
    }

    private mutating func step(_ packet: CasePacket, _ index: Int) throws -> Difference? {
        wait(until: packet.time)
        var kernelPacket = packet
        var sluicePacket = packet
        if let answered = packet.answers {
            kernelPacket = packet.answering(kernelOutcomes[answered])
            sluicePacket = packet.answering(sluiceOutcomes[answered])
        }
        kernelPacket = kernelPacket.numbered(index)
        sluicePacket = sluicePacket.numbered(index)
        injected.append(kernelPacket)
        waitForTick()
        now = max(now, elapsed())
        sluicePacket.time = now
        let there = try kernel.inject(kernelPacket)
        let hits = try sluice.randomRules.isEmpty ? [] : kernel.hits(of: sluice.randomRules)
        let here = try sluice.inject(
            sluicePacket, after: there, hits: hits, notLaterThan: max(now, elapsed()))
        now = sluice.now
        kernelOutcomes.append(there)
        sluiceOutcomes.append(here)
        coverage.record(here)
        agreement.packets += 1
        agreement.carried += there.emissions.isEmpty ? 0 : 1
        agreement.emissions += there.emissions.count
        if OutcomeComparison.agree(there, here, injected: kernelPacket) { return nil }
        var kernelLines = there.emissions.map(\.summary)
        var sluiceLines = here.emissions.map(\.summary)
        if let reason = here.dropReason { sluiceLines.append("dropped: \(reason)") }
        if there.opened != here.opened {
            kernelLines += there.opened.map { $0.joined(separator: " ") }
            sluiceLines += here.opened.map { $0.joined(separator: " ") }
        }
        return Difference(packet: kernelPacket.summary, kernel: kernelLines, sluice: sluiceLines)
    }

    private mutating func compareFinalStates() throws -> Divergence? {
        let there = try kernel.finish()
        let passed = elapsed().nanoseconds - now.nanoseconds
        let here = sluice.finish()
        coverage.record(here)
        agreement.connections = there.connections.count
        agreement.events = there.events.count
        agreement.ruleLines = there.rules.split(separator: "\n").count
        return StateComparison(
            kernel: there, sluice: here, rules: subject.rules,
            tolerance: 3 + Int(passed / 1_000_000_000)
        ).divergence
    }

    /// Adds both engines' ways. The kernel's is that of a second run, where it may choose otherwise.
    private func traced(_ divergence: Divergence, _ index: Int) throws -> Divergence {
        var divergence = divergence
        divergence.sluiceTrace = try sluice.traceOfLast()
        let again = try KernelNode(subject.topology, rules: subject.rules)
        for packet in injected.dropLast() { _ = try again.inject(packet) }
        if let last = injected.last { divergence.kernelTrace = try again.follow(last).trace }
        return divergence
    }
}

extension Case {
    /// How many ICMP errors a node may send in a second, and when it repeats a redirect, depends on the
    /// kernel's ticks, which nobody can see. So errors are not limited and redirects are off, unless the
    /// case itself says something of them.
    fileprivate var withoutRateLimits: Case {
        var copy = self
        let unlimited = [
            "net.ipv4.icmp_ratelimit": "0", "net.ipv4.icmp_msgs_per_sec": "1000000",
            "net.ipv4.icmp_msgs_burst": "1000000", "net.ipv4.conf.all.send_redirects": "0",
            "net.ipv4.conf.default.send_redirects": "0",
        ]
        copy.topology.settings.merge(unlimited) { own, _ in own }
        return copy
    }
}

extension CasePacket {
    /// A packet of the node's own gets an identification, which its socket would have given it, so that both
    /// engines carry the same; the kernel insists on right lengths and checksums there.
    fileprivate func numbered(_ index: Int) -> CasePacket {
        guard case .node = origin, bytes.count >= 20, bytes[4] == 0, bytes[5] == 0 else {
            return self
        }
        var packet = self
        packet.bytes.withMutableRawSpan { span in
            span.set(UInt16(truncatingIfNeeded: index + 1), at: 4)
            span.set(UInt16(0), at: 10)
            var sum = InternetChecksum()
            sum.add(span.bytes, 0..<min(span.byteCount, Int(span.u8(0) & 15) * 4))
            span.set(sum.complemented, at: 10)
        }
        return packet
    }
}
