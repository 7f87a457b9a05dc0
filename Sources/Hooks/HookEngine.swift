// The five hooks. The one place that knows netfilter's order:
//
//            in                                                       from the node
//             │                                                             │
//   PREROUTING: raw ─ conntrack ─ mangle ─ nat(dst)              OUTPUT: raw ─ conntrack ─ mangle
//             │                                                     (route again) ─ nat(dst)
//           route ── local ── INPUT: mangle ─ filter ─ nat(src)     (route again) ─ filter
//             │                        └ confirm ─ to the node              │
//        TTL, MTU                                                           │
//             │                                                             │
//      FORWARD: mangle ─ filter ───────────────┐      ┌────────────────────┘
//                                              ▼      ▼
//                       POSTROUTING: mangle ─ nat(src) ─ confirm ─ out
//
// It refuses to know how packets arrive or leave: reassembly comes before it, neighbours, layer 2 and
// fragmentation after it. It reads no clock and no random source but those it is given.

import Conntrack
import Routing
import Ruleset
import VirtualServer
import Wire

/// Walks packets through the hooks over one ruleset, one connection table and one routing snapshot.
///
/// Not thread-safe: it belongs to one worker. Rules and routes are swapped between batches.
public final class HookEngine {
    public var rules: CompiledRuleset {
        willSet {
            forgetPaths(countedBy: rules)
            carrier?.settle()
            rules.onReading = nil
        }
        didSet {
            state.follow(rules.stateful, now: now)
            watchRules()
        }
    }
    public let connections: ConnectionTable
    /// Virtual services, which are looked at where the nat table's rules left a destination alone.
    public let director: Director
    /// What the director says of itself, kept where every packet reads it.
    private(set) var hasServices = false
    public var routes: RoutingSnapshot { didSet { forgetPaths(countedBy: rules) } }
    /// Off, every packet walks.
    public var storesPaths = true
    /// Packets that took a stored path.
    public var storedPathUses: UInt64 { settledPathUses &+ storedPaths.pending }
    var settledPathUses: UInt64 = 0
    /// Each packet on a stored path also walks, without effect, and both are compared.
    public var verifiesPaths = false
    public internal(set) var verifiedPaths: UInt64 = 0
    public internal(set) var pathMismatches: UInt64 = 0
    public var onPathMismatch: ((PathMismatch) -> Void)?
    let storedPaths = StoredPaths()
    /// Numbers the rules and routes that stored paths come from. After four billion changes a path could be taken
    /// for a new one: not even one change a second gets there in a century.
    public internal(set) var snapshot: UInt32 = 1
    /// Carries packets along stored paths past the engine.
    public weak var carrier: (any PathCarrier)? {
        didSet {
            offersPaths = carrier != nil
            offers.reserveCapacity(Self.offerCapacity)
        }
    }
    private(set) var offersPaths = false
    var offers: ContiguousArray<ConnectionID> = []
    /// The path of the packet in hand.
    var draft = PathDraft()
    /// What `statistic --mode random` draws from.
    public var random: SeededRandom
    /// Receives what LOG rules log; called on the packet path, so it copies and returns.
    public var onLog: ((LogRecord, RawSpan) -> Void)?
    /// Receives what NFLOG rules log, and what TRACE rules ask to be told; under the same terms.
    public var onPacketLog: ((NFLogRecord, RawSpan) -> Void)?
    public var onRuleTrace: ((RuleTrace, RawSpan) -> Void)?
    /// Tells the sender of a packet, which itself goes on, of a better gateway (ICMP redirect). Called in the
    /// middle of that packet's walk, with the packet as it is before FORWARD; it may call `send`.
    public var onRedirect: ((IPv4Address, RawSpan, Packet) -> Void)?
    /// What matches remember.
    let state: MatchState
    /// Nanoseconds since 1970 at the clock's zero, for IP timestamps.
    public var epoch: UInt64 = 0
    /// Off where what is delivered meets the kernel's IP layer again, which fills options in itself.
    public var fillsDeliveredOptions = false
    /// Off during a dry run: rule counters, what matches remember and the table stay as they are.
    var counting = true
    /// The time of the packet in hand.
    public internal(set) var now = Timestamp(nanoseconds: 0)

    public init(
        rules: CompiledRuleset, connections: ConnectionTable, routes: RoutingSnapshot, seed: UInt64
    ) {
        self.rules = rules
        rulesTrack = rules.needsTracking
        rulesTranslate = rules.hasNAT
        self.connections = connections
        director = Director(connections)
        self.routes = routes
        random = SeededRandom(seed: seed)
        state = MatchState(connections, secret: seed)
        state.follow(rules.stateful, now: now)
        director.onActivity = { [unowned self] in
            if hasServices != $0 { endPaths() }
            hasServices = $0
        }
        watchRules()
    }

    /// Who reads the rules' counters reads those of stored paths, too.
    private func watchRules() {
        rules.onReading = { [weak self] in
            self?.carrier?.settle()
            self?.settlePaths(to: $0)
        }
        rulesTrack = rules.needsTracking
        rulesTranslate = rules.hasNAT
    }

    /// Whether some rule or a virtual service needs connections tracked.
    public var needsTracking: Bool { rulesTrack || hasServices }
    /// Whether some rule or a virtual service translates.
    var hasNAT: Bool { rulesTranslate || hasServices }
    // What the rules say of themselves, kept where every packet reads it.
    private var rulesTrack: Bool
    private var rulesTranslate: Bool

