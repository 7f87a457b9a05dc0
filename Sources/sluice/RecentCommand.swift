import ArgumentParser
import Control

/// `sluice recent`: what is else read below /proc/net/xt_recent.
struct RecentCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "recent",
        abstract: "Show the lists of '-m recent', as /proc/net/xt_recent does.")

    @Argument(help: "A list; without one the names of all are shown.") var name: String?
    @Option(help: networkNamespaceHelp) var netns: String?

    func run() throws {
        try askDaemon("recent", name.map { [$0] } ?? [], networkNamespace: netns)
    }
}
