// The control socket against clients of every kind, in process.

import Glibc
import Synchronization
import Testing

@testable import Control

/// Answers `echo`, `big N`, `numbers` (a stream) and `quit`.
private final class EchoHandler: CommandHandler {
    weak var server: ControlServer?

    func handle(_ request: ControlRequest, from peer: PeerCredentials) -> ControlReply {
        switch request.command {
        case "echo":
            let input = String(decoding: request.standardInput, as: UTF8.self)
            return .done(
                CommandOutput(
                    output: request.arguments.joined(separator: " ") + input, error: "note",
                    status: 3))
        case "big":
            let count = Int(request.arguments[0]) ?? 0
            return .done(CommandOutput(output: String(repeating: "x", count: count)))
        case "numbers": return .stream(Numbers())
        case "quit":
            server?.stop()
            return .stop
        default: return .done(.refused("unknown"))
        }
    }
}

/// An endless stream; its last words say how far it came.
private final class Numbers: ReplyStream {
    var next = 0
    func produce(limit: Int) -> (part: CommandOutput, ended: Bool) {
        next += 1
        return (CommandOutput(output: String(repeating: "n", count: limit)), false)
    }
    func finish() -> CommandOutput { CommandOutput(error: "\(next) parts", status: 0) }
}

/// A server on its own thread under a name of its own.
private struct RunningServer {
    let name: String
    let statistics: @Sendable () -> ControlStatistics
    private let thread: WorkerThread

    init(_ test: String, limits: ControlLimits = ControlLimits()) throws {
        let name = "sluice-test-\(getpid())-\(test)"
        let handler = EchoHandler()
        let server = try ControlServer(name: name, limits: limits)
        handler.server = server
        let counters = server.counters
        statistics = { counters.values.withLock { $0 } }
        thread = try Self.start(server, handler)
        self.name = name
    }

    private static func start(_ server: ControlServer, _ handler: EchoHandler) throws
        -> WorkerThread
    {
        // The thread is the only one to touch them from here on.
        nonisolated(unsafe) let moved = (server: server, handler: handler)
        return try WorkerThread {
            try? moved.server.run(moved.handler)
            moved.server.close(answering: CommandOutput(output: "stopped"))
        }
    }

    func ask(_ command: String, _ arguments: [String] = [], input: [UInt8] = []) throws
        -> CommandOutput
    {
        try collect(ControlClient(name: name), command, arguments, input: input)
    }

    func quit() throws -> CommandOutput {
        let last = try ask("quit")
        thread.join()
        return last
    }

    /// A connection that speaks for itself; reading gives up after thirty seconds.
    func raw() throws -> Descriptor {
        let descriptor = try ControlClient.connect(to: name)
        var patience = timeval(tv_sec: 30, tv_usec: 0)
        unsafe setsockopt(
            descriptor.number, SOL_SOCKET, SO_RCVTIMEO, &patience,
            socklen_t(MemoryLayout<timeval>.size))
        return descriptor
    }
}

/// Everything up to the daemon's hang-up; `nil` where it does not hang up.
private func drain(_ descriptor: Descriptor) -> [UInt8]? {
    var bytes: [UInt8] = []
    while true {
        switch descriptor.read(appendingTo: &bytes, limit: 1 << 16) {
        case .bytes: continue
        case .endOfFile, .failed: return bytes
        case .wouldBlock: return nil
        }
    }
}

private func collect(
    _ client: ControlClient, _ command: String, _ arguments: [String] = [], input: [UInt8] = []
) throws -> CommandOutput {
    var answer = CommandOutput()
    answer.status = try client.run(
        ControlRequest(command: command, arguments: arguments, standardInput: input),
        output: {
            answer.output += String(decoding: $0, as: UTF8.self)
            return true
        },
        error: {
            answer.error += String(decoding: $0, as: UTF8.self)
            return true
        })
    return answer
}

