// One command sent to the daemon of this network namespace, with an interrupt turned into a polite
// end: a first Ctrl-C asks a streaming answer for its last words, a second one ends the client.

import CLinux

public enum DaemonConversation {
    public static func run(_ request: ControlRequest) throws(ControlClient.Failure) -> UInt8 {
        let client = try ControlClient()
        let interrupts = Descriptor(owning: sluice_signals_open())
        return try client.run(request, interrupts: interrupts)
    }
}

extension ControlClient.Failure {
    public var sentence: String {
        switch self {
        case .noDaemon:
            "no sluice daemon runs in this network namespace (start one with 'sluice run')"
        case .untrusted(let user):
            "the control socket of this network namespace belongs to user \(user), who is not trusted"
        case .system(let error): error.description
        case .cutOff: "the daemon hung up before the command was finished"
        case .stopped(let process):
            "the daemon does not answer, its process \(process) is stopped;"
                + " 'kill -CONT \(process)' lets it go on, and this command with it"
        }
    }
}
