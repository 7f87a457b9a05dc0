import NamespaceFixture
import Testing
import Wire

@testable import Conntrack

private func request(_ line: String) -> ConntrackRequest {
    guard
        case .request(let request) = ConntrackCommand(
            parsing: line.split(separator: " ").map(String.init))
    else {
        Issue.record("not a request: \(line)")
        return ConntrackRequest(action: .count)
    }
    return request
}

private let options = ConntrackTextOptions(
    now: seconds(1000), wallClock: 1_795_229_614_000_000_000)

private func record(
    _ original: Tuple, reply: Tuple? = nil, _ status: ConnectionStatus = [.seenReply],
    timeout: UInt32 = 28, tcp: TCPState? = nil
) -> ConnectionRecord {
    ConnectionRecord(
        connection: ConnectionID(index: 0, generation: 0), id: 972_033_910, original: original,
        reply: reply ?? original.reversed, status: status, mark: 0, timeout: Seconds(timeout),
        tcpState: tcp)
}

private let translated = record(
    Tuple(client, 52_222, IPv4Address(10, 1, 0, 1), 8080, .tcp),
    reply: Tuple(server, 80, IPv4Address(10, 2, 0, 1), 52_222, .tcp),
    [.seenReply, .assured, .sourceNAT, .sourceNATDone, .destinationNAT, .destinationNATDone],
    timeout: 118, tcp: .timeWait)

