// One TCP stream, or many at once: what arrives at the server.

import Control
import Lab
import Wire

struct TransferLoad {
    var streams: Int
    private static let port: UInt16 = 5001
    private static let chunk = 128 << 10
    /// TCP has found its window by then.
    private static let start = 0.15

    /// Gbit/s of payload.
    func run(_ course: Course, seconds: Double) throws(LabError) -> Double {
        let listener = try course.lab.within("server") { () throws(LabError) in
            try LoadSocket.listening(on: Self.port)
        }
        defer { listener.close() }
        var clients: [LoadSocket] = []
        var servers: [LoadSocket] = []
        var threads: [WorkerThread] = []
        defer {
            for socket in clients + servers { socket.end() }
            for thread in threads { thread.join() }
            for socket in clients + servers { socket.close() }
        }
        for _ in 0..<streams {
            clients.append(
                try course.lab.within("client") { () throws(LabError) in
                    try LoadSocket.connected(to: course.target, port: Self.port)
                })
            guard let server = listener.accept() else {
                throw LabError("the server heard nothing of a connection")
            }
            servers.append(server)
        }
        for client in clients {
            let thread = try LoadThread.start(on: Placement.load) {
                let bytes = [UInt8](repeating: 0x55, count: Self.chunk)
                while client.send(bytes) {}
            }
            threads.append(thread)
        }
        return try Placement.on(Placement.node) { () throws(LabError) in
            try Self.receive(servers, seconds: seconds)
        }
    }

    private static func receive(_ sockets: [LoadSocket], seconds: Double) throws(LabError) -> Double
    {
        var buffer = [UInt8](repeating: 0, count: 2 * chunk)
        _ = try take(sockets, &buffer, until: secondsNow() + start)
        let before = secondsNow()
        let bytes = try take(sockets, &buffer, until: before + seconds)
        return Double(bytes) * 8 / 1e9 / (secondsNow() - before)
    }

    /// Reads whatever comes until then; how many bytes it was.
    private static func take(
        _ sockets: [LoadSocket], _ buffer: inout [UInt8], until end: Double
    ) throws(LabError) -> Int {
        var total = 0
        while secondsNow() < end {
            // One socket is read without being asked first.
            let usable = sockets.count == 1 ? [true] : LoadSocket.readable(sockets)
            var hasRead = false
            for index in sockets.indices where usable[index] {
                let count = sockets[index].receive(into: &buffer)
                if count > 0 {
                    total += count
                    hasRead = true
                }
            }
            guard hasRead else { throw LabError("nothing arrived for three seconds") }
        }
        return total
    }
}