private let request = Array(#"{"command":"echo","arguments":["a"],"workingDirectory":"/"}"#.utf8)

@Suite("The control socket")
struct ControlServerTests {
    @Test("a command's output, error and status come back, and its standard input goes along")
    func roundTrip() throws {
        let server = try RunningServer("round")
        let input = Array(String(repeating: "line\n", count: 500_000).utf8)
        let answer = try server.ask("echo", ["one", "two"], input: input)
        #expect(answer.output == "one two" + String(decoding: input, as: UTF8.self))
        #expect(answer.error == "note")
        #expect(answer.status == 3)
        #expect(try server.quit().output == "stopped")
    }

    @Test("an answer larger than every buffer arrives whole")
    func largeAnswer() throws {
        let server = try RunningServer("large")
        #expect(try server.ask("big", ["20000000"]).output.utf8.count == 20_000_000)
        _ = try server.quit()
    }

    @Test("without a daemon the client says so")
    func noDaemon() {
        #expect(throws: ControlClient.Failure.noDaemon) {
            try ControlClient(name: "sluice-test-\(getpid())-nobody")
        }
    }

    @Test("a second server under the same name is refused by the kernel")
    func secondServer() throws {
        let server = try RunningServer("second")
        #expect(throws: SystemError("bind the control socket", number: EADDRINUSE)) {
            try ControlServer(name: server.name)
        }
        _ = try server.quit()
    }

    @Test(
        "what is no request ends the connection and nothing else",
        arguments: [
            Array("GET / HTTP/1.1\r\n\r\n".utf8),
            [0, 0, 0, 0, 0],
            [255],
            ControlProtocol.frame(.request, Array("not json".utf8)),
            ControlProtocol.frame(.request, Array("{}".utf8)),
            ControlProtocol.frame(.input, Array("input first".utf8)),
            ControlProtocol.frame(.end, []),
            ControlProtocol.frame(.output, []),
            ControlProtocol.frame(.request, request) + ControlProtocol.frame(.request, request),
            ControlProtocol.frame(.request, request) + ControlProtocol.frame(.end, []) + [1],
        ])
    func rubbish(bytes: [UInt8]) throws {
        let server = try RunningServer("rubbish-\(bytes.count)-\(bytes.hashValue)")
        let client = try server.raw()
        _ = client.send(bytes[...])
        #expect(drain(client) == [])
        #expect(try server.ask("echo", ["still", "there"]).output == "still there")
        #expect(server.statistics().rubbish == 1)
        _ = try server.quit()
    }

    @Test(
        "a length over the limit is refused before its bytes are waited for",
        arguments: [
            [1, 0xFF, 0xFF, 0xFF, 0xFF], [1, 0, 0x10, 0, 1], [3, 0, 0, 0, 1], [4, 0, 0, 0, 1],
        ] as [[UInt8]])
    func oversized(bytes: [UInt8]) throws {
        let server = try RunningServer("over-\(bytes)")
        let client = try server.raw()
        _ = client.send(bytes[...])
        #expect(drain(client) == [])
        #expect(server.statistics().oversized == 1)
        _ = try server.quit()
    }

    @Test("standard input over the limit is refused, however it is cut into frames")
    func oversizedInput() throws {
        var limits = ControlLimits()
        limits.inputBytes = 1000
        let server = try RunningServer("input", limits: limits)
        let client = try server.raw()
        let part = ControlProtocol.frame(.input, [UInt8](repeating: 65, count: 600))
        _ = client.send((ControlProtocol.frame(.request, request) + part + part)[...])
        #expect(drain(client) == [])
        #expect(server.statistics().oversized == 1)
        _ = try server.quit()
    }

    @Test("random bytes never harm it")
    func randomRubbish() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed \(seed)")
        var state = seed
        let server = try RunningServer("random")
        for _ in 0..<200 {
            let client = try server.raw()
            var bytes: [UInt8] = []
            for _ in 0..<Int(state >> 57) {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                bytes.append(UInt8(truncatingIfNeeded: state >> 33) & 7)
            }
            state = state &* 6_364_136_223_846_793_005 &+ 1
            _ = client.send(bytes[...])
        }
        #expect(try server.ask("echo", ["fine"]).output == "fine")
        _ = try server.quit()
    }

    @Test("a half-sent request and a hang-up in the middle of an answer are counted")
    func hangUps() throws {
        let server = try RunningServer("hang")
        do {
            let half = try server.raw()
            _ = half.send(ControlProtocol.frame(.request, request)[..<10])
            let impatient = try server.raw()
            let big = Array(
                #"{"command":"big","arguments":["9000000"],"workingDirectory":"/"}"#.utf8)
            let bytes = ControlProtocol.frame(.request, big) + ControlProtocol.frame(.end, [])
            _ = impatient.send(bytes[...])
            var first: [UInt8] = []
            #expect(impatient.read(appendingTo: &first, limit: 1000) == .bytes(1000))
        }
        while server.statistics().hungUp < 2 { _ = try server.ask("echo") }
        #expect(try server.ask("echo", ["fine"]).output == "fine")
        _ = try server.quit()
    }

    @Test("a stream goes only as far as its reader, and ends with its last words")
    func stream() throws {
        let server = try RunningServer("stream")
        let client = try server.raw()
        let numbers = Array(#"{"command":"numbers","arguments":[],"workingDirectory":"/"}"#.utf8)
        let bytes = ControlProtocol.frame(.request, numbers) + ControlProtocol.frame(.end, [])
        _ = client.send(bytes[...])
        // Others are served while it waits for its reader.
        for _ in 0..<20 { #expect(try server.ask("echo", ["x"]).output == "x") }
        shutdown(client.number, Int32(SHUT_WR))
        let all = try #require(drain(client))
        // Backlog and socket buffers bound what an unread stream can produce.
        #expect(all.count < 4 << 20)
        #expect(String(decoding: all.suffix(30), as: UTF8.self).contains(" parts"))
        _ = try server.quit()
    }

    @Test("a client that owes bytes for too long is hung up on")
    func idle() throws {
        var limits = ControlLimits()
        limits.idleMilliseconds = 50
        let server = try RunningServer("idle", limits: limits)
        let client = try server.raw()
        _ = client.send([1, 0])
        #expect(drain(client) == [])
        #expect(server.statistics().idle == 1)
        _ = try server.quit()
    }

    @Test("one client too many is told so")
    func tooMany() throws {
        var limits = ControlLimits()
        limits.sessions = 1
        let server = try RunningServer("many", limits: limits)
        do {
            let first = try server.raw()
            let second = try ControlClient(name: server.name)
            let answer = try collect(second, "echo")
            #expect(answer.status == 2)
            #expect(answer.error == "sluice: too many clients are connected to the daemon\n")
            _ = first.send(request[...0])
        }
        while server.statistics().hungUp + server.statistics().rubbish < 1 {}
        _ = try server.quit()
    }
}