@Suite("The conntrack command")
struct CommandTests {
    @Test("lists entries as conntrack-tools prints them")
    func lines() {
        let text = ConntrackText.line(translated, options)
        #expect(
            text == """
                tcp      6 118 TIME_WAIT src=10.1.0.2 dst=10.1.0.1 sport=52222 dport=8080 \
                src=10.2.0.2 dst=10.2.0.1 sport=80 dport=52222 [ASSURED] mark=0 use=1
                """)
        var extended = options
        extended.output = [.extended, .id]
        let ping = record(Tuple(client, 20_914, server, 8 << 8, .icmp), [])
        #expect(
            ConntrackText.line(ping, extended) == """
                ipv4     2 icmp     1 28 src=10.1.0.2 dst=10.2.0.2 type=8 code=0 id=20914 \
                [UNREPLIED] src=10.2.0.2 dst=10.1.0.2 type=0 code=0 id=20914 mark=0 use=1 \
                id=972033910
                """)
        let other = record(
            Tuple(client, 0, server, 0, IPProtocol(rawValue: 89)), [], timeout: 599)
        #expect(
            ConntrackText.line(other, options) == """
                unknown  89 599 src=10.1.0.2 dst=10.2.0.2 [UNREPLIED] src=10.2.0.2 dst=10.1.0.2 \
                mark=0 use=1
                """)
    }

    @Test("shows counters and times where the table keeps them")
    func countersAndTimes() {
        var entry = translated
        entry.counters = (
            FlowCounters(packets: 6, bytes: 323), FlowCounters(packets: 4, bytes: 219)
        )
        entry.start = seconds(998.5)
        var dated = options
        dated.output = .kernelTimestamp
        #expect(
            ConntrackText.line(entry, dated) == """
                tcp      6 118 TIME_WAIT src=10.1.0.2 dst=10.1.0.1 sport=52222 dport=8080 \
                packets=6 bytes=323 src=10.2.0.2 dst=10.2.0.1 sport=80 dport=52222 packets=4 \
                bytes=219 [ASSURED] mark=0 delta-time=1 [start=Sat Nov 21 02:53:32 2026] use=1
                """)
        #expect(CalendarText.ctime(0) == "Thu Jan  1 00:00:00 1970")
        #expect(CalendarText.ctime(1_709_164_800 - 1) == "Wed Feb 28 23:59:59 2024")
        #expect(CalendarText.ctime(1_709_164_800) == "Thu Feb 29 00:00:00 2024")
        #expect(CalendarText.ctime(-1) == "Wed Dec 31 23:59:59 1969")
    }

    @Test("prints events with their label, and who deleted")
    func events() {
        var stamped = options
        stamped.output = .timestamp
        let event = ConnectionEvent(kind: .destroy, time: seconds(999.5), record: translated)
        #expect(
            ConntrackText.line(event, stamped, requester: 21_080) == """
                [1795229613.500000]\t[DESTROY] tcp      6 118 TIME_WAIT src=10.1.0.2 dst=10.1.0.1 \
                sport=52222 dport=8080 src=10.2.0.2 dst=10.2.0.1 sport=80 dport=52222 [ASSURED] \
                [USERSPACE] portid=21080
                """)
        let new = ConnectionEvent(kind: .new, time: seconds(1000), record: translated)
        #expect(ConntrackText.line(new, options).hasPrefix("    [NEW] tcp      6 118 TIME_WAIT "))
        let update = ConnectionEvent(kind: .update, time: seconds(1000), record: translated)
        #expect(ConntrackText.line(update, options).hasPrefix(" [UPDATE] tcp"))
        var marked = translated
        marked.mark = 7
        let about = ConnectionEvent(kind: .update, time: seconds(1000), record: marked)
        #expect(ConntrackText.line(about, options).hasSuffix("[ASSURED] mark=7"))
    }

    @Test("saves entries as arguments")
    func save() {
        var saving = options
        saving.output = .save
        #expect(
            ConntrackText.line(translated, saving) == """
                -A -t 118 -u SEEN_REPLY,ASSURED -s 10.1.0.2 -d 10.1.0.1 -g 10.2.0.2 -n 10.2.0.1 \
                -p tcp --sport 52222 --dport 8080 --reply-port-src 80 --reply-port-dst 52222 \
                --state TIME_WAIT
                """)
        let ping = record(Tuple(client, 20_914, server, 8 << 8, .icmp), [])
        #expect(
            ConntrackText.line(ping, saving) == """
                -A -t 28 -u UNSET -s 10.1.0.2 -d 10.2.0.2 -r 10.2.0.2 -q 10.1.0.2 -p icmp \
                --icmp-type 8 --icmp-code 0 --icmp-id 20914
                """)
    }

    @Test(
        "filters by every field that can be named",
        arguments: [
            ("-L", true), ("-L -p tcp", true), ("-L -p 17", false), ("-L -s 10.1.0.2", true),
            ("-L --src 10.0.0.0/8", true), ("-L --orig-src 10.1.0.3", false),
            ("-L -s 10.0.0.0 --mask-src 255.0.0.0", true), ("-L -d 10.1.0.1", true),
            ("-L --dst 10.2.0.0/16", false), ("-L -r 10.2.0.2", true), ("-L -q 10.1.0.2", false),
            ("-L -p tcp --dport 8080", true), ("-L -p tcp --orig-port-src=1", false),
            ("-L -p tcp --reply-port-src 80 --reply-port-dst 52222", true),
            ("-L -p tcp --state TIME_WAIT", true), ("-L -p tcp --state CLOSE", false),
            ("-L -u ASSURED", true), ("-L -u UNREPLIED", false), ("-L -u !ASSURED", false),
            ("-L -u assu,seen", true), ("-L -m 0", true), ("-L -m 1/0xff", false), ("-L -n", true),
            ("-L -n 10.2.0.1", true), ("-L -n 10.9.9.9", false), ("-L -g 10.2.0.2:80", true),
            ("-L -g 10.2.0.2:81", false), ("-L -j 10.2.0.2", true), ("-L -j 10.7.7.7", false),
            ("-L -n -g", true), ("-L -f ipv4", true), ("-L -f ipv6", false), ("-L -w 0", true),
            ("-L --zone 3", false), ("-D --src=10.1.0.2", true), ("-E -p tcp", true),
            ("-L --prot tcp", true), ("-L conntrack -p TCP", true),
        ])
    func filters(line: String, expected: Bool) {
        #expect(request(line).filter.matches(translated) == expected)
    }

    @Test("understands what to do")
    func actions() {
        #expect(request("-L expect").action == .listExpectations)
        #expect(request("-L dying").action == .listTransient)
        #expect(request("--dump").action == .list)
        #expect(request("-F").action == .flush)
        #expect(request("-F -f ipv6").action == .flushOtherFamily)
        #expect(request("-E -e NEW,dest").action == .events([.new, .destroy]))
        #expect(request("-E").action == .events(.all))
        #expect(request("-C").action == .count)
        #expect(request("-S").action == .statistics)
        #expect(request("-L -z").zeroesCounters)
        #expect(request("-L -o extended,id -o time").output == [.extended, .id, .timestamp])
        #expect(
            request("-G -p udp -s 10.1.0.2 -d 10.2.0.2 --sport 5 --dport 53").action
                == .get(Tuple(client, 5, server, 53, .udp)))
        #expect(
            request("-G -p icmp -s 10.1.0.2 -d 10.2.0.2 --icmp-type 8 --icmp-code 0 --icmp-id 7")
                .action == .get(Tuple(client, 7, server, 8 << 8, .icmp)))
    }

    @Test("ends with the tool's words and statuses")
    func conclusions() {
        let none = request("-D").conclusion(count: 0)
        #expect(none.status == 1)
        #expect(
            none.error == "conntrack v1.4.7 (conntrack-tools): 0 flow entries have been deleted.\n")
        #expect(request("-L").conclusion(count: 0).status == 0)
        #expect(request("-F").conclusion(count: 3).status == 0)
        #expect(ConntrackRequest.noSuchConnection.status == 1)
        var statistics = ConntrackStatistics()
        statistics.earlyDrop = 3
        #expect(
            ConntrackText.statistics(statistics)
                == "cpu=0   \tfound=0 invalid=0 insert=0 insert_failed=0 drop=0 early_drop=3 "
                + "error=0 search_restart=0 clash_resolve=0 chaintoolong=0 \n")
    }

    @Test(
        "refuses by name what it cannot honour, and values that are none",
        arguments: [
            "-I -p tcp", "-U", "-A", "-L -l a", "-L -c 5", "-L -o xml", "-D -t 5",
            "-L -p tcp --dport abc", "-L -p tcp --dport 65536", "-L -p icmp --icmp-type 256",
            "-L -m x", "-L -s 10.1.2", "-L -w x", "-L -u ", "-E -e ,NEW",
        ])
    func refusals(line: String) {
        let words = line.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
        guard case .finished(let outcome) = ConntrackCommand(parsing: words) else {
            Issue.record("accepted: \(line)")
            return
        }
        #expect(outcome.status == 1 || outcome.status == 2)
        #expect(outcome.error.hasPrefix("conntrack v1.4.7 (conntrack-tools): "))
        #expect(outcome.output.isEmpty)
    }

    @Test("no command line crashes it, whatever it is made of")
    func rubbish() {
        let seed: UInt64 = 11
        var random = SeededRandom(seed: seed)
        let words = [
            "-L", "-D", "-E", "-G", "-C", "--", "-", "", "-p", "tcp", "--sport", "=", "--=x", "-n",
            "1.2.3.4:5", "::1/129", "-s", "/", "a/", "-u", "!", "!!", ",", "-o", "save", "-e", "-m",
            "0x", "/1", "expect", "-Lz", "-zzz", "--src=", "--sp", "\u{0}", "🦆", "-🦆",
        ]
        for _ in 0..<20_000 {
            let line = (0..<(random.next() % 6)).map { _ in
                words[Int(random.next() % UInt64(words.count))]
            }
            if case .finished(let outcome) = ConntrackCommand(parsing: line) {
                #expect((0...2).contains(outcome.status), "seed \(seed): \(line)")
            }
        }
    }
}

