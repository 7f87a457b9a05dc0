// Requests and responses of one byte each on one TCP connection, one after the other.

import Glibc
import Lab
import PacketIO
import Wire

struct RequestLoad {
    /// Seconds from a response to the next request.
    var pause = 0.0
    private static let port: UInt16 = 5002
    /// Beyond that many the delays of further transactions are not kept.
    private static let samples = 1 << 20

    struct Outcome {
        var transactionsPerSecond: Double
        /// Of each transaction, in nanoseconds, sorted.
        var delays: [UInt64]
    }

    func run(_ course: Course, seconds: Double) throws(LabError) -> Outcome {
        let listener = try course.lab.within("server") { () throws(LabError) in
            try LoadSocket.listening(on: Self.port)
        }
        defer { listener.close() }
        let client = try course.lab.within("client") { () throws(LabError) in
            try LoadSocket.connected(to: course.target, port: Self.port)
        }
        defer { client.close() }
        guard let server = listener.accept() else {
            throw LabError("the server heard nothing of a connection")
        }
        defer { server.close() }
        let thread = try LoadThread.start(on: Placement.load) {
            var byte: [UInt8] = [0]
            while server.receive(into: &byte) == 1, server.send(byte) {}
        }
        defer {
            client.end()
            thread.join()
        }
        return try Placement.on(Placement.load) { () throws(LabError) in
            // The first ones warm caches and paths.
            _ = try ask(client, seconds: 0.05)
            return try ask(client, seconds: seconds)
        }
    }

    private func ask(_ client: LoadSocket, seconds: Double) throws(LabError) -> Outcome {
        var delays: [UInt64] = []
        delays.reserveCapacity(Self.samples)
        var byte: [UInt8] = [1]
        let start = MonotonicClock.now().nanoseconds
        let end = start + UInt64(seconds * 1e9)
        var before = start
        var count = 0
        while before < end {
            guard client.send(byte), client.receive(into: &byte) == 1 else {
                throw LabError("no response for three seconds")
            }
            let now = MonotonicClock.now().nanoseconds
            if delays.count < Self.samples { delays.append(now - before) }
            before = now
            count += 1
            if pause > 0 {
                usleep(UInt32(pause * 1e6))
                before = MonotonicClock.now().nanoseconds
            }
        }
        return Outcome(
            transactionsPerSecond: Double(count) * 1e9 / Double(before - start),
            delays: delays.sorted())
    }
}
