// What must hold of a whole conntrack command line (conntrack.c, generic_opt_check), and the request
// that results.

import Wire

extension ConntrackParser {
    mutating func conclude() throws(ConntrackSyntaxError) -> ConntrackCommand {
        try refuseUnsupported()
        if seen.contains(.anyNAT), seen.contains(.sourceNAT) || seen.contains(.destinationNAT) {
            throw ConntrackSyntaxError(
                "cannot specify `--src-nat' or `--dst-nat' with `--any-nat'")
        }
        try checkCommonOptions()
        if command != .help { try checkProtocolOptions() }
        try applyMasks()
        guard let command else { return .finished(ConntrackOutcome(output: usage, status: 0)) }
        switch command {
        case .help:
            return .finished(ConntrackOutcome(output: usage + protocolUsage, status: 0))
        case .version:
            return .finished(ConntrackOutcome(output: ConntrackText.program + "\n", status: 0))
        default:
            request.action = try action(command)
            return .request(request)
        }
    }

    private func refuseUnsupported() throws(ConntrackSyntaxError) {
        let refused: [(ConntrackOption, String)] = [
            (.create, "--create"), (.add, "--add"), (.update, "--update"), (.label, "--label"),
            (.labelAdd, "--label-add"), (.labelDelete, "--label-del"),
            (.securityMark, "--secmark"),
        ]
        for (option, name) in refused where command == option || seen.contains(option) {
            throw ConntrackSyntaxError("`\(name)' is not supported by sluice")
        }
        if command == .delete, seen.contains(.timeout) {
            throw ConntrackSyntaxError("`--timeout' with `--delete' is not supported by sluice")
        }
        if command == .delete, seen.contains(.id) {
            throw ConntrackSyntaxError("`--id' with `--delete' is not supported by sluice")
        }
    }

    private func checkCommonOptions() throws(ConntrackSyntaxError) {
        let legality = ConntrackOptionTable.legality(command, expectations: table == .expect)
        for ((name, option), digit) in zip(ConntrackOptionTable.common, legality) {
            if digit == "1", !seen.contains(option) {
                throw ConntrackSyntaxError(
                    "You need to supply the `--\(name)' option for this command")
            }
            if digit == "0", seen.contains(option) {
                throw ConntrackSyntaxError("Illegal option `--\(name)' with this command")
            }
        }
        guard legality[0] == "3" else { return }
        let hasOriginal = seen.isSuperset(of: [.originalSource, .originalDestination])
        let hasReply = seen.isSuperset(of: [.replySource, .replyDestination])
        guard !hasOriginal, !hasReply else { return }
        let repliesOnly =
            seen.isDisjoint(with: [.originalSource, .originalDestination])
            && !seen.isDisjoint(with: [.replySource, .replyDestination])
        throw ConntrackSyntaxError(
            repliesOnly
                ? "you have to specify `--reply-src' and `--reply-dst'"
                : "you have to specify `--src' and `--dst'")
    }

    private func checkProtocolOptions() throws(ConntrackSyntaxError) {
        for (name, option) in ConntrackOptionTable.ports.suffix(4) where seen.contains(option) {
            throw ConntrackSyntaxError("Illegal option `--\(name)' with this command")
        }
        guard command == .get, table == .conntrack else { return }
        switch request.filter.protocol {
        case .icmp?:
            for (name, option) in ConntrackOptionTable.icmp.prefix(2) where !seen.contains(option) {
                throw ConntrackSyntaxError(
                    "You need to supply the `--\(name)' option for this command")
            }
        case .tcp?, .udp?, .udplite?, .sctp?, .dccp?:
            let hasOriginal = seen.isSuperset(of: [.portSource, .portDestination])
            let hasReply = seen.isSuperset(of: [.replyPortSource, .replyPortDestination])
            guard !hasOriginal, !hasReply else { return }
            let repliesOnly =
                seen.isDisjoint(with: [.portSource, .portDestination])
                && !seen.isDisjoint(with: [.replyPortSource, .replyPortDestination])
            throw ConntrackSyntaxError(
                repliesOnly
                    ? "you have to specify `--reply-port-src' and `--reply-port-dst'"
                    : "you have to specify `--sport' and `--dport'")
        default: return
        }
    }

    private mutating func applyMasks() throws(ConntrackSyntaxError) {
        if let mask = masks.source {
            guard seen.contains(.originalSource) else {
                throw ConntrackSyntaxError("Can't use --mask-src without --src")
            }
            request.filter.originalSource = tuple.source.map { IPv4Network($0, mask: mask) }
        }
        if let mask = masks.destination {
            guard seen.contains(.originalDestination) else {
                throw ConntrackSyntaxError("Can't use --mask-dst without --dst")
            }
            request.filter.originalDestination =
                tuple.destination.map { IPv4Network($0, mask: mask) }
        }
    }

    private func action(
        _ command: ConntrackOption
    ) throws(ConntrackSyntaxError) -> ConntrackRequest.Action {
        let expectations = table == .expect
        // The kernel refuses a status filter without a bit in it.
        if seen.contains(.status), request.filter.statusMask.isEmpty {
            throw ConntrackSyntaxError(other: "Operation failed: invalid parameters")
        }
        switch command {
        case .list:
            return expectations ? .listExpectations : table == .conntrack ? .list : .listTransient
        case .delete where !expectations: return .delete
        case .get where !expectations: return .get(try wantedTuple())
        case .flush:
            if expectations { return .flushExpectations }
            return request.filter.matchesNothing ? .flushOtherFamily : .flush
        case .count: return expectations ? .countExpectations : .count
        case .statistics: return expectations ? .expectationStatistics : .statistics
        case .events: return expectations ? .expectationEvents : .events(eventKinds)
        default:
            throw ConntrackSyntaxError(
                other: "Operation failed: such conntrack doesn't exist")
        }
    }

    private func wantedTuple() throws(ConntrackSyntaxError) -> Tuple {
        let filter = request.filter
        // The kernel looks up an original tuple only.
        guard let source = tuple.source, let destination = tuple.destination,
            let number = filter.protocol
        else { throw ConntrackSyntaxError(other: "Operation failed: invalid parameters") }
        var ports = (
            filter.originalSourcePort ?? Port(0), filter.originalDestinationPort ?? Port(0)
        )
        if number == .icmp {
            let type = UInt16(filter.icmpType ?? 0) << 8 | UInt16(filter.icmpCode ?? 0)
            ports = (Port(filter.icmpID ?? 0), Port(type))
        }
        return Tuple(
            source: source, destination: destination, sourcePort: ports.0,
            destinationPort: ports.1, protocol: number)
    }
}