    /// A packet that came in on `packet.inInterface`.
    ///
    /// After `.answer`, the caller sends the answer (with `answers` set to this packet's `tracked`)
    /// and then calls `release(packet)`; the other outcomes need nothing.
    public func receive(
        _ bytes: inout MutableRawSpan, _ packet: inout Packet, now: Timestamp
    ) -> Disposition {
        self.now = now
        var observer = Silent()
        guard storesPaths else { return receive(&bytes, &packet, &observer) }
        if let plain = Self.plain(bytes.bytes, packet) {
            if let way = storedWay(plain, packet) {
                let end =
                    verifiesPaths
                    ? takeAndVerify(way, &bytes, plain, &packet)
                    : take(way, &bytes, plain, &packet)
                if let end { return end }
            }
        } else if !offersPaths || !Self.isEcho(packet) {
            return receive(&bytes, &packet, &observer)
        }
        let arrival = Arrival(packet)
        draft.removeAll()
        packet.keepsPath = true
        let disposition = receive(&bytes, &packet, &observer)
        storePath(disposition, packet, arrival)
        return disposition
    }

    /// A plain packet's way without its metadata: the path that it took; `nil` where it must walk, for which
    /// `foreseen` says what tracking found, if it was asked.
    public func express(
        _ bytes: inout MutableRawSpan, _ packet: PlainPacket, bucket: Int,
        offload: OffloadHeader, ingress: InterfaceIndex, mark: UInt32, now: Timestamp,
        foreseen: inout Tracked?
    ) -> PathID? {
        self.now = now
        guard
            let way = storedWay(
                packet, bucket: bucket, offload: offload, ingress: ingress, mark: mark)
        else { return nil }
        foreseen = follow(way, &bytes, packet, offload)
        guard foreseen == nil else { return nil }
        if offersPaths { offer(connections.connection(way.flow)) }
        return way.path
    }

    /// As many paths may be stored; a power of two.
    public static var pathCapacity: Int { StoredPaths.capacity }

    /// Whether some packet may take a stored path.
    public var hasPaths: Bool { storesPaths && !storedPaths.isEmpty }

    private func storedWay(_ plain: PlainPacket, _ packet: Packet) -> Way? {
        guard hasPaths, !packet.mustWalk else { return nil }
        return storedWay(
            plain, bucket: connections.bucket(of: Tuple(plain)), offload: packet.offload,
            ingress: packet.inInterface, mark: packet.mark)
    }

    /// The same, recording every step.
    public func receive(
        _ bytes: inout MutableRawSpan, _ packet: inout Packet, now: Timestamp, trace: inout Trace
    ) -> Disposition {
        self.now = now
        var observer = Recorder(trace: trace)
        let disposition = receive(&bytes, &packet, &observer)
        trace = observer.trace
        return disposition
    }

    /// A datagram whose fragments ended in `.gather`, put together: INPUT.
    public func deliver(
        _ bytes: inout MutableRawSpan, _ packet: inout Packet, now: Timestamp
    ) -> Disposition {
        self.now = now
        var observer = Silent()
        return finish(input(&bytes, &packet, &observer), packet, &observer)
    }

    /// The same, recording every step.
    public func deliver(
        _ bytes: inout MutableRawSpan, _ packet: inout Packet, now: Timestamp, trace: inout Trace
    ) -> Disposition {
        self.now = now
        var observer = Recorder(trace: trace)
        let disposition = finish(input(&bytes, &packet, &observer), packet, &observer)
        trace = observer.trace
        return disposition
    }

    /// A packet that the node itself made: from its sockets, or an answer of the data plane's own.
    ///
    /// `.deliver` means that it came back to the node over the loopback interface; it has passed
    /// PREROUTING and INPUT there.
    public func send(
        _ bytes: inout MutableRawSpan, _ packet: inout Packet, now: Timestamp
    ) -> Disposition {
        self.now = now
        var observer = Silent()
        return send(&bytes, &packet, &observer)
    }

    /// The same, recording every step.
    public func send(
        _ bytes: inout MutableRawSpan, _ packet: inout Packet, now: Timestamp, trace: inout Trace
    ) -> Disposition {
        self.now = now
        var observer = Recorder(trace: trace)
        let disposition = send(&bytes, &packet, &observer)
        trace = observer.trace
        return disposition
    }

    /// What `receive` (or `send`, for a packet of the node's own) would do, changing nothing: no
    /// counter moves, no connection stays, and the random numbers drawn are drawn again.
    public func explain(
        _ bytes: inout MutableRawSpan, _ packet: inout Packet, ofNode: Bool, now: Timestamp
    ) -> (Disposition, Trace) {
        let saved = (random, onLog, onRedirect, onPacketLog, onRuleTrace)
        counting = false
        onLog = nil
        onPacketLog = nil
        onRuleTrace = nil
        onRedirect = nil
        defer {
            (random, onLog, onRedirect, onPacketLog, onRuleTrace) = saved
            counting = true
        }
        var trace = Trace()
        let disposition =
            ofNode
            ? send(&bytes, &packet, now: now, trace: &trace)
            : receive(&bytes, &packet, now: now, trace: &trace)
        release(packet)
        return (disposition, trace)
    }

    /// Gives up the unconfirmed connection of a packet that was answered.
    public func release(_ packet: Packet) {
        if packet.tracked.created, let id = packet.tracked.connection {
            connections.releaseUnconfirmed(id)
        }
    }

    func finish<O: WalkObserver>(
        _ disposition: Disposition, _ packet: Packet, _ observer: inout O
    ) -> Disposition {
        if case .drop = disposition { release(packet) }
        observer.note(packet, .end(disposition))
        return disposition
    }
}

/// What a LOG rule saw.
public struct LogRecord: Sendable {
    public var hook: BuiltinChain
    public var log: LogTarget
    public var packet: Packet
}
