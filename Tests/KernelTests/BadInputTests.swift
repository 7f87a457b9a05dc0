// Input from a tired person: each piece is refused with the same words and status as the kernel's own
// commands have for it, and leaves the rules as they were.

import Lab
import Testing

extension KernelTests {
    @Suite("Bad input", .needsLabs) struct BadInputTests {
        static let commands: [(line: String, status: Int32)] = [
            ("iptables -A NOWHERE -j ACCEPT", 1),
            ("iptables -A FORWARD -j NOWHERE", 2),
            ("iptables -D FORWARD -s 198.51.100.1 -j ACCEPT", 1),
            ("iptables -C FORWARD -s 198.51.100.1 -j ACCEPT", 1),
            ("iptables -D FORWARD 99", 1),
            ("iptables -N FORWARD", 1),
            ("iptables -X NOWHERE", 1),
            ("iptables -P FORWARD RETURN", 1),
            ("iptables -P NOWHERE DROP", 1),
            ("iptables -A FORWARD -p tcp --dport 99999 -j ACCEPT", 2),
            ("iptables -A FORWARD -p tcp --dport nosuchservice -j ACCEPT", 2),
            ("iptables -A FORWARD --dport 80 -j ACCEPT", 2),
            ("iptables -A FORWARD -p nosuchprotocol -j ACCEPT", 2),
            ("iptables -A FORWARD -s 10.0.0.999 -j ACCEPT", 2),
            ("iptables -A FORWARD -s 10.0.0.0/33 -j ACCEPT", 2),
            ("iptables -A FORWARD -m nosuchmatch -j ACCEPT", 2),
            ("iptables -A FORWARD -m statistic --mode random --probability 1.5 -j ACCEPT", 2),
            ("iptables -A FORWARD -m conntrack --ctstate SOMETIMES -j ACCEPT", 2),
            ("iptables -A FORWARD -j DNAT --to-destination 10.0.0.1", 4),
            ("iptables -t nat -A PREROUTING -p tcp -j DNAT", 2),
            ("iptables -t nat -A PREROUTING -p tcp -j DNAT --to-destination 10.0.0.1:x", 2),
            ("iptables -t nosuchtable -S", 3),
            ("iptables --nonsense", 2),
            ("iptables -A", 2),
            ("iptables -A FORWARD -A INPUT", 2),
            ("iptables -I FORWARD 99 -j ACCEPT", 1),
            ("conntrack -D -p tcp --dport 1", 1),
        ]

        static let restores: [(text: String, status: Int32)] = [
            ("*filter\n-A FORWARD -s 198.51.100.7 -j ACCEPT\n-A NOWHERE -j ACCEPT\nCOMMIT\n", 1),
            (
                "*filter\n-A FORWARD -s 198.51.100.7 -j ACCEPT\n-A FORWARD -p tcp --dport 0x -j DROP\nCOMMIT\n",
                2
            ),
            ("*filter\n-A FORWARD -s 198.51.100.7 -j ACCEPT\nnonsense\nCOMMIT\n", 2),
            ("-A FORWARD -j ACCEPT\nCOMMIT\n", 1),
            ("*nosuchtable\nCOMMIT\n", 2),
            ("*filter\n:FORWARD SOMETIMES [0:0]\nCOMMIT\n", 1),
        ]

        @Test("to iptables has its status and leaves the rules alone", arguments: Twin.available)
        func commandStatuses(_ twin: Twin) throws {
            try withLab(twin) { lab throws in
                let before = try Self.rules(of: lab)
                for (line, status) in Self.commands {
                    let outcome = try lab.run(line)
                    #expect(outcome.status == status, "\(twin): \(line): \(outcome.errors)")
                    #expect(!outcome.errors.isEmpty, "\(twin): \(line) says nothing")
                    #expect(try Self.rules(of: lab) == before, "\(twin): \(line)")
                }
            }
        }

        @Test("to iptables-restore is refused whole", arguments: Twin.available)
        func restoreStatuses(_ twin: Twin) throws {
            try withLab(twin) { lab throws in
                let before = try Self.rules(of: lab)
                for (text, status) in Self.restores {
                    let outcome = try lab.run(Self.restoring(text))
                    #expect(outcome.status == status, "\(twin): \(text): \(outcome.errors)")
                    #expect(!outcome.errors.isEmpty, "\(twin): \(text) is refused without a word")
                    #expect(try Self.rules(of: lab) == before, "\(twin): \(text)")
                }
            }
        }

        @Test("has the same first words on Sluice as on the kernel", .needsDaemon)
        func sameWords() throws {
            let lines = Self.commands.map(\.line) + Self.restores.map { Self.restoring($0.text) }
            let words = { (lab: RunningLab) throws in
                try lines.map { try lab.run($0).errors.split(separator: "\n").first ?? "" }
            }
            let kernel = try withLab(.kernel, words)
            let sluice = try withLab(.sluice, words)
            for (index, line) in lines.enumerated() {
                #expect(sluice[index] == kernel[index], Comment(rawValue: line))
            }
        }

        static let own: [(line: String, words: String)] = [
            ("sluice run --interface nosuch0", "nosuch0"),
            ("sluice run", "--interface"),
            ("sluice run --interface eth0 --interface br0", "already"),
            ("sluice run --interface eth0 --rules /etc", "/etc"),
            ("sluice run --netns nosuchnamespace --interface eth0", "nosuchnamespace"),
            ("sluice run --interface eth0 --interface eth0", "named twice"),
            ("sluice run --interface eth0 --capacity 0", "--capacity 0: expected a number"),
            ("sluice run --interface eth0 --capacity many", "many"),
            ("sluice run --interface eth0 --on-death maybe", "expected open or closed"),
            ("sluice run --interface eth0 --set nf_conntrack_nosuch=1", "expected one of"),
            ("sluice trace 'tcp port'", "tcp port"),
            ("sluice trace --count 0", "--count 0: expected"),
            ("sluice explain --in nosuch0 'tcp 10.0.0.9:5 > 10.0.0.1:6 S'", "nosuch0"),
            ("sluice explain --in eth0 'tcp 192.0.2.10:5 > 192.0.2.300:6 S'", "column 20"),
            ("sluice links /nosuch", "/nosuch"),
            ("sluice status --netns nosuch", "nosuch"),
            ("sluice nonsense", "nonsense"),
            ("sluice run --interface eth0 --log /nosuch/log", "/nosuch/log"),
            ("sluice lab log $SLUICE_LAB nosuch", "nosuch; expected one of: node"),
            ("setpriv --reuid=65534 --clear-groups sluice run --interface eth0", "CAP_"),
        ]

        @Test("to Sluice's own commands has status 2 and names the culprit", .needsDaemon)
        func ownCommands() throws {
            try withLab(.sluice) { lab throws in
                for (line, words) in Self.own {
                    let outcome = try lab.run(line, seconds: 10)
                    #expect(outcome.status == 2, "\(line): \(outcome.errors)")
                    #expect(outcome.errors.contains(words), "\(line): \(outcome.errors)")
                }
                #expect(try lab.output("sluice status") != "", "the first daemon is gone")
            }
        }

        private static func restoring(_ text: String) -> String {
            "printf '%s' '\(text)' | iptables-restore"
        }

        private static func rules(of lab: RunningLab) throws -> [Substring] {
            try lab.output("iptables-save").split(separator: "\n").filter { !$0.hasPrefix("#") }
                .map { $0.replacing(#/\[\d+:\d+\]/#, with: "")[...] }
        }
    }
}
