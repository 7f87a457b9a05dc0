// Help and version, which the originals give to everybody: scripts ask for them before anything runs.

import Conntrack
import Ruleset
import VirtualServer

extension TakenCommand {
    /// The answer where a command line asks for help or the version alone; it takes no daemon.
    public func answerAlone(_ arguments: [String]) -> CommandOutput? {
        guard let word = arguments.first, arguments.count == 1,
            ["-h", "--help", "-v", "-V", "--version"].contains(word)
        else { return nil }
        if self == .ipvsadm { return ipvsadmAnswer(arguments) }
        // -v alone asks iptables and conntrack for nothing.
        if word == "-v" { return nil }
        guard let program = IPTablesProgram(rawValue: name) else {
            guard case .finished(let outcome) = ConntrackCommand(parsing: arguments) else {
                return nil
            }
            return CommandOutput(outcome)
        }
        let outcome = IPTablesCommand.run(
            program, arguments: arguments, standardInput: [], ruleset: Ruleset(),
            environment: RulesFile.environment(.bytes([])))
        return CommandOutput(
            output: outcome.standardOutput, error: outcome.standardError,
            status: UInt8(truncatingIfNeeded: outcome.status))
    }

    private func ipvsadmAnswer(_ arguments: [String]) -> CommandOutput? {
        do throws(IPVSOutcome) {
            _ = try IPVSCommand.parse(arguments, resolver: NumericResolver())
            return nil
        } catch {
            return CommandOutput(error)
        }
    }
}
