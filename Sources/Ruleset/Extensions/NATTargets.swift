// `DNAT`, `SNAT`, `MASQUERADE`, `REDIRECT`: what to rewrite addresses and ports to.

import Wire

/// The forms in which the four targets take ports and addresses.
enum NATText {
    /// The kernel gives ports to these protocols; ICMP is let through as iptables does.
    static func checkTransport(_ context: RuleContext) throws(CommandError) {
        let known: Set<UInt8> = [6, 17, 33, 132, 1]
        guard let transport = context.protocol, known.contains(transport.value.rawValue) else {
            throw .parameter(
                "Need TCP, UDP, SCTP or DCCP with port specification",
                expected: "-p tcp, udp, sctp or dccp before the target")
        }
    }

    /// `80`, `80-90`, `http`, and with `base` also `80-90/1000`.
    static func ports(
        _ text: Substring, base: Bool, _ context: RuleContext
    ) throws(CommandError) -> (range: PortRange, base: Port?) {
        var rest = text
        let first = try port(&rest, context)
        guard !rest.isEmpty else { return (PortRange(first), nil) }
        guard rest.hasPrefix("-") else { throw garbage(rest) }
        rest.removeFirst()
        let word = String(rest)
        let last = try number(&rest)
        guard first <= last else {
            throw .parameter(
                "Port range `\(word)' funky", word: String(text), expected: "the lower port first")
        }
        guard !rest.isEmpty else { return (PortRange(first, last), nil) }
        guard base, rest.hasPrefix("/") else { throw garbage(rest, "range") }
        rest.removeFirst()
        let start = try port(&rest, context)
        guard rest.isEmpty else { throw garbage(rest) }
        guard start.rawValue > 0 else {
            throw .parameter(
                "Port `0' not valid", word: String(text), expected: "a base port above 0")
        }
        return (PortRange(first, last), start)
    }

    /// A number as far as it goes, else all that is left as a service: names have dashes of their
    /// own, so `echo-ssh` is no range.
    private static func port(
        _ rest: inout Substring, _ context: RuleContext
    ) throws(CommandError) -> Port {
        if let (number, after) = CNumber.prefix(rest), number <= 65535 {
            rest = after
            return Port(UInt16(number))
        }
        return try service(&rest, context)
    }

    /// The end of a range is a number always.
    private static func number(_ rest: inout Substring) throws(CommandError) -> Port {
        guard let (number, after) = CNumber.prefix(rest), number <= 65535 else {
            throw invalid(rest)
        }
        rest = after
        return Port(UInt16(number))
    }

    private static func service(
        _ rest: inout Substring, _ context: RuleContext
    ) throws(CommandError) -> Port {
        let whole = String(rest)
        if let port = context.resolver.port(service: whole, transport: context.transport) {
            rest = ""
            return port
        }
        throw invalid(rest)
    }

    private static func invalid(_ rest: Substring) -> CommandError {
        .parameter(
            "Port `\(rest)' not valid", word: String(rest),
            expected: "a port from 0 to 65535 or the name of a service")
    }

    private static func garbage(_ rest: Substring, _ what: String = "value") -> CommandError {
        .parameter(
            "Garbage after port \(what): `\(rest)'", word: String(rest),
            expected: "nothing behind the ports")
    }

    /// `ADDR`, `ADDR-ADDR`, `:PORTS`, `ADDR:PORTS` …
    static func target(
        _ use: OptionUse, base: Bool, _ context: RuleContext
    ) throws(CommandError) -> NATTarget {
        var target = NATTarget()
        var addresses = Substring(use.value)
        if let colon = addresses.firstIndex(of: ":") {
            try checkTransport(context)
            let text = addresses[addresses.index(after: colon)...]
            guard !text.contains(":") else { throw badAddress(addresses) }
            let (range, start) = try ports(text, base: base, context)
            target.ports = range
            target.basePort = start
            addresses = addresses[..<colon]
            if addresses.isEmpty { return target }
        }
        let ends = addresses.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = IPv4Address(ends[0]) else { throw badAddress(ends[0]) }
        var last = first
        if ends.count == 2 {
            guard let end = IPv4Address(ends[1]) else { throw badAddress(ends[1]) }
            last = end
        }
        guard first <= last else {
            throw .parameter(
                "IP range `\(addresses)' funky", word: use.value,
                expected: "the lower address first")
        }
        target.addresses = AddressRange(first, last)
        return target
    }

