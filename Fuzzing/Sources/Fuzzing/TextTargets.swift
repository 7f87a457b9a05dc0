// Everything that people and scripts type: iptables, its rules files, conntrack, saved connections, and
// the packets of `sluice explain`.

import Conntrack
import Control
import Ruleset
import Wire

extension FuzzTarget {
    /// A command a line, its words parted by blanks; a backslash stands before a blank that parts nothing.
    static let iptables = FuzzTarget(
        name: "iptables", seeds: iptablesSeeds.map { Array($0.utf8) }, dictionary: iptablesWords
    ) { bytes in
        var ruleset = Ruleset()
        for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") {
            let outcome = IPTablesCommand.run(
                .iptables, arguments: words(line), ruleset: ruleset,
                environment: FuzzRules.environment)
            promise(
                outcome.status == 0 || !outcome.standardError.isEmpty, "a failure says something")
            promise(outcome.status == 0 || outcome.ruleset == nil, "a failure changes nothing")
            guard let changed = outcome.ruleset else { continue }
            ruleset = changed
            checkSaved(ruleset)
        }
    }

    /// A rules file.
    static let restore = FuzzTarget(
        name: "restore", seeds: FuzzRules.texts.map { Array($0.utf8) },
        dictionary: iptablesWords + [
            "*filter\n", "*nat\n", "*mangle\n", "*raw\n", "COMMIT\n", " - [0:0]\n",
        ]
    ) { bytes in
        for arguments in [[], ["--noflush", "-c"], ["-T", "nat", "--test"]] {
            let outcome = IPTablesCommand.run(
                .restore, arguments: arguments, standardInput: bytes, ruleset: Ruleset(),
                environment: FuzzRules.environment)
            promise(
                outcome.status == 0 || !outcome.standardError.isEmpty, "a failure says something")
            if let rules = outcome.ruleset { checkSaved(rules) }
        }
    }

    /// Rules that were accepted compile, and their text makes the same rules.
    private static func checkSaved(_ rules: Ruleset) {
        guard (try? CompiledRuleset(rules)) != nil else {
            fatalError("broken promise: accepted rules compile")
        }
        let text = saved(rules)
        let again = IPTablesCommand.run(
            .restore, arguments: ["-c"], standardInput: Array(text.utf8), ruleset: Ruleset(),
            environment: FuzzRules.environment)
        promise(again.status == 0, "saved rules load: \(again.standardError)\n\(text)")
        let second = saved(again.ruleset ?? Ruleset())
        promise(second == text, "saved rules are the same rules:\n\(text)\n\(second)")
    }

    private static func saved(_ rules: Ruleset) -> String {
        IPTablesCommand.run(
            .save, arguments: ["-c"], ruleset: rules, environment: FuzzRules.environment
        ).standardOutput
    }

    private static func words(_ line: Substring) -> [String] {
        var words = [""]
        var escaped = false
        for character in line {
            if escaped {
                words[words.count - 1].append(character)
                escaped = false
            } else if character == "\\" {
                escaped = true
            } else if character == " " {
                words.append("")
            } else {
                words[words.count - 1].append(character)
            }
        }
        return words
    }

    private static let iptablesSeeds: [String] =
        FuzzRules.texts.map(commands) + [
            """
            -N A
            -A A -j RETURN
            -I FORWARD 1 -j A
            -C FORWARD -j A
            -E A B
            -L -v -n -x --line-numbers
            -D FORWARD 1
            -X B
            """,
            """
            -P INPUT DROP
            -A INPUT -s backend ! -i lo -c 1 2 -j LOG
            -R INPUT 1 -j ACCEPT
            -Z INPUT 1
            -S INPUT
            -F
            """,
        ]

    /// A rules file as commands.
    private static func commands(_ text: String) -> String {
        var table = ""
        var lines: [String] = []
        for line in text.split(separator: "\n") {
            if line.hasPrefix("*") { table = String(line.dropFirst()) }
            if line.hasPrefix(":") {
                lines.append("-t \(table) -N \(line.dropFirst().prefix { $0 != " " })")
            }
            if line.hasPrefix("-A") { lines.append("-t \(table) \(line)") }
        }
        return lines.joined(separator: "\n")
    }

    private static let iptablesWords: [String] = {
        let typed = FuzzRules.texts.joined().split { " \n".contains($0) }.map(String.init)
        let others = [
            "-L", "-S", "-F", "-X", "-Z", "-E", "-P", "-I", "-R", "-D", "-C", "-N", "-v", "-n",
            "-x", "-w", "--line-numbers", "!", "--sports", "--ports", "--ctorigsrc", "--ctexpire",
            "--ctstatus", "--packet", "ACCEPT", "DROP", "RETURN", "0x", "255.255.0.255", "/33",
            "-1", "65536",
        ]
        return Set(typed + others).sorted()
    }()

    static let conntrackCommand = FuzzTarget(
        name: "conntrack-command",
        seeds: [
            "-L -p tcp --sport 80 -o extended,id -u ASSURED",
            "-D -s 10.0.0.0/8 -n 10.0.0.1:5 -m 1/255",
            "-E -e NEW,DESTROY -o timestamp",
            "-G -p icmp -s 1.2.3.4 -d 4.3.2.1 --icmp-type 8 --icmp-code 0 --icmp-id 5",
            "-L conntrack -f ipv4 --state ESTABLISHED -o save -j", "-S", "-C", "-F",
        ].map { Array($0.utf8) },
        dictionary: [
            "--orig-src", "--reply-port-dst", "--mask-src", "--zone", "--any-nat", "--src-nat",
            "--dst-nat", "--mark", "--status", "expect", "dying", "-z", "--dump", "udplite",
        ]
    ) { bytes in
        let line = Substring(String(decoding: bytes, as: UTF8.self))
        switch ConntrackCommand(parsing: words(line)) {
        case .finished(let outcome):
            promise(
                !outcome.output.isEmpty || !outcome.error.isEmpty, "a command that ends says why")
        case .request(let request):
            _ = request.filter.matches(sample)
            _ = ConntrackText.line(
                sample,
                ConntrackTextOptions(
                    output: request.output, now: Timestamp(nanoseconds: 5), wallClock: 7))
            _ = request.conclusion(count: 3)
        }
    }

    private static let sample: ConnectionRecord = {
        let line =
            "-A -t 60 -u SEEN_REPLY,ASSURED -s 10.1.0.2 -d 10.2.0.2 -g 10.3.0.3 -n 10.4.0.4 -p tcp --sport 4000 --dport 80 --reply-port-src 8080 --reply-port-dst 5000 --state ESTABLISHED"
        guard let record = ConnectionRecord(savedLine: line) else {
            fatalError("the sample is read")
        }
        return record
    }()

    /// Lines of `conntrack -o save`, entered into a small table.
    static let savedConnections = FuzzTarget(
        name: "saved-connections",
        seeds: [
            ConntrackText.saved(sample),
            "-A -t 5 -u UNSET -s 1.1.1.1 -d 2.2.2.2 -r 2.2.2.2 -q 1.1.1.1 -p udp --sport 1 --dport 2 --reply-port-src 2 --reply-port-dst 1 -m 7",
            "-A -t 5 -u UNSET -s 1.1.1.1 -d 2.2.2.2 -r 2.2.2.2 -q 1.1.1.1 -p icmp --icmp-type 8 --icmp-code 0 --icmp-id 9\n-A -t 6 -u UNSET -s 1.1.1.1 -d 2.2.2.2 -r 2.2.2.2 -q 1.1.1.1 -p 47",
        ].map { Array($0.utf8) },
        dictionary: ["TIME_WAIT", "SYN_SENT", "-g", "-n", "-r", "-q", "EXPECTED", "4294967295"]
    ) { bytes in
        let table = ConnectionTable(capacity: 4, seed: 1)
        let now = Timestamp(nanoseconds: 1_000_000_000)
        for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") {
            guard let record = ConnectionRecord(savedLine: String(line)) else { continue }
            guard table.adopt(record, now: now),
                let (id, _) = table.find(record.original, zone: record.zone, now: now),
                let entered = table.record(id, now: now)
            else { continue }
            let text = ConntrackText.saved(entered)
            guard let again = ConnectionRecord(savedLine: text) else {
                fatalError("broken promise: a saved line is read: \(text)")
            }
            promise(
                again.original == record.original && again.reply == record.reply
                    && again.zone == record.zone && again.tcpState == record.tcpState,
                "what was saved is read: \(line) \(text)")
        }
        _ = table.expire(now: Timestamp(nanoseconds: .max))
        promise(table.count == 0, "what was entered ends")
    }

    static let description = FuzzTarget(
        name: "packet-description",
        seeds: [
            "tcp 10.1.0.2:40000 > 10.1.0.1:8080 S. ttl 3 mark 0xff",
            "udp 1.2.3.4:5 > 6.7.8.9:10 length 1400",
            "icmp 10.1.0.2 > 10.1.0.1 echo-reply id 7 tos 255",
        ].map { Array($0.utf8) }, dictionary: ["echo", "0x", "-1", "65536", "SFRPU.EW"]
    ) { bytes in
        let text = String(decoding: bytes, as: UTF8.self)
        do throws(PacketDescriptionError) {
            let description = try PacketDescription(parsing: text)
            let frame = description.frame()
            guard case .packet(let view) = frame.withRawSpan({ PacketView.parse($0) }) else {
                fatalError("broken promise: a described packet parses")
            }
            promise(checksumIsRight(frame, view), "a described packet's checksum is right")
        } catch {
            promise(
                error.column >= 1 && error.column <= text.count + 1, "the column is in the text")
        }
    }
}
