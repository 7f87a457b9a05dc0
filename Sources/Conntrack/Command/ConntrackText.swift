// The text that conntrack-tools 1.4.7 prints (conntrack.c; snprintf_default.c of
// libnetfilter_conntrack), to the byte.

import Wire

/// What turning records into text needs to know beside the record.
public struct ConntrackTextOptions: Hashable, Sendable {
    public var output: ConntrackOutput
    /// The time of printing, on the table's clock.
    public var now: Timestamp
    /// Nanoseconds since 1970 at `now`.
    public var wallClock: UInt64
    /// The time zone of `-o ktimestamp`.
    public var secondsEastOfUTC: Int
    /// What `use=` shows: 1 in a list, 2 while `-G` holds the entry.
    public var references = 1

    public init(
        output: ConntrackOutput = [], now: Timestamp, wallClock: UInt64, secondsEastOfUTC: Int = 0
    ) {
        self.output = output
        self.now = now
        self.wallClock = wallClock
        self.secondsEastOfUTC = secondsEastOfUTC
    }

    func sinceEpoch(_ time: Timestamp) -> UInt64 {
        wallClock &- (now.nanoseconds &- time.nanoseconds)
    }
}

public enum ConntrackText {
    static let program = "conntrack v1.4.7 (conntrack-tools)"

    static func trailer(_ sentence: String) -> String { "\(program): \(sentence)\n" }

    /// One line of -L, -G and -D, without the line's end.
    public static func line(_ record: ConnectionRecord, _ options: ConntrackTextOptions) -> String {
        if options.output.contains(.save) { return saved(record) }
        return body(record, options, event: false)
    }

    /// One line of -E, without the line's end. `requester` is the netlink port, or process, that
    /// deleted the entry, 0 for the table itself.
    public static func line(
        _ event: ConnectionEvent, _ options: ConntrackTextOptions, requester: UInt32 = 0
    ) -> String {
        var text = ""
        if options.output.contains(.save) {
            text = saved(event.record, command: event.kind.saveCommand)
        } else {
            if options.output.contains(.timestamp) {
                text = "[\(microseconds(options.sinceEpoch(event.time)))]\t"
            }
            text += event.kind.label
            text += body(event.record, options, event: true, isEnd: event.kind == .destroy)
        }
        if requester != 0 { text += " [USERSPACE] portid=\(requester)" }
        return text
    }

    private static func body(
        _ record: ConnectionRecord, _ options: ConntrackTextOptions, event: Bool,
        isEnd: Bool = false
    ) -> String {
        let name = ProtocolText.name(record.original.protocol)
        var text = options.output.contains(.extended) ? "ipv4     2 " : ""
        text += padded(name ?? "unknown", to: 8) + " \(record.original.protocol.rawValue) "
        // An entry that ended because its time was up has none left to show (ctnetlink_dump_timeout).
        if !isEnd || record.timeout.rawValue != 0 { text += "\(record.timeout.rawValue) " }
        if let state = record.tcpState { text += "\(state) " }
        let zones = record.zone.words
        text += ProtocolText.tuple(record.original) + zones.original
        if let counters = record.counters { text += self.counters(counters.original) }
        if !record.status.contains(.seenReply) { text += "[UNREPLIED] " }
        text += ProtocolText.tuple(record.reply) + zones.reply
        if let counters = record.counters { text += self.counters(counters.reply) }
        if record.status.contains(.assured) { text += "[ASSURED] " }
        // An event carries a mark only where there is one, or was (ctnetlink_dump_mark).
        if !event || record.mark != 0 || record.markChanged { text += "mark=\(record.mark) " }
        text += zones.both + times(record, options, event: event)
        if !event { text += "use=\(options.references) " }
        if options.output.contains(.id) { text += "id=\(record.id) " }
        text.removeLast()
        return text
    }

    private static func counters(_ counters: FlowCounters) -> String {
        "packets=\(counters.packets) bytes=\(counters.bytes) "
    }

    private static func times(
        _ record: ConnectionRecord, _ options: ConntrackTextOptions, event: Bool
    ) -> String {
        // Live events carry no times; the last one does (ctnetlink_conntrack_event).
        guard let start = record.start, !event || record.stop != nil else { return "" }
        let end = record.stop ?? options.now
        let passed = end.nanoseconds > start.nanoseconds ? end.nanoseconds - start.nanoseconds : 0
        var text = "delta-time=\(passed / nanosecondsPerSecond) "
        guard options.output.contains(.kernelTimestamp) else { return text }
        text += "[start=\(calendar(start, options))] "
        if let stop = record.stop { text += "[stop=\(calendar(stop, options))] " }
        return text
    }

    private static func calendar(_ time: Timestamp, _ options: ConntrackTextOptions) -> String {
        let seconds = Int(options.sinceEpoch(time) / nanosecondsPerSecond)
        return CalendarText.ctime(seconds + options.secondsEastOfUTC)
    }