    private static func badAddress(_ text: Substring) -> CommandError {
        .parameter(
            "Bad IP address \"\(text)\"", word: String(text),
            expected: "an IPv4 address, or two with a dash between")
    }

    static func saved(_ ports: PortRange) -> String { PortText.range(ports, separator: "-") }

    static func saved(_ target: NATTarget) -> String {
        var text = ""
        if let addresses = target.addresses {
            text += "\(addresses.first)"
            if addresses.first != addresses.last { text += "-\(addresses.last)" }
        }
        if let ports = target.ports { text += ":" + saved(ports) }
        if let base = target.basePort { text += "/\(base)" }
        return text
    }

    /// ` --random` or, in a list, ` random`.
    static func flags(
        _ dashes: String, random: Bool, fully: Bool, persistent: Bool = false
    ) -> String {
        (random ? " \(dashes)random" : "") + (fully ? " \(dashes)random-fully" : "")
            + (persistent ? " \(dashes)persistent" : "")
    }
}

struct DNATParser: TargetParser {
    static let name = "DNAT"
    static let options: [OptionSpec] = [
        OptionSpec("to-destination", 1, mandatory: true),
        OptionSpec("random", 2, takesArgument: false),
        OptionSpec("persistent", 3, takesArgument: false),
    ]

    private var value = NATTarget()

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        switch use.spec.id {
        case 1:
            let target = try NATText.target(use, base: true, context)
            (value.addresses, value.ports) = (target.addresses, target.ports)
            value.basePort = target.basePort
        case 2: value.random = true
        default: value.persistent = true
        }
    }

    func target() -> Target { .dnat(value) }
}

struct SNATParser: TargetParser {
    static let name = "SNAT"
    static let options: [OptionSpec] = [
        OptionSpec("to-source", 1, mandatory: true),
        OptionSpec("random", 2, takesArgument: false),
        OptionSpec("random-fully", 3, takesArgument: false),
        OptionSpec("persistent", 4, takesArgument: false),
    ]

    private var value = NATTarget()

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        switch use.spec.id {
        case 1:
            let target = try NATText.target(use, base: false, context)
            (value.addresses, value.ports) = (target.addresses, target.ports)
        case 2: value.random = true
        case 3: value.randomFully = true
        default: value.persistent = true
        }
    }

    func target() -> Target { .snat(value) }
}

struct MasqueradeParser: TargetParser {
    static let name = "MASQUERADE"
    static let options: [OptionSpec] = [
        OptionSpec("to-ports", 1), OptionSpec("random", 2, takesArgument: false),
        OptionSpec("random-fully", 3, takesArgument: false),
    ]

    private var value = PortMapping()

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        switch use.spec.id {
        case 1:
            try NATText.checkTransport(context)
            value.ports = try NATText.ports(Substring(use.value), base: false, context).range
        case 2: value.random = true
        default: value.randomFully = true
        }
    }

    func target() -> Target { .masquerade(value) }
}

struct RedirectParser: TargetParser {
    static let name = "REDIRECT"
    static let options: [OptionSpec] = [
        OptionSpec("to-ports", 1), OptionSpec("random", 2, takesArgument: false),
    ]

    private var value = PortMapping()

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        if use.spec.id == 1 {
            try NATText.checkTransport(context)
            value.ports = try NATText.ports(Substring(use.value), base: false, context).range
        } else {
            value.random = true
        }
    }

    func target() -> Target { .redirect(value) }
}

/// The parameters of DNAT and SNAT in print.
struct NATTargetText: ExtensionText {
    var extensionName: String
    var option: String
    var value: NATTarget

    var saved: String {
        " \(option) " + NATText.saved(value)
            + NATText.flags(
                "--", random: value.random, fully: value.randomFully,
                persistent: value.persistent)
    }

    func listed(_ names: ListingNames) -> String {
        " to:" + NATText.saved(value)
            + NATText.flags(
                "", random: value.random, fully: value.randomFully, persistent: value.persistent)
    }
}

/// The parameters of MASQUERADE and REDIRECT in print.
struct PortMappingText: ExtensionText {
    var extensionName: String
    var listWord: String
    var value: PortMapping

    var saved: String {
        (value.ports.map { " --to-ports " + NATText.saved($0) } ?? "")
            + NATText.flags("--", random: value.random, fully: value.randomFully)
    }

    func listed(_ names: ListingNames) -> String {
        (value.ports.map { " \(listWord) " + NATText.saved($0) } ?? "")
            + NATText.flags("", random: value.random, fully: value.randomFully)
    }
}
