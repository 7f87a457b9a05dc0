// The control socket's language. A client sends one request and reads its answer; one connection is
// one command. Everything is a frame: kind (1 byte), length (4 bytes, big-endian), payload.
//
//     client                                  daemon
//     request  {"command": …}   (JSON)
//     input    …                (standard input, any number of frames)
//     end                        ─────────▶
//                                ◀─────────   redirection, output, error … (any number, any order)
//                                ◀─────────   status (one byte), then the connection closes
//
// A client that shuts its sending side down while an answer streams asks for the stream's end.
// A frame of an unknown kind, out of order, or larger than the limits ends the connection: nothing a
// client sends is trusted before its length was checked.

import FoundationEssentials

public enum ControlProtocol {
    /// The abstract name of the daemon's socket: one per network namespace, by the kernel's doing.
    public static let socketName = "sluice"

    public enum FrameKind: UInt8, Sendable {
        case request = 1
        case input = 2
        case end = 3
        case output = 4
        case error = 5
        case status = 6
        /// A path: output goes there from now on, opened by the client with the caller's rights.
        case redirection = 7
    }

    static let headerLength = 5

    static func frame(_ kind: FrameKind, _ payload: some Collection<UInt8>) -> [UInt8] {
        var bytes = [kind.rawValue]
        let length = UInt32(payload.count)
        for shift in stride(from: 24, through: 0, by: -8) {
            bytes.append(UInt8(truncatingIfNeeded: length >> UInt32(shift)))
        }
        bytes.append(contentsOf: payload)
        return bytes
    }
}

/// Bounds on what a client may send and on what is kept for it.
public struct ControlLimits: Sendable {
    public var requestBytes = 1 << 20
    /// All of standard input: the rules of 10,000 services are about 20 MB.
    public var inputBytes = 64 << 20
    /// A streamed answer is asked for more only while less than this waits to be read.
    public var streamBacklog = 256 << 10
    public var sessions = 64
    /// A client that neither sends nor reads for so long while it owes something is hung up on.
    public var idleMilliseconds: UInt64 = 30_000

    public init() {}
}

/// What a client asks for.
public struct ControlRequest: Codable, Hashable, Sendable {
    /// `iptables`, `iptables-save`, `iptables-restore`, `conntrack`, or a command of Sluice's own.
    public var command: String
    public var arguments: [String]
    /// For messages that name files; the daemon opens none of them.
    public var workingDirectory: String
    /// Why there is no standard input although the command reads one.
    public var inputFailure: String?
    /// Travels in frames of its own.
    public var standardInput: [UInt8] = []

    enum CodingKeys: String, CodingKey { case command, arguments, workingDirectory, inputFailure }

    public init(
        command: String, arguments: [String] = [], workingDirectory: String = "/",
        standardInput: [UInt8] = []
    ) {
        self.command = command
        self.arguments = arguments
        self.workingDirectory = workingDirectory
        self.standardInput = standardInput
    }
}

/// What a command printed and how it ended.
public struct CommandOutput: Hashable, Sendable {
    public var output: String
    public var error: String
    public var status: UInt8
    /// Where the output is to go instead of standard output (`iptables-save -f FILE`).
    public var outputFile: String?

    public init(output: String = "", error: String = "", status: UInt8 = 0) {
        self.output = output
        self.error = error
        self.status = status
    }

    /// A refusal of one of Sluice's own commands: one sentence, exit status 2.
    public static func refused(_ sentence: String) -> CommandOutput {
        CommandOutput(error: "sluice: \(sentence)\n", status: 2)
    }
}

/// Splits a byte stream into frames, refusing lengths before it waits for their bytes.
struct FrameReader {
    enum Failure: Error, Hashable, Sendable {
        case unknownKind(UInt8)
        case tooLong(kind: ControlProtocol.FrameKind, length: Int)
    }

    private var buffer: [UInt8] = []
    private var start = 0

    var isEmpty: Bool { start == buffer.count }

    mutating func append(_ bytes: some Collection<UInt8>) { buffer.append(contentsOf: bytes) }

    /// The next whole frame, `nil` while it is not all there.
    mutating func next(limit: (ControlProtocol.FrameKind) -> Int) throws(Failure)
        -> (kind: ControlProtocol.FrameKind, payload: ArraySlice<UInt8>)?
    {
        let header = ControlProtocol.headerLength
        guard buffer.count - start >= 1 else { return nil }
        guard let kind = ControlProtocol.FrameKind(rawValue: buffer[start]) else {
            throw .unknownKind(buffer[start])
        }
        guard buffer.count - start >= header else { return nil }
        let length = buffer[start + 1..<start + header].reduce(0) { $0 << 8 | Int($1) }
        guard length <= limit(kind) else { throw .tooLong(kind: kind, length: length) }
        guard buffer.count - start >= header + length else { return nil }
        let payload = buffer[start + header..<start + header + length]
        start += header + length
        compact()
        return (kind, payload)
    }

    private mutating func compact() {
        guard start > 1 << 16 || start == buffer.count else { return }
        buffer.removeFirst(start)
        start = 0
    }
}
