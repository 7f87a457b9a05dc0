// Reads an ipvsadm command line option by option, as ipvsadm 1.31 does: the order matters in places, and so do
// the words of its complaints.

import Ruleset
import Wire

public enum IPVSCommand {
    /// The request, or how the command ends without one.
    public static func parse(
        _ arguments: [String], resolver: any NameResolver
    ) throws(IPVSOutcome) -> IPVSRequest {
        if arguments.isEmpty { return .list(nil, IPVSFormat()) }
        var parser = IPVSParser(arguments, resolver)
        return try parser.parse()
    }
}

/// 31 days.
private let longestTimeout = 86_400 * 31
/// IPVS_SVC_PERSISTENT_TIMEOUT.
private let usualTimeout = Seconds(360)

struct IPVSParser {
    private var words: CommandWords
    private let resolver: any NameResolver
    private var options: Set<IPVSOptionName> = []
    // What has been read so far.
    private var transport: String?
    private var `protocol` = IPProtocol(rawValue: 0)
    private var virtual = Endpoint()
    private var mark: UInt32 = 0
    private var scheduler = ""
    private var persistence: Seconds?
    private var mask = UInt32.max
    private var flagText: String?
    private var server = Endpoint()
    private var weight: Int32 = 1
    private var upperThreshold: UInt32 = 0
    private var lowerThreshold: UInt32 = 0
    private var masquerades = false
    private var tunnels = false
    private var format = IPVSFormat()
    /// Why what was said cannot be done, though ipvsadm knows it.
    private var objection: IPVSOutcome?

    init(_ arguments: [String], _ resolver: any NameResolver) {
        words = CommandWords(arguments)
        self.resolver = resolver
    }

    mutating func parse() throws(IPVSOutcome) -> IPVSRequest {
        let verb = try command()
        do throws(CommandWords.Failure) {
            while let (option, value) = try words.option(IPVSOption.table) {
                if let outcome = take(option, value) { throw CommandWords.Failure.outcome(outcome) }
            }
        } catch {
            throw outcome(of: error)
        }
        if verb == .set { throw timeouts() }
        if let word = words.leftOver.first { throw .fail("unexpected argument \(word)") }
        let flags = try flagText.map { text throws(IPVSOutcome) in try schedulerFlags(text) }
        try check(verb)
        return try request(verb, flags ?? [])
    }

    private func outcome(of failure: CommandWords.Failure) -> IPVSOutcome {
        switch failure {
        case .bad(let word, let complaint):
            IPVSOutcome(error: "\(word): \(complaint)\n", status: 255)
        case .outcome(let outcome): outcome
        }
    }

    /// The first option, which has to be the command.
    private mutating func command() throws(IPVSOutcome) -> IPVSVerb {
        guard let first = try? words.option(IPVSOption.table) else { throw .tryHelp }
        switch first.0 {
        case .command(let verb):
            if verb == .startDaemon || verb == .stopDaemon {
                guard first.1 == "master" || first.1 == "backup" else {
                    throw .fail(
                        verb == .startDaemon
                            ? "illegal start-daemon parameter specified"
                            : "illegal start_daemon specified")
                }
                objection = .refused(
                    "Operation not supported",
                    "there is no synchronisation daemon: connections are not told to other nodes")
            }
            return verb
        case .help: throw IPVSOutcome(output: IPVSUsage.text)
        case .version: throw IPVSOutcome(output: IPVSUsage.version)
        default: throw .tryHelp
        }
    }

    // MARK: Options

    /// How the command ends with this option, if it does.
    private mutating func take(_ option: IPVSOption, _ value: String?) -> IPVSOutcome? {
        do throws(IPVSOutcome) {
            switch option {
            case .command, .help, .version:
                throw .fail("invalid option `\(words.currentWord)'")
            case .tcpService: try service(value, .tcp, "tcp")
            case .udpService: try service(value, .udp, "udp")
            case .sctpService: try service(value, .sctp, "sctp")
            case .markService: try markService(value)
            case .scheduler:
                try note(.scheduler)
                // IP_VS_SCHEDNAME_MAXLEN.
                scheduler = String(decoding: (value ?? "").utf8.prefix(15), as: UTF8.self)
            case .persistent:
                try note(.persistent)
                persistence =
                    try value.map { text throws(IPVSOutcome) in
                        try timeout(text, atLeast: 1)
                    } ?? usualTimeout
            case .netmask: try netmask(value)
            case .schedulerFlags:
                try note(.schedulerFlags)
                flagText = value
            case .server: try realServer(value)
            case .weight: weight = try number(value, .weight)
            case .upperThreshold:
                upperThreshold = UInt32(try number(value, .upperThreshold))
            case .lowerThreshold:
                lowerThreshold = UInt32(try number(value, .lowerThreshold))
            default: try takeSwitch(option, value)
            }
            return nil
        } catch {
            return error
        }
    }

