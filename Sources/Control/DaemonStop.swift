// `sluice down`: asks the daemon to stop and waits until everything is given back; where none runs, it
// gives back what a dead one left behind.

import Glibc

public enum DaemonStop {
    /// Returns the exit status.
    public static func run() throws(Refusal) -> UInt8 {
        do throws(ControlClient.Failure) {
            return try DaemonConversation.run(ControlRequest(command: "down"))
        } catch {
            // A daemon that was killed can still be connected to for a moment, and then hangs up.
            guard error == .noDaemon || error == .cutOff else { throw Refusal(error.sentence) }
        }
        let file = try refusing { () throws(SystemError) in try NodeStateFile.ofThisNamespace() }
        let loaded = try refusing { () throws(NodeStateFile.Failure) in try file.load() }
        guard let state = loaded else {
            Daemon.say("no daemon runs in this network namespace, and none left anything behind")
            return 0
        }
        guard hasEnded(state) else {
            throw Refusal(
                "process \(state.processID) still runs but does not answer in this network namespace;"
                    + " end it first")
        }
        let complaints = NodeCleanup.giveBack(state)
        guard complaints.isEmpty else { throw Refusal(complaints.joined(separator: "; ")) }
        file.remove()
        Descriptor.writeAll(
            Array("sluice: cleaned up after process \(state.processID), which had died\n".utf8),
            to: STDOUT_FILENO)
        return 0
    }

    /// Whether the daemon is gone; its socket closes a little before that.
    private static func hasEnded(_ state: NodeState) -> Bool {
        for _ in 0..<200 {
            if processStart(state.processID) != state.processStart { return true }
            usleep(10_000)
        }
        return false
    }
}
