// What LOG rules log: a line each on the daemon's standard error, in the kernel's format. The packet
// thread copies the packet's beginning and goes on; the control thread finds the words.

import Explain
import Glibc
import Hooks
import Wire

/// A packet that met a LOG rule, as it was then.
struct LoggedPacket: Sendable {
    var record: LogRecord
    /// From the Ethernet header on; as much as a line can speak of.
    var bytes: [UInt8]

    /// The largest headers, once more quoted by an ICMP error.
    static let limit = 14 + 2 * (60 + 60)

    init(_ record: LogRecord, _ frame: RawSpan) {
        self.record = record
        bytes = (0..<min(frame.byteCount, Self.limit)).map { frame.u8($0) }
    }

    var line: String { bytes.withRawSpan { record.line($0) } }
}

extension Daemon {
    /// Lines that wait for the control thread; more are counted and said to be lost.
    static let logCapacity = 4096

    func printLog() {
        let (packets, lost) = packetLog.take(limit: Self.logCapacity)
        guard !packets.isEmpty || lost > 0 else { return }
        var text = ""
        for packet in packets { text += packet.line + "\n" }
        if lost > 0 { text += "sluice: \(lost) lines of LOG rules lost\n" }
        Descriptor.writeAll(Array(text.utf8), to: STDERR_FILENO)
    }
}
