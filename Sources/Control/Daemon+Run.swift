// A daemon's life: checks, start, service, and giving back.

import CLinux
import Conntrack
import Dataplane
import Glibc
import Hooks
import Netlink
import PacketIO
import Ruleset
import Wire

extension Daemon {
    /// Runs in the foreground until SIGTERM, SIGINT or `sluice down`.
    public static func run(_ configuration: RunConfiguration) throws(Refusal) {
        let signals = try waitForSignals()
        try enterNamespace(configuration.networkNamespace)
        try DaemonChecks.privileges()
        var configuration = configuration
        configuration.settings.adoptKernelValues(except: configuration.named)
        let mirror = try refusing { () throws(NetlinkError) in try NetlinkMirror() }
        try DaemonChecks.interfaces(configuration.interfaces, mirror.snapshot)
        if let file = configuration.logFile {
            _ = try refusing { () throws(SystemError) in try LineLog.open(file) }
        }
        var rules = try RulesFile.load(configuration.rulesFile)
        let server = try bindSocket()
        let stateFile = try refusing { () throws(SystemError) in try NodeStateFile.ofThisNamespace()
        }
        try cleanUpAfterTheDead(stateFile)
        let kernelRules = try examineKernel(configuration, &rules)
        if let objection = rules.liveObjection { throw Refusal(objection) }
        var state = NodeState(
            processID: getpid(), processStart: processStart(getpid()) ?? 0,
            interfaces: configuration.interfaces)
        state.savedRules = kernelRules?.saved
        state.closesOnDeath = configuration.onDeath == .closed
        state.leadsHostPackets = true
        try refusing { () throws(SystemError) in try stateFile.store(state) }
        let daemon: Daemon
        do throws(Refusal) {
            try kernelRules?.removeFromKernel()
            daemon = try start(
                configuration, rules, kernelRules?.connections, mirror, state, stateFile, server)
        } catch {
            let complaints = NodeCleanup.giveBack(state)
            stateFile.remove()
            throw Refusal(([error.sentence] + complaints).joined(separator: "; "))
        }
        try daemon.serve(server, signals)
    }

    private static func waitForSignals() throws(Refusal) -> Descriptor {
        let number = try refusing { () throws(SystemError) in
            try check(sluice_signals_open(), "wait for signals")
        }
        return Descriptor(owning: number)
    }

    /// The socket comes first: its name is what makes a second daemon impossible.
    private static func bindSocket() throws(Refusal) -> ControlServer {
        do throws(SystemError) { return try ControlServer() } catch {
            guard error.number == EADDRINUSE else { throw Refusal("\(error)") }
            throw Refusal(
                "a daemon already runs in this network namespace; stop it with 'sluice down' first")
        }
    }

    private static func cleanUpAfterTheDead(_ stateFile: NodeStateFile) throws(Refusal) {
        guard let old = try refusing({ () throws(NodeStateFile.Failure) in try stateFile.load() })
        else { return }
        // The socket is ours, so whoever wrote this does not run any more.
        let complaints = NodeCleanup.giveBack(old)
        guard complaints.isEmpty else { throw Refusal(complaints.joined(separator: "; ")) }
        stateFile.remove()
        say("cleaned up after process \(old.processID), which had died")
    }

    /// Refuses a namespace where the kernel filters or tracks already, or takes its rules over.
    private static func examineKernel(
        _ configuration: RunConfiguration, _ rules: inout Ruleset
    ) throws(Refusal) -> KernelRules? {
        let occupation = try KernelOccupation.look()
        guard !occupation.isEmpty else { return nil }
        guard configuration.takesOver else { throw occupation.refusal() }
        guard configuration.rulesFile == nil || occupation.rules.isEmpty else {
            throw Refusal("--take-over brings the kernel's rules; expected no --rules beside it")
        }
        guard occupation.legacyTables.isEmpty else {
            throw Refusal(
                "--take-over: tables of iptables-legacy cannot be taken over:"
                    + " \(occupation.legacyTables.joined(separator: ", "))")
        }
        let foreign = try KernelRules.foreignTables()
        guard foreign.isEmpty else {
            throw Refusal(
                "--take-over: only tables of iptables can be taken over; in the way:"
                    + " \(foreign.joined(separator: ", "))")
        }
        let saved = try KernelRules.save()
        if !saved.saved.isEmpty {
            rules = try RulesFile.parse(Array(saved.saved.utf8), name: "iptables-save")
        }
        return saved
    }

