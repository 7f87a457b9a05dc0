// One client of the control socket, from its first byte to the last of its answer.
//
// States: receiving (frames arrive until `end`), answering (bytes wait to be read), streaming (an
// answer that is asked for more whenever the backlog is small), parked (`down`: answered after the
// daemon has stopped), closed. Whatever a client does wrong moves it to closed and moves one counter.

import FoundationEssentials

/// Why a connection was closed before its answer was complete.
public enum SessionFault: Hashable, Sendable {
    case rubbish
    case oversized
    case hungUp
    case idle
    case forbidden
}

final class ControlSession {
    enum State {
        case receiving
        case answering
        case streaming(any ReplyStream)
        case parked
        case closed(SessionFault?)
    }

    let descriptor: Descriptor
    let peer: PeerCredentials
    private(set) var state = State.receiving
    private(set) var lastProgress: UInt64
    private let limits: ControlLimits
    private var reader = FrameReader()
    private var request: ControlRequest?
    private var input: [UInt8] = []
    private var backlog: [UInt8] = []
    private var sent = 0
    private var endRequested = false

    init(_ descriptor: Descriptor, peer: PeerCredentials, limits: ControlLimits, now: UInt64) {
        self.descriptor = descriptor
        self.peer = peer
        self.limits = limits
        lastProgress = now
    }

    var pending: Int { backlog.count - sent }
    var wantsRead: Bool {
        switch state {
        case .receiving: true
        // Only a client's half-close is still of interest.
        case .streaming, .answering: !endRequested
        case .parked, .closed: false
        }
    }
    var wantsWrite: Bool { pending > 0 }
    var isClosed: Bool { if case .closed = state { true } else { false } }
    var fault: SessionFault? { if case .closed(let fault) = state { fault } else { nil } }

    /// Whether this client keeps the daemon waiting: a quiet stream or a parked client does not.
    func isIdle(now: UInt64) -> Bool {
        switch state {
        case .receiving: break
        case .answering, .streaming: if pending == 0 { return false }
        case .parked, .closed: return false
        }
        return now >= lastProgress + limits.idleMilliseconds * 1_000_000
    }

    func close(_ fault: SessionFault?) {
        if case .streaming(let stream) = state { _ = stream.finish() }
        if isClosed { return }
        state = .closed(fault)
    }

    /// Reads what has come; the whole request once it is complete.
    func receive(now: UInt64) -> ControlRequest? {
        var bytes: [UInt8] = []
        switch descriptor.read(appendingTo: &bytes, limit: 1 << 16) {
        case .wouldBlock: return nil
        case .failed:
            close(.hungUp)
            return nil
        case .endOfFile:
            endOfInput()
            return nil
        case .bytes: break
        }
        lastProgress = now
        guard case .receiving = state else {
            close(.rubbish)  // Nothing may follow `end`.
            return nil
        }
        reader.append(bytes)
        return takeFrames()
    }

    private func endOfInput() {
        switch state {
        case .receiving: close(.hungUp)
        case .streaming(let stream):
            endRequested = true
            append(stream.finish(), final: true)
        case .answering: endRequested = true
        case .parked, .closed: break
        }
    }

    private func takeFrames() -> ControlRequest? {
        do throws(FrameReader.Failure) {
            while let frame = try reader.next(limit: frameLimit) {
                switch frame.kind {
                case .request where request == nil:
                    guard
                        let decoded = try? JSONDecoder().decode(
                            ControlRequest.self, from: Data(frame.payload))
                    else { throw FrameReader.Failure.unknownKind(frame.kind.rawValue) }
                    request = decoded
                case .input where request != nil: input.append(contentsOf: frame.payload)
                case .end where request != nil && reader.isEmpty:
                    defer { request = nil }
                    request?.standardInput = input
                    input = []
                    return request
                default: throw FrameReader.Failure.unknownKind(frame.kind.rawValue)
                }
            }
        } catch {
            if case .tooLong = error { close(.oversized) } else { close(.rubbish) }
        }
        return nil
    }

    private func frameLimit(_ kind: ControlProtocol.FrameKind) -> Int {
        switch kind {
        case .request: limits.requestBytes
        case .input: limits.inputBytes - input.count
        case .end, .output, .error, .status, .redirection: 0
        }
    }

    func answer(_ reply: ControlReply) {
        switch reply {
        case .done(let output): append(output, final: true)
        case .stream(let stream): state = .streaming(stream)
        case .stop: state = .parked
        }
    }

    /// Answers a client that waits for the daemon's end.
    func answerParked(_ output: CommandOutput) {
        if case .parked = state { append(output, final: true) }
    }

    /// Ends a stream from the daemon's side.
    func endStream() {
        guard case .streaming(let stream) = state else { return }
        append(stream.finish(), final: true)
    }

    /// Asks a stream for more, as far as the client keeps up.
    func pump() {
        while case .streaming(let stream) = state, pending < limits.streamBacklog {
            let (part, ended) = stream.produce(limit: limits.streamBacklog - pending)
            if part.output.isEmpty, part.error.isEmpty, !ended { return }
            append(part, final: ended)
        }
    }

    private func append(_ output: CommandOutput, final: Bool) {
        if let file = output.outputFile {
            backlog += ControlProtocol.frame(.redirection, file.utf8)
        }
        if !output.output.isEmpty {
            backlog += ControlProtocol.frame(.output, output.output.utf8)
        }
        if !output.error.isEmpty { backlog += ControlProtocol.frame(.error, output.error.utf8) }
        if final {
            backlog += ControlProtocol.frame(.status, [output.status])
            state = .answering
        }
    }

    /// Writes what the client takes; a complete answer closes the connection.
    func flush(now: UInt64) {
        while pending > 0 {
            switch descriptor.send(backlog[sent...]) {
            case .bytes(let count):
                sent += count
                lastProgress = now
            case .wouldBlock: return compact()
            case .endOfFile, .failed: return close(.hungUp)
            }
        }
        compact()
        if case .answering = state { close(nil) }
    }

    private func compact() {
        guard sent == backlog.count || sent > 1 << 20 else { return }
        backlog.removeFirst(sent)
        sent = 0
    }
}
