// Which CPU does what. Left to chance, the same load on the same road differs by half from one second to the next.

import Glibc
import Lab

enum Placement {
    static let processors = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
    private static let all: UInt = processors >= UInt.bitWidth ? .max : (1 << UInt(processors)) - 1

    /// Frames are made there, clients of connections run there; and with them, in the softirqs of what they send,
    /// the kernel's own forwarding and the programs of an offload.
    static let load: UInt = 1
    /// Sluice and other forwarders in user space, and servers that take what streams bring.
    static let node: UInt = processors > 1 ? all & ~load : all

    /// Has `body` run on those processors; what it starts stays there.
    static func on<R>(
        _ processors: UInt, _ body: () throws(LabError) -> R
    ) throws(LabError) -> R {
        try InterfaceCalls.run(on: processors)
        defer { try? InterfaceCalls.run(on: all) }
        return try body()
    }

    static var description: String {
        guard processors > 1 else { return "One CPU does everything." }
        let others = processors > 2 ? "the other CPUs" : "CPU 1"
        return
            "CPU 0 makes the frames, runs the clients of connections and, in the softirqs of what they send, the kernel's forwarding "
            + "and the programs of an offload; \(others): forwarders in user space, Sluice among them, and the servers of streams and "
            + "connections. The server of requests and responses shares CPU 0 with its client, since waking another CPU would take "
            + "longer than everything that is measured. What is on CPU 0 beside the generator keeps it from sending meanwhile: rates there "
            + "include what it takes to make a frame, and an overload hardly loses any."
    }
}