    /// The options that say one thing.
    private mutating func takeSwitch(
        _ option: IPVSOption, _ value: String?
    ) throws(IPVSOutcome) {
        switch option {
        case .masquerading:
            try note(.forwarding)
            masquerades = true
        case .tunneling:
            try note(.forwarding)
            tunnels = true
        case .gatewaying: try note(.forwarding)
        case .numeric:
            try note(.numeric)
            format.isNumeric = true
        case .connection: try note(.connection)
        case .timeout: try note(.timeout)
        case .daemon: try note(.daemon)
        case .statistics: try note(.statistics)
        case .rate: try note(.rate)
        case .thresholds: try note(.thresholds)
        case .persistentConnections: try note(.persistentConnections)
        case .tunnelInformation: try note(.tunnelInformation)
        case .noSort:
            try note(.noSort)
            format.isSorted = false
        case .exact:
            try note(.exact)
            format.isExact = true
        case .ipv6:
            guard mark != 0 else { throw .fail("-6 used before -f\n") }
            objection = objection ?? .onlyIPv4
        case .onePacket:
            try note(.onePacket)
            refuse("-o: a connection is tracked as a whole, not packet by packet")
        case .engine:
            try note(.engine)
            refuse("--pe: there are no persistence engines")
        case .unsupported(let name, let option):
            try note(option)
            refuse("\(name): there are no tunnels and no synchronisation daemon")
        default: break
        }
    }

    private mutating func refuse(_ reason: String) {
        objection = objection ?? .refused("Operation not supported", reason)
    }

    private mutating func note(_ option: IPVSOptionName) throws(IPVSOutcome) {
        guard options.insert(option).inserted else {
            throw .fail("multiple '\(option.rawValue)' options specified")
        }
    }

    private mutating func number(
        _ text: String?, _ option: IPVSOptionName
    ) throws(IPVSOutcome) -> Int32 {
        try note(option)
        guard let number = CLong.parse(text ?? "", 0...Int(Int32.max)) else {
            let name = option.rawValue.replacing("-", with: "_")
            throw .fail("illegal \(name) specified")
        }
        return Int32(number)
    }

    private func timeout(_ text: String, atLeast least: Int) throws(IPVSOutcome) -> Seconds {
        guard let number = CLong.parse(text, least...longestTimeout) else {
            throw .fail("invalid timeout value `\(text)' specified")
        }
        return Seconds(UInt32(number))
    }

    // MARK: Services and servers

    private mutating func service(
        _ text: String?, _ number: IPProtocol, _ name: String
    ) throws(IPVSOutcome) {
        try note(.service)
        `protocol` = number
        transport = name
        guard let endpoint = Endpoint(parsing: text ?? "", transport, resolver) else {
            throw .fail("illegal virtual server address[:port] specified")
        }
        virtual = endpoint
        if number == .sctp {
            refuse("--sctp-service: SCTP is tracked by its addresses alone; use -t, -u or -f")
        }
        if virtual.isIPv6 { objection = objection ?? .onlyIPv4 }
    }

    private mutating func markService(_ text: String?) throws(IPVSOutcome) {
        try note(.service)
        `protocol` = .tcp
        transport = "tcp"
        guard let number = CLong.parse(text ?? "", 1...Int(UInt32.max)) else {
            throw .fail("invalid fwmark value `\(text ?? "")' specified")
        }
        mark = UInt32(number)
    }

    private mutating func realServer(_ text: String?) throws(IPVSOutcome) {
        try note(.server)
        guard var endpoint = Endpoint(parsing: text ?? "", transport, resolver) else {
            throw .fail("illegal real server address[:port] specified")
        }
        if !endpoint.hasPort { endpoint.port = virtual.port }
        server = endpoint
        if server.isIPv6 { objection = objection ?? .onlyIPv4 }
    }

    private mutating func netmask(_ text: String?) throws(IPVSOutcome) {
        try note(.netmask)
        guard
            let address = Endpoint.aton(text ?? "")
                ?? resolver.addresses(host: text ?? "").first
        else { throw .fail("illegal virtual server persistent mask specified") }
        mask = address.rawValue
    }

    private func schedulerFlags(_ text: String) throws(IPVSOutcome) -> SchedulerFlags {
        var flags: SchedulerFlags = []
        let name = scheduler.isEmpty ? "wlc" : scheduler
        for word in text.split(separator: ",").map(String.init) {
            switch word {
            case "flag-1", "sh-fallback", "mh-fallback": flags.insert(.fallback)
            case "flag-2", "sh-port", "mh-port": flags.insert(.port)
            case "flag-3": flags.insert(.third)
            default: throw .fail("invalid scheduler flag `\(word)'")
            }
            guard word.hasPrefix("flag-") || word.hasPrefix(name + "-") else {
                throw .fail("incompatible scheduler flag `\(word)'")
            }
        }
        return flags
    }

    private func timeouts() -> IPVSOutcome {
        guard words.leftOver.count >= 3 else {
            return .fail("--set option requires 3 timeout values")
        }
        for word in words.leftOver.prefix(3) {
            do throws(IPVSOutcome) { _ = try timeout(word, atLeast: 0) } catch { return error }
        }
        if words.leftOver.count > 3 { return .fail("unexpected argument \(words.leftOver[3])") }
        return .refused(
            "Operation not supported",
            "--set: connections live as long as conntrack says; see 'sluice sysctl"
                + " net.netfilter.nf_conntrack_tcp_timeout_established'")
    }