    private static func start(
        _ configuration: RunConfiguration, _ rules: Ruleset,
        _ connections: KernelConnections?, _ mirror: NetlinkMirror,
        _ state: NodeState, _ stateFile: NodeStateFile, _ server: ControlServer
    ) throws(Refusal) -> Daemon {
        do {
            let remarks = EventQueue<String>(capacity: 64, wake: server.wake)
            let packetLog = EventQueue<PacketLogEvent>(
                capacity: Daemon.logCapacity, wake: server.wake)
            let engine = HookEngine(
                rules: try CompiledRuleset(rules),
                connections: ConnectionTable(
                    capacity: configuration.settings.capacity,
                    settings: configuration.settings.conntrack,
                    seed: configuration.seed),
                routes: mirror.snapshot, seed: configuration.seed &+ 1)
            let now = Timestamp(nanoseconds: sluice_monotonic())
            if let lost = connections?.enter(into: engine.connections, now: now), lost > 0 {
                remarks.offer("\(lost) of the kernel's connections were not taken over")
            }
            engine.epoch = sluice_realtime() &- sluice_monotonic()
            engine.onLog = { [unowned engine] in
                packetLog.offer(.line(LoggedPacket($0, $1, engine.now)))
            }
            engine.onRuleTrace = { [unowned engine] record, _ in
                packetLog.offer(.trace(record, engine.now))
            }
            let groups = Set(configuration.nflog.map(\.group))
            if !groups.isEmpty {
                engine.onPacketLog = { [unowned engine] record, frame in
                    guard groups.contains(record.log.group) else { return }
                    packetLog.offer(.packet(CopiedPacket(record, frame, engine.now)))
                }
            }
            engine.verifiesPaths = configuration.verifiesPaths
            engine.onPathMismatch = { remarks.offer("a stored path differs from the walk: \($0)") }
            let dataplane = Dataplane(engine: engine, seed: configuration.seed &+ 2)
            dataplane.settings = configuration.settings
            let programs = try NodePrograms()
            programs.heartbeat.beat(at: Timestamp(nanoseconds: sluice_monotonic()))
            let node = try Node(
                dataplane: dataplane, mirror: mirror, programs: programs,
                umem: try umem(for: configuration), remarks: remarks)
            if let choice = configuration.offload { node.carryFlows(choice) }
            try node.openHostPort()
            for name in configuration.interfaces {
                try node.adopt(name)
                if configuration.onDeath == .closed { try node.guardAgainstForwarding(name) }
            }
            let nflog = try NFLogFiles(configuration.nflog)
            let daemon = try Daemon(
                configuration, rules: rules, node: Handover(node), state: state,
                stateFile: stateFile, remarks: remarks, packetLog: packetLog, nflog: nflog,
                wake: server.wake)
            daemon.server = server
            do throws(Refusal) {
                try daemon.takeHostPackets()
                try daemon.followLoopback()
            } catch {
                // The packet thread runs already: it gives back what it took.
                _ = daemon.stop()
                throw error
            }
            return daemon
        } catch let refusal as Refusal {
            throw refusal
        } catch {
            throw Refusal("\(error)")
        }
    }

    /// Memory for the sockets of all interfaces, and of the loopback, which may come later.
    private static func umem(for configuration: RunConfiguration) throws -> Umem? {
        guard configuration.portKind == .xdp else { return nil }
        let names = configuration.interfaces.filter { Node.tapName($0) == nil }
        return try Umem(sockets: names.reduce(1) { $0 + XDPPort.sockets(for: $1) })
    }

    private func serve(_ server: ControlServer, _ signals: Descriptor) throws(Refusal) {
        server.watch(signals.number) {
            if sluice_signals_next(signals.number) > 0 { server.stop() }
        }
        server.onWake = { [unowned self] in
            printRemarks()
            printLog()
        }
        let names = configuration.interfaces.joined(separator: ", ")
        Descriptor.writeAll(
            Array("sluice: ready on \(names), process \(getpid())\n".utf8), to: STDOUT_FILENO)
        var complaints: [String] = []
        do throws(SystemError) { try server.run(self) } catch { complaints.append("\(error)") }
        complaints += stop()
        let text = complaints.map { "sluice: \($0)\n" }.joined()
        server.close(
            answering: CommandOutput(
                output: "sluice: stopped\n", error: text, status: complaints.isEmpty ? 0 : 2))
        guard complaints.isEmpty else { throw Refusal(complaints.joined(separator: "; ")) }
    }

    /// Gives everything back; sentences about what could not be.
    private func stop() -> [String] {
        var complaints: [String] = []
        var connections = KernelConnections()
        do throws(PacketThreadFailure) {
            connections = try packets.perform { node in
                let now = Timestamp(nanoseconds: sluice_monotonic())
                node.releaseAll(now: now)
                return KernelConnections(node.connections, now: now)
            }
        } catch { complaints.append("\(error)") }
        packets.stop()
        complaints += NodeCleanup.giveBack(state)
        if state.savedRules != nil {
            do throws(Refusal) { try connections.giveBack() } catch {
                complaints.append(error.sentence)
            }
        }
        if complaints.isEmpty { stateFile.remove() }
        return complaints
    }

    func printRemarks() {
        for remark in remarks.take(limit: 64).events { Self.say(remark) }
    }

    static func say(_ sentence: String) {
        Descriptor.writeAll(Array("sluice: \(sentence)\n".utf8), to: STDERR_FILENO)
    }
}

/// Carries an error of the layers below to the person as it stands.
func refusing<Value, Failure: Error>(
    _ body: () throws(Failure) -> Value
) throws(Refusal) -> Value {
    do throws(Failure) { return try body() } catch { throw Refusal("\(error)") }
}
