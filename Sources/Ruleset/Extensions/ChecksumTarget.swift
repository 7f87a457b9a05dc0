// `CHECKSUM --checksum-fill`: computes a checksum that was left to a device.

struct ChecksumTargetParser: TargetParser {
    static let name = "CHECKSUM"
    static let options = [OptionSpec("checksum-fill", 1, takesArgument: false, mandatory: true)]

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {}

    func target() -> Target { .mangle(.checksumFill) }
}

struct ChecksumTargetText: ExtensionText {
    var extensionName: String { "CHECKSUM" }
    var saved: String { " --checksum-fill" }
    func listed(_ names: ListingNames) -> String { " CHECKSUM fill" }
}
