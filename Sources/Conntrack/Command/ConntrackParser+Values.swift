// Reading the values of conntrack's options.

import Wire

extension ConntrackParser {
    mutating func set(
        _ option: ConntrackOption, _ value: String
    ) throws(ConntrackSyntaxError) {
        switch option {
        case .originalSource, .originalDestination, .replySource, .replyDestination, .maskSource,
            .maskDestination:
            try setAddress(option, value)
        case .sourceNAT, .destinationNAT, .anyNAT:
            try setNAT(option, value)
        case .protocolName:
            try setProtocol(value)
        case .portSource, .portDestination, .replyPortSource, .replyPortDestination, .tcpState,
            .icmpType, .icmpCode, .icmpID:
            try setProtocolOption(option, value)
        case .status: try setStatus(value)
        case .mark: try setMark(value)
        case .eventMask: try setEvents(value)
        case .output: try setOutput(value)
        case .family: try setFamily(value)
        case .zone, .originalZone, .replyZone: try setZone(option, value)
        case .zero: request.zeroesCounters = true
        case .natRange: request.warnings += "WARNING: ignoring -a, deprecated option.\n"
        // There is no netlink socket whose buffer could be too small.
        case .bufferSize: _ = try number(value, option: "b", atMost: .max)
        default: break
        }
    }

    func number(
        _ text: String, option: String, atMost limit: UInt32
    ) throws(ConntrackSyntaxError) -> UInt32 {
        guard let value = Self.unsigned(text), value <= limit else {
            throw ConntrackSyntaxError(other: "unexpected value '\(text)' with -\(option) option")
        }
        return value
    }

    /// C's `strtoul` with base 0: decimal, 0x hexadecimal, 0 octal; all of the text.
    static func unsigned(_ text: String) -> UInt32? {
        if text.hasPrefix("0x") || text.hasPrefix("0X") {
            return UInt32(text.dropFirst(2), radix: 16)
        }
        if text.hasPrefix("0"), text.utf8.count > 1 { return UInt32(text.dropFirst(), radix: 8) }
        guard text.utf8.allSatisfy({ 48...57 ~= $0 }) else { return nil }
        return UInt32(text)
    }

    // MARK: Addresses

    private mutating func note(_ family: Family) throws(ConntrackSyntaxError) {
        families.insert(family)
        guard families.count == 1 else {
            throw ConntrackSyntaxError("mismatched address family")
        }
        if family == .ipv6 { request.filter.matchesNothing = true }
    }

    /// `nil` for an IPv6 address, which no entry has.
    private mutating func address(
        _ text: String
    ) throws(ConntrackSyntaxError) -> IPv4Address? {
        if let address = IPv4Address(text) {
            try note(.ipv4)
            return address
        }
        guard text.contains(":"), text.utf8.allSatisfy(Self.isIPv6Byte) else {
            throw ConntrackSyntaxError("Invalid IP address `\(text)'")
        }
        try note(.ipv6)
        return nil
    }

