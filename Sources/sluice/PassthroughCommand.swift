// Commands that keep the spelling of the tools they stand in for. The client reads what the command
// line names (restore FILE) and what stands on standard input; the daemon sees text only.

import Control
import Glibc

struct PassthroughCommand {
    var command: TakenCommand
    var arguments: [String]

    func run() -> UInt8 {
        if let answer = command.answerAlone(arguments) {
            Descriptor.writeAll(Array(answer.output.utf8), to: STDOUT_FILENO)
            Descriptor.writeAll(Array(answer.error.utf8), to: STDERR_FILENO)
            return answer.status
        }
        do throws(ControlClient.Failure) {
            return try DaemonConversation.run(command.request(arguments))
        } catch {
            return complain(error.sentence, status: command.statusWithoutDaemon)
        }
    }

    private func complain(_ sentence: String, status: UInt8) -> UInt8 {
        Descriptor.writeAll(Array("\(command.name): \(sentence)\n".utf8), to: STDERR_FILENO)
        return status
    }
}
