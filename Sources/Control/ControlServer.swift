// The control socket's server: one thread, one poll, no locks but around the counters. It survives
// whatever a client does; what clients did wrong is counted.
//
// It carries the daemon's other descriptors too (signals), so that the control thread sleeps in one
// place.

import CLinux
import Glibc
import Synchronization

public struct ControlStatistics: Hashable, Sendable {
    public var accepted: UInt64 = 0
    public var commands: UInt64 = 0
    public var rubbish: UInt64 = 0
    public var oversized: UInt64 = 0
    public var hungUp: UInt64 = 0
    public var idle: UInt64 = 0
    /// Peers that are neither root nor the daemon's user.
    public var forbidden: UInt64 = 0
    /// Clients turned away because too many were connected.
    public var turnedAway: UInt64 = 0

    public init() {}

    mutating func count(_ fault: SessionFault) {
        switch fault {
        case .rubbish: rubbish += 1
        case .oversized: oversized += 1
        case .hungUp: hungUp += 1
        case .idle: idle += 1
        case .forbidden: forbidden += 1
        }
    }
}

public final class ControlServer {
    private let listener: Descriptor
    private let limits: ControlLimits
    private weak var handler: (any CommandHandler)?
    private var sessions: [ControlSession] = []
    private var watched: [(descriptor: Int32, action: () -> Void)] = []
    private var stopping = false
    let counters = Counters()

    /// What other threads may touch: the counters and the wake-up.
    final class Counters: Sendable {
        let values = Mutex(ControlStatistics())
    }

    /// Called on the server's thread after each wake-up.
    public var onWake: (() -> Void)?

    /// Raised by other threads when a stream has something to say.
    public let wake: WakeUp
    public var statistics: ControlStatistics { counters.values.withLock { $0 } }

    /// Binds the name; EADDRINUSE means that another daemon serves this network namespace. Clients may
    /// connect from here on and are answered once the server runs.
    public init(
        name: String = ControlProtocol.socketName, limits: ControlLimits = ControlLimits()
    ) throws(SystemError) {
        listener = try SystemCalls.listen(name)
        wake = try WakeUp()
        self.limits = limits
    }

    /// Calls `action` on the server's thread whenever `descriptor` becomes readable.
    public func watch(_ descriptor: Int32, action: @escaping () -> Void) {
        watched.append((descriptor, action))
    }

    public func stop() { stopping = true }

    /// Serves until `stop`.
    public func run(_ handler: any CommandHandler) throws(SystemError) {
        self.handler = handler
        while !stopping { try turn(timeout: 1000) }
    }

    /// Stops accepting, lets ordinary answers out, then answers those who asked for the stop.
    public func close(answering output: CommandOutput) {
        handler = nil
        // What they do is their owners', who own this server.
        watched = []
        onWake = nil
        for session in sessions { session.answerParked(output) }
        let deadline = sluice_monotonic() + 2_000_000_000
        while !sessions.isEmpty, sluice_monotonic() < deadline {
            for session in sessions {
                if case .streaming = session.state { session.endStream() }
            }
            guard (try? turn(timeout: 100, accepting: false)) != nil else { return }
        }
    }

    func turn(timeout: Int32, accepting: Bool = true) throws(SystemError) {
        var entries = [
            PollEntry(descriptor: accepting ? listener.number : -1),
            PollEntry(descriptor: wake.descriptor.number),
        ]
        entries += watched.map { PollEntry(descriptor: $0.descriptor) }
        let firstSession = entries.count
        entries += sessions.map {
            PollEntry(
                descriptor: $0.descriptor.number, wantsRead: $0.wantsRead, wantsWrite: $0.wantsWrite
            )
        }
        try poll(&entries, timeout: timeout)
        let now = sluice_monotonic()
        if entries[1].readable {
            wake.clear()
            onWake?()
        }
        for (index, watch) in watched.enumerated() where entries[2 + index].readable {
            watch.action()
        }
        for (index, session) in sessions.enumerated() {
            serve(session, entries[firstSession + index], now: now)
        }
        sweep(now: now)
        if entries[0].readable { accept(now: now) }
    }

    private func serve(_ session: ControlSession, _ entry: PollEntry, now: UInt64) {
        if entry.readable || (entry.hungUp && session.wantsRead) {
            if let request = session.receive(now: now) {
                counters.values.withLock { $0.commands += 1 }
                session.answer(
                    handler?.handle(request, from: session.peer)
                        ?? .done(.refused("the daemon is stopping")))
            }
        } else if entry.hungUp {
            session.close(.hungUp)
        }
        session.pump()
        session.flush(now: now)
    }

    private func accept(now: UInt64) {
        var fresh = 0
        while true {
            // Of those accepted in this turn some may be gone already: look before turning others away.
            if sessions.count >= limits.sessions, fresh > 0 { return }
            let number = sluice_accept(listener.number)
            guard number >= 0 else { return }
            let descriptor = Descriptor(owning: number)
            counters.values.withLock { $0.accepted += 1 }
            guard let peer = SystemCalls.peer(of: descriptor), Self.mayCommand(peer) else {
                counters.values.withLock { $0.forbidden += 1 }
                turnAway(
                    descriptor, "only root and the user who runs the daemon may command it")
                continue
            }
            guard sessions.count < limits.sessions else {
                counters.values.withLock { $0.turnedAway += 1 }
                turnAway(descriptor, "too many clients are connected to the daemon")
                continue
            }
            sessions.append(ControlSession(descriptor, peer: peer, limits: limits, now: now))
            fresh += 1
        }
    }

    /// A fresh socket's buffer always holds one sentence.
    private func turnAway(_ descriptor: Descriptor, _ sentence: String) {
        let bytes =
            ControlProtocol.frame(.error, "sluice: \(sentence)\n".utf8)
            + ControlProtocol.frame(.status, [2])
        _ = descriptor.send(bytes[...])
    }

    static func mayCommand(_ peer: PeerCredentials) -> Bool {
        peer.userID == 0 || peer.userID == geteuid()
    }

    private func sweep(now: UInt64) {
        for session in sessions where session.isIdle(now: now) { session.close(.idle) }
        for session in sessions {
            if let fault = session.fault { counters.values.withLock { $0.count(fault) } }
        }
        sessions.removeAll { $0.isClosed }
    }
}
