// The words of `-m conntrack` and `-m state`, and how both are printed.

import Wire

extension ConnectionStates {
    /// In the order in which iptables prints them.
    static let names: [(state: ConnectionStates, name: String)] = [
        (.invalid, "INVALID"), (.new, "NEW"), (.related, "RELATED"),
        (.established, "ESTABLISHED"), (.untracked, "UNTRACKED"), (.snat, "SNAT"),
        (.dnat, "DNAT"),
    ]

    /// Words may be abbreviated and in any case. SNAT and DNAT are `--ctstate`'s alone.
    init(words: String, virtual: Bool, option: String) throws(CommandError) {
        self = []
        let known = virtual ? Self.names : Array(Self.names.prefix(5))
        for word in words.split(separator: ",", omittingEmptySubsequences: false) {
            guard let found = known.first(where: { String(word).abbreviates($0.name) }) else {
                throw .parameter(
                    "Bad \(option) \"\(word)\"", word: String(word),
                    expected: known.map(\.name).joined(separator: ", "))
            }
            insert(found.state)
        }
    }

    var text: String {
        Self.names.filter { contains($0.state) }.map(\.name).joined(separator: ",")
    }
}

extension ConnectionStatuses {
    static let names: [(status: ConnectionStatuses, name: String)] = [
        (.expected, "EXPECTED"), (.seenReply, "SEEN_REPLY"), (.assured, "ASSURED"),
        (.confirmed, "CONFIRMED"),
    ]

    init(words: String) throws(CommandError) {
        self = []
        for word in words.split(separator: ",", omittingEmptySubsequences: false) {
            if String(word).abbreviates("NONE") { continue }
            guard let found = Self.names.first(where: { String(word).abbreviates($0.name) }) else {
                throw .parameter(
                    "Bad ctstatus \"\(word)\"", word: String(word),
                    expected: "NONE, EXPECTED, SEEN_REPLY, ASSURED or CONFIRMED")
            }
            insert(found.status)
        }
    }

    var text: String {
        isEmpty
            ? "NONE"
            : Self.names.filter { contains($0.status) }.map(\.name).joined(separator: ",")
    }
}

extension ConntrackMatch: ExtensionText {
    var extensionName: String { "conntrack" }

    var saved: String { text(dashes: "--") { "\($0.typed)" + maskSuffix($0.network.mask) } }

    func listed(_ names: ListingNames) -> String {
        text(dashes: "") { names.network($0.typed, mask: $0.network.mask) }
    }

    private func text(dashes: String, address: (AddressMatch) -> String) -> String {
        var text = ""
        func add(_ option: String, _ value: String?, inverted: Bool?) {
            guard let value else { return }
            text += (inverted == true ? " !" : "") + " \(dashes)\(option) \(value)"
        }
        func add(_ option: String, _ match: AddressMatch?) {
            add(option, match.map(address), inverted: match?.inverted)
        }
        func add(_ option: String, _ ports: Invertible<PortRange>?) {
            add(
                option, ports.map { PortText.range($0.value, separator: ":") },
                inverted: ports?.inverted)
        }
        add("ctstate", states?.value.text, inverted: states?.inverted)
        add(
            "ctproto", `protocol`.map { String($0.value.rawValue) }, inverted: `protocol`?.inverted)
        add("ctorigsrc", originalSource)
        add("ctorigdst", originalDestination)
        add("ctreplsrc", replySource)
        add("ctrepldst", replyDestination)
        add("ctorigsrcport", originalSourcePorts)
        add("ctorigdstport", originalDestinationPorts)
        add("ctreplsrcport", replySourcePorts)
        add("ctrepldstport", replyDestinationPorts)
        add("ctstatus", statuses?.value.text, inverted: statuses?.inverted)
        let seconds = expires.map {
            let (low, high) = ($0.value.lowerBound, $0.value.upperBound)
            return low == high ? "\(low)" : "\(low):\(high)"
        }
        add("ctexpire", seconds, inverted: expires?.inverted)
        add("ctdir", direction.map { $0 == .original ? "ORIGINAL" : "REPLY" }, inverted: nil)
        return text
    }
}

struct StateText: ExtensionText {
    var states: Invertible<ConnectionStates>
    var extensionName: String { "state" }
    var saved: String { (states.inverted ? " !" : "") + " --state \(states.value.text)" }
    func listed(_ names: ListingNames) -> String {
        (states.inverted ? " !" : "") + " state \(states.value.text)"
    }
}
