import Conntrack
import FoundationEssentials
import Ruleset
import Testing
import Wire

@testable import VirtualServer

/// Sessions of ipvsadm 1.31 from Debian 12, which spoke to a stand-in for the kernel's interface (getsockopt and
/// setsockopt of IP_VS_SO_*): commands, what they printed, and how they ended.
struct RecordedSession: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var commands: [RecordedCommand] = []
}

struct RecordedCommand: Sendable, CustomStringConvertible {
    var arguments: [String]
    var output = ""
    var error = ""
    var status: Int32 = 0

    var description: String { "ipvsadm " + arguments.joined(separator: " ") }

    static let sessions: [RecordedSession] = {
        let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appending(path: "Fixtures/ipvsadm-1.31.txt")
        guard let text = try? String(contentsOf: file, encoding: .utf8) else { return [] }
        var sessions: [RecordedSession] = []
        for line in text.split(separator: "\n") {
            let rest = String(line.dropFirst(2))
            let last = max(0, sessions.count - 1)
            let command = sessions.isEmpty ? 0 : sessions[last].commands.count - 1
            switch line.first {
            case "#": sessions.append(RecordedSession(testDescription: rest))
            case "$":
                let words = rest.split(separator: " ").dropFirst().map(String.init)
                sessions[last].commands.append(RecordedCommand(arguments: words))
            case "|": sessions[last].commands[command].output += rest + "\n"
            case "!": sessions[last].commands[command].error += rest + "\n"
            case "=": sessions[last].commands[command].status = Int32(rest) ?? -1
            default: break
            }
        }
        return sessions
    }()
}

/// The names that the recorded sessions met.
struct FewNames: NameResolver {
    private static let services: [(String, UInt16, String)] = [
        ("http", 80, "tcp"), ("https", 443, "tcp"), ("http-alt", 8080, "tcp"),
        ("domain", 53, "udp"),
        ("domain", 53, "tcp"),
    ]

    func port(service: String, transport: String?) -> Port? {
        Self.services.first { $0.0 == service && $0.2 == transport }.map { Port($0.1) }
    }
    func service(port: Port, transport: String?) -> String? {
        Self.services.first { $0.1 == port.rawValue && $0.2 == transport }?.0
    }
    func number(protocolName: String) -> IPProtocol? { nil }
    func name(protocolNumber: IPProtocol) -> String? { nil }
    func addresses(host: String) -> [IPv4Address] { host == "localhost" ? [.loopback] : [] }
    func host(address: IPv4Address) -> String? { address == .loopback ? "localhost" : nil }
    func userID(named: String) -> UInt32? { nil }
    func userName(_ userID: UInt32) -> String? { nil }
    func groupID(named: String) -> UInt32? { nil }
    func groupName(_ groupID: UInt32) -> String? { nil }
}

/// ipvsadm over a table without packets.
struct Table {
    var services = VirtualServices()
    let environment = IPVSEnvironment(resolver: FewNames())

    mutating func run(_ arguments: [String], input: String = "") -> IPVSOutcome {
        let request: IPVSRequest
        do { request = try IPVSCommand.parse(arguments, resolver: FewNames()) } catch {
            return error
        }
        func text(_ format: IPVSFormat, isSave: Bool = false) -> IPVSText {
            IPVSText(format, isSave: isSave, counts: ServiceCounts(), resolver: FewNames())
        }
        switch request {
        case .list(let key?, let format):
            guard let service = services[key] else {
                return IPVSOutcome(error: "No such service\n", status: 1)
            }
            return IPVSOutcome(output: text(format).table(service))
        case .list(nil, let format): return IPVSOutcome(output: text(format).table(services))
        case .save(let format):
            return IPVSOutcome(output: text(format, isSave: true).table(services))
        case .restore: return services.restore(input, environment).outcome
        default: return services.carryOut(request, environment) ?? IPVSOutcome()
        }
    }

    mutating func run(_ line: String, input: String = "") -> IPVSOutcome {
        run(line.split(separator: " ").map(String.init), input: input)
    }
}

