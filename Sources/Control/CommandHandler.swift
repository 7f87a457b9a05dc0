// What the server asks of whoever carries commands out. The server knows sockets and frames; the
// handler knows rules and connections.

/// Who sent a request, as the kernel vouches for it.
public struct PeerCredentials: Hashable, Sendable {
    public var userID: UInt32
    public var processID: Int32
}

/// An answer that goes on: events, traces. Asked for more whenever there is room for it.
public protocol ReplyStream: AnyObject {
    /// Appends what is ready, roughly up to `limit` bytes of text; a status ends the answer.
    func produce(limit: Int) -> (part: CommandOutput, ended: Bool)
    /// The client asks for the end, or is gone: stop producing. A last part may carry a summary.
    func finish() -> CommandOutput
}

public enum ControlReply {
    case done(CommandOutput)
    case stream(any ReplyStream)
    /// The daemon is to stop; the client is answered once everything is given back.
    case stop
}

public protocol CommandHandler: AnyObject {
    /// Commands are handled one after the other, on the server's thread.
    func handle(_ request: ControlRequest, from peer: PeerCredentials) -> ControlReply
}
