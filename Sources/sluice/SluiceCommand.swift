// The root command: `sluice COMMAND …`. Bad input of every kind ends in exit status 2.

import ArgumentParser
import Control
import Glibc

struct Sluice: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sluice",
        abstract: "The IPv4 packet path of a Linux node, in user space.",
        discussion: """
            sluice iptables, sluice iptables-save, sluice iptables-restore, sluice conntrack and \
            sluice ipvsadm take the arguments of the commands they are named after.
            """,
        version: "sluice 0.1.0-dev",
        subcommands: [
            RunCommand.self, StatusCommand.self, DownCommand.self, TraceCommand.self,
            ExplainCommand.self, DoctorCommand.self, LinksCommand.self,
            LabCommand.self, SysctlCommand.self, RecentCommand.self, ReplayCommand.self,
            MirrorCommand.self, ServiceCommand.self, BenchCommand.self,
        ])

    /// Parses and runs; returns the exit status.
    static func main(arguments: [String]) -> Int32 {
        do {
            var command = try parseAsRoot(arguments)
            try command.run()
            return 0
        } catch let status as ExitCode {
            return status.rawValue
        } catch let refusal as Refusal {
            Descriptor.writeAll(Array(refusal.text.utf8), to: STDERR_FILENO)
            return 2
        } catch {
            let asked = exitCode(for: error) == .success
            let text = fullMessage(for: error) + "\n"
            Descriptor.writeAll(Array(text.utf8), to: asked ? STDOUT_FILENO : STDERR_FILENO)
            return asked ? 0 : 2
        }
    }
}
