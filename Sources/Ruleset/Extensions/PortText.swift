// Ports as `-m tcp` and `-m udp` read and print them: one or a range, each a number or a service.

import Wire

enum PortText {
    /// `80`, `http`, `1:1023`, `:1023`, `1024:`; an end left out is 0 or 65535.
    static func parseRange(
        _ text: String, transport: String, _ resolver: any NameResolver
    ) throws(CommandError) -> PortRange {
        guard let colon = text.firstIndex(of: ":") else {
            return PortRange(try parse(text, transport: transport, resolver))
        }
        let low = String(text[..<colon])
        let high = String(text[text.index(after: colon)...])
        let first = low.isEmpty ? Port(0) : try parse(low, transport: transport, resolver)
        let last = high.isEmpty ? Port(65535) : try parse(high, transport: transport, resolver)
        guard first <= last else {
            throw .parameter(
                "invalid portrange (min > max)", word: text, expected: "the lower port first")
        }
        return PortRange(first, last)
    }

    /// A range as `-m udp` and `-m dccp` take it. iptables 1.8.9 takes 70000 here and keeps its low 16
    /// bits; a port that does not exist is refused instead, as `-m tcp` refuses it.
    static func parseCheckedRange(
        _ use: OptionUse, transport: String, _ resolver: any NameResolver
    ) throws(CommandError) -> PortRange {
        let ends = use.value.split(separator: ":", omittingEmptySubsequences: false)
        for end in ends where !end.isEmpty && CNumber.prefix(end) == nil {
            guard resolver.port(service: String(end), transport: transport) == nil else { continue }
            throw .parameter(
                "Port \"\(end)\" does not resolve to anything.\n", word: String(end),
                expected: "a port from 0 to 65535 or the name of a service")
        }
        return try parseRange(use.value, transport: transport, resolver)
    }

    static func parse(
        _ text: String, transport: String?, _ resolver: any NameResolver
    ) throws(CommandError) -> Port {
        guard let port = resolver.parsePort(text, transport: transport) else {
            throw .parameter(
                "invalid port/service `\(text)' specified", word: text,
                expected: "a port from 0 to 65535 or the name of a service")
        }
        return port
    }

    /// ` ! --dport 1:2`.
    static func saved(_ option: String, _ ports: Invertible<PortRange>?) -> String {
        guard let ports, ports.value != .all || ports.inverted else { return "" }
        return (ports.inverted ? " !" : "") + " \(option) " + range(ports.value, separator: ":")
    }

    static func range(_ ports: PortRange, separator: String) -> String {
        ports.first == ports.last
            ? "\(ports.first)" : "\(ports.first)\(separator)\(ports.last)"
    }

    /// ` dpts:!1:2`.
    static func listed(
        _ word: String, _ ports: Invertible<PortRange>?, _ names: ListingNames, transport: String
    ) -> String {
        guard let ports, ports.value != .all || ports.inverted else { return "" }
        let mark = ports.inverted ? "!" : ""
        let first = names.port(ports.value.first, transport: transport)
        if ports.value.first == ports.value.last { return " \(word):\(mark)\(first)" }
        let last = names.port(ports.value.last, transport: transport)
        return " \(word)s:\(mark)\(first):\(last)"
    }

    /// The kernel is given "above LAST" for `! 0:LAST` and gives it back as LAST+1:65535; so does
    /// this (nf_tables variant, tried). A range of all ports is no test, inverted or not.
    static func asKernelKeeps(_ ports: Invertible<PortRange>?) -> Invertible<PortRange>? {
        guard let ports, ports.value != .all else { return nil }
        guard ports.inverted, ports.value.first == Port(0), ports.value.last != Port(0) else {
            return ports
        }
        return Invertible(PortRange(Port(ports.value.last.rawValue + 1), Port(65535)))
    }
}
