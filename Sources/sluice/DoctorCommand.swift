import ArgumentParser
import Control
import Glibc

/// `sluice doctor`: exit status 0 where nothing that Sluice needs is missing, else 1.
struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract:
            "Say what Sluice needs of this machine and what is missing; status 1 if anything is.")

    @Option(help: networkNamespaceHelp) var netns: String?

    func run() throws {
        try Daemon.enterNamespace(netns)
        let findings = Doctor.examine()
        for finding in findings {
            Descriptor.writeAll(Array(finding.line.utf8), to: STDOUT_FILENO)
        }
        if findings.contains(where: { $0.verdict == .missing }) { throw ExitCode(1) }
    }
}
