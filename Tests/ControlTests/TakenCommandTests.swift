import Testing

@testable import Control

@Suite("The commands that Sluice stands in for")
struct TakenCommandTests {
    @Test(
        "say their version without a daemon", arguments: TakenCommand.allCases, ["-V", "--version"])
    func version(command: TakenCommand, word: String) throws {
        let answer = try #require(command.answerAlone([word]))
        #expect(answer.status == 0)
        #expect(answer.error.isEmpty)
        #expect(answer.output.contains(command == .conntrack ? "1.4.7" : "1.8.9"))
    }

    // iptables-save has no help, and iptables-restore gives it on standard error.
    @Test("say what they take without a daemon", arguments: TakenCommand.allCases)
    func help(command: TakenCommand) throws {
        let answer = try #require(command.answerAlone(["-h"]))
        #expect(answer.status == (command == .iptablesSave ? 1 : 0))
        let isUsage = command == .iptables || command == .conntrack
        #expect((isUsage ? answer.output : answer.error).contains(command.name))
        #expect((isUsage ? answer.error : answer.output).isEmpty)
    }

    @Test("ask the daemon for everything else")
    func notAlone() {
        for words in [[], ["-L"], ["-V", "-L"], ["-A", "INPUT", "-h"]] {
            #expect(TakenCommand.iptables.answerAlone(words) == nil)
            #expect(TakenCommand.conntrack.answerAlone(words) == nil)
        }
    }
}
