// From a taken command's arguments to the request that the daemon is sent. What the command line
// names on disk is read here, with the caller's own rights.

import Glibc

extension TakenCommand {
    /// The request for the daemon; a file that cannot be read travels as the reason, because how to
    /// say it is the command's own affair.
    public func request(_ arguments: [String]) -> ControlRequest {
        var request = ControlRequest(
            command: name, arguments: arguments, workingDirectory: SystemCalls.currentDirectory())
        guard let source = inputSource(arguments) else { return request }
        do throws(TextFile.Failure) {
            request.standardInput = try read(source)
        } catch {
            request.inputFailure = error.reason
        }
        return request
    }

    enum InputSource: Hashable, Sendable {
        case standardInput
        case file(String)
    }

    /// What this command reads: only a restore reads anything; a free word is the file that iptables' reads.
    func inputSource(_ arguments: [String]) -> InputSource? {
        if self == .ipvsadm {
            return arguments == ["-R"] || arguments == ["--restore"] ? .standardInput : nil
        }
        guard self == .iptablesRestore else { return nil }
        var index = 0
        while index < arguments.count {
            let word = arguments[index]
            // These options take the next word as their value (iptables-restore(8)).
            let takesValue = ["-T", "--table", "-M", "--modprobe"].contains(word)
            let waits = ["-w", "--wait", "-W", "--wait-interval"].contains(word)
            if takesValue {
                index += 2
            } else if waits, index + 1 < arguments.count, Int(arguments[index + 1]) != nil {
                index += 2
            } else if ["-h", "--help", "-V", "--version"].contains(word) {
                return nil
            } else if word.hasPrefix("-"), word != "-" {
                index += 1
            } else {
                return .file(word)
            }
        }
        return .standardInput
    }

    private func read(_ source: InputSource) throws(TextFile.Failure) -> [UInt8] {
        switch source {
        case .standardInput: try TextFile.standardInput()
        case .file(let path): try TextFile.read(path, limit: ControlLimits().inputBytes)
        }
    }
}