@Suite("The text of ipvsadm")
struct RecordedSessionTests {
    @Test("is that of the original, command by command", arguments: RecordedCommand.sessions)
    func recorded(session: RecordedSession) {
        var table = Table()
        for command in session.commands {
            let outcome = table.run(command.arguments)
            #expect(outcome.output == command.output, "\(command)")
            // A second line is Sluice's own: the reason for what the kernel refuses without one.
            #expect(outcome.error.hasPrefix(command.error), "\(command): \(outcome.error)")
            let more = outcome.error.dropFirst(command.error.count)
            #expect(more.isEmpty || more.hasPrefix("ipvsadm: "), "\(command): \(more)")
            #expect(outcome.status == command.status, "\(command)")
        }
    }

    @Test("the recorded sessions are there")
    func sessions() {
        #expect(RecordedCommand.sessions.map(\.commands.count).reduce(0, +) > 150)
    }

    @Test("what -S prints is what -R reads, with names and with numbers", arguments: ["-S", "-Sn"])
    func roundTrip(save: String) {
        for session in RecordedCommand.sessions.prefix(3) {
            var table = Table()
            for command in session.commands where command.arguments != ["-C"] {
                _ = table.run(command.arguments)
            }
            let saved = table.run(save).output
            #expect(!saved.isEmpty)
            var other = Table()
            #expect(other.run("-R", input: saved) == IPVSOutcome())
            // The order of addresses far apart depends on the order in which they came, as in the original.
            func lines(_ text: String) -> [Substring] { text.split(separator: "\n").sorted() }
            #expect(lines(other.run(save).output) == lines(saved))
        }
    }

    @Test("thresholds are not saved, as the original does not save them")
    func thresholds() {
        var table = Table()
        _ = table.run("-A -t 10.0.0.1:80 -s rr")
        _ = table.run("-a -t 10.0.0.1:80 -r 10.0.0.2 -m -x 9 -y 3")
        #expect(table.run("-Sn").output.contains("-a -t 10.0.0.1:80 -r 10.0.0.2:80 -m -w 1\n"))
        #expect(table.run("-Ln --thresholds").output.contains(" 9          3          0 "))
    }

    @Test(
        "forwarding that does not translate is refused, with the reason",
        arguments: ["", "-g", "-i"])
    func forwarding(method: String) {
        var table = Table()
        _ = table.run("-A -t 10.0.0.1:80")
        let outcome = table.run("-a -t 10.0.0.1:80 -r 10.0.0.2 \(method)")
        #expect(outcome.error.contains("say -m"))
        #expect(outcome.status == 255)
        #expect(table.services.services.first?.servers.isEmpty == true)
    }

    @Test(
        "what ipvsadm knows and Sluice does not do is refused by name",
        arguments: [
            ("-A -u 10.0.0.1:53 -o", "-o:"), ("-A -t 10.0.0.1:80 --pe sip", "--pe:"),
            ("-A --sctp-service 10.0.0.1:80", "--sctp-service:"), ("--set 1 2 3", "--set:"),
            ("--start-daemon master", "no synchronisation daemon"),
            ("--stop-daemon backup", "no synchronisation daemon"),
            ("-A -t [::1]:80", "the IPv4 half"), ("-A -f 3 -6", "the IPv4 half"),
            ("-A -t 10.0.0.1:80 -s lblc", "the schedulers are rr, wrr"),
            ("-A -t 10.0.0.1:80 -s fo", "the schedulers are rr, wrr"),
        ])
    func unsupported(line: String, reason: String) {
        var table = Table()
        let outcome = table.run(line)
        #expect(outcome.error.contains(reason), "\(outcome.error)")
        #expect(outcome.status == 255)
        #expect(table.services == VirtualServices())
    }

    @Test("a server's address must be one host's")
    func unicast() {
        var table = Table()
        _ = table.run("-A -t 10.0.0.1:80")
        for address in ["0.0.0.0", "224.0.0.1", "255.255.255.255"] {
            let outcome = table.run("-a -t 10.0.0.1:80 -r \(address) -m")
            #expect(outcome.error.hasPrefix("Invalid operation.  Possibly wrong module version"))
            #expect(outcome.status == 255)
        }
    }

