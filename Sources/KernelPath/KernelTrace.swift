// A packet's way through the kernel's rules, as xtables-monitor prints it. A table in front of everything
// marks the packets for tracing, and one more packet, which a chain of that table drops, tells when the
// program has printed all there is.

import Glibc
import Lab
public import Scenario

extension KernelNode {
    private static let table = "sluice-trace"
    /// Of the packet that ends a trace.
    private static let endMark: UInt32 = 0x534C_5543

    private static let rules = """
        table ip \(table) {
            chain end { drop; }
            chain PREROUTING {
                type filter hook prerouting priority -450
                meta nftrace set 1
            }
            chain OUTPUT {
                type filter hook output priority -450
                meta nftrace set 1
                meta mark \(endMark) jump end
            }
        }

        """

    /// Injects a packet and follows it: `Outcome.trace` has the rules that it met. It should be the last,
    /// since rules that follow packets stay.
    public func follow(_ packet: CasePacket) throws -> Outcome {
        guard let monitor = SystemTool("xtables-monitor"), let guardian = SystemTool("setpriv")
        else {
            var outcome = try inject(packet)
            outcome.trace =
                "xtables-monitor or setpriv is not installed: the kernel cannot be followed\n"
            return outcome
        }
        try namespace.run("nft", ["-f", "-"], input: Self.rules)
        let (input, output) = (try Descriptor.memory("input"), try Descriptor.memory("trace"))
        // It must not outlive this process.
        let command = Command(
            [guardian.path, "--pdeathsig", "KILL", monitor.path, "--trace", "-4"])
        let child = try namespace.inside { () throws(KernelPathError) in
            do throws(LabError) {
                return try command.start(
                    input: input.number, output: output.number, errors: output.number)
            } catch { throw KernelPathError(error.description) }
        }
        defer {
            child.signalGroup(SIGKILL)
            _ = child.wait(seconds: 5)
        }
        try wait("xtables-monitor to listen") { try isListening() }
        var outcome = try inject(packet)
        _ = sendPacket(
            Self.lastPacket, through: try sender(Sender(mark: Self.endMark, userID: 0, groupID: 0)))
        try wait("the end of the trace") { output.contents().contains("\(Self.table):end:") }
        outcome.trace = Self.readable(output.contents())
        return outcome
    }

    /// From and to the node itself: it can always be sent.
    private static let lastPacket: [UInt8] = [
        0x45, 0, 0, 20, 0, 1, 0, 0, 1, 253, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1,
    ]

    /// Whether some socket of the namespace is in netfilter's group for traces (NFNLGRP_NFTRACE, 9).
    private func isListening() throws(KernelPathError) -> Bool {
        try namespace.inside { () throws(KernelPathError) in
            let sockets = try Descriptor.open("/proc/thread-self/net/netlink", O_RDONLY).contents()
            return sockets.split(separator: "\n").contains { line in
                let fields = line.split(separator: " ")
                return fields.count > 3 && fields[1] == "12"
                    && (UInt32(fields[3], radix: 16) ?? 0) & 0x100 != 0
            }
        }
    }

    private func wait(_ what: String, until holds: () throws -> Bool) throws {
        for _ in 0..<3000 {
            if try holds() { return }
            usleep(10_000)
        }
        throw KernelPathError("waited for \(what) in vain")
    }

    /// Without the table's own steps and the last packet's.
    private static func readable(_ text: String) -> String {
        var lines: [Substring] = []
        for line in text.split(separator: "\n") {
            if line.contains(" \(table):") {
                // The line before shows the packet that met the table.
                if lines.last?.hasPrefix("PACKET:") == true { lines.removeLast() }
            } else {
                lines.append(line)
            }
        }
        return lines.map { $0 + "\n" }.joined()
    }
}
