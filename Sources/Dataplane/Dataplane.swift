// The packet path of one worker: frames in batches from its ports, each parsed, reassembled where rules
// track, walked through the hooks, and sent on, delivered, answered or dropped with one reason.
//
// It refuses to wait, to read a clock or to make a system call: whoever owns it polls the ports'
// descriptors, calls `step`, and swaps rules and routes between two calls. Not thread-safe.
//
//   port ─ batch ─ L2 ─ parse ─ (reassemble) ─ hooks ─┬─ forward ─ size ─ neighbour ─ port
//                                                      ├─ deliver ─ host port
//   host port ─ parse ─ (reassemble) ─ OUTPUT walk ────┤
//                                                      └─ drop ─ counter ─ (answer ─ OUTPUT walk)
//
// Frames stay in their port's batch; what the node makes during a step lies in an arena that is empty
// again when the step ends; what waits longer is copied into pools of fixed size.

import Conntrack
public import Hooks
public import Routing
public import Ruleset
public import Wire

public final class Dataplane {
    /// What is fixed when the data plane is made.
    public struct Configuration: Sendable {
        /// Frames per port and step.
        public var batch = 256
        public var fragmentBytes = 4 << 20
        /// Off for captures, whose frames were addressed to somebody else's interfaces.
        public var checksDestinationMAC = true
        /// For captures, where nobody resolves: every neighbour has a made-up MAC address.
        public var inventsNeighbours = false
        /// For how long packets wait for a neighbour: three probes a second apart (`ucast_solicit`,
        /// `retrans_time_ms`), and a reserve.
        public var neighbourTimeout = Seconds(5)

        public init() {}
    }

    public let engine: HookEngine
    public let configuration: Configuration
    public var neighbours = NeighbourTable()
    public weak var resolver: (any NeighbourResolver)?
    public internal(set) var counters = DataplaneCounters()
    /// Which frames to trace, asked once per frame; `nil` traces nothing and costs nothing.
    public var traceFilter: ((RawSpan, FrameMetadata) -> Bool)? {
        didSet { engine.carrier?.suspend(traceFilter != nil) }
    }
    public var onTrace: ((TraceRecord) -> Void)?

    var ports = PortTable()
    let arena = FrameArena(byteCount: Dataplane.arenaBytes)
    let batch: FrameBatch
    /// By the low bits of the path's number.
    var adjacencies = [Adjacency](repeating: Adjacency(), count: HookEngine.pathCapacity)
    var reassembly: Reassembly
    var neighbourQueue: NeighbourQueue<WaitingPacket>
    var limiter: AnswerLimiter
    var defaultTimeToLive = NodeSettings().defaultTimeToLive
    var random: SeededRandom
    /// The trace of the frame in hand.
    var trace: Trace?
    var tracedIngress = InterfaceIndex.none
    /// Traces of answers, told behind the trace of what they answer.
    var heldTraces: [TraceRecord] = []
    /// The latest time that a step or a frame brought.
    public private(set) var now = Timestamp(nanoseconds: 0)

    /// Enough for what one frame can become: a datagram of 64 KB put together, cut into its smallest
    /// pieces, and an answer. A step flushes and starts over whenever less is left.
    static let roomPerFrame = 1 << 20
    static let arenaBytes = 4 << 20

    public init(engine: HookEngine, seed: UInt64, configuration: Configuration = Configuration()) {
        self.engine = engine
        self.configuration = configuration
        batch = FrameBatch(capacity: configuration.batch)
        var waiting = NeighbourQueue<WaitingPacket>.Limits()
        waiting.timeout = configuration.neighbourTimeout
        neighbourQueue = NeighbourQueue(limits: waiting)
        random = SeededRandom(seed: seed)
        reassembly = Reassembly(
            byteCount: configuration.fragmentBytes, seed: random.next())
        limiter = AnswerLimiter()
        engine.onRedirect = { [unowned self] gateway, bytes, packet in
            redirect(to: gateway, about: bytes, packet)
        }
    }

    // MARK: What control changes between steps

    public func add(_ port: any FramePort) {
        ports.add(port, isHost: false, routes: engine.routes)
    }

    /// The port to the node's own sockets.
    public func addHostPort(_ port: any FramePort) {
        ports.add(port, isHost: true, routes: engine.routes)
    }

    public func removePort(_ interface: InterfaceIndex) {
        engine.endPaths()
        ports.remove(interface)
    }

    /// Counters go on where the old rules' stood.
    public func install(_ rules: CompiledRuleset) {
        engine.endPaths()
        rules.adoptCounters(from: engine.rules)
        engine.rules = rules
    }

    public func install(_ routes: RoutingSnapshot) {
        engine.routes = routes
        ports.refresh(routes)
    }

    // MARK: Running

    /// One batch from every port, then everything whose time has come. Returns how many frames came
    /// in; a full batch means that there may be more at once.
    @discardableResult
    public func step(now: Timestamp) -> Int {
        advance(to: now)
        var received = 0
        for index in 0..<ports.slots.count {
            received &+= receiveBatch(from: index, now: now)
        }
        ports.flush()
        ports.releaseBatches()
        arena.reset()
        expire(now: now)
        return received
    }

    /// Fragments, neighbours and connections whose time has come.
    public func expire(now: Timestamp) {
        advance(to: now)
        expireFragments(now: now)
        serveNeighbours(now: now)
        finishBatch()
        _ = engine.connections.expire(now: now)
        engine.director.expire(now: now)
    }

    /// When `step` must be called next even if no frame arrives.
    public var nextDeadline: Timestamp? {
        [reassembly.nextDeadline, neighbourQueue.nextDeadline, engine.connections.nextExpiry]
            .compactMap { $0 }.min()
    }

    /// The same for packets alone: when the next of those that wait is given up.
    var waitingDeadline: Timestamp? {
        [reassembly.nextDeadline, neighbourQueue.nextDeadline].compactMap { $0 }.min()
    }

    func advance(to time: Timestamp) {
        if now < time { now = time }
    }

    /// Between two frames: gives the arena back before it could run out within one.
    func makeRoom() {
        if arena.free < Self.roomPerFrame { finishBatch() }
    }

    func finishBatch() {
        ports.flush()
        arena.reset()
    }
}