    @Test("a lower threshold above the upper one is out of range")
    func reversedThresholds() {
        var table = Table()
        _ = table.run("-A -t 10.0.0.1:80")
        let outcome = table.run("-a -t 10.0.0.1:80 -r 10.0.0.2 -m -x 3 -y 5")
        #expect(outcome.error.hasPrefix("Numerical result out of range\n"))
    }

    @Test("a line that cannot be read restores nothing, and its number is said")
    func badRestore() {
        var table = Table()
        let outcome = table.run(
            "-R", input: "-A -t 10.0.0.1:80 -s rr\n\n-a -t 10.0.0.1:80 -r 10.0.0.2 -m -w x\n")
        #expect(
            outcome.error == "illegal weight specified\nipvsadm: line 3; nothing was restored\n")
        #expect(outcome.status == 2)
        #expect(table.services == VirtualServices())
    }

    @Test("a restore over what is there says what exists, and adds the rest")
    func restoreOver() {
        var table = Table()
        _ = table.run("-A -t 10.0.0.1:80 -s rr")
        let outcome = table.run(
            "-R", input: "ipvsadm -A -t 10.0.0.1:80 -s rr\n-a -t 10.0.0.1:80 -r 10.0.0.2 -m")
        #expect(outcome == IPVSOutcome(error: "Service already exists\n"))
        #expect(table.services.services.first?.servers.count == 1)
    }

    @Test("a mark from 2^31 on is printed as it was said, so that it can be restored")
    func largeMark() {
        var table = Table()
        _ = table.run("-A -f 4294967295 -s rr")
        #expect(table.run("-Sn").output == "-A -f 4294967295 -s rr\n")
        #expect(table.run("-Ln").output.hasSuffix("\nFWM  4294967295 rr\n"))
    }

    @Test("flags without a flag are none")
    func noFlags() {
        var table = Table()
        #expect(table.run("-A -t 10.0.0.1:80 -b ,") == IPVSOutcome())
        #expect(table.run("-Sn").output == "-A -t 10.0.0.1:80 -s wlc\n")
    }

    @Test("--nosort lists services as they were added, and servers as schedulers see them")
    func unsorted() {
        var table = Table()
        for line in [
            "-A -t 10.0.0.2:80", "-A -t 10.0.0.1:80", "-a -t 10.0.0.1:80 -r 10.0.1.1 -m",
            "-a -t 10.0.0.1:80 -r 10.0.1.2 -m",
        ] {
            _ = table.run(line)
        }
        let names = table.run("-Ln --nosort").output.split(separator: "\n").dropFirst(3).map {
            $0.split(separator: " ")[1]
        }
        #expect(names == ["10.0.0.2:80", "10.0.0.1:80", "10.0.1.2:80", "10.0.1.1:80"])
    }

    @Test(
        "large numbers are shortened as the original does it, unless they are to be exact",
        arguments: [
            (99_999_999, "   99999999", "   99999999"), (100_000_000, "    100000K", "  100000000"),
            (1_000_000_000, "       1000M", " 1000000000"),
            (123_456_789_012, "        123G", " 123456789012"),
            (100_000_000_000_000, "        100T", " 100000000000000"),
        ] as [(UInt64, String, String)])
    func largeNumbers(number: UInt64, short: String, exact: String) {
        let connections = ConnectionTable(capacity: 4, seed: 1)
        let director = Director(connections)
        var table = Table()
        _ = table.run("-A -t 10.0.0.1:80")
        _ = table.run("-a -t 10.0.0.1:80 -r 10.0.0.2 -m")
        director.follow(table.services, now: Timestamp(nanoseconds: 0))
        var load = ServerLoad()
        load.isAvailable = true
        load.traffic.bytesOut = number
        connections.setLoad(of: ServerAccount(rawValue: 0), load)
        var format = IPVSFormat()
        format.columns = .traffic
        format.isNumeric = true
        for (isExact, tail) in [(false, short), (true, exact)] {
            format.isExact = isExact
            let text = IPVSText(format, counts: ServiceCounts(director), resolver: FewNames())
            let wanted = tail.drop { $0 == " " }
            let lines = text.table(table.services).split(separator: "\n").suffix(2)
            for line in lines { #expect(line.hasSuffix(" " + wanted), "\(line)") }
        }
    }
}
