import Testing

@testable import Control

@Suite("The commands that Sluice stands in for")
struct TakenCommandTests {
    @Test(
        "say their version without a daemon", arguments: TakenCommand.allCases, [true, false])
    func version(command: TakenCommand, isLong: Bool) throws {
        let short = command == .ipvsadm ? "-v" : "-V"
        let answer = try #require(command.answerAlone([isLong ? "--version" : short]))
        #expect(answer.status == 0)
        #expect(answer.error.isEmpty)
        let version =
            switch command {
            case .conntrack: "1.4.7"
            case .ipvsadm: "1.31"
            default: "1.8.9"
            }
        #expect(answer.output.contains(version))
    }

    // iptables-save has no help, and iptables-restore gives it on standard error.
    @Test("say what they take without a daemon", arguments: TakenCommand.allCases)
    func help(command: TakenCommand) throws {
        let answer = try #require(command.answerAlone(["-h"]))
        #expect(answer.status == (command == .iptablesSave ? 1 : 0))
        let isUsage = [.iptables, .conntrack, .ipvsadm].contains(command)
        #expect((isUsage ? answer.output : answer.error).contains(command.name))
        #expect((isUsage ? answer.error : answer.output).isEmpty)
    }

    @Test("ask the daemon for everything else")
    func notAlone() {
        for words in [[], ["-L"], ["-V", "-L"], ["-A", "INPUT", "-h"]] {
            #expect(TakenCommand.iptables.answerAlone(words) == nil)
            #expect(TakenCommand.conntrack.answerAlone(words) == nil)
            #expect(TakenCommand.ipvsadm.answerAlone(words) == nil)
        }
    }
}