@Suite("The conntrack command beside the real one")
struct CommandAgreementTests {
    /// What Sluice's command says with an empty table.
    @Test("help names what is done, and nothing that is refused")
    func help() {
        for words in [[], ["-h"], ["--help"], ["-h", "-p", "tcp"], ["-h", "-p", "icmp"]] {
            let help = answer(words)
            #expect(help.status == 0 && help.error.isEmpty)
            #expect(help.output.contains("conntrack -L"))
            for refused in ["-I", "-U", "--secmark", "--label", "xml"] {
                #expect(!help.output.contains(refused), "\(words) names \(refused)")
            }
        }
        #expect(answer(["-h", "-p", "tcp"]).output.contains("--dport"))
        #expect(answer(["-h", "-p", "icmp"]).output.contains("--icmp-id"))
    }

    private func answer(_ words: [String]) -> CommandResult {
        switch ConntrackCommand(parsing: words) {
        case .finished(let outcome):
            return CommandResult(
                output: outcome.output, error: outcome.error, status: outcome.status)
        case .request(let request):
            if case .get = request.action {
                let none = ConntrackRequest.noSuchConnection
                return CommandResult(output: "", error: none.error, status: none.status)
            }
            let (error, status) = request.conclusion(count: 0)
            let isCount = request.action == .count || request.action == .countExpectations
            return CommandResult(
                output: isCount ? "0\n" : "", error: request.warnings + error, status: status)
        }
    }

