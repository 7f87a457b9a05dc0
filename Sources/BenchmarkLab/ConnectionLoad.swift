// TCP connections that are opened and closed again, several at a time. The server closes first, so that it is not the
// client whose ports wait for old segments.

import Control
import Glibc
import Lab
import Wire

struct ConnectionLoad {
    private static let port: UInt16 = 5003
    private static let clients = 8

    /// Connections opened and closed per second.
    func run(_ course: Course, seconds: Double) throws(LabError) -> Double {
        let listener = try course.lab.within("server") { () throws(LabError) in
            try LoadSocket.listening(on: Self.port)
        }
        let counter = LoadCounter()
        let target = course.target
        var threads = [
            try LoadThread.start(on: Placement.node) {
                while !counter.hasEnded { listener.accept()?.close() }
            }
        ]
        defer {
            counter.end()
            listener.end()
            for thread in threads { thread.join() }
            listener.close()
        }
        for _ in 0..<Self.clients {
            let thread = try LoadThread.start(on: Placement.load) {
                // A thread's sockets belong to the namespace that it is in.
                guard (try? HeldLab.moveThread(to: "client")) != nil else { return }
                var byte: [UInt8] = [0]
                while !counter.hasEnded {
                    guard let socket = try? LoadSocket.connected(to: target, port: Self.port)
                    else {
                        // Refused at once, it may be; the others go on.
                        usleep(1000)
                        continue
                    }
                    if socket.receive(into: &byte) == 0 { counter.add() }
                    socket.close()
                }
            }
            threads.append(thread)
        }
        usleep(100_000)
        let (before, start) = (counter.count, secondsNow())
        usleep(UInt32(seconds * 1e6))
        let (after, end) = (counter.count, secondsNow())
        guard after > before else { throw LabError("no connection was opened and closed") }
        return Double(after - before) / (end - start)
    }
}
