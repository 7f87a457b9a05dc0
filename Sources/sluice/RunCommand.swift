import ArgumentParser
import Control

/// `sluice run`: the daemon, in the foreground.
struct RunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Take interfaces over, in the foreground, until stopped.")

    @Option(
        name: .customLong("interface"),
        help: ArgumentHelp(
            "An interface to take over, or tap:NAME for a TAP of one's own; may be repeated.",
            valueName: "name"))
    var interfaces: [String] = []
    @Option(
        help: ArgumentHelp("Rules to begin with, as iptables-save prints them.", valueName: "file"))
    var rules: String?
    @Option(help: networkNamespaceHelp) var netns: String?
    @Option(
        help: ArgumentHelp(
            "Whether the kernel forwards once the daemon is dead.", valueName: "open|closed"))
    var onDeath: String = "open"
    @Option(
        help: ArgumentHelp(
            "What carries frames between the interfaces and Sluice.", valueName: "af-packet|af-xdp"
        ))
    var io: String = "af-packet"
    @Flag(help: "Take the kernel's own rules over, and give them back at the end.")
    var takeOver = false
    @Option(
        name: .customLong("set"),
        help: ArgumentHelp(
            """
            A setting by its kernel name, such as net.netfilter.nf_conntrack_udp_timeout=60 or \
            udp_timeout=60 for short; may be repeated. 'sluice sysctl -a' lists them.
            """,
            valueName: "name=value"))
    var settings: [String] = []
    @Option(
        help: ArgumentHelp(
            "A file to append what LOG and TRACE rules say to, instead of standard error.",
            valueName: "file"))
    var log: String?
    @Option(
        help: ArgumentHelp(
            "A capture file for what NFLOG rules copy to a group; may be repeated.",
            valueName: "group=file"))
    var nflog: [String] = []
    @Flag(
        help: """
            Let packets that take a stored path walk through the rules as well, and say on standard error where \
            the two differ; 'sluice status' counts both.
            """)
    var verifyFastPath = false
    @Option(
        help: ArgumentHelp(
            "Where programs in the kernel carry the packets of established flows; auto chooses for each interface.",
            valueName: "off|tc|xdp|auto"))
    var offload: String = "off"
    @Option(
        help: ArgumentHelp(
            """
            How long to look for more packets before sleeping: answers come sooner, and a CPU is busy as long as \
            packets come that often. At most 10000.
            """, valueName: "microseconds"))
    var busyPoll: UInt32 = 0
    @Option(help: ArgumentHelp("How many connections the table holds.", valueName: "count"))
    var capacity = 65_536
    @Option(
        help: ArgumentHelp("Seed of all random choices, for repeatable runs.", valueName: "number"))
    var seed: UInt64?

    func run() throws {
        var configuration = RunConfiguration(
            interfaces: interfaces, seed: seed ?? .random(in: 0...UInt64.max))
        configuration.rulesFile = rules
        configuration.networkNamespace = netns
        guard let choice = RunConfiguration.OnDeath(rawValue: onDeath) else {
            throw Refusal("--on-death \(onDeath): expected open or closed")
        }
        configuration.onDeath = choice
        configuration.offload = RunConfiguration.Offload(rawValue: offload)
        guard configuration.offload != nil || offload == "off" else {
            throw Refusal("--offload \(offload): expected off, tc, xdp or auto")
        }
        guard let portKind = RunConfiguration.PortKind(rawValue: io) else {
            throw Refusal("--io \(io): expected af-packet or af-xdp")
        }
        configuration.portKind = portKind
        guard portKind == .packet || configuration.offload == nil else {
            throw Refusal(
                "--io af-xdp takes frames before they come to the program of --offload \(offload);"
                    + " expected one of the two")
        }
        configuration.takesOver = takeOver
        configuration.logFile = log
        configuration.verifiesPaths = verifyFastPath
        for word in nflog {
            let parts = word.split(separator: "=", maxSplits: 1).map(String.init)
            guard parts.count == 2, let group = UInt16(parts[0]) else {
                throw Refusal("--nflog \(word): expected GROUP=FILE, the group from 0 to 65535")
            }
            configuration.nflog.append((group, parts[1]))
        }
        guard busyPoll <= 10_000 else {
            throw Refusal("--busy-poll \(busyPoll): expected a number from 0 to 10000")
        }
        configuration.busyPollMicroseconds = busyPoll
        guard (1...16_000_000).contains(capacity) else {
            throw Refusal("--capacity \(capacity): expected a number from 1 to 16000000")
        }
        configuration.settings.capacity = capacity
        for assignment in settings {
            configuration.named.insert(try configuration.settings.set(assignment))
        }
        try Daemon.run(configuration)
    }
}
