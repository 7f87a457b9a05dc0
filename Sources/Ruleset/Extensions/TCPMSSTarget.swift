// `TCPMSS`: the maximum segment size in TCP's options.

struct TCPMSSParser: TargetParser {
    static let name = "TCPMSS"
    static let options = [
        OptionSpec("set-mss", 1), OptionSpec("clamp-mss-to-pmtu", 2, takesArgument: false),
    ]

    /// 65535 less an IPv4 header; 65535 itself stands for "clamp" in the kernel.
    private static let largest: UInt64 = 65515
    /// Of both, the one typed last.
    private var value: TCPMSSTarget?

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        guard use.spec.id == 1 else {
            value = .clampToPathMTU
            return
        }
        guard let size = CNumber.unsigned(use.value, max: Self.largest) else {
            throw Self.outOfRange(use, "0", "\(Self.largest)")
        }
        value = .set(UInt16(size))
    }

    func check(_ context: RuleContext) throws(CommandError) {
        guard value != nil else {
            throw .parameter("TCPMSS target: At least one parameter is required")
        }
    }

    func target() -> Target {
        guard let value else { preconditionFailure("check() lets no empty TCPMSS through") }
        return .mangle(.tcpmss(value))
    }
}

extension TCPMSSTarget: ExtensionText {
    var extensionName: String { "TCPMSS" }

    var saved: String {
        switch self {
        case .set(let size): " --set-mss \(size)"
        case .clampToPathMTU: " --clamp-mss-to-pmtu"
        }
    }

    func listed(_ names: ListingNames) -> String {
        switch self {
        case .set(let size): " TCPMSS set \(size)"
        case .clampToPathMTU: " TCPMSS clamp to PMTU"
        }
    }
}
