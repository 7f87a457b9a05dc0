// What rules log. LOG and TRACE: lines on the daemon's standard error or in a file. NFLOG: captures, a file for each group.
// The packet thread copies and goes on; the control thread finds the words and writes.

import CLinux
import Explain
import Glibc
import Hooks
import PacketIO
import Ruleset
import Wire

/// A packet that met a LOG rule, as it was then.
struct LoggedPacket: Sendable {
    var record: LogRecord
    var time: Timestamp
    /// From the Ethernet header on; as much as a line can speak of.
    var bytes: [UInt8]

    /// The largest headers, once more quoted by an ICMP error.
    static let limit = 14 + 2 * (60 + 60)

    init(_ record: LogRecord, _ frame: RawSpan, _ now: Timestamp) {
        self.record = record
        time = now
        bytes = (0..<min(frame.byteCount, Self.limit)).map { frame.u8($0) }
    }

    var line: String { bytes.withRawSpan { record.line($0) } }
}

/// A packet that met an NFLOG rule, as it was then.
struct CopiedPacket: Sendable {
    var group: UInt16
    var time: Timestamp
    /// From the IP header on; as much as the rule asks for.
    var bytes: [UInt8]

    init(_ record: NFLogRecord, _ frame: RawSpan, _ now: Timestamp) {
        group = record.log.group
        time = now
        bytes = record.range(inFrameOf: frame.byteCount).map { frame.u8($0) }
    }
}

/// Where the lines of LOG and TRACE rules go.
struct LineLog {
    /// `nil` for standard error.
    var file: String?

    /// A file is opened for what there is to say and closed again, so that one that was moved away
    /// (logrotate) does not keep what is said from then on.
    func write(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        guard let file else { return Descriptor.writeAll(bytes, to: STDERR_FILENO) }
        guard let opened = try? Self.open(file) else { return false }
        return Descriptor.writeAll(bytes, to: opened.number)
    }

    static func open(_ file: String) throws(SystemError) -> Descriptor {
        try SystemCalls.open(
            file, O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY, mode: 0o640, to: "append to the log")
    }

    /// What stands before a line: in a file its time since boot, as dmesg(1) shows it.
    func stamp(_ time: Timestamp) -> String {
        guard file != nil else { return "" }
        let microseconds = time.nanoseconds / 1000
        let fraction = String(microseconds % 1_000_000)
        let seconds = String(microseconds / 1_000_000)
        return "[" + String(repeating: " ", count: max(0, 5 - seconds.utf8.count)) + seconds + "."
            + String(repeating: "0", count: 6 - fraction.utf8.count) + fraction + "] "
    }
}

/// What waits for the control thread, in the order in which it happened.
enum PacketLogEvent: Sendable {
    case line(LoggedPacket)
    case trace(RuleTrace, Timestamp)
    case packet(CopiedPacket)
}

/// The captures of `--nflog`.
final class NFLogFiles {
    private var writers: [UInt16: CaptureWriter] = [:]

    init(_ files: [(group: UInt16, file: String)]) throws(CaptureError) {
        for (group, file) in files {
            writers[group] = try CaptureWriter(path: file, content: .ip)
        }
    }

    func write(_ packet: CopiedPacket, sinceEpoch offset: UInt64) {
        packet.bytes.withRawSpan {
            writers[packet.group]?.write(
                $0, time: Timestamp(nanoseconds: packet.time.nanoseconds &+ offset))
        }
    }

    /// The groups whose files the disk would not take.
    func flush() -> [UInt16] { writers.filter { !$0.value.flush() }.map(\.key).sorted() }
}

extension Daemon {
    /// What waits for the control thread; more is counted and said to be lost.
    static let logCapacity = 4096

    func printLog() {
        let (events, lost) = packetLog.take(limit: Self.logCapacity)
        guard !events.isEmpty || lost > 0 else { return }
        var text = ""
        var copied = false
        let log = LineLog(file: configuration.logFile)
        let offset = sluice_realtime() &- sluice_monotonic()
        for event in events {
            switch event {
            case .line(let packet): text += log.stamp(packet.time) + packet.line + "\n"
            case .trace(let trace, let time):
                for line in lines(trace).split(separator: "\n") {
                    text += log.stamp(time) + line + "\n"
                }
            case .packet(let packet):
                nflog.write(packet, sinceEpoch: offset)
                copied = true
            }
        }
        if lost > 0 { text += "sluice: \(lost) packets of LOG, NFLOG and TRACE rules lost\n" }
        if !text.isEmpty && !log.write(text) {
            Self.say("\(configuration.logFile ?? "standard error") takes no more of the log")
        }
        if copied {
            for group in nflog.flush() { Self.say("the capture of group \(group) failed") }
        }
    }

    /// The packet's flow and identification tell it from others.
    private func lines(_ trace: RuleTrace) -> String {
        let view = trace.packet.view
        let identity =
            (view.source.rawValue ^ view.destination.rawValue &* 0x9E37_79B9)
            ^ UInt32(view.identification) << 16
        let resolver = SystemNameResolver()
        return trace.lines(identity: identity) { reference in
            rules.table(reference.table).chain(reference.chain)?.rules
                .first { $0.id == reference.id }?
                .saved(chain: reference.chain, counters: false, resolver: resolver)
        }
    }
}
