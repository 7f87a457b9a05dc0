// The daemon: one per network namespace. It checks before it touches, writes down before it changes,
// and gives everything back in the opposite order.
//
// Two threads: this one serves the control socket and owns the rules as text; the packet thread owns the
// data plane (`Node`). Commands are carried out one after the other.

import CLinux
import Conntrack
import Dataplane
import Glibc
import Hooks
import Netlink
import PacketIO
import Ruleset
import Services
import VirtualServer
import Wire

public final class Daemon: CommandHandler {
    let configuration: RunConfiguration
    let stateFile: NodeStateFile
    var state: NodeState
    /// What a person said last, with the counters of the last look.
    var rules: Ruleset
    /// What `ipvsadm` said last.
    var virtualServices = VirtualServices()
    var generation: UInt64 = 0
    /// What the rules in force were compiled with.
    var compiler = RulesetCompiler()
    var services = ServiceProxy(.ofThisMachine)
    /// Of the rules that Services last made; later ones somebody else has changed.
    var serviceGeneration: UInt64?
    let packets: PacketThread<Node>
    let remarks: EventQueue<String>
    let packetLog: EventQueue<PacketLogEvent>
    let nflog: NFLogFiles
    let wake: WakeUp
    let startedAt = sluice_monotonic()
    /// Set once the control socket is bound.
    weak var server: ControlServer?

    init(
        _ configuration: RunConfiguration, rules: Ruleset, node: Handover<Node>,
        state: NodeState, stateFile: NodeStateFile, remarks: EventQueue<String>,
        packetLog: EventQueue<PacketLogEvent>, nflog: NFLogFiles, wake: WakeUp
    ) throws(SystemError) {
        self.configuration = configuration
        self.rules = rules
        self.state = state
        self.stateFile = stateFile
        self.remarks = remarks
        self.packetLog = packetLog
        self.nflog = nflog
        self.wake = wake
        packets = try PacketThread(
            node, cpu: Self.packetCPU(),
            busyPoll: BusyPoll(microseconds: configuration.busyPollMicroseconds))
    }

    /// The last CPU, where there is more than one: interrupts and the control thread favour the first.
    private static func packetCPU() -> UInt32? {
        let (count, last) = SystemCalls.usableCPUs()
        return count > 1 ? last : nil
    }

    public func handle(_ request: ControlRequest, from peer: PeerCredentials) -> ControlReply {
        if let command = TakenCommand(rawValue: request.command) {
            switch command {
            case .conntrack: return conntrack(request)
            case .ipvsadm: return ipvsadm(request)
            default: return iptables(command, request)
            }
        }
        switch request.command {
        case "status": return status(request)
        case "sysctl": return sysctl(request)
        case "recent": return recent(request)
        case "service": return service(request)
        case "trace": return trace(request)
        case "explain": return explain(request)
        case "down":
            server?.stop()
            return .stop
        default:
            return .done(.refused("the daemon knows no command '\(request.command)'"))
        }
    }
}
