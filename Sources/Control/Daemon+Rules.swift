// `iptables`, `iptables-save` and `iptables-restore`: the pure engine over the live rules, then a swap.
//
// Read the counters, let the engine edit, compile, swap at a batch boundary: what was counted between
// the reading and the swap is carried over. Whatever is refused on the way changes nothing.

import Explain
import Ruleset
import Wire

extension Daemon {
    func iptables(_ command: TakenCommand, _ request: ControlRequest) -> ControlReply {
        guard let program = IPTablesProgram(rawValue: command.name) else {
            return .done(.refused("the daemon knows no command '\(command.name)'"))
        }
        do throws(PacketThreadFailure) {
            let live = try liveRules()
            let environment = RulesFile.environment(
                request.inputFailure.map { .unreadable($0) } ?? .bytes(request.standardInput))
            let outcome = IPTablesCommand.run(
                program, arguments: request.arguments, standardInput: request.standardInput,
                ruleset: live, environment: environment)
            var output = CommandOutput(
                output: outcome.standardOutput, error: outcome.standardError,
                status: UInt8(truncatingIfNeeded: outcome.status))
            output.outputFile = outcome.outputFile
            guard let changed = outcome.ruleset else { return .done(output) }
            if let complaint = try install(changed) {
                // What iptables says where the kernel takes a rule but not the whole.
                return .done(CommandOutput(error: "\(command.name): \(complaint)\n", status: 4))
            }
            return .done(output)
        } catch {
            return .done(CommandOutput(error: "\(command.name): \(error)\n", status: 4))
        }
    }

    /// The rules with the counters of this moment.
    func liveRules() throws(PacketThreadFailure) -> Ruleset {
        let known = rules
        rules = try packets.perform { node in
            var live = known
            node.dataplane.engine.rules.handOutCounters(to: &live)
            return live
        }
        return rules
    }

    /// Compiles and swaps; why not, if not.
    func install(_ changed: Ruleset) throws(PacketThreadFailure) -> String? {
        let compiled: Handover<CompiledRuleset>
        var next = compiler
        do throws(CompileError) { compiled = Handover(try next.compile(changed)) } catch {
            return "\(error)"
        }
        if compiled.value.mayAskTheImpossible, let objection = changed.liveObjection {
            return objection
        }
        try packets.perform { node in
            node.dataplane.install(compiled.value)
        }
        (rules, compiler) = (changed, next)
        generation += 1
        do throws(Refusal) { try followLoopback() } catch {
            Self.say("the rules stand, but the loopback is not adopted: \(error)")
        }
        return nil
    }

    /// Puts traces into words with the rules of this moment.
    func traceText() -> TraceText {
        let names = interfaceNames()
        let resolver = SystemNameResolver()
        return TraceText(
            ruleset: rules,
            ruleText: { $0.saved(chain: $1, counters: false, resolver: resolver) },
            interfaceName: { names[$0] ?? "interface \($0.rawValue)" })
    }
}

/// Rules that `sluice run` begins with.
enum RulesFile {
    static func load(_ path: String?) throws(Refusal) -> Ruleset {
        guard let path else { return Ruleset() }
        let text: [UInt8]
        do { text = try TextFile.read(path) } catch { throw Refusal("--rules: \(error)") }
        return try parse(text, name: path)
    }

    /// Reads what iptables-save printed, counters included.
    static func parse(_ text: [UInt8], name: String) throws(Refusal) -> Ruleset {
        let outcome = IPTablesCommand.run(
            .restore, arguments: ["-c", name], ruleset: Ruleset(),
            environment: environment(.bytes(text)))
        guard outcome.status == 0 else {
            var details = outcome.standardError
            if details.last != "\n" { details += "\n" }
            throw Refusal(
                "the rules in \(name) were refused; nothing was touched", details: details)
        }
        return outcome.ruleset ?? Ruleset()
    }

    static func environment(_ file: CommandEnvironment.FileContents) -> CommandEnvironment {
        CommandEnvironment(
            resolver: SystemNameResolver(), date: SystemDate.now(), readFile: { _ in file })
    }
}