    private static func microseconds(_ nanoseconds: UInt64) -> String {
        let fraction = String(nanoseconds % nanosecondsPerSecond / 1000)
        let seconds = String(nanoseconds / nanosecondsPerSecond)
        return zeroes(before: seconds, width: 8) + seconds + "."
            + zeroes(before: fraction, width: 6) + fraction
    }

    static func zeroes(before digits: String, width: Int) -> String {
        String(repeating: "0", count: max(0, width - digits.utf8.count))
    }

    static func padded(_ text: String, to width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.utf8.count))
    }
}

extension Zone {
    /// What stands behind the original tuple, behind the reply's, and behind the mark.
    fileprivate var words: (original: String, reply: String, both: String) {
        if original == reply { return ("", "", original == 0 ? "" : "zone=\(original) ") }
        return (
            original == 0 ? "" : "zone-orig=\(original) ", reply == 0 ? "" : "zone-reply=\(reply) ",
            ""
        )
    }

    fileprivate var saved: [String] {
        if original == reply { return original == 0 ? [] : ["-w", "\(original)"] }
        return original == 0 ? ["--reply-zone", "\(reply)"] : ["--orig-zone", "\(original)"]
    }
}

extension ConnectionEvent.Kind {
    fileprivate var label: String {
        switch self {
        case .new: "    [NEW] "
        case .update: " [UPDATE] "
        case .destroy: "[DESTROY] "
        }
    }

    fileprivate var saveCommand: String {
        switch self {
        case .new: "-A"
        case .update: "-U"
        case .destroy: "-D"
        }
    }
}

// MARK: - -o save

extension ConntrackText {
    /// The entry as a line of `-o save`: the arguments that would make it again.
    public static func saved(_ record: ConnectionRecord) -> String { saved(record, command: "-A") }

    private static func saved(_ record: ConnectionRecord, command: String) -> String {
        let original = record.original
        let reply = record.reply
        var words = [command, "-t", "\(record.timeout.rawValue)", "-u", statusNames(record.status)]
        words += record.zone.saved
        words += ["-s", "\(original.source)", "-d", "\(original.destination)"]
        let destinationTranslated =
            record.status.contains(.destinationNATDone) && reply.source != original.destination
        let sourceTranslated =
            record.status.contains(.sourceNATDone) && reply.destination != original.source
        words += [destinationTranslated ? "-g" : "-r", "\(reply.source)"]
        words += [sourceTranslated ? "-n" : "-q", "\(reply.destination)"]
        switch original.protocol {
        case .tcp, .udp:
            words += ["-p", original.protocol == .tcp ? "tcp" : "udp"]
            words += [
                "--sport", "\(original.sourcePort)", "--dport", "\(original.destinationPort)",
            ]
            words += ["--reply-port-src", "\(reply.sourcePort)"]
            words += ["--reply-port-dst", "\(reply.destinationPort)"]
            if let state = record.tcpState { words += ["--state", "\(state)"] }
        case .icmp:
            words += ["-p", "icmp", "--icmp-type", "\(original.icmpType)"]
            words += ["--icmp-code", "\(original.icmpCode)", "--icmp-id", "\(original.sourcePort)"]
        default:
            words += ["-p", "\(original.protocol.rawValue)"]
        }
        return words.joined(separator: " ")
    }

    private static func statusNames(_ status: ConnectionStatus) -> String {
        var names: [String] = []
        if status.contains(.expected) { names.append("EXPECTED") }
        if status.contains(.seenReply) { names.append("SEEN_REPLY") }
        if status.contains(.assured) { names.append("ASSURED") }
        return names.isEmpty ? "UNSET" : names.joined(separator: ",")
    }
}

// MARK: - -S and -C

extension ConntrackText {
    /// The line of one CPU in `-S`; Sluice has one worker, hence one line.
    public static func statistics(_ statistics: ConntrackStatistics, cpu: Int = 0) -> String {
        let pairs: [(String, UInt64)] = [
            ("found", statistics.found), ("invalid", statistics.invalid),
            ("insert", statistics.insert), ("insert_failed", statistics.insertFailed),
            ("drop", statistics.drop), ("early_drop", statistics.earlyDrop),
            ("error", statistics.error), ("search_restart", statistics.searchRestart),
            ("clash_resolve", statistics.clashResolve), ("chaintoolong", statistics.chainTooLong),
        ]
        // The tool prints 32 bits.
        let counters = pairs.map { "\($0.0)=\(UInt32(truncatingIfNeeded: $0.1)) " }.joined()
        return "cpu=\(padded(String(cpu), to: 4))\t\(counters)\n"
    }

    public static let expectationStatistics =
        "cpu=0   \texpect_new=0 expect_create=0 expect_delete=0 \n"
}
