// From the words of a rule to `Rule` values, in the form in which the kernel would give them back.

import Wire

extension CommandParser {
    /// One rule for every pair of addresses in the comma lists of `-s` and `-d`.
    mutating func makeRules() throws(CommandError) -> [Rule] {
        let sources = try addresses(sourceText)
        let destinations = try addresses(destinationText)
        rule.target = try makeTarget()
        rule.matches = try makeMatches()
        return sources.flatMap { source in
            destinations.map { destination in
                var copy = rule
                copy.source = source
                copy.destination = destination
                return copy
            }
        }
    }

    private func addresses(
        _ typed: (text: String, inverted: Bool)?
    ) throws(CommandError) -> [AddressMatch] {
        guard let typed else { return [.any] }
        let networks = try AddressText.parseList(typed.text, resolver)
        guard networks.count == 1 || !typed.inverted else {
            throw .parameter(
                "! not allowed with multiple source or destination IP addresses",
                word: typed.text, expected: "one address behind !")
        }
        return networks.map { AddressMatch($0, inverted: typed.inverted) }
    }

    private func makeTarget() throws(CommandError) -> Target {
        guard let jump else { return .none }
        if isGoto { return .goto(jump) }
        switch jump {
        case "ACCEPT": return .accept
        case "DROP": return .drop
        case "RETURN": return .return
        default: break
        }
        for part in loaded where part.isTarget {
            if let parser = part.parser as? any TargetParser { return parser.target() }
        }
        return .jump(jump)
    }

    private func makeMatches() throws(CommandError) -> [Match] {
        var kept: [Match] = []
        for part in loaded where !part.isTarget {
            guard let parser = part.parser as? any MatchParser else { continue }
            switch parser.match() {
            case .tcp(let match): try add(match, to: &kept)
            case .udp(let match): try add(match, to: &kept)
            case let match: kept.append(match)
            }
        }
        return kept
    }

    /// iptables-nft gives ports and flags to the kernel as bare comparisons and finds them again as
    /// one match, where the first stood (tried); tests that would hide each other stay apart.
    private func add(_ typed: TCPMatch, to kept: inout [Match]) throws(CommandError) {
        guard let match = typed.asKernelKeeps else { return }
        guard match.option == nil, match != TCPMatch() else { return kept.append(.tcp(match)) }
        guard rule.protocol?.value == .tcp else {
            throw .parameter("TCP match requires '-p tcp'", word: "tcp", expected: "-p tcp")
        }
        for (place, other) in kept.enumerated() {
            guard case .tcp(let earlier) = other, earlier.option == nil, earlier != TCPMatch(),
                earlier.sourcePorts == nil || match.sourcePorts == nil,
                earlier.destinationPorts == nil || match.destinationPorts == nil,
                earlier.flags == nil || match.flags == nil
            else { continue }
            kept[place] = .tcp(
                TCPMatch(
                    sourcePorts: earlier.sourcePorts ?? match.sourcePorts,
                    destinationPorts: earlier.destinationPorts ?? match.destinationPorts,
                    flags: earlier.flags ?? match.flags))
            return
        }
        kept.append(.tcp(match))
    }

    private func add(_ typed: UDPMatch, to kept: inout [Match]) throws(CommandError) {
        guard let match = typed.asKernelKeeps else { return }
        guard match != UDPMatch() else { return kept.append(.udp(match)) }
        guard rule.protocol?.value == .udp else {
            throw .parameter("UDP match requires '-p udp'", word: "udp", expected: "-p udp")
        }
        for (place, other) in kept.enumerated() {
            guard case .udp(let earlier) = other, earlier != UDPMatch(),
                earlier.sourcePorts == nil || match.sourcePorts == nil,
                earlier.destinationPorts == nil || match.destinationPorts == nil
            else { continue }
            kept[place] = .udp(
                UDPMatch(
                    sourcePorts: earlier.sourcePorts ?? match.sourcePorts,
                    destinationPorts: earlier.destinationPorts ?? match.destinationPorts))
            return
        }
        kept.append(.udp(match))
    }
}
