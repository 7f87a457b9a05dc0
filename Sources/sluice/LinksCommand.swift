import ArgumentParser
import Control

/// `sluice links DIR`: the names under which this binary behaves as other commands.
struct LinksCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "links",
        abstract:
            "Make links named iptables, iptables-save, iptables-restore, conntrack and ipvsadm.")

    @Argument(help: "An existing directory, for example /usr/local/sbin.")
    var directory: String

    func run() throws {
        do {
            for name in try CommandLinks.create(in: directory) { print(name) }
        } catch {
            throw Refusal(error.description)
        }
    }
}
