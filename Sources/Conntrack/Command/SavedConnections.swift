// Reading what `conntrack -L -o save` wrote: one connection a line, as the arguments that would make it
// again.

import Wire

extension ConnectionRecord {
    /// `nil` where the line is none of an IPv4 connection, or lacks something.
    public init?(savedLine line: String) {
        let words = line.split(separator: " ").map(String.init)
        guard words.first == "-A", words.count % 2 == 1 else { return nil }
        var values: [String: String] = [:]
        for index in stride(from: 1, to: words.count, by: 2) {
            values[words[index]] = words[index + 1]
        }
        guard let `protocol` = values["-p"].flatMap(Self.protocol(named:)),
            let original = Self.tuple(
                values, `protocol`, ends: ("-s", nil, "-d", nil), reply: false),
            let reply = Self.tuple(values, `protocol`, ends: ("-r", "-g", "-q", "-n"), reply: true),
            let timeout = values["-t"].flatMap(UInt32.init)
        else { return nil }
        self.init(
            connection: ConnectionID(index: 0, generation: 0), id: 0, original: original,
            reply: reply, status: Self.status(values["-u"] ?? ""),
            mark: values["-m"].flatMap(UInt32.init) ?? 0, timeout: Seconds(timeout),
            tcpState: `protocol` == .tcp ? values["--state"].flatMap(Self.state(named:)) : nil)
        if `protocol` == .tcp, tcpState == nil { return nil }
        let both = values["-w"].flatMap(UInt16.init) ?? 0
        zone = Zone(
            original: values["--orig-zone"].flatMap(UInt16.init) ?? both,
            reply: values["--reply-zone"].flatMap(UInt16.init) ?? both)
    }

    private static func state(named name: String) -> TCPState? {
        TCPState.allCases.first { $0.description == name }
    }

    private static func `protocol`(named word: String) -> IPProtocol? {
        switch word {
        case "tcp": .tcp
        case "udp": .udp
        case "icmp": .icmp
        default: UInt8(word).map(IPProtocol.init(rawValue:))
        }
    }

    /// - Parameter ends: the options that name source and destination, and those that do where NAT
    ///   changed them.
    private static func tuple(
        _ values: [String: String], _ `protocol`: IPProtocol,
        ends: (String, String?, String, String?), reply: Bool
    ) -> Tuple? {
        func address(_ option: String, _ translated: String?) -> IPv4Address? {
            (values[option] ?? translated.flatMap { values[$0] }).flatMap { IPv4Address($0) }
        }
        func number(_ option: String) -> UInt16? { values[option].flatMap(UInt16.init) }
        guard let source = address(ends.0, ends.1), let destination = address(ends.2, ends.3) else {
            return nil
        }
        var tuple = Tuple(
            source: source, destination: destination, sourcePort: Port(0),
            destinationPort: Port(0), protocol: `protocol`)
        switch `protocol` {
        case .tcp, .udp:
            guard let from = number(reply ? "--reply-port-src" : "--sport"),
                let to = number(reply ? "--reply-port-dst" : "--dport")
            else { return nil }
            tuple.sourcePort = Port(from)
            tuple.destinationPort = Port(to)
        case .icmp:
            guard let type = number("--icmp-type"), let code = number("--icmp-code"),
                let identifier = number("--icmp-id"), type <= 255, code <= 255
            else { return nil }
            let seen = reply ? ICMPQuery.counterpart(of: UInt8(type)) : UInt8(type)
            guard let seen else { return nil }
            tuple.sourcePort = Port(identifier)
            tuple.destinationPort = Port(UInt16(seen) << 8 | code)
        default: break
        }
        return tuple
    }

    private static func status(_ names: String) -> ConnectionStatus {
        names.split(separator: ",").reduce(into: []) { status, name in
            if name == "SEEN_REPLY" { status.insert(.seenReply) }
            if name == "ASSURED" { status.insert(.assured) }
        }
    }
}
