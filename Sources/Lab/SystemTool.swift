// Programs of the system that are asked about the kernel's own netfilter: nft, ip, iptables-save,
// iptables-restore, conntrack. They are looked for in fixed places, and a link to this very binary is
// passed over: in a lab the first `iptables-save` of the search path is Sluice itself.

import Glibc

public struct SystemTool: Sendable {
    static let places = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"]
    public let path: String

    /// `nil` where it is not installed.
    public init?(_ name: String) {
        let own = linkTarget("/proc/self/exe")
        let found = Self.places.lazy.map { "\($0)/\(name)" }.first { path in
            unsafe access(path, X_OK) == 0 && linkTarget(path) != own
        }
        guard let found else { return nil }
        path = found
    }

    public func run(_ arguments: [String], input: String = "") throws(LabError) -> Command.Outcome {
        try Command([path] + arguments).run(input: input)
    }
}
