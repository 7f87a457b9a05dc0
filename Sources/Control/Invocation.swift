// Which command the binary is: decided by the name it was called by, then by its first word. Pure.

/// The commands of other packages that Sluice stands in for.
public enum TakenCommand: String, CaseIterable, Sendable {
    case iptables = "iptables"
    case iptablesSave = "iptables-save"
    case iptablesRestore = "iptables-restore"
    case conntrack = "conntrack"
    case ipvsadm = "ipvsadm"

    public var name: String { rawValue }

    /// What a script sees where no daemon runs: the status with which the original reports that it
    /// cannot reach the kernel (iptables 4, RESOURCE_PROBLEM; conntrack 1; ipvsadm 2).
    public var statusWithoutDaemon: UInt8 {
        switch self {
        case .conntrack: 1
        case .ipvsadm: 2
        case .iptables, .iptablesSave, .iptablesRestore: 4
        }
    }
}

public enum Invocation: Hashable, Sendable {
    case passthrough(TakenCommand, arguments: [String])
    case own(arguments: [String])

    /// - Parameter commandLine: `argv`, the binary's name first.
    public init(_ commandLine: [String]) {
        let name = commandLine.first?.split(separator: "/").last.map(String.init) ?? ""
        let rest = Array(commandLine.dropFirst())
        if let command = TakenCommand(rawValue: name) {
            self = .passthrough(command, arguments: rest)
        } else if let word = rest.first, let command = TakenCommand(rawValue: word) {
            self = .passthrough(command, arguments: Array(rest.dropFirst()))
        } else {
            self = .own(arguments: rest)
        }
    }
}
