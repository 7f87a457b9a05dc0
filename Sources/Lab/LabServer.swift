// The small server that a lab puts into its namespaces: HTTP/1.0 on port 80, a word for an answer,
// and an echo of UDP datagrams on port 7 (RFC 862). One thread, as many connections as there are
// descriptors. It is a peer for tests, not a web server: it reads the request line and
// Content-Length and nothing else.
//
//     GET  /           the server's word, and with `showsPath` a line on the path
//     GET  /peer       the client's address and port as the server sees them
//     GET  /bytes/N    N bytes of a fixed sequence (see ByteSequence)
//     PUT  /…          how many bytes came, and whether they were that sequence

import Glibc

public struct LabServer {
    private var answer: LabAnswer
    private var listener: Socket
    private var datagrams: Socket
    private var connections: [HTTPConnection] = []
    private var buffer = [UInt8](repeating: 0, count: 1 << 18)

    public init(
        _ answer: LabAnswer, address: String, port: UInt16, datagramPort: UInt16
    ) throws(LabError) {
        self.answer = answer
        listener = try Socket.listening(address: address, port: port)
        datagrams = try Socket.datagram(address: address, port: datagramPort)
    }

    /// Serves until the process is ended.
    public mutating func run() -> Never {
        writeAll("serving \(answer.word)\n", to: STDOUT_FILENO)
        while true {
            let open = connections.map { (socket: $0.socket, writing: $0.isAnswering) }
            let usable = waitForSockets([(listener, false), (datagrams, false)] + open)
            for index in connections.indices where usable[index + 2] {
                connections[index].advance(through: &buffer, answer)
            }
            for connection in connections where connection.isDone { connection.socket.close() }
            connections.removeAll(where: \.isDone)
            if usable[0] {
                while let (socket, peer) = listener.accept() {
                    connections.append(HTTPConnection(socket: socket, peer: peer))
                }
            }
            if usable[1] { datagrams.echoDatagrams(through: &buffer) }
        }
    }
}

/// What a server says to who asks for nothing special.
public struct LabAnswer: Sendable {
    var word: String
    var showsPath: Bool

    public init(word: String, showsPath: Bool) {
        self.word = word
        self.showsPath = showsPath
    }

    func text(path: String) -> String {
        word + "\n" + (showsPath ? "Request path: \(path)\n" : "")
    }
}

/// Bytes that tell any offset from its neighbours: they repeat after 65,521, a prime, so that data
/// shifted by a segment, a page or a power of two does not look right.
public enum ByteSequence {
    static let period = 65_521
    private static let longest = 1 << 18
    private static let bytes: [UInt8] = (0..<(period + longest)).map { index in
        let position = UInt32(index % period)
        return UInt8(truncatingIfNeeded: (position &* 2_654_435_761) >> 13)
    }

    /// At most `count` bytes from `offset` on; at least one unless `count` is 0.
    public static func slice(at offset: Int, count: Int) -> ArraySlice<UInt8> {
        let start = offset % period
        return bytes[start..<(start + min(count, longest))]
    }

    /// Whether `other` begins with `slice`.
    static func isEqual(_ slice: ArraySlice<UInt8>, _ other: ArraySlice<UInt8>) -> Bool {
        isPrefix(slice, of: other)
    }

    /// Writes the first `count` bytes to a descriptor.
    public static func write(count: Int, to file: Int32) -> Bool {
        var offset = 0
        while offset < count {
            let chunk = slice(at: offset, count: count - offset)
            let moved = writeSome(chunk, to: file)
            guard moved > 0 else { return false }
            offset += moved
        }
        return true
    }
}
