// `-m conntrack` and `-m state`: what is known of the packet's connection.

import Wire

struct ConntrackParser: MatchParser {
    static let name = "conntrack"
    static let options: [OptionSpec] = [
        OptionSpec("ctstate", 1, invertible: true), OptionSpec("ctproto", 2, invertible: true),
        OptionSpec("ctorigsrc", 3, invertible: true), OptionSpec("ctorigdst", 4, invertible: true),
        OptionSpec("ctreplsrc", 5, invertible: true), OptionSpec("ctrepldst", 6, invertible: true),
        OptionSpec("ctstatus", 7, invertible: true), OptionSpec("ctexpire", 8, invertible: true),
        OptionSpec("ctorigsrcport", 9, invertible: true),
        OptionSpec("ctorigdstport", 10, invertible: true),
        OptionSpec("ctreplsrcport", 11, invertible: true),
        OptionSpec("ctrepldstport", 12, invertible: true), OptionSpec("ctdir", 13),
    ]

    private var value = ConntrackMatch()

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        let inverted = use.inverted
        switch use.spec.id {
        case 1:
            let states = try ConnectionStates(words: use.value, virtual: true, option: "ctstate")
            value.states = Invertible(states, inverted: inverted)
        case 2:
            guard let number = context.resolver.parseProtocol(use.value) else {
                throw .parameter(
                    "unknown protocol \"\(use.value)\" specified", word: use.value,
                    expected: "a number from 0 to 255 or the name of a protocol")
            }
            value.protocol = Invertible(number, inverted: inverted)
        case 3: value.originalSource = try address(use, context)
        case 4: value.originalDestination = try address(use, context)
        case 5: value.replySource = try address(use, context)
        case 6: value.replyDestination = try address(use, context)
        case 7:
            value.statuses = Invertible(
                try ConnectionStatuses(words: use.value), inverted: inverted)
        case 8: value.expires = Invertible(try expiry(use), inverted: inverted)
        case 9: value.originalSourcePorts = try ports(use, context)
        case 10: value.originalDestinationPorts = try ports(use, context)
        case 11: value.replySourcePorts = try ports(use, context)
        case 12: value.replyDestinationPorts = try ports(use, context)
        default: value.direction = try direction(use)
        }
    }

    private func address(
        _ use: OptionUse, _ context: RuleContext
    ) throws(CommandError) -> AddressMatch {
        let parts = use.value.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        let host = String(parts[0])
        guard let address = IPv4Address(host) ?? context.resolver.addresses(host: host).first
        else {
            throw .parameter(
                "getaddrinfo: Name or service not known\n", word: host,
                expected: "one IPv4 address or the name of a host")
        }
        var length = 32
        if parts.count == 2 {
            guard let number = CNumber.unsigned(parts[1], max: 32) else {
                throw .parameter(
                    "conntrack: bad value for option \"\(use.option)\" near \"\(parts[1])\", "
                        + "or out of range (0-32).\n", word: String(parts[1]),
                    expected: "a prefix length from 0 to 32")
            }
            length = Int(number)
        }
        return AddressMatch(
            IPv4Network(address, prefixLength: length), inverted: use.inverted, typed: address)
    }

    private func ports(
        _ use: OptionUse, _ context: RuleContext
    ) throws(CommandError) -> Invertible<PortRange> {
        let ends = use.value.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        var found: [Port] = []
        for (end, missing) in zip(ends, [Port(0), Port(65535)]) {
            if end.isEmpty, ends.count == 2 {
                found.append(missing)
            } else if let port = context.resolver.parsePort(String(end), transport: nil) {
                found.append(port)
            } else {
                throw .parameter(
                    "Port \"\(end)\" does not resolve to anything.\n", word: String(end),
                    expected: "a port from 0 to 65535 or the name of a service")
            }
        }
        return Invertible(
            PortRange(found[0], found[found.count - 1]), inverted: use.inverted)
    }

    private func expiry(_ use: OptionUse) throws(CommandError) -> ClosedRange<UInt32> {
        let ends = use.value.split(separator: ":", omittingEmptySubsequences: false)
        guard ends.count <= 2 else {
            throw .parameter(
                "conntrack: Too many components for option \"--ctexpire\" (max: 2)\n",
                word: use.value, expected: "seconds, or seconds:seconds")
        }
        var found: [UInt32] = []
        for (end, missing) in zip(ends, [UInt32(0), UInt32.max]) {
            if end.isEmpty, ends.count == 2 {
                found.append(missing)
            } else if let number = CNumber.unsigned(end, max: UInt64(UInt32.max)) {
                found.append(UInt32(number))
            } else if let rest = CNumber.prefix(end)?.rest, !rest.isEmpty {
                throw .parameter(
                    "conntrack: Argument to \"--ctexpire\" has unexpected characters near "
                        + "\"\(rest)\".\n", word: String(end),
                    expected: "seconds, or seconds:seconds")
            } else {
                throw .parameter(
                    "conntrack: bad value for option \"--ctexpire\" near \"\(end)\", "
                        + "or out of range (0-4294967295).\n", word: String(end),
                    expected: "seconds, or seconds:seconds")
            }
        }
        guard found[0] <= found[found.count - 1] else {
            throw .parameter(
                "conntrack: --ctexpire \(use.value) can never match", word: use.value,
                expected: "the lower number first")
        }
        return found[0]...found[found.count - 1]
    }

    private func direction(_ use: OptionUse) throws(CommandError) -> ConnectionDirection {
        switch use.value.uppercased() {
        case "ORIGINAL": return .original
        case "REPLY": return .reply
        default:
            throw .parameter(
                "conntrack: Bad value for \"--ctdir\" option: \"\(use.value)\"", word: use.value,
                expected: "ORIGINAL or REPLY")
        }
    }

    func check(_ context: RuleContext) throws(CommandError) {
        guard value != ConntrackMatch() else {
            throw .parameter("conntrack: At least one option is required")
        }
    }

    func match() -> Match { .conntrack(value) }
}

struct StateParser: MatchParser {
    static let name = "state"
    static let options = [OptionSpec("state", 1, invertible: true, mandatory: true)]

    private var value = Invertible<ConnectionStates>([])

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        let states = try ConnectionStates(words: use.value, virtual: false, option: "state")
        value = Invertible(states, inverted: use.inverted)
    }

    func match() -> Match { .state(value) }
}
