// Sluice as an engine: the packet path that live frames take, over ports in memory and a clock that only
// the packets move. No privileges, no kernel; the same case gives the same bytes everywhere.
//
// Time stands where the packet before put it until the next packet comes; on the way there, fragments,
// neighbours and connections whose time has come end at their own moments.

import Conntrack
public import Dataplane
import Explain
import Hooks
import Routing
import Ruleset
public import Wire

public final class OfflineNode: PacketEngine {
    /// What a run is to keep beside its outcomes.
    public struct Options: Sendable {
        /// Follow every packet: `Outcome.trace`, and steps for programs.
        public var traces = false
        /// Take frames whatever MAC address they were sent to, as captures of other hosts need it.
        public var acceptsForeignMACs = false
        /// Packets take the paths of those before them; without it each walks through all rules.
        public var storesPaths = true
        /// Those that do walk as well, and both are compared.
        public var verifiesPaths = false
        /// Neighbours that nobody knows are given up, and errors sent, as a node does it.
        public var givesUpNeighbours = true

        public init() {}
    }

    public let dataplane: Dataplane
    /// Called for every emission with its time, before `inject` returns.
    public var onEmission: ((Emission, Timestamp) -> Void)?
    /// Called for every packet's trace as one line of JSON, with `Options.traces`.
    public var onTrace: ((TraceRecord, TraceText) -> Void)?
    /// Called for every packet that an NFLOG rule copied, before `inject` returns: its group, the bytes
    /// from the IP header on and its time.
    public var onPacketLog: ((UInt16, [UInt8], Timestamp) -> Void)?
    /// What LOG rules wrote, in the kernel's format.
    public private(set) var logLines: [String] = []

    private var ruleset: Ruleset
    private let options: Options
    private let links: [CasePort]
    private let host: CasePort
    private let names: [InterfaceIndex: String]
    private let journal: Journal
    private var events: [String] = []
    /// How many of them outcomes have told.
    private var handedOut = 0
    private var now = Timestamp(nanoseconds: 0)

    /// Behind every link's index.
    private static let hostPort = InterfaceIndex(rawValue: UInt32(Int32.max))
    private static let eventCapacity = 4096

    /// - Throws: what is wrong with the case.
    public init(_ subject: Case, options: Options = Options()) throws(CaseError) {
        try subject.check()
        let node = try subject.topology.compiled()
        ruleset = try RulesText.parse(subject.rules, name: "rules")
        let compiled: CompiledRuleset
        do { compiled = try CompiledRuleset(ruleset) } catch {
            throw CaseError(field: "rules", "\(error)")
        }
        let connections = ConnectionTable(capacity: node.settings.capacity, seed: subject.seed)
        connections.listen(capacity: Self.eventCapacity)
        let engine = HookEngine(
            rules: compiled, connections: connections, routes: node.routes,
            seed: subject.seed &+ 1)
        // Nobody behind this node fills in the options of what is delivered.
        engine.fillsDeliveredOptions = true
        engine.storesPaths = options.storesPaths
        engine.verifiesPaths = options.verifiesPaths
        var configuration = Dataplane.Configuration()
        configuration.checksDestinationMAC = !options.acceptsForeignMACs
        if !options.givesUpNeighbours { configuration.neighbourTimeout = Seconds(86_400) }
        dataplane = Dataplane(
            engine: engine, seed: subject.seed &+ 2, configuration: configuration)
        dataplane.settings = node.settings
        self.options = options
        let names = Dictionary(
            uniqueKeysWithValues: node.routes.interfaces.map { ($0.index, "\($0.name)") })
        let journal = Journal()
        links = node.routes.interfaces.filter { !$0.isLoopback }.map { interface in
            let name = "\(interface.name)"
            return CasePort(interface: interface.index, name: name, journal: journal) { frame, _ in
                Emission(.wire(link: name), bytes: [UInt8](copying: frame))
            }
        }
        host = CasePort(interface: Self.hostPort, name: "host", journal: journal) {
            let packet = [UInt8](copying: $0.extracting(14..<$0.byteCount))
            return Emission(.delivered(link: names[$1.appearsOn] ?? ""), bytes: packet)
        }
        self.names = names
        self.journal = journal
        for port in links { dataplane.add(port) }
        dataplane.addHostPort(host)
        for neighbour in node.neighbours { dataplane.apply(neighbour, now: now) }
        watch(engine)
    }

