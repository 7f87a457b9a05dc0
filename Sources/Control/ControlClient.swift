// The client's half of the control socket: sends one command, relays what comes back to standard
// output and standard error while it comes, and returns the exit status.

import CLinux
import FoundationEssentials
import Glibc

public struct ControlClient {
    public enum Failure: Error, Hashable, Sendable {
        /// Nobody listens in this network namespace.
        case noDaemon
        /// Somebody listens who is neither root nor the caller.
        case untrusted(userID: UInt32)
        case system(SystemError)
        /// The daemon hung up before the exit status.
        case cutOff
        /// The daemon's process is stopped (SIGSTOP, a debugger) and has been silent for seconds.
        case stopped(process: Int32)
    }

    private let descriptor: Descriptor
    private let daemon: PeerCredentials
    /// How long a silent daemon is believed to be at work before its process is looked at. One that works
    /// may take any time: ten thousand services are seconds of restoring.
    private static let patience: Int32 = 2000

    /// Connects to the daemon of the calling thread's network namespace.
    public init(name: String = ControlProtocol.socketName) throws(Failure) {
        descriptor = try Self.connect(to: name)
        // An abstract name belongs to whoever binds it first.
        guard let peer = SystemCalls.peer(of: descriptor) else { throw .cutOff }
        guard ControlServer.mayCommand(peer) else { throw .untrusted(userID: peer.userID) }
        daemon = peer
        // Neither a read nor a write waits by itself: `wait` does, and looks at the daemon meanwhile.
        _ = fcntl(descriptor.number, F_SETFL, O_NONBLOCK)
    }

    static func connect(to name: String) throws(Failure) -> Descriptor {
        do { return try SystemCalls.connect(name) } catch {
            throw error.number == ECONNREFUSED ? .noDaemon : .system(error)
        }
    }

    /// Sends `request`, relays the answer while it comes and returns the exit status.
    ///
    /// - Parameter interrupts: a descriptor of `sluice_signals_open`; the first signal asks a
    ///   streaming answer for its end, the second gives up.
    public func run(
        _ request: ControlRequest, interrupts: Descriptor? = nil,
        output: (ArraySlice<UInt8>) -> Bool = { Descriptor.writeAll($0, to: STDOUT_FILENO) },
        error: (ArraySlice<UInt8>) -> Bool = { Descriptor.writeAll($0, to: STDERR_FILENO) }
    ) throws(Failure) -> UInt8 {
        try send(request)
        var reader = FrameReader()
        var interrupted = false
        var file: Descriptor?
        while true {
            while let frame = try next(&reader) {
                switch frame.kind {
                case .output:
                    let taken =
                        file.map { Descriptor.writeAll(frame.payload, to: $0.number) }
                        ?? output(frame.payload)
                    guard taken else { return 1 }
                case .redirection:
                    file = try Self.create(String(decoding: frame.payload, as: UTF8.self))
                case .error: _ = error(frame.payload)
                case .status: return frame.payload.first ?? 2
                case .request, .input, .end: throw .cutOff
                }
            }
            if try interruptArrived(interrupts) {
                // 128 + SIGINT, as a shell reports a command ended by Ctrl-C.
                if interrupted { return 130 }
                interrupted = true
                shutdown(descriptor.number, Int32(SHUT_WR))
                continue
            }
            var bytes: [UInt8] = []
            switch descriptor.read(appendingTo: &bytes, limit: 1 << 18) {
            case .bytes: reader.append(bytes)
            case .wouldBlock: continue
            case .endOfFile, .failed: throw .cutOff
            }
        }
    }

    private static func create(_ path: String) throws(Failure) -> Descriptor {
        do {
            return try SystemCalls.open(path, O_WRONLY | O_CREAT | O_TRUNC, to: "create")
        } catch { throw .system(error) }
    }

    private func next(_ reader: inout FrameReader) throws(Failure)
        -> (kind: ControlProtocol.FrameKind, payload: ArraySlice<UInt8>)?
    {
        do { return try reader.next(limit: { _ in 1 << 30 }) } catch { throw .cutOff }
    }

    /// Waits until the daemon or a signal has something to say; `true` for a signal.
    private func interruptArrived(_ interrupts: Descriptor?) throws(Failure) -> Bool {
        var entries = [PollEntry(descriptor: descriptor.number)]
        if let interrupts { entries.append(PollEntry(descriptor: interrupts.number)) }
        try wait(&entries)
        guard let interrupts, entries[1].readable else { return false }
        return sluice_signals_next(interrupts.number) > 0
    }

    /// Waits until one of the descriptors is ready, unless the daemon can never make it so.
    private func wait(_ entries: inout [PollEntry]) throws(Failure) {
        do { try poll(&entries, timeout: Self.patience) } catch { throw .system(error) }
        let isReady = entries.contains { $0.readable || $0.writable || $0.hungUp }
        guard !isReady, isStopped(daemon.processID) else { return }
        throw .stopped(process: daemon.processID)
    }

    private func send(_ request: ControlRequest) throws(Failure) {
        guard let json = try? JSONEncoder().encode(request) else { throw .cutOff }
        var bytes = ControlProtocol.frame(.request, json)
        var rest = request.standardInput[...]
        while !rest.isEmpty {
            bytes += ControlProtocol.frame(.input, rest.prefix(1 << 20))
            rest = rest.dropFirst(1 << 20)
        }
        bytes += ControlProtocol.frame(.end, [])
        var unsent = bytes[...]
        while !unsent.isEmpty {
            switch descriptor.send(unsent) {
            case .bytes(let count): unsent = unsent.dropFirst(count)
            case .wouldBlock:
                var room = [
                    PollEntry(descriptor: descriptor.number, wantsRead: false, wantsWrite: true)
                ]
                try wait(&room)
            // The daemon may have answered already (too many clients): read that first.
            case .endOfFile, .failed: return
            }
        }
    }
}