    private static func isIPv6Byte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: ":"), UInt8(ascii: "a")...UInt8(ascii: "f"),
            UInt8(ascii: "A")...UInt8(ascii: "F"), UInt8(ascii: "."):
            true
        default: false
        }
    }

    private mutating func setAddress(
        _ option: ConntrackOption, _ value: String
    ) throws(ConntrackSyntaxError) {
        let parts = value.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        let address = try address(String(parts[0]))
        var mask: UInt32 = .max
        if parts.count > 1 {
            if option == .replySource || option == .replyDestination {
                let name = option == .replySource ? "reply-src" : "reply-dst"
                throw ConntrackSyntaxError("CIDR notation unavailable for `--\(name)'")
            }
            let limit = address == nil ? 128 : 32
            guard let length = UInt8(parts[1]), Int(length) <= limit else {
                throw ConntrackSyntaxError("Invalid netmask")
            }
            if address != nil { mask = length == 0 ? 0 : .max << (32 - UInt32(length)) }
        }
        guard let address else { return }
        switch option {
        case .originalSource:
            tuple.source = address
            request.filter.originalSource = IPv4Network(address, mask: mask)
        case .originalDestination:
            tuple.destination = address
            request.filter.originalDestination = IPv4Network(address, mask: mask)
        case .replySource: request.filter.replySource = address
        case .replyDestination: request.filter.replyDestination = address
        case .maskSource: masks.source = address.rawValue
        default: masks.destination = address.rawValue
        }
    }

    private mutating func setNAT(
        _ option: ConntrackOption, _ value: String
    ) throws(ConntrackSyntaxError) {
        var filter = ConnectionFilter.NATFilter()
        if value.contains("/") {
            let name =
                option == .sourceNAT ? "src-nat" : option == .destinationNAT ? "dst-nat" : "any-nat"
            throw ConntrackSyntaxError("CIDR notation unavailable for `--\(name)'")
        }
        if !value.isEmpty {
            let parts = value.split(separator: ":", omittingEmptySubsequences: false)
            if parts.count == 2 {
                filter.address = try address(String(parts[0]))
                filter.port = try natPort(String(parts[1]))
            } else {
                filter.address = try address(value)
            }
        }
        if option != .destinationNAT { request.filter.sourceNAT = filter }
        if option != .sourceNAT { request.filter.destinationNAT = filter }
        if option == .anyNAT { request.filter.anyNAT = true }
    }

    private func natPort(_ text: String) throws(ConntrackSyntaxError) -> Port {
        guard !text.isEmpty else {
            throw ConntrackSyntaxError("No port specified after `:'")
        }
        guard text.utf8.allSatisfy({ 48...57 ~= $0 }), let port = UInt16(text) else {
            throw ConntrackSyntaxError("Invalid port `\(text)'")
        }
        return Port(port)
    }

    private mutating func setFamily(_ value: String) throws(ConntrackSyntaxError) {
        switch value {
        case "ipv4": try note(.ipv4)
        case "ipv6": try note(.ipv6)
        default: throw ConntrackSyntaxError("`\(value)' unsupported protocol")
        }
    }

    private mutating func setZone(
        _ option: ConntrackOption, _ value: String
    ) throws(ConntrackSyntaxError) {
        let letter = option == .zone ? "w" : option == .originalZone ? "(" : ")"
        let zone = try number(value, option: letter, atMost: UInt32(UInt16.max))
        let direction: Direction? =
            option == .zone ? nil : option == .originalZone ? .original : .reply
        request.filter.zones.append(
            ConnectionFilter.ZoneFilter(UInt16(truncatingIfNeeded: zone), direction))
    }

    // MARK: Protocols

    private mutating func setProtocol(_ value: String) throws(ConntrackSyntaxError) {
        guard let number = ProtocolText.parse(value) else {
            throw ConntrackSyntaxError("`\(value)' unsupported protocol")
        }
        request.filter.protocol = number
        switch number {
        case .tcp: longOptions += ConntrackOptionTable.ports + [("state", .tcpState)]
        case .udp, .udplite, .sctp, .dccp: longOptions += ConntrackOptionTable.ports
        case .icmp: longOptions += ConntrackOptionTable.icmp
        default: break
        }
    }

    private mutating func setProtocolOption(
        _ option: ConntrackOption, _ value: String
    ) throws(ConntrackSyntaxError) {
        switch option {
        case .portSource: request.filter.originalSourcePort = try port(value)
        case .portDestination: request.filter.originalDestinationPort = try port(value)
        case .replyPortSource: request.filter.replySourcePort = try port(value)
        case .replyPortDestination: request.filter.replyDestinationPort = try port(value)
        case .icmpType: request.filter.icmpType = try octet(value)
        case .icmpCode: request.filter.icmpCode = try octet(value)
        case .icmpID: request.filter.icmpID = try port(value).rawValue
        default:
            guard let state = TCPState.allCases.first(where: { "\($0)" == value }) else {
                throw ConntrackSyntaxError("unknown TCP state `\(value)'")
            }
            request.filter.tcpState = state
        }
    }

    private func port(_ value: String) throws(ConntrackSyntaxError) -> Port {
        guard let number = Self.unsigned(value), let port = UInt16(exactly: number) else {
            throw ConntrackSyntaxError("Bad parameter `\(value)'")
        }
        return Port(port)
    }

    private func octet(_ value: String) throws(ConntrackSyntaxError) -> UInt8 {
        guard let number = Self.unsigned(value), let octet = UInt8(exactly: number) else {
            throw ConntrackSyntaxError("Bad parameter `\(value)'")
        }
        return octet
    }

    // MARK: Lists of words

    /// The tool takes any beginning of a word, in any case.
    private func member<Value>(
        _ word: Substring, of words: [(String, Value)], in list: Substring
    ) throws(ConntrackSyntaxError) -> Value {
        let lowered = word.lowercased()
        guard !lowered.isEmpty,
            let found = words.first(where: { $0.0.lowercased().hasPrefix(lowered) })
        else { throw ConntrackSyntaxError("Bad parameter `\(list)'") }
        return found.1
    }

    /// Calls `body` with each word and the rest of the list from there, which errors quote.
    private func eachWord(
        _ value: String,
        _ body: (_ word: Substring, _ rest: Substring) throws(ConntrackSyntaxError) -> Void
    ) throws(ConntrackSyntaxError) {
        var rest = Substring(value)
        while true {
            let comma = rest.firstIndex(of: ",")
            try body(rest[..<(comma ?? rest.endIndex)], rest)
            guard let comma else { return }
            rest = rest[rest.index(after: comma)...]
        }
    }

    private mutating func setStatus(_ value: String) throws(ConntrackSyntaxError) {
        let words: [(String, ConnectionStatus)] = [
            ("ASSURED", .assured), ("SEEN_REPLY", .seenReply), ("UNSET", []),
            ("FIXED_TIMEOUT", ConnectionStatus(rawValue: 1 << 10)), ("EXPECTED", .expected),
            ("OFFLOAD", ConnectionStatus(rawValue: 1 << 14)),
            ("HW_OFFLOAD", ConnectionStatus(rawValue: 1 << 15)),
        ]
        var filter = request.filter
        var warnings = ""
        try eachWord(value) { (word, rest) throws(ConntrackSyntaxError) in
            let isNegated = word.hasPrefix("!")
            if !isNegated, word == "UNREPLIED" {
                filter.statusMask.insert(.seenReply)
                return
            }
            let name = isNegated ? word.dropFirst() : word
            for (nat, option) in [("SRC_NAT", "--src-nat"), ("DST_NAT", "--dst-nat")]
            where !name.isEmpty && nat.hasPrefix(name.uppercased()) {
                warnings += "WARNING: ignoring \(nat), use \(option) instead\n"
                return
            }
            let flag = try member(name, of: words, in: rest)
            filter.statusMask.formUnion(flag)
            if !isNegated { filter.status.formUnion(flag) }
        }
        request.filter = filter
        request.warnings += warnings
    }

    private mutating func setEvents(_ value: String) throws(ConntrackSyntaxError) {
        let words: [(String, ConntrackRequest.EventKinds)] = [
            ("ALL", .all), ("NEW", .new), ("UPDATES", .updates), ("DESTROY", .destroy),
        ]
        var kinds: ConntrackRequest.EventKinds = []
        try eachWord(value) { (word, rest) throws(ConntrackSyntaxError) in
            kinds.formUnion(try member(word, of: words, in: rest))
        }
        eventKinds = kinds
    }

    private mutating func setOutput(_ value: String) throws(ConntrackSyntaxError) {
        let words: [(String, ConntrackOutput?)] = [
            ("xml", nil), ("extended", .extended), ("timestamp", .timestamp), ("id", .id),
            ("ktimestamp", .kernelTimestamp), ("labels", .labels), ("userspace", []),
            ("save", .save),
        ]
        var output = request.output
        try eachWord(value) { (word, rest) throws(ConntrackSyntaxError) in
            guard let format = try member(word, of: words, in: rest) else {
                throw ConntrackSyntaxError("output format `xml' is not supported by sluice")
            }
            output.formUnion(format)
        }
        if output.contains(.save), output != .save {
            throw ConntrackSyntaxError(
                other:
                    "cannot combine save output with any other output type, use -o save only")
        }
        request.output = output
    }

    private mutating func setMark(_ value: String) throws(ConntrackSyntaxError) {
        let parts = value.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        let mark = Self.unsigned(String(parts[0]))
        let mask = parts.count > 1 ? Self.unsigned(String(parts[1])) : .max
        guard let mark, let mask else {
            throw ConntrackSyntaxError(other: "unexpected value '\(value)' with -m option")
        }
        request.filter.mark = (mark, mask)
    }
}
