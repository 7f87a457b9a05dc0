// From a match or a target to its text: the one place that lists the cases.

extension Match {
    var text: any ExtensionText {
        switch self {
        case .tcp(let match): match
        case .udp(let match): match
        case .icmp(let match): match
        case .multiport(let match): match
        case .comment(let text): CommentText(text: text)
        case .conntrack(let match): match
        case .state(let states): StateText(states: states)
        case .statistic(let match): match
        case .mark(let test): MarkText(test: test)
        case .addrtype(let match): match
        case .stateless(let match): match.text
        case .limit(let match): match
        case .connmark(let test): ConnmarkText(test: test)
        case .connlimit(let match): match
        case .recent(let match): match
        case .hashlimit(let match): match
        }
    }
}

extension Target {
    /// `nil` for verdicts, jumps and no target at all, which have no parameters.
    var text: (any ExtensionText)? {
        switch self {
        case .none, .accept, .drop, .return, .jump, .goto: nil
        case .dnat(let value):
            NATTargetText(extensionName: "DNAT", option: "--to-destination", value: value)
        case .snat(let value):
            NATTargetText(extensionName: "SNAT", option: "--to-source", value: value)
        case .masquerade(let value):
            PortMappingText(extensionName: "MASQUERADE", listWord: "masq ports:", value: value)
        case .redirect(let value):
            PortMappingText(extensionName: "REDIRECT", listWord: "redir ports", value: value)
        case .mark(let value): value
        case .reject(let type): RejectText(type: type)
        case .log(let value): value
        case .mangle(let value): value.text
        case .connmark(let value): value
        case .nflog(let value): value
        case .trace: TraceTargetText()
        case .ct(let value): value
        case .notrack: NotrackText()
        case .netmap(let network): NetmapText(network: network)
        }
    }

    /// In the first column of `-L`, where NOTRACK goes by the name of the target that it is.
    var listedName: String { self == .notrack ? "CT" : name }

    /// The word behind `-j` or `-g`; empty where there is none.
    var name: String {
        switch self {
        case .none: ""
        case .accept: "ACCEPT"
        case .drop: "DROP"
        case .return: "RETURN"
        case .jump(let chain), .goto(let chain): chain
        default: text?.extensionName ?? ""
        }
    }

    /// The chain that the rule leads to.
    var chain: String? {
        switch self {
        case .jump(let chain), .goto(let chain): chain
        default: nil
        }
    }
}