    private func watch(_ engine: HookEngine) {
        engine.onLog = { [journal] record, bytes in journal.log.append(record.line(bytes)) }
        engine.onPacketLog = { [journal] record, bytes in
            let copy = record.range(inFrameOf: bytes.byteCount).map { bytes.u8($0) }
            journal.copies.append((record.log.group, copy))
        }
        guard options.traces else { return }
        dataplane.traceFilter = { _, _ in true }
        dataplane.onTrace = { [journal] record in journal.traces.append(record) }
    }

    /// - Parameter packet: not earlier than the one before.
    public func inject(_ packet: CasePacket) throws(CaseError) -> Outcome {
        advance(to: packet.time)
        let before = dataplane.counters
        switch packet.origin {
        case .wire(let name):
            guard let port = links.first(where: { $0.name == name }) else {
                throw CaseError("there is no link '\(name)'")
            }
            port.inject(packet.bytes)
        case .node(let mark, let userID, let groupID):
            // Only what stands behind the Ethernet header matters.
            let header = [UInt8](repeating: 0, count: 12) + [8, 0]
            host.inject(header + packet.bytes, mark: mark, userID: userID, groupID: groupID)
        }
        dataplane.step(now: now)
        var outcome = collect()
        outcome.dropReason = newReason(since: before)
        return outcome
    }

    /// Lets everything that falls due until `time` happen at its own moment.
    private func advance(to time: Timestamp) {
        while let deadline = dataplane.nextDeadline, deadline <= time {
            now = max(now, deadline)
            dataplane.expire(now: now)
            takeEvents()
            if dataplane.nextDeadline == deadline { break }
        }
        now = max(now, time)
    }

    private func newReason(since before: DataplaneCounters) -> DropReason? {
        DropReason.allCases.first { reason in
            let after = dataplane.counters
            return after.interface.drops[reason] > before.interface.drops[reason]
                || after.host.drops[reason] > before.host.drops[reason]
        }
    }

    /// Packets that took the path of one before them.
    public var storedPathUses: UInt64 { dataplane.engine.storedPathUses }

    /// Those of them whose walk led elsewhere, with `Options.verifiesPaths`.
    public var pathMismatches: UInt64 { dataplane.engine.pathMismatches }

    public func finish() -> FinalState {
        takeEvents()
        return FinalState(
            connections: connectionLines, events: events,
            rules: RulesText.saved(rulesWithCounters))
    }

    /// The rules with what was counted so far.
    var rulesWithCounters: Ruleset {
        dataplane.engine.rules.handOutCounters(to: &ruleset)
        return ruleset
    }

    private func textOptions(_ output: ConntrackOutput = []) -> ConntrackTextOptions {
        // The clock of a case counts from 1970.
        ConntrackTextOptions(output: output, now: now, wallClock: now.nanoseconds)
    }

    private var connectionLines: [String] {
        var lines: [String] = []
        let connections = dataplane.engine.connections
        _ = connections.forEach(from: 0, limit: connections.capacity, now: now) {
            lines.append(ConntrackText.line($0, textOptions(.extended)))
        }
        return lines
    }

    private func takeEvents() {
        let connections = dataplane.engine.connections
        while let event = connections.nextEvent() {
            events.append(ConntrackText.line(event, textOptions()))
        }
    }

    // MARK: What a step left behind

    private func collect() -> Outcome {
        takeEvents()
        logLines += journal.log
        journal.log = []
        for (group, bytes) in journal.copies { onPacketLog?(group, bytes, now) }
        journal.copies = []
        var outcome = Outcome(
            emissions: takeEmissions(), events: Array(events[handedOut...]))
        handedOut = events.count
        guard options.traces else { return outcome }
        let words = traceText
        for record in journal.traces {
            onTrace?(record, words)
            outcome.trace += Self.text(record, words)
        }
        journal.traces = []
        return outcome
    }

    /// In the order in which they were sent, over all ports.
    private func takeEmissions() -> [Emission] {
        let emissions = journal.emissions
        journal.emissions = []
        for (emission, time) in emissions { onEmission?(emission, time) }
        return emissions.map(\.emission)
    }

    private var traceText: TraceText {
        let names = names
        return TraceText(
            ruleset: ruleset,
            ruleText: { $0.saved(chain: $1, counters: false, resolver: StandardNames()) },
            interfaceName: { names[$0] ?? "interface \($0.rawValue)" })
    }

    private static func text(_ record: TraceRecord, _ words: TraceText) -> String {
        if let reason = record.refused { return "a frame was dropped: \(reason)\n" }
        return words.lines(record.trace).map { $0 + "\n" }.joined()
    }
}
