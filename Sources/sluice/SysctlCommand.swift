import ArgumentParser
import Control
import FoundationEssentials

/// `sluice sysctl`: spelled as sysctl(8).
struct SysctlCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sysctl",
        abstract: "Read and write the daemon's settings, under the kernel's names.")

    @Flag(name: [.customShort("a"), .customShort("A"), .customShort("X"), .long], help: "All.")
    var all = false
    @Flag(name: [.customShort("w"), .long], help: "Every word is an assignment.") var write = false
    @Flag(name: [.customShort("q"), .long], help: "Say nothing of what was set.") var quiet = false
    @Flag(name: [.customShort("n"), .long], help: "Print values only.") var values = false
    @Flag(name: [.customShort("N"), .long], help: "Print names only.") var names = false
    @Flag(name: [.customShort("b"), .long], help: "Print values without a newline.")
    var binary = false
    @Flag(name: [.customShort("e"), .long], help: "Pass over names that are not known.")
    var ignore = false
    @Option(
        name: [.customShort("r"), .long],
        help: ArgumentHelp("Only names that it matches.", valueName: "expression"))
    var pattern: String?
    @Option(help: networkNamespaceHelp) var netns: String?
    @Argument(help: ArgumentHelp("A setting, or an assignment.", valueName: "name[=value]"))
    var words: [String] = []

    func run() throws {
        var request = SysctlRequest()
        request.all = all
        request.write = write
        request.quiet = quiet
        request.valuesOnly = values
        request.namesOnly = names
        request.binary = binary
        request.ignoresUnknown = ignore
        request.pattern = pattern
        request.words = words
        try askDaemon("sysctl", asArgument(request), networkNamespace: netns)
    }
}