    // MARK: The whole

    /// `generic_opt_check`.
    private func check(_ verb: IPVSVerb) throws(IPVSOutcome) {
        var exclusive: IPVSOptionName?
        for option in IPVSOptionName.allCases {
            guard options.contains(option) else {
                if verb.required.contains(option) {
                    throw .fail(
                        "You need to supply the '\(option.rawValue)' option for the"
                            + " '\(verb.rawValue)' command")
                }
                continue
            }
            if verb.exclusive.contains(option) {
                if let other = exclusive {
                    throw .fail(
                        "The option '\(option.rawValue)' conflicts with the '\(other.rawValue)'"
                            + " option in the '\(verb.rawValue)' command")
                }
                exclusive = option
            } else if !verb.required.contains(option), !verb.optional.contains(option) {
                throw .fail(
                    "Illegal '\(option.rawValue)' option with the '\(verb.rawValue)' command")
            }
        }
    }

    private mutating func request(
        _ verb: IPVSVerb, _ flags: SchedulerFlags
    ) throws(IPVSOutcome) -> IPVSRequest {
        let key: ServiceKey =
            mark != 0 ? .mark(mark) : .address(`protocol`, virtual.address, virtual.port)
        switch verb {
        case .addService, .editService:
            return try serviceRequest(key, isNew: verb == .addService, flags)
        case .addServer, .editServer:
            try checkForwarding()
            if let objection { throw objection }
            let server = RealServer(
                address: server.address, port: server.port, weight: weight,
                upperThreshold: upperThreshold, lowerThreshold: lowerThreshold)
            return verb == .addServer ? .addServer(server, key) : .editServer(server, key)
        case .list: return try listRequest(key)
        default: break
        }
        if let objection { throw objection }
        switch verb {
        case .deleteService: return .deleteService(key)
        case .deleteServer: return .deleteServer(server.address, server.port, key)
        case .zero: return .zero(options.contains(.service) ? key : nil)
        case .save: return .save(format)
        case .restore: return .restore
        default: return .clear
        }
    }

    private func serviceRequest(
        _ key: ServiceKey, isNew: Bool, _ flags: SchedulerFlags
    ) throws(IPVSOutcome) -> IPVSRequest {
        if mark == 0, virtual.port.rawValue == 0, persistence == nil {
            throw .fail("Zero port specified for non-persistent service")
        }
        if options.contains(.onePacket), mark == 0, `protocol` != .udp {
            throw .fail("One-Packet Scheduling is only for UDP virtual services")
        }
        if let objection { throw objection }
        let service = VirtualService(
            key: key, scheduler: scheduler.isEmpty ? "wlc" : scheduler, flags: flags,
            persistence: persistence.map { Persistence(timeout: $0, mask: mask) })
        return isNew ? .addService(service) : .editService(service)
    }

    private func checkForwarding() throws(IPVSOutcome) {
        if server.isIPv6 != virtual.isIPv6, !tunnels {
            throw .fail("Different address family is allowed only for tunneling servers")
        }
        let ofTunnels: Set<IPVSOptionName> = [
            .tunnelType, .tunnelPort, .tunnelNoChecksum, .tunnelChecksum, .tunnelRemoteChecksum,
        ]
        if !tunnels, !options.isDisjoint(with: ofTunnels) {
            throw .fail("Tunnel options conflict with forward method")
        }
        guard !masquerades else { return }
        throw .refused(
            "Operation not supported",
            tunnels
                ? "-i: there are no tunnels; Sluice forwards by masquerading, say -m"
                : "-g, which is what ipvsadm takes where no method is given: Sluice does not"
                    + " forward by the server's MAC address alone; say -m for masquerading")
    }

    private mutating func listRequest(_ key: ServiceKey) throws(IPVSOutcome) -> IPVSRequest {
        let alone: Set<IPVSOptionName> = [.connection, .timeout, .daemon]
        let others: Set<IPVSOptionName> = [.statistics, .rate, .thresholds]
        let isTold = options.contains(.timeout) || options.contains(.daemon)
        if !options.isDisjoint(with: alone) && !options.isDisjoint(with: others)
            || isTold && options.contains(.persistentConnections)
        {
            throw .fail("options conflicts in the list command")
        }
        let columns: [(IPVSOptionName, IPVSFormat.Columns)] = [
            (.statistics, .traffic), (.rate, .rates), (.thresholds, .thresholds),
            (.persistentConnections, .persistent), (.tunnelInformation, .tunnels),
        ]
        format.columns = columns.first { options.contains($0.0) }?.1 ?? .load
        if options.contains(.connection) { return .connections(format) }
        if options.contains(.timeout) { return .timeouts }
        if options.contains(.daemon) { return .daemons }
        if let objection { throw objection }
        return .list(options.contains(.service) ? key : nil, format)
    }
}

extension IPVSOutcome {
    static let onlyIPv4 = refused(
        "Operation not supported with specified address family", "Sluice is the IPv4 half")
}