    @Test("says the same on the same arguments", .enabled(if: canAskKernel, needsKernel))
    func agreement() throws {
        let namespace = try Namespace("cmd")
        let lines = [
            "-V", "--version", "-L", "-L conn",
            "-L e", "-L foo", "-L bar baz", "-L dying", "-L unconfirmed", "-D", "-D expect",
            "-D dying", "-G", "-G expect", "-G -p tcp", "-G -p tcp -s 10.1.0.2 -d 10.2.0.2",
            "-G -p tcp -r 10.2.0.2", "-G -p tcp -s 10.1.0.2 -d 10.1.0.1 --sport 1",
            "-G -p tcp -s 10.1.0.2 -d 10.2.0.2 --sport 1 --dport 2", "-G -p icmp",
            "-G -p icmp -s 10.1.0.2 -d 10.2.0.2",
            "-G -p icmp -s 10.1.0.2 -d 10.2.0.2 --icmp-type 8",
            "-G -p tcp -r 10.2.0.2 -q 10.2.0.1 --reply-port-src 80 --reply-port-dst 5",
            "-G -p 89 -s 10.1.0.2 -d 10.2.0.2", "-F", "-F foo", "-F expect", "-F -p tcp",
            "-F -f ipv6", "-C", "-C foo", "-C expect", "-C -p tcp", "-C -f ipv6", "-S foo",
            "-S -p tcp", "-X", "-L -p foo", "-L -p 300", "-L -p 17", "-L -p tcp --sport",
            "-L --sport 80", "-L --dport", "-L -p tcp --state FOO", "-L -p tcp --state time_wait",
            "-L -s 10.0.0.0/33", "-L -s 10.0.0.0/8", "-L -d ::1", "-L -f ipv6", "-L -f foo",
            "-L -f ipv6 -s 10.0.0.1", "-L -u FOO", "-L -u ASSURED", "-L -u UNSET", "-L -u SRC_NAT",
            "-L -u ASSURED,FOO,X", "-L -m 1/0xff", "-L -e NEW", "-E -e FOO", "-L -o foo",
            "-L -o extended,foo", "-L -o save,id", "-L -D", "-V -L", "-L -t 5", "-U expect",
            "-L -n 1.2.3.4", "-L -n", "-L -n -j", "-L -n 10.2.0.0/24", "-L -r 10.2.0.0/24",
            "-L -n 1.2.3.4:", "-L -n 1.2.3.4:x", "-L -i 5", "-L -a 1", "-L -p", "-L -w",
            "-L --bogus", "-L --s 10.1.0.2", "-L --or 1", "-L --proto tcp",
            "-L --reply-port-src 80 -p tcp", "-L -p tcp --icmp-type 8",
            "-L -p tcp --tuple-port-src 5",
            "-L --mask-src 255.0.0.0", "-L --mask-src 255.0.0.0 -s 10.0.0.0", "-z", "-s 1.2.3.4",
            "-L --zone 1", "-L -q 10.2.0.1 -p udp",
        ]
        for line in lines {
            let words = line.split(separator: " ").map(String.init)
            let real = try namespace.outcome(of: ["conntrack"] + words)
            #expect(answer(words) == real, "conntrack \(line)")
        }
    }
}
