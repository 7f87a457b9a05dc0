// Commands that the daemon of a namespace answers.

import ArgumentParser
import Control

/// What `--netns` takes, the same for every command.
let networkNamespaceHelp = ArgumentHelp(
    "The network namespace: a name that 'ip netns' knows, or a path.", valueName: "name")

/// Enters the namespace, asks the daemon there, relays its answer; its status becomes ours.
func askDaemon(
    _ command: String, _ arguments: [String] = [], standardInput: [UInt8] = [],
    networkNamespace: String?
) throws {
    try Daemon.enterNamespace(networkNamespace)
    let status: UInt8
    do throws(ControlClient.Failure) {
        status = try DaemonConversation.run(
            ControlRequest(command: command, arguments: arguments, standardInput: standardInput))
    } catch {
        throw Refusal(error.sentence)
    }
    if status != 0 { throw ExitCode(Int32(status)) }
}

struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Say what the daemon of this network namespace does.")

    @Flag(help: "As one JSON object.") var json = false
    @Option(help: networkNamespaceHelp) var netns: String?

    func run() throws {
        try askDaemon("status", json ? ["--json"] : [], networkNamespace: netns)
    }
}

struct DownCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "down",
        abstract: "Stop the daemon of this network namespace, or clean up after a dead one.")

    @Option(help: networkNamespaceHelp) var netns: String?

    func run() throws {
        try Daemon.enterNamespace(netns)
        let status = try DaemonStop.run()
        if status != 0 { throw ExitCode(Int32(status)) }
    }
}
