// Programs of the system that the take-over and its refusals talk to: nft, iptables-save,
// iptables-restore, conntrack. They are looked for in fixed places, and a link to this very binary is
// passed over: in a lab the first `iptables-save` of the search path is Sluice itself.

import Lab

struct SystemTool {
    static let places = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"]
    let path: String

    /// `nil` where it is not installed.
    init?(_ name: String) {
        let own = SystemCalls.linkTarget("/proc/self/exe")
        let found = Self.places.lazy.map { "\($0)/\(name)" }.first { path in
            SystemCalls.isExecutable(path) && SystemCalls.linkTarget(path) != own
        }
        guard let found else { return nil }
        path = found
    }

    func run(_ arguments: [String], input: String = "") throws(LabError) -> Command.Outcome {
        try Command([path] + arguments).run(input: input)
    }
}
